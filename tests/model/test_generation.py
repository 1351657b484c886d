"""Completions and their judgment: the same in every batch, cut where they stop, without touching the random
state."""

import itertools
from copy import deepcopy

import pytest
import torch
from transformers import GenerationConfig

from interp.data.sources.cldr import cldr_facts
from interp.model.generation import Completion, Sampler, complete, newline_ids
from tests.support.tiny import byte_tokenizer, tiny_model
from training.examples import make_examples
from training.run.evaluation import Answer, complete_examples, judge, summarize

EOS = 258
PROMPTS = ["a", "a longer prompt than the others", "ab", "prompt", "x" * 60]


@pytest.fixture(scope="module", params=["qwen2", "olmo2"])
def model(request):
    return tiny_model(request.param, max_position_embeddings=256)


def test_greedy_completions_depend_on_no_neighbor(model):
    alone = [complete(model, byte_tokenizer(), [p], Sampler(6, (EOS,)))[0] for p in PROMPTS]
    for batch in (1, 2, 5):
        assert complete(model, byte_tokenizer(), PROMPTS, Sampler(6, (EOS,), batch=batch)) == alone


def test_greedy_completions_follow_the_most_probable_token(model):
    (said,) = complete(model, byte_tokenizer(), ["start"], Sampler(4, (EOS,)))
    ids = byte_tokenizer()("start")["input_ids"]
    for _ in range(said.n_tokens):
        ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    assert said.text == byte_tokenizer().decode(ids[5:], skip_special_tokens=True)


def test_a_stop_token_ends_a_completion(model):
    free = complete(model, byte_tokenizer(), PROMPTS, Sampler(8, (EOS,)))
    ids = byte_tokenizer()(PROMPTS[0])["input_ids"]
    first = int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
    stopped = complete(model, byte_tokenizer(), PROMPTS[:1], Sampler(8, (EOS, first)))[0]
    assert (stopped.n_tokens, stopped.ended) == (1, True)
    assert free[0].n_tokens > 1


def test_greedy_leaves_the_random_state_and_the_mode_as_they_were(model):
    model.train()
    before = torch.get_rng_state()
    complete(model, byte_tokenizer(), PROMPTS, Sampler(4, (EOS,)))
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
    model.eval()


def test_temperature_and_top_p_reach_the_sampler(model):
    def texts(**changes: float) -> list[Completion]:
        torch.manual_seed(0)
        return complete(model, byte_tokenizer(), PROMPTS, Sampler(8, (EOS,), **changes))

    greedy = texts()
    assert texts(temperature=1.0) != greedy
    assert texts(temperature=1.0, top_p=1e-6) == greedy
    assert texts(temperature=1e-4) == greedy


def test_every_token_with_a_line_break_is_found():
    assert newline_ids(byte_tokenizer()) == (byte_tokenizer()("\n")["input_ids"][0],)


def test_shares_of_processes_add_up_to_all(model):
    facts = cldr_facts().filter(languages=["en", "sw", "zh"], limit=5)
    examples = make_examples(facts, facts)
    whole = complete_examples(model, byte_tokenizer(), examples, "train", Sampler(3, (EOS,)))
    assert len(whole) == 15
    for processes in (2, 4):
        parts = [
            complete_examples(
                model, byte_tokenizer(), examples, "train", Sampler(3, (EOS,)), share=(rank, processes)
            )
            for rank in range(processes)
        ]
        assert sorted(str(answer) for part in parts for answer in part) == sorted(map(str, whole))


def test_a_summary_by_hand():
    def answer(fact: str, code: str, outcome: str, n: int) -> Answer:
        return Answer("train", fact, code, "", outcome, -1, n)  # type: ignore[arg-type]

    rows = [answer("a", "en", "correct", 2), answer("a", "sw", "correct", 4), answer("b", "en", "correct", 2)]
    rows += [
        answer("b", "sw", "empty", 1),
        answer("c", "en", "other", 3),
        answer("c", "sw", "wrong_language", 6),
    ]
    found = summarize(rows)
    assert found["accuracy"] == 0.5
    assert found["total_consistency"] == round(1 / 3, 4)
    assert (found["resolved"], found["empty"], found["facts"]) == (round(4 / 6, 4), round(1 / 6, 4), 3)
    assert found["accuracy_by_language"] == {"en": round(2 / 3, 4), "sw": round(1 / 3, 4)}
    assert found["tokens_by_language"] == {"en": round(7 / 3, 2), "sw": round(11 / 3, 2)}


