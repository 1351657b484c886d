"""Tokens: what counts, batches, equal budgets; and the laws that batching, order, padding and attention do
not matter."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from interp.data.prompts import Prompt, PromptSet
from interp.data.text import load_text
from interp.errors import MeasurementError
from interp.model.tokens import encode, length_sorted, pad
from tests.support.measuring import measure_heads, measure_specialization
from tests.support.tiny import byte_tokenizer, opened

LAWS = {"n_blocks": 2}
CPU = torch.device("cpu")


def prompt_set(parallel=True, **texts) -> PromptSet:
    prompts = {
        code: tuple(
            Prompt(f"{i}" if parallel else f"{code}{i}", code, text, "", "", f"g{i}")
            for i, text in enumerate(each)
        )
        for code, each in texts.items()
    }
    return PromptSet("made", tuple(texts), prompts, parallel=parallel)


@pytest.fixture(scope="module")
def uneven():
    """Items of very different lengths, in three languages of different numbers of bytes per letter."""
    rng = np.random.default_rng(0)
    words = [" ".join("abcdefg"[: rng.integers(1, 8)] for _ in range(rng.integers(1, 14))) for _ in range(16)]
    return prompt_set(
        en=words, ru=[w.replace("a", "я") for w in words], ja=[w.replace("a", "あ") for w in words]
    )


# counts known on paper


@pytest.mark.parametrize("bos", [False, True])
def test_a_byte_tokenizer_counts_bytes(bos):
    encoded = encode(
        prompt_set(en=["ab", "abc"], ja=["あ", "あい"]), byte_tokenizer(bos), n_blocks=2, context=99
    )
    assert encoded.tokens().sum(axis=1).tolist() == [5, 9]
    assert encoded.n_items().tolist() == [[1, 1], [1, 1]]
    assert [len(i) for i in encoded.items] == [n + bos for n in (2, 3, 3, 6)]
    assert all(i.ids[0] == 257 and not i.counted[0] for i in encoded.items) is bos


def test_padding_and_bos_count_on_neither_side():
    items = encode(prompt_set(en=["ab", "abcd"]), byte_tokenizer(bos=True), n_blocks=2, context=99).items
    right, left = (pad(items, pad_id=256, side=side, device=CPU) for side in ("right", "left"))
    assert right.counted.int().tolist() == [[0, 1, 1, 0, 0], [0, 1, 1, 1, 1]]
    assert left.counted.int().tolist() == [[0, 0, 0, 1, 1], [0, 1, 1, 1, 1]]
    assert right.ids[0, 3:].tolist() == left.ids[0, :2].tolist() == [256, 256]
    assert right.attention.tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert left.inputs()["position_ids"].tolist() == [[0, 0, 0, 1, 2], [0, 1, 2, 3, 4]]
    assert right.inputs()["position_ids"][0, :3].tolist() == [0, 1, 2]


def test_the_answer_is_read_with_its_separator():
    prompts = PromptSet("made", ("en",), {"en": (Prompt("0", "en", "Q?", "A", " ", "g"),)}, parallel=True)
    (item,) = encode(prompts, byte_tokenizer(), n_blocks=1, context=99).items
    assert byte_tokenizer().decode(item.ids) == "Q? A"


# batches


@pytest.mark.parametrize("budget", [1, 40, 200, 10**6])
def test_length_sorted_batches_hold_every_item_once_within_the_budget(uneven, budget):
    items = encode(uneven, byte_tokenizer(), n_blocks=2, context=999).items
    batches = length_sorted(items, budget)
    assert sorted(map(id, (i for b in batches for i in b))) == sorted(map(id, items))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(map(len, batch)) <= budget
    lengths = [len(i) for b in batches for i in b]
    assert lengths == sorted(lengths, reverse=True)
    assert length_sorted(items[::-1], budget) == batches


# laws


@pytest.fixture(scope="module", params=["llama", "qwen2", "gemma", "olmo2"])
def loaded(request):
    """In float64, where no sum rounds an activation to the other side of zero: what differs is a fault."""
    return opened(request.param, bos=True, dtype=torch.float64)


def shuffled(prompts: PromptSet, seed: int) -> PromptSet:
    order = np.random.default_rng(seed).permutation(16)
    return dataclasses.replace(
        prompts, prompts={code: tuple(each[i] for i in order) for code, each in prompts.prompts.items()}
    )


def test_batching_order_padding_and_attention_change_no_count(loaded, uneven):
    reference = measure_specialization(loaded, uneven, min_tokens=50, **LAWS)
    others = [
        measure_specialization(loaded, uneven, batch_tokens=1, min_tokens=50, **LAWS),
        measure_specialization(loaded, uneven, batch_tokens=10**6, padding="left", min_tokens=50, **LAWS),
        measure_specialization(loaded, shuffled(uneven, 1), min_tokens=50, **LAWS),
    ]
    loaded.model.set_attn_implementation("eager")
    others.append(measure_specialization(loaded, uneven, min_tokens=50, **LAWS))
    loaded.model.set_attn_implementation("sdpa")
    assert reference.counts.sum() > 10_000
    for other in others:
        assert np.array_equal(other.counts, reference.counts)
        assert np.array_equal(other.tokens, reference.tokens)


def test_batching_order_padding_and_attention_change_no_importance(loaded, uneven):
    reference = measure_heads(loaded, uneven, **LAWS).importance
    others = [
        measure_heads(loaded, uneven, batch_tokens=1, **LAWS),
        measure_heads(loaded, uneven, batch_tokens=10**6, padding="left", **LAWS),
        measure_heads(loaded, shuffled(uneven, 1), **LAWS),
    ]
    loaded.model.set_attn_implementation("eager")
    others.append(measure_heads(loaded, uneven, **LAWS))
    loaded.model.set_attn_implementation("sdpa")
    for other in others:
        assert np.abs(other.importance - reference).max() < 1e-5 * reference.max()


# running text


def test_running_text_gets_the_same_budget_in_every_block_and_language(tmp_path):
    rng = np.random.default_rng(1)
    for code, lines, letter in (("en", 40, "a"), ("ja", 25, "あ")):
        (tmp_path / f"{code}.txt").write_text(
            "\n".join(letter * int(n) for n in rng.integers(3, 30, lines)), encoding="utf-8"
        )
    prompts = load_text(tmp_path)
    encoded = encode(prompts, byte_tokenizer(bos=True), n_blocks=4, context=999)
    tokens = encoded.tokens()
    assert not prompts.parallel
    assert (tokens[0] == tokens[1]).all()
    blocks = prompts.group_blocks(4)
    available = np.zeros((2, 4), dtype=int)
    for i, code in enumerate(prompts.languages):
        for p in prompts.prompts[code]:
            available[i, blocks[p.group]] += len(p.text.encode())
    assert (tokens[0] == available.min(axis=0)).all()  # nothing of the shortest language is lost
    assert (encoded.n_items() > 0).all()


def test_parallel_text_is_never_cut():
    encoded = encode(prompt_set(en=["a", "b"], ja=["ああ", "い"]), byte_tokenizer(), n_blocks=2, context=99)
    assert sorted(encoded.tokens().ravel().tolist()) == [1, 1, 3, 6]


# refusals


def test_an_item_longer_than_the_context_is_named():
    prompts = prompt_set(en=["short", "x" * 12, "x" * 11], sw=["short"] * 3)
    encode(prompts, byte_tokenizer(), n_blocks=2, context=12)
    with pytest.raises(MeasurementError) as caught:
        encode(prompts, byte_tokenizer(bos=True), n_blocks=2, context=11)
    assert str(caught.value) == (
        "Item '1' in 'en' has 13 tokens, but the model's context is 11 (2 items are too long). Shorten or "
        "remove them; nothing is truncated."
    )


def test_an_item_without_tokens_is_named():
    with pytest.raises(
        MeasurementError, match="Item '0' in 'en' has no tokens; remove it, or check the tokenizer"
    ):
        encode(prompt_set(en=[""]), byte_tokenizer(bos=True), n_blocks=1, context=99)
