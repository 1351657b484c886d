"""Routes: attributions equal finite differences; planted neurons are found shared or apart; laws, nulls and
refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from interp.data.facts import FactSet
from interp.data.sources.cldr import cldr_facts
from interp.errors import CapabilityError, ConfigError, DataError, Interrupted, MeasurementError
from interp.measure.attributions import attributions
from interp.measure.contrasts import contrast_metric, make_contrasts
from interp.measure.routing import routing
from interp.model.hooks import editing
from interp.model.sites import Site
from interp.model.tokens import pad
from tests.support.measuring import measure_routing
from tests.support.planted.facts import LAYER, answering_model, letter_facts, planted_neurons
from tests.support.tiny import FAMILIES, PLANTED_FAMILIES, opened

LANGUAGES = ("en", "bn", "zh")
MEASURED = ("contrast", "dots", "cross", "shared", "shared_cross")


@pytest.fixture(scope="module")
def facts() -> FactSet:
    return cldr_facts().filter(languages=LANGUAGES, relations=("capital", "country_continent"), limit=10)


def scaled(loaded, contrast, site: Site, unit: int, scale: float) -> float:
    """The contrast of one question when a unit is scaled on every token but BOS."""
    batch = pad([contrast.item], pad_id=256, side="right", device=torch.device("cpu"))

    def edit(value: torch.Tensor, _: Site) -> torch.Tensor:
        changed = value.clone()
        changed[:, batch.counted[0], unit] *= scale
        return changed

    with torch.no_grad(), editing(loaded.architecture, {site: edit}):
        hidden = loaded.architecture.body(**batch.inputs()).last_hidden_state
        return float(contrast_metric(loaded, [contrast], hidden))


@pytest.mark.parametrize("family", FAMILIES)
def test_an_attribution_is_how_the_contrast_changes_with_the_units_scale(family, facts):
    loaded = opened(family, bos=family in ("llama", "olmo2"))
    contrasts = make_contrasts(loaded, facts.filter(limit=2), "native")
    gaps, found = attributions(loaded, contrasts, ("heads", "neurons"))
    assert len(found) == 6
    for site in (Site("head", 0), Site("head", 2), Site("mlp_neuron", 1)):
        for row in (0, 4):
            values = found[site][row]
            unit = int(values.abs().argmax())
            slow = (
                scaled(loaded, contrasts[row], site, unit, 1.01)
                - scaled(loaded, contrasts[row], site, unit, 0.99)
            ) / 0.02
            assert float(values[unit]) == pytest.approx(slow, rel=0.02, abs=2e-3)
            intact = scaled(loaded, contrasts[row], site, unit, 1.0)
            assert float(gaps[row]) == pytest.approx(intact, abs=1e-5)


@pytest.mark.parametrize("family", PLANTED_FAMILIES)
def test_neurons_that_serve_all_languages_are_a_shared_route_and_separate_ones_are_none(family):
    for shared in (True, False):
        result = measure_routing(
            answering_model(family, shared=shared), letter_facts(), prompt_format="none", top=0.02
        )
        layers = result.by_layer().set_index(["units", "layer"])
        excess = layers.excess["neurons", LAYER]
        specific = result.quantities()["neurons: specific to the fact"]
        tops = (result.overlap("top") - result.chance("top"))[1, :, 0, LAYER]
        if shared:
            assert excess > 0.7  # OLMo2's norm lets the rest of the layer in
            assert specific == pytest.approx(np.ones(14), abs=1e-3)
            assert (tops == 1).all()
        else:
            assert excess == pytest.approx(0, abs=1e-3)
            assert specific == pytest.approx(np.zeros(14), abs=1e-3)
            assert (tops == 0).all()
        for layer in (0, 2):  # where nothing was planted, nothing is found
            assert layers.excess["neurons", layer] == pytest.approx(0, abs=1e-3)
        assert abs(layers.excess.loc["heads"]).max() < 1e-3


def test_the_units_that_carry_most_are_the_planted_ones():
    for shared in (True, False):
        loaded, facts = answering_model("llama", shared=shared), letter_facts()
        contrasts = make_contrasts(loaded, facts, "none")
        values = attributions(loaded, contrasts, ("neurons",))[1][Site("mlp_neuron", LAYER)]
        for row, contrast in enumerate(contrasts):
            code = facts.languages[contrast.item.language]
            assert int(values[row].argmax()) in planted_neurons(code, shared=shared)


def test_one_text_under_two_names_is_one_route():
    some = cldr_facts().filter(languages=("en",), relations=("capital",), limit=8)
    twins = FactSet(
        "twins",
        tuple(replace(f, wording={"en": f.wording["en"], "de": f.wording["en"]}) for f in some),
        ("en", "de"),
    )
    result = measure_routing(opened("qwen2"), twins, prompt_format="none")
    for kind in ("cosine", "top"):
        assert result.overlap(kind) == pytest.approx(np.ones(result.overlap().shape), abs=1e-5)
        assert result.chance(kind)[..., -1].mean() < 0.95
    assert result.specific() == pytest.approx(np.ones(result.specific().shape), abs=1e-4)


def test_batches_and_memory_change_nothing(facts, monkeypatch):
    loaded = opened("olmo2")
    monkeypatch.setattr(routing, "BACKWARD_TOKENS", 100_000)
    whole = measure_routing(loaded, facts, batch_tokens=100_000)
    small = measure_routing(loaded, facts, batch_tokens=1)
    original, sizes = routing.attributions, []

    def scarce(loaded, contrasts, units):
        sizes.append(len(contrasts))
        if len(contrasts) > 6:
            raise torch.OutOfMemoryError
        return original(loaded, contrasts, units)

    monkeypatch.setattr(routing, "attributions", scarce)
    halved = measure_routing(loaded, facts, batch_tokens=100_000)
    assert max(sizes) == 3 * len(whole.fact_ids)
    assert halved.provenance.run["largest_batch"] == 1
    for other in (small, halved):
        scale = float(np.abs(whole.dots).max())
        assert other.dots == pytest.approx(whole.dots, rel=1e-3, abs=1e-5 * scale)
        assert other.contrast == pytest.approx(whole.contrast, abs=1e-4)
        assert other.cross == pytest.approx(whole.cross, rel=1e-3, abs=1e-5 * scale)
        assert np.mean(other.shared != whole.shared) < 0.01  # ties within rounding


def test_an_interrupted_run_goes_on_to_the_same_result(facts, tmp_path, monkeypatch):
    loaded, file = opened("qwen2"), tmp_path / "r.partial"
    whole = measure_routing(loaded, facts, batch_tokens=2000)
    original, calls = routing.attributions, []

    def stopping(*arguments):
        calls.append(1)
        if len(calls) == 2:
            import signal

            signal.raise_signal(signal.SIGINT)
        return original(*arguments)

    monkeypatch.setattr(routing, "attributions", stopping)
    with pytest.raises(Interrupted, match="Stopped after"):
        measure_routing(loaded, facts, batch_tokens=2000, resume=file)
    done = len(calls)
    again = measure_routing(loaded, facts, batch_tokens=2000, resume=file)
    assert 0 < done < len(calls)
    for name in MEASURED:
        assert np.array_equal(getattr(again, name), getattr(whole, name))
    with pytest.raises(MeasurementError, match=r"is of another run \(top: 0.01 there, 0.5 asked\)"):
        measure_routing(loaded, facts, batch_tokens=2000, top=0.5, resume=file)


def test_the_order_of_facts_and_languages_permutes_the_result(facts):
    loaded = opened("qwen2")
    one = measure_routing(loaded, facts)
    turned = FactSet(facts.name, facts.facts[::-1], facts.languages).filter(languages=LANGUAGES[::-1])
    other = measure_routing(loaded, turned)
    assert other.fact_ids == one.fact_ids
    assert other.contrast == pytest.approx(one.contrast[:, ::-1], abs=1e-4)
    at = {(c.item.item_id, c.item.language): c for c in make_contrasts(loaded, facts, "native")}
    alone = scaled(loaded, at[one.fact_ids[3], 1], Site("head", 0), 0, 1.0)
    assert one.contrast[3, 1] == pytest.approx(alone, abs=1e-4)
    assert other.dots == pytest.approx(
        one.dots[:, :, ::-1, ::-1], rel=1e-3, abs=1e-4 * float(np.abs(one.dots).max())
    )
    for name, values in one.quantities().items():
        assert other.quantities()[name] == pytest.approx(values, abs=1e-3)


def test_every_argument_does_what_it_says(facts):
    loaded = opened("qwen2")
    whole = measure_routing(loaded, facts)
    heads = measure_routing(loaded, facts, units=("heads",))
    assert heads.units == ("heads",)
    assert heads.dots[0] == pytest.approx(whole.dots[0], rel=1e-4, abs=1e-6)
    wide = measure_routing(loaded, facts, top=0.5)
    assert (wide.top[1].tolist(), whole.top[1].tolist()) == (
        [24] * 3 + [72],
        [1] * 4,
    )  # of 48 neurons and 144
    assert wide.overlap("top").mean() > whole.overlap("top").mean()
    assert np.array_equal(wide.dots, whole.dots)
    assert not np.allclose(measure_routing(loaded, facts, prompt_format="none").dots, whole.dots)
    assert whole.provenance.run["without_partner"] == len(facts) - len(whole.fact_ids)
    assert whole.provenance.settings["facts_digest"] == facts.digest


def test_what_cannot_be_measured_is_refused_with_a_reason(facts):
    loaded = opened("qwen2")
    with pytest.raises(MeasurementError, match=r"One language \('en'\); an overlap is between at least 2"):
        measure_routing(loaded, facts.filter(languages=("en",)))
    for share in (0.0, 1.0):
        with pytest.raises(ConfigError, match=r"'top' is .*; a number above 0 and below 1"):
            measure_routing(loaded, facts, top=share)
    with pytest.raises(CapabilityError, match="has no site 'mlp_neuron'"):
        measure_routing(opened("mixtral"), facts)
    assert measure_routing(opened("mixtral"), facts, units=("heads",)).units == ("heads",)
    with pytest.raises(DataError, match="No two of 1 facts"):
        measure_routing(loaded, facts.filter(limit=1))
    with torch.no_grad():
        loaded.model.model.layers[2].mlp.down_proj.weight.fill_(float("nan"))
    with pytest.raises(
        MeasurementError, match=r"The attributions of '.+' in '.+' are not finite; try --dtype"
    ):
        measure_routing(loaded, facts)
