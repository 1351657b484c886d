"""Prompts computed once: what they begin with, found by tokens, and the same states as each prompt alone."""

from __future__ import annotations

import pytest
import torch

from interp.errors import CapabilityError
from interp.model.prefixes import common_beginnings, encode_prompts, is_plain, shortest_window
from tests.support.tiny import tiny_model

SHOWN, OTHER = tuple(range(100, 140)), tuple(range(150, 180))
CPU = torch.device("cpu")


def prompts(n: int = 4) -> list[tuple[int, ...]]:
    """Two relations with demonstrations, prompts of different lengths."""
    return [shown + tuple(range(k, 2 * k + 2)) for k in range(1, n) for shown in (SHOWN, OTHER)]


def test_prompts_that_begin_alike_are_found_in_any_order():
    given = prompts()
    owners, beginnings = common_beginnings(given)
    assert sorted(map(len, beginnings)) == [30, 40]
    for prompt, owner in zip(given, owners, strict=True):
        assert prompt[: len(beginnings[owner])] == beginnings[owner]
    again, same = common_beginnings(given[::-1])
    assert [same[o] for o in again[::-1]] == [beginnings[o] for o in owners]


@pytest.mark.parametrize(
    "given",
    [
        [],
        [(1,)],
        [(1, 2, 3), (4, 5)],
        [(*range(5), 7), (*range(5), 8)],  # five tokens: too few for a pass
        [SHOWN + tuple(range(90)), SHOWN + tuple(range(10, 90))],  # most of it is not shared
    ],
)
def test_nothing_is_shared_where_it_does_not_pay(given):
    assert common_beginnings(given) == ([], [])


def test_a_prompt_that_another_continues_keeps_a_last_token():
    owners, beginnings = common_beginnings([SHOWN, (*SHOWN, 1), (*SHOWN, 1, 2)])
    assert owners == [0, 0, 0]
    assert beginnings == [SHOWN[:-1]]


@pytest.mark.parametrize("family", ["llama", "qwen2", "olmo2", "gemma2", "gemma3_text"])
@pytest.mark.parametrize("room", [None, 10])
def test_states_are_those_of_each_prompt_alone(family, room):
    model = tiny_model(family)
    given = [*prompts(), (5, 6, 7, 8, 9)]
    cached = encode_prompts(model, given, fill=0, device=CPU, room=room, logits_to_keep=1)
    alone = torch.cat([model(torch.tensor([prompt])).logits[:, -1] for prompt in given])
    assert (cached.output.logits[:, -1] - alone).abs().max() < 1e-4
    assert cached.mask.sum(1).tolist() == [len(prompt) for prompt in given]
    assert is_plain(cached.cache, cached.mask.shape[1])


def test_windows():
    assert shortest_window(tiny_model("llama").config) is None
    assert shortest_window(tiny_model("gemma2", sliding_window=8).config) == 8
    assert shortest_window(tiny_model("mistral", sliding_window=12).config) == 12


def test_a_decoder_without_a_cache_is_refused():
    model = tiny_model("llama")
    with pytest.raises(CapabilityError, match="cannot be repeated"):
        encode_prompts(
            lambda use_cache, **given: model(use_cache=False, **given), [(1, 2)], fill=0, device=CPU
        )
