"""Over a large vocabulary the logits of a few rows exist at a time, in every engine, and the values are those
of all at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from interp.data.prompts import prompts_from_facts
from interp.data.sources.cldr import cldr_facts
from interp.measure.lens import lens
from interp.measure.questions import encode_questions, make_questions, text_losses
from interp.measure.routing import routing
from interp.measure.specialization import heads
from interp.model import vocabulary
from tests.support.measuring import (
    Protocol,
    measure_attribution,
    measure_behavior,
    measure_heads,
    measure_lens,
    measure_patching,
    measure_routing,
)
from tests.support.planted.route import route_facts, route_model
from tests.support.tiny import opened

VOCABULARY, ROWS, TOKENS = 259, 4, 150
ROUTE = Protocol("within", ("ja", "zh"), prompt_format="none")


def few_facts():
    return cldr_facts().filter(languages=("en", "bn", "zh"), relations=("capital",), limit=4)


def question_losses(loaded, facts):
    questions = make_questions(loaded, facts, prompts_from_facts(facts))
    encoded = encode_questions(loaded, questions)
    return {"losses": text_losses(loaded, questions, encoded, [(-1.0, 1)] * len(questions))}


MEASURES = {
    "heads": lambda loaded, facts: measure_heads(loaded, prompts_from_facts(facts), n_blocks=2, min_items=1),
    "routing": measure_routing,
    "lens": lambda loaded, facts: measure_lens(loaded, prompts_from_facts(facts), pivot="en"),
    "evaluate": measure_behavior,
    "losses": question_losses,
    "patch": lambda loaded, facts: measure_patching(loaded, facts, ROUTE),
    "attribution": lambda loaded, facts: measure_attribution(loaded, facts, ROUTE, verify=3),
}


class LargestLogits(TorchDispatchMode):
    """The most rows of logits, or of anything else over the vocabulary, in a tensor made inside."""

    rows = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if (
                isinstance(tensor, torch.Tensor)
                and tensor.shape[-1:] == (VOCABULARY,)
                and _is_new(tensor, args)
            ):
                self.rows = max(self.rows, tensor.numel() // VOCABULARY)
        return made


def _is_new(tensor: torch.Tensor, args: Any) -> bool:
    given = {t.untyped_storage().data_ptr() for t in tree_leaves(args) if isinstance(t, torch.Tensor)}
    return tensor.untyped_storage().data_ptr() not in given


def arrays_of(result: Any) -> dict[str, np.ndarray]:
    values = result if isinstance(result, dict) else vars(result)
    return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}


@pytest.mark.parametrize("name", MEASURES)
def test_logits_exist_for_a_few_rows_at_a_time(name, monkeypatch):
    loaded, facts = opened("qwen2"), few_facts()
    if name in ("patch", "attribution"):  # they need answers that the model knows
        loaded, facts = route_model(), route_facts()
    at_once = arrays_of(MEASURES[name](loaded, facts))
    rows = 1 if name == "routing" else ROWS  # whose batches have few answers
    monkeypatch.setattr(vocabulary, "LOGITS_AT_A_TIME", rows * VOCABULARY)
    monkeypatch.setattr(lens, "_CHUNK", rows * VOCABULARY)
    monkeypatch.setattr(heads, "BACKWARD_TOKENS", TOKENS)
    monkeypatch.setattr(routing, "BACKWARD_TOKENS", TOKENS)
    with LargestLogits() as largest:
        in_pieces = arrays_of(MEASURES[name](loaded, facts))
    assert 0 < largest.rows <= rows
    assert at_once
    assert at_once.keys() == in_pieces.keys()
    for field, values in at_once.items():
        if values.dtype.kind == "f":
            scale = float(np.nanmax(np.abs(values), initial=0))
            np.testing.assert_allclose(in_pieces[field], values, rtol=1e-3, atol=1e-5 * scale, err_msg=field)


def test_a_backward_pass_holds_few_tokens(monkeypatch):
    """Head importance and routing split their batches, whatever the padded tokens of a forward pass are."""
    loaded, facts = opened("qwen2"), few_facts()
    sizes = []
    loaded.architecture.body.register_forward_hook(
        lambda module, args, kwargs, out: sizes.append(out.last_hidden_state[..., 0].numel()),
        with_kwargs=True,
    )
    for module in (heads, routing):
        monkeypatch.setattr(module, "BACKWARD_TOKENS", TOKENS)
    for name in ("heads", "routing"):
        sizes.clear()
        MEASURES[name](loaded, facts)
        assert len(sizes) > 2
        assert max(sizes) <= TOKENS
