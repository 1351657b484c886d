"""The one encoder, batcher and padding: what continues a prompt, which batches are full, where padding
stands."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from tokenizers.processors import TemplateProcessing

from interp.data.prompts import Prompt
from interp.errors import MeasurementError
from interp.model.generation import Sampler, complete
from interp.model.tokens import TokenizedPrompt, make_batches, pad_rows, token_positions, tokenize
from tests.support.tiny import byte_tokenizer, tiny_model

BOS, EOS = 257, 258


def with_ends():
    """The byte tokenizer with a BOS in front and an EOS behind."""
    tokenizer = copy.deepcopy(byte_tokenizer())
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", BOS), ("<eos>", EOS)]
    )
    return tokenizer


def prompt(text: str, separator: str = " ") -> Prompt:
    return Prompt("f", "en", text, "", separator, "g")


# tokens


def test_special_tokens_are_there_and_do_not_count():
    (text,) = tokenize(with_ends(), ["ab"])
    assert text.ids == (BOS, *byte_tokenizer()("ab")["input_ids"], EOS)
    assert text.counted == (False, True, True, False)
    assert text.without_end().ids == text.ids[:-1]
    (bare,) = tokenize(with_ends(), ["ab"], special=False)
    assert (bare.ids, bare.counted) == (text.ids[1:-1], (True, True))
    assert tokenize(with_ends(), []) == []


@pytest.mark.parametrize("make", [byte_tokenizer, with_ends])
def test_what_continues_a_prompt_stands_before_an_end_token(make):
    tokens = TokenizedPrompt(make(), prompt("ab"))
    assert tokens.continuations(["c", "de"]) == [
        tuple(byte_tokenizer()(text)["input_ids"]) for text in (" c", " de")
    ]
    assert EOS not in tokens.ids
    assert tokens.label == "'f' in 'en'"


def test_an_answer_without_tokens_of_its_own_is_refused_with_its_name():
    tokens = TokenizedPrompt(byte_tokenizer(), prompt("ab", separator=""))
    assert tokens.find_continuations(["c", ""]) == [tuple(byte_tokenizer()("c")["input_ids"]), None]
    with pytest.raises(MeasurementError, match=r"'f' in 'en': the tokens of the prompt are not .* option ''"):
        tokens.continuations(["c", ""])


def test_a_subject_is_all_tokens_of_its_last_mention():
    assert TokenizedPrompt(with_ends(), prompt("Oslo or Oslo?")).positions_of("Oslo") == (9, 10, 11, 12)
    japanese = TokenizedPrompt(byte_tokenizer(), prompt("あい"))
    assert japanese.positions_of("い") == (3, 4, 5)  # three bytes


def test_a_completion_goes_on_from_the_text_and_not_from_an_end_token():
    model, sampler = tiny_model("qwen2"), Sampler(6, (EOS,))
    tokenizer = copy.deepcopy(byte_tokenizer())
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", EOS)]
    )
    assert complete(model, tokenizer, ["start"], sampler) == complete(
        model, byte_tokenizer(), ["start"], sampler
    )


# batches


def greedy(costs, budget, padded):
    """The definition: go through the items, the most expensive first; open a batch when the next would not
    fit."""
    batches = []
    for i in sorted(range(len(costs)), key=lambda i: (-costs[i], i)):
        last = [*batches[-1], i] if batches else []
        price = (
            max((costs[j] for j in last), default=0) * len(last) if padded else sum(costs[j] for j in last)
        )
        if last and price <= budget:
            batches[-1].append(i)
        else:
            batches.append([i])
    return [tuple(batch) for batch in batches]


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("budget", [1, 7, 30, 10**6])
def test_batches_are_those_of_the_definition(budget, padded):
    costs = np.random.default_rng(budget).integers(1, 12, 60).tolist()
    batches = make_batches(range(60), budget, costs.__getitem__, padded=padded)
    assert batches == greedy(costs, budget, padded)
    assert sorted(i for batch in batches for i in batch) == list(range(60))


def test_an_order_that_is_not_of_the_costs_still_pays_for_the_largest():
    costs = {"a": 1, "b": 3, "c": 2}
    assert make_batches("abc", 6, costs.__getitem__, order=str) == [("a", "b"), ("c",)]
    assert make_batches("abc", 5, costs.__getitem__, order=str) == [("a",), ("b",), ("c",)]
    assert make_batches("", 5, costs.__getitem__) == []


# padding


@pytest.mark.parametrize(
    ("side", "values", "positions"),
    [
        ("right", [[1, 2, -1], [3, 4, 5]], [[0, 1, 1], [0, 1, 2]]),
        ("left", [[-1, 1, 2], [3, 4, 5]], [[0, 0, 1], [0, 1, 2]]),
    ],
)
def test_rows_are_filled_up_on_either_side(side, values, positions):
    padded, mask = pad_rows([(1, 2), (3, 4, 5)], fill=-1, side=side)
    assert padded.tolist() == values
    assert mask.tolist() == [[int(value != -1) for value in row] for row in values]
    assert token_positions(mask).tolist() == positions
