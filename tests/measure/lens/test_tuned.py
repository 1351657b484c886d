"""The tuned lens: the plain one at step 0, exact where an affine map is enough, never worse, and honest about
what it saw."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from interp.data.tasks import open_task
from interp.errors import MeasurementError
from interp.measure.lens.tuned import Translators, TunedLens, _divergences, _step, fit_tuned_lens
from interp.model.final_norm import layer_readout
from tests.support.measuring import measure_lens
from tests.support.planted.lens import LANGUAGES, identity_model
from tests.support.tiny import opened


@pytest.fixture(scope="module")
def prompts():
    return open_task("facts", LANGUAGES, pivot="en", limit=40).prompts


@pytest.fixture(scope="module")
def loaded():
    return opened("qwen2")


def _identity(width=32, layers=3):
    return Translators(torch.zeros(layers, width, width), torch.zeros(layers, width))


def test_before_the_fit_it_is_the_plain_lens(loaded, prompts):
    few = prompts.sample(4)
    plain, tuned = (
        measure_lens(loaded, few, pivot="en", tuned=t)
        for t in (None, TunedLens(_identity(), np.zeros(4), np.zeros(4), (0, 0, 0), {}, "none"))
    )
    for name in ("probability", "rank", "mass", "entropy", "energy"):
        assert np.array_equal(getattr(plain, name), getattr(tuned, name), equal_nan=True)


def test_the_last_layer_is_left_alone():
    streams = torch.randn(4, 5, 32)
    moved = Translators(torch.randn(3, 32, 32), torch.randn(3, 32))(streams)
    assert torch.equal(moved[-1], streams[-1])
    assert not torch.isclose(moved[:-1], streams[:-1]).any()


def test_a_translation_by_hand():
    weight, bias = torch.zeros(1, 2, 2), torch.tensor([[10.0, 0.0]])
    weight[0, 0, 1] = 3.0  # the first dimension gains three times the second
    moved = Translators(weight, bias)(torch.tensor([[[1.0, 2.0]], [[0.0, 0.0]]]))
    assert moved[0].tolist() == [[1 + 6 + 10, 2]]


def test_on_held_out_text_it_is_better_than_the_plain_lens(loaded, prompts):
    lens = fit_tuned_lens(loaded, prompts, positions=2000, steps=40)
    assert (lens.tuned <= lens.plain).all()
    assert (lens.tuned[:-1] < 0.9 * lens.plain[:-1]).all()
    assert lens.tuned[-1] == lens.plain[-1] == 0
    assert all(step > 0 for step in lens.steps)
    assert sum(lens.positions.values()) >= 2000
    said = lens.describe()
    assert said["held_out_kl"]["tuned"] == lens.tuned.tolist()


def test_an_output_that_is_an_affine_map_of_every_layer_is_found():
    """The last layer adds a constant to the stream: a translator has to find that vector, and can."""
    model = identity_model("llama")
    shift = torch.randn(32, generator=torch.Generator().manual_seed(1))
    model.architecture.layers[2].register_forward_hook(lambda m, args, out: out + shift)
    texts = open_task("facts", LANGUAGES, pivot="en", limit=60).prompts
    lens = fit_tuned_lens(model, texts, positions=3000, steps=300)
    assert (lens.plain[:-1] > 0.05).all()
    assert (lens.tuned[:-1] < 0.03 * lens.plain[:-1]).all()


def test_a_fit_that_does_not_help_is_dropped(prompts):
    """Every layer says what the output says: there is nothing to gain."""
    lens = fit_tuned_lens(identity_model(), prompts, positions=1000, steps=5)
    assert lens.steps == (0, 0, 0)
    assert (lens.tuned == lens.plain).all()
    assert not lens.translators.weight.any()
    assert not lens.translators.bias.any()


def test_what_is_better_only_by_chance_is_dropped(prompts, monkeypatch):
    """A fit that the choosing positions liked and the reported ones do not."""
    import interp.measure.lens.tuned as module

    bad = Translators(torch.zeros(3, 32, 32), torch.full((3, 32), 9.0))
    monkeypatch.setattr(module, "_fit", lambda *a: (bad, np.array([5, 5, 5])))
    lens = fit_tuned_lens(identity_model(), prompts, positions=1000, steps=5)
    assert lens.steps == (0, 0, 0)
    assert not bad.bias.any()
    assert (lens.tuned == lens.plain).all()


def test_each_layer_takes_the_step_that_was_best_on_what_the_fit_did_not_see(loaded, monkeypatch):
    import interp.measure.lens.tuned as module

    said = iter([[5, 5, 5, 0], [4, 6, 6, 0], [3, 7, 4, 0], [3.5, 8, 3, 0], [9, 9, 2, 0]])
    monkeypatch.setattr(module, "_divergences", lambda *a: np.array(next(said), dtype=float))
    streams = torch.randn(4, 9, 32, generator=torch.Generator().manual_seed(0))
    best, chosen = module._fit(layer_readout(loaded), streams, streams[:, :5], 4, None)
    assert chosen.tolist() == [2, 0, 4]
    assert [bool(weight.any()) for weight in best.weight] == [True, False, True]


def test_divergence_and_gradient_are_their_definitions(loaded):
    readout = layer_readout(loaded)
    streams = torch.randn(4, 3, 32, generator=torch.Generator().manual_seed(0))
    logged = [readout.logits(state).double().log_softmax(-1) for state in streams]
    slow = [
        sum(float((logged[-1][r].exp() * (logged[-1][r] - one[r])).sum()) for r in range(3)) / 3
        for one in logged
    ]
    assert _divergences(readout, streams) == pytest.approx(slow, abs=1e-5)

    matrix, bias = torch.zeros(3, 32, 32, requires_grad=True), torch.zeros(3, 32, requires_grad=True)
    _step(readout, Translators(matrix, bias), streams)
    step = 1e-2
    for layer, i in ((0, 3), (2, 7)):
        found = []
        for sign in (1, -1):
            moved = torch.zeros(3, 32)
            moved[layer, i] = sign * step
            found.append(_divergences(readout, Translators(torch.zeros(3, 32, 32), moved)(streams))[layer])
        assert float(bias.grad[layer, i]) == pytest.approx(
            (found[0] - found[1]) / (2 * step), rel=0.02, abs=1e-5
        )


def test_the_fit_is_the_same_every_time_and_does_not_see_held_out_groups(loaded, prompts, monkeypatch):
    import interp.measure.lens.tuned as module

    seen = {}
    real = module._dealt
    monkeypatch.setattr(module, "_dealt", lambda *a: seen.setdefault("dealt", real(*a)))
    one = fit_tuned_lens(loaded, prompts, positions=1000, steps=4)
    group = {p.item_id: p.group for p in prompts.prompts["en"]}
    groups = {part: {group[item.item_id] for item in items} for part, items in seen["dealt"].items()}
    assert set(groups) == {"fit", "choose", "report"}
    assert not groups["fit"] & groups["choose"]
    assert not groups["fit"] & groups["report"]
    assert not groups["choose"] & groups["report"]
    two = fit_tuned_lens(loaded, prompts, positions=1000, steps=4)
    assert torch.equal(one.translators.weight, two.translators.weight)
    assert not loaded.model.lm_head.weight.requires_grad


def test_a_long_text_gives_few_positions(loaded, prompts, monkeypatch):
    monkeypatch.setattr("interp.measure.lens.tuned._PER_TEXT", 2)
    lens = fit_tuned_lens(loaded, prompts, positions=10**6, steps=1)
    assert 1 * 120 <= sum(lens.positions.values()) <= 2 * 120


def test_too_few_texts_are_refused(loaded, prompts):
    with pytest.raises(
        MeasurementError, match=r"are of 2 groups; 3 are needed, to fit on, to choose by and to report"
    ):
        fit_tuned_lens(loaded, prompts.sample(2), steps=1)