def test_the_entity_named_is_the_same_number_in_every_language():
    facts = cldr_facts().filter(languages=["en", "zh"], relations=["capital"], limit=3)
    for fact in make_examples(facts, facts, "options").facts:
        for entity in range(4):
            said = [judge(e, Completion(e.options[e.entities.index(entity)], 1, True)) for e in fact]
            assert [answer.entity for answer in said] == [entity, entity]
            right = entity == fact[0].gold_entity
            assert {answer.outcome for answer in said} == {"correct" if right else "other"}


def test_the_parents_own_generation_settings_do_not_reach_a_completion(model):
    plain = complete(model, byte_tokenizer(), PROMPTS, Sampler(8, (EOS,)))
    settings = model.generation_config
    model.generation_config = GenerationConfig(
        repetition_penalty=50.0, min_new_tokens=8, no_repeat_ngram_size=1
    )
    own = model.generation_config
    try:
        assert complete(model, byte_tokenizer(), PROMPTS, Sampler(8, (EOS,))) == plain
        assert model.generation_config is own
    finally:
        model.generation_config = settings


@pytest.mark.parametrize("pad", [None, 258, 999])
def test_without_a_padding_token_or_with_one_that_is_not_embedded(model, pad):
    """What fills a batch is masked, so it changes nothing."""
    tokenizer = deepcopy(byte_tokenizer())
    tokenizer.pad_token = None
    if pad == 999:
        tokenizer.add_special_tokens({"pad_token": "<far>"})
        assert tokenizer.pad_token_id >= 259
    elif pad is not None:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(pad)
    expected = complete(model, byte_tokenizer(), PROMPTS, Sampler(6, (EOS,)))
    assert complete(model, tokenizer, PROMPTS, Sampler(6, (EOS,))) == expected
    assert complete(model, tokenizer, PROMPTS, Sampler(6, ())) == complete(
        model, byte_tokenizer(), PROMPTS, Sampler(6, ())
    )


# each prompt once


def follow(model, prompt: str, sampler: Sampler, numbers: torch.Tensor) -> list[int]:
    """The definition, with the whole text at each step: transformers' processors, then the cumulative sum."""
    ids, written = byte_tokenizer()(prompt)["input_ids"], []
    for number in numbers.tolist():
        logits = model(input_ids=torch.tensor([ids + written])).logits[0, -1:].float()
        scores = sampler.processors()(torch.tensor([ids + written]), logits)[0]
        if sampler.temperature:
            totals = itertools.accumulate(scores.double().softmax(-1).tolist())
            token = next(i for i, total in enumerate(totals) if total > number)
        else:
            token = int(scores.argmax())
        written.append(token)
        if token in sampler.stop_ids:
            break
    return written


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"temperature": 1.0},
        {"temperature": 0.7, "top_p": 0.8},
        {"temperature": 1.0, "repetition_penalty": 1.5},
        {"repetition_penalty": 2.0},
        {"temperature": 1.0, "batch": 4},
    ],
)
def test_samples_are_those_of_the_definition(model, changes):
    """Rows end at different steps and are taken out; other batches change nothing."""
    from interp.model.generation import continuations

    texts = [p for p in PROMPTS for _ in range(3)]
    stops = (EOS, *range(0, 250, 5))
    sampler = Sampler(6, stops, **changes)
    torch.manual_seed(3)
    found = continuations(model, [tuple(byte_tokenizer()(t)["input_ids"]) for t in texts], sampler, 256)
    torch.manual_seed(3)
    numbers = torch.rand(len(texts), 6, dtype=torch.float64)
    assert found == [follow(model, t, sampler, n) for t, n in zip(texts, numbers, strict=True)]
    assert len({len(row) for row in found}) > 1


def test_a_prompt_is_computed_once_for_all_of_its_samples(model):
    read = []
    hook = model.register_forward_pre_hook(
        lambda module, args, given: read.append(tuple(given["input_ids"].shape)), with_kwargs=True
    )
    complete(model, byte_tokenizer(), ["x" * 30] * 8 + ["y" * 28] * 8, Sampler(3, (), temperature=1.0))
    hook.remove()
    assert read == [(2, 30), (16, 1), (16, 1)]


def test_tokens_are_drawn_as_often_as_they_are_probable():
    from interp.model.generation import _draw

    logits = torch.tensor([0.1, 0.0, 0.4, 0.5]).log().expand(20_000, 4)
    numbers = torch.rand(20_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    drawn = _draw(logits, Sampler(1, (), temperature=1.0), None, numbers)
    shares = torch.bincount(drawn, minlength=4) / 20_000
    assert shares[1] == 0
    assert shares.tolist() == pytest.approx([0.1, 0.0, 0.4, 0.5], abs=0.012)  # 3.4 standard errors
    ends = _draw(logits[:2], Sampler(1, (), temperature=1.0), None, torch.tensor([0.0, 1 - 2**-53]).double())
    assert ends.tolist() == [0, 3]
