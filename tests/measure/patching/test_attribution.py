"""Estimates equal finite differences of the real patch and slow loops; planted routes are found; failures are
noticed."""

from __future__ import annotations

import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from analyses.comparison import compare
from interp.data.facts import Fact, FactSet, Wording
from interp.errors import CapabilityError, ConfigError, Interrupted, MeasurementError
from interp.measure.patching import attribution, estimates
from interp.measure.patching.activations import read_segments
from interp.measure.patching.branching import Cell, Patch
from interp.measure.patching.pairs import Pair
from interp.measure.patching.sweep import Targets
from interp.measure.patching.verification import cells_to_verify
from interp.model.loading import LoadedModel
from interp.model.sites import Site
from interp.results import load_result
from interp.results.attribution import AttributionResult
from tests.support.measuring import Protocol, find_pairs, measure_attribution, measure_patching
from tests.support.planted.route import DIRECT, HEAD, NEURON_LAYER, route_facts, route_model
from tests.support.tiny import PLANTED_FAMILIES, opened

LANGUAGES = ("ja", "zh")
SPANS = ("subject_last", "subject_mean", "last")
WITHIN = Protocol("within", LANGUAGES, positions=SPANS, prompt_format="none")
ROUTE = Protocol("within", LANGUAGES, prompt_format="none")
MEASURED = ("sums", "counts", "clean", "corrupt", "cells", "estimated", "effects", "left_out")
SITE = {"heads": "head", "neurons": "mlp_neuron"}


def some_facts(n: int = 20, *, groups: int = 10) -> FactSet:
    """Questions, subjects and answers of several lengths; every answer has its own first letter."""
    rng = np.random.default_rng(3)
    facts = []
    for i in range(n):
        wording = {}
        for code in LANGUAGES:
            subject = "".join(rng.choice(list("abcdef"), 1 + (i + ord(code[0])) % 3)) + str(i)
            options = tuple(letter + code * (1 + j % 2) for j, letter in enumerate("qrst"))
            wording[code] = Wording(
                f"{'-' * rng.integers(3)}{subject}{'.' * rng.integers(1, 3)}", subject, options
            )
        ids = tuple(f"answer-{j}" for j in range(4))
        facts.append(
            Fact(f"fact-{i:02d}", "r", f"s{i}", ids[i % 4], ids, "test", f"group-{i % groups}", wording)
        )
    return FactSet("some", tuple(facts), LANGUAGES)


def untied(family: str = "qwen2", seed: int = 0, **changes: object) -> LoadedModel:
    return opened(family, seed, tie_word_embeddings=False, **changes)


def pairs_of(
    loaded: LoadedModel, facts: FactSet, protocol: Protocol, source: LoadedModel | None = None
) -> list[Pair]:
    return find_pairs(loaded, facts, protocol, source, 4096, None, None).pairs


def asked_once(monkeypatch, loaded: LoadedModel) -> int:
    """Let measurements of `some_facts` share one set of pairs; returns their number."""
    found = find_pairs(loaded, some_facts(groups=2), WITHIN, None, 4096, None, None)
    monkeypatch.setattr(attribution, "find_pairs", lambda *_: found)
    return len(found.pairs)


def measured(loaded: LoadedModel, **how) -> AttributionResult:
    return measure_attribution(loaded, some_facts(groups=2), WITHIN, **{"verify": 0, **how})


def every_cell(loaded: LoadedModel, unit: str) -> list[tuple[int, int, int]]:
    n = loaded.architecture.n_heads if unit == "heads" else loaded.architecture.n_neurons
    return list(np.ndindex(loaded.architecture.n_layers, n, len(SPANS)))


@pytest.mark.parametrize("unit", ["heads", "neurons"])
@pytest.mark.parametrize("family", PLANTED_FAMILIES)
def test_an_estimate_is_how_the_metric_changes_under_a_little_of_the_real_patch(family, unit):
    loaded = untied(family)
    pair = pairs_of(loaded, some_facts(), WITHIN)[0]
    sites = [Site(SITE[unit], layer) for layer in range(3)]
    found = estimates.Estimates(loaded, loaded, [pair], SPANS, sites)
    both, where, _ = read_segments(loaded, [pair.sources, (pair.target,)], [SPANS, SPANS], sites)
    cells = every_cell(loaded, unit)[:: 1 if unit == "heads" else 7]
    changed = []
    for step in (0.02, -0.02):
        mixed = {}
        for site, values in both.items():
            mixed[site] = values.clone()
            for span in SPANS:
                source, target = (values[list(group[span])] for group in where)
                mixed[site][list(where[0][span])] = target + step * (source - target)
        patches = [
            Patch(0, Cell(SITE[unit], layer, SPANS[at], (number,)), where[0][SPANS[at]])
            for layer, number, at in cells
        ]
        changed.append(Targets(loaded, [pair.target]).sweep(patches, mixed)[:, 0].double().numpy())
    slow = (changed[0] - changed[1]) / 0.04
    for (layer, number, at), expected in zip(cells, slow, strict=True):
        value = found.summed(sites[layer], found.span, len(SPANS))[at, number]
        assert value == pytest.approx(expected, rel=0.01, abs=2e-4 * np.abs(slow).max() + 2e-4)
    assert np.abs(slow).max() > 0.02


def read_one(loaded: LoadedModel, ids: tuple[int, ...], site: Site) -> torch.Tensor:
    """A site of one prompt, without batch or padding, in plain PyTorch."""
    module, kept = loaded.architecture.module(site)[0], []
    handle = module.register_forward_pre_hook(lambda _, args: kept.append(args[0][0].clone()))
    with torch.no_grad():
        loaded.model(torch.tensor([ids]))
    handle.remove()
    return kept[0]


def gradient_one(
    loaded: LoadedModel, ids: tuple[int, ...], site: Site, gold: int, wrong: int
) -> torch.Tensor:
    module, leaf = loaded.architecture.module(site)[0], []

    def start(_, args):
        leaf.append(args[0].detach().requires_grad_(True))
        return (leaf[0],)

    handle = module.register_forward_pre_hook(start)
    logits = loaded.model(torch.tensor([ids])).logits[0, -1]
    handle.remove()
    return torch.autograd.grad(logits[gold] - logits[wrong], leaf[0])[0][0]


def slow_estimate(
    loaded: LoadedModel, source: LoadedModel, pair: Pair, site: Site, unit: slice, span: str, control: bool
) -> float:
    """The definition, place by place."""
    here = read_one(loaded, pair.target.ids, site)[:, unit]
    gradient = gradient_one(loaded, pair.target.ids, site, pair.target.answer[0], pair.target.distractor)
    given = [
        (a, read_one(source, a.ids, site)[:, unit]) for a in (pair.controls if control else pair.sources)
    ]

    def chosen(asked) -> list[int]:
        return {
            "subject_last": [asked.subject[-1]],
            "subject_mean": list(asked.subject),
            "last": [len(asked.ids) - 1],
        }[span]

    new = sum(sum(values[p] for p in chosen(a)) / len(chosen(a)) for a, values in given) / len(given)
    old = sum(here[p] for p in chosen(pair.target)) / len(chosen(pair.target))
    return sum(float((new - old) @ gradient[p, unit]) for p in chosen(pair.target))


MODES = {
    "within": WITHIN,
    "across": Protocol("across", ("zh",), ("ja",), SPANS, "none"),
    "checkpoints": replace(WITHIN, mode="checkpoints"),
}


@pytest.mark.parametrize("mode", MODES)
def test_sums_are_those_of_slow_loops_in_every_mode(mode, monkeypatch):
    """Unequal lengths, several sources, another checkpoint, the controls: prompt by prompt, place by
    place."""
    loaded, protocol = untied("olmo2" if mode == "across" else "qwen2"), MODES[mode]
    source = untied(seed=5) if mode == "checkpoints" else None
    facts = some_facts(12 if mode == "within" else 32)
    found = find_pairs(loaded, facts, protocol, source, 4096, None, None)
    if mode == "across":  # as if there were another source language
        pairs = found.pairs
        both = [
            replace(p, sources=(*p.sources, *q.sources), controls=(*p.controls, *q.controls))
            for p, q in zip(pairs, pairs[1:] + pairs[:1], strict=True)
        ]
        found = replace(found, pairs=both)
    bare = replace(found.pairs[0], controls=())  # no fact could serve
    found = replace(found, pairs=[bare, *found.pairs[1:]])
    monkeypatch.setattr(attribution, "find_pairs", lambda *_: found)
    n = len(found.pairs)
    assert n > 1
    for unit, width in (("heads", 8), ("neurons", 1)):
        result = measure_attribution(loaded, facts, protocol, unit=unit, verify=0, source=source)
        assert result.counts.sum(axis=(1, 2)).tolist() == [[n] * 3, [n - 1] * 3]
        for layer, number, at in [(0, 1, 1), (1, 3, 0), (2, 2, 2), (1, 0, 1)]:
            where, site = slice(number * width, (number + 1) * width), Site(SITE[unit], layer)
            for run in (0, 1):
                for language, code in enumerate(result.languages):
                    own = [pair for pair in found.pairs if pair.language == language]
                    slow = [
                        slow_estimate(loaded, source or loaded, p, site, where, SPANS[at], bool(run))
                        for p in own
                        if p.controls or not run
                    ]
                    total = result.sums[run, language, :, layer, number, at].sum()
                    assert total == pytest.approx(sum(slow), rel=1e-3, abs=1e-5)
                    mean = result.estimates(code, control=bool(run)).plug_in[layer, number, at]
                    assert mean == pytest.approx(np.mean(slow), rel=1e-3, abs=1e-5)


def test_every_position_and_all_at_once():
    """Spans that need equal lengths: places one by one add up to all at once, and a place too far counts no
    pair."""
    loaded = untied()
    facts = some_facts(40)
    equal = tuple(
        replace(
            f,
            wording={
                code: replace(w, question=f"{w.subject}{'.' * (9 + i // 4 % 2 - len(w.subject))}")
                for code, w in f.wording.items()
            },
            relation=f"r{i // 4 % 2}",
        )
        for i, f in enumerate(facts)
    )
    protocol = Protocol("within", LANGUAGES, positions=("all", "each"), prompt_format="none")
    result = measure_attribution(loaded, replace(facts, facts=equal), protocol, verify=4)
    assert result.positions == ("all", *map(str, range(10)))
    summed = result.sums[..., 1:].sum(axis=-1)
    assert summed == pytest.approx(result.sums[..., 0], rel=1e-3, abs=1e-5)
    counts = result.counts[0].sum(axis=(0, 1))
    assert counts[1:10].tolist() == [counts[0]] * 9
    assert 0 < counts[10] < counts[0]
    reached = ~np.isnan(result.effects)
    assert (reached == ~np.isnan(result.estimated)).all()
    assert reached.sum(axis=(0, 1)).tolist() == counts[result.cells[:, 2]].tolist()


@pytest.mark.parametrize("unit", ["heads", "neurons"])
@pytest.mark.parametrize("family", PLANTED_FAMILIES)
def test_the_planted_route_is_found_first_and_nothing_else(family, unit):
    result = measure_attribution(route_model(family), route_facts(), ROUTE, unit=unit, verify=6)
    table = result.largest(6)
    planted = [HEAD] if unit == "heads" else [(NEURON_LAYER, c) for c in range(4)]
    first = table.iloc[: len(planted)]
    assert set(zip(first.layer, first.unit, strict=True)) == set(planted)
    assert set(first.position) == {"last"}
    assert (first.estimate > 0.1).all()
    rest = table.iloc[len(planted) :]
    assert rest.estimate.abs().max() < 1e-3 * first.estimate.max()
    verified = result.verified()
    assert (verified.effect[: len(planted)] > 0.1).all()
    assert verified.effect[len(planted) :].abs().max() < 1e-5
    assert result.low_correlation() == ""
    floor = table.floor[: len(planted)]  # the wrong answer goes, the right one does not come
    assert (floor < table.estimate[: len(planted)]).all()


def linear() -> LoadedModel:
    """One layer without MLP or final norm: the logits are linear in what each head gives."""
    loaded = untied("llama", num_hidden_layers=1)
    with torch.no_grad():
        loaded.model.model.layers[0].mlp.down_proj.weight.zero_()
    loaded.model.model.norm = torch.nn.Identity()
    return loaded


def test_where_the_model_is_linear_the_estimate_is_the_effect():
    result = measure_attribution(linear(), some_facts(), WITHIN, verify=12)
    assert result.cells.shape == (12, 3)
    known = ~np.isnan(result.effects)
    assert known.any()
    assert result.estimated[known] == pytest.approx(result.effects[known], abs=2e-5)
    found = result.correlation().set_index("cells").loc["both"]
    assert (found.pearson, found.slope) == pytest.approx((1, 1), abs=1e-4)
    assert np.isnan(found.pearson_low)  # no two facts differ, so nothing says how far others would
    assert result.low_correlation() == ""
    assert "correlation 1.000 [no interval], slope 1.00" in repr(result)


def test_a_shut_neuron_hides_the_head_before_it_and_the_check_says_so():
    """The head that decides writes to neurons that are shut; another adds a little to the answer itself."""
    how = {"direct": 0.1, "bias": -2.0}
    result = measure_attribution(
        route_model(blind=True, **how),
        route_facts(),
        replace(ROUTE, mode="checkpoints"),
        verify=6,
        source=route_model(**how),
    )
    table = result.verified().set_index(["layer", "unit", "position"])
    hidden, seen = table.loc[(*HEAD, "last")], table.loc[(*DIRECT, "last")]
    assert hidden.effect > 5 * seen.effect > 1
    assert abs(hidden.estimate) < 0.01 * seen.estimate
    both = result.correlation().set_index("cells").loc["both"]
    assert abs(both.pearson) < 0.2
    assert "have a correlation of 0.0" in result.low_correlation()
    assert result.diagnostics()[0] == result.low_correlation()
    assert measure_attribution(route_model(), route_facts(), ROUTE, verify=6).low_correlation() == ""


@pytest.mark.parametrize("unit", ["heads", "neurons"])
def test_verified_effects_are_those_of_patching_and_estimates_those_of_the_sums(unit):
    loaded, facts = untied(), some_facts()
    result = measured(loaded, unit=unit, verify=8)
    means = result.estimates().plug_in
    for row, (layer, number, at) in zip(result.verified().itertuples(), result.cells, strict=True):
        assert row.estimate == pytest.approx(means[layer, number, at], rel=1e-3, abs=1e-6)
    top, others = cells_to_verify(means, 8)
    assert np.array_equal(result.cells, np.concatenate([top, others]))
    if unit == "heads":
        real = measure_patching(loaded, facts, WITHIN, site="head")
        effects = real.patched[:, :, 0] - real.corrupt[:, :, 0, None, None, None]
        assert result.effects == pytest.approx(effects[:, :, *result.cells.T], abs=1e-5, nan_ok=True)
        assert result.clean[..., 0] == pytest.approx(real.clean[..., 0], abs=1e-5, nan_ok=True)
        assert result.corrupt[..., 0] == pytest.approx(real.corrupt[..., 0], abs=1e-5, nan_ok=True)


def test_the_largest_and_random_others_are_verified_and_never_more_than_there_are():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 4, 2))
    values[1, 2, 1] = np.nan
    top, others = cells_to_verify(values, 5)
    ranked = sorted(np.ndindex(3, 4, 2), key=lambda cell: -np.nan_to_num(abs(values[cell])))
    assert list(map(tuple, top.tolist())) == ranked[:5]
    every = {tuple(cell) for cell in np.concatenate([top, others]).tolist()}
    assert len(every) == 10
    assert (1, 2, 1) not in every
    assert not np.array_equal(cells_to_verify(values, 5, seed=1)[1], others)
    top, others = cells_to_verify(values, 20)
    assert (len(top), len(others)) == (20, 3)
    assert [len(part) for part in cells_to_verify(values, 0)] == [0, 0]
    result = measured(untied(), verify=1000)
    assert (len(result.cells), result.top) == (3 * 4 * 3, 36)
    assert result.correlation().n.tolist() == [36, 0, 36]


def same(one: AttributionResult, other: AttributionResult, atol: float) -> None:
    for name in MEASURED:
        a, b = getattr(one, name), getattr(other, name)
        scale = np.nanmax(np.abs(a)) if a.size else 1
        assert b == pytest.approx(a, rel=1e-4, abs=atol * float(scale), nan_ok=True), name


def test_batches_padding_and_memory_change_nothing(monkeypatch):
    loaded = untied("olmo2")
    n = asked_once(monkeypatch, loaded)
    whole = measured(loaded, verify=3, batch_tokens=100_000)
    assert whole.counts.max() > 1  # pairs of one block in several batches
    same(whole, measured(loaded, verify=3, batch_tokens=1), 1e-5)
    original, sizes = attribution.Estimates, []

    def scarce(loaded, source, pairs, *rest):
        sizes.append(len(pairs))
        if len(pairs) > 2:
            raise torch.OutOfMemoryError
        return original(loaded, source, pairs, *rest)

    monkeypatch.setattr(attribution, "Estimates", scarce)
    halved = measured(loaded, verify=3, batch_tokens=100_000)
    assert max(sizes) == n == whole.counts[0, ..., 0].sum() == whole.provenance.run["largest_batch"]
    assert halved.provenance.run["largest_batch"] <= 2
    same(whole, halved, 1e-5)
    assert whole.provenance.run["batch_tokens"] == 100_000


def test_the_order_of_facts_changes_nothing():
    loaded, facts = untied(), some_facts()
    one = measure_attribution(loaded, facts, WITHIN, verify=3)
    turned = replace(facts, facts=facts.facts[::-1])
    other = measure_attribution(loaded, turned, WITHIN, verify=3)
    assert np.array_equal(one.counts, other.counts)
    assert other.sums == pytest.approx(one.sums, rel=1e-4, abs=1e-5)
    assert np.array_equal(one.cells, other.cells)
    assert other.effects[::-1] == pytest.approx(one.effects, rel=1e-3, abs=1e-5, nan_ok=True)


def test_what_is_kept_does_not_grow_with_the_facts():
    few, many = (
        measure_attribution(untied(), some_facts(n), WITHIN, unit="neurons", verify=0) for n in (16, 32)
    )
    assert few.sums.shape == many.sums.shape == (2, 2, 8, 3, 48, 3)
    assert many.counts.sum() > few.counts.sum()


@pytest.mark.parametrize("stage", ["Estimates", "sweep"])
def test_an_interrupted_run_goes_on_to_the_same_bits(stage, tmp_path, monkeypatch):
    loaded, file = untied(), tmp_path / "a.partial"
    assert asked_once(monkeypatch, loaded) > 4
    how = {"verify": 3, "batch_tokens": 8}
    whole = measured(loaded, **how)
    owner = attribution if stage == "Estimates" else Targets
    original, calls = getattr(owner, stage), []

    def stopping(*arguments):
        calls.append(1)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return original(*arguments)

    monkeypatch.setattr(owner, stage, stopping)
    with pytest.raises(Interrupted, match="Stopped after"):
        measured(loaded, resume=file, **how)
    saved = file if stage == "Estimates" else tmp_path / "a.partial.verify"
    assert saved.exists()
    done = len(calls)
    again = measured(loaded, resume=file, **how)
    assert 2 < done < len(calls)
    for name in MEASURED:
        assert np.array_equal(getattr(again, name), getattr(whole, name), equal_nan=True)
    with pytest.raises(MeasurementError, match=r"is of another run \(verify: 3 there, 4 asked"):
        measured(loaded, resume=file, **{**how, "verify": 4})


def test_settings_and_kind_survive_and_checkpoints_are_compared(tmp_path):
    one, other = measured(untied(), verify=3), measured(untied(seed=5), verify=3)
    back = load_result(one.save(tmp_path / "a.npz"))
    assert isinstance(back, AttributionResult)
    for name in MEASURED:
        assert np.array_equal(getattr(back, name), getattr(one, name), equal_nan=True)
    assert repr(back) == repr(one)
    settings = one.provenance.settings
    assert (settings["measure"], settings["unit"], settings["verify"]) == ("attribution", "heads", 3)
    table = compare(one, other).table.set_index("quantity")
    assert {"true effect of the top heads", "estimate of the top heads", "clean logit_diff"} <= set(
        table.index
    )
    assert measured(untied(), verify=0).cells.shape == (0, 3)
    assert "not verified" in repr(measured(untied(), verify=0))


def test_what_cannot_be_measured_is_refused_with_a_reason():
    loaded = untied()
    with pytest.raises(ConfigError, match="--attribution is for --site head or mlp_neuron, not 'resid_pre'"):
        WITHIN.settings(site="resid_pre", attribution=True)
    with pytest.raises(ConfigError, match="'verify' is -1; a number of at least 0 is expected"):
        measured(loaded, verify=-1)
    with pytest.raises(CapabilityError, match="has no site 'mlp_neuron'"):
        measured(untied("mixtral"), unit="neurons")
    assert measured(untied("mixtral")).counts.any()
    protocol = replace(WITHIN, mode="checkpoints")
    with pytest.raises(CapabilityError, match="n_layers is 2 in the source and 3 in the target"):
        measure_attribution(loaded, some_facts(groups=2), protocol, source=untied(num_hidden_layers=2))


def test_gradients_that_are_not_finite_are_refused_with_the_pair(monkeypatch):
    loaded, original = untied(), estimates.reduced_gradients

    def broken(model, inputs, sites, metric, take):
        found = original(model, inputs, sites, metric, take)
        found[sites[1]][1][0] = float("nan")
        return found

    monkeypatch.setattr(estimates, "reduced_gradients", broken)
    with pytest.raises(
        MeasurementError, match=r"The estimates of 'fact-\d+' in '..' are not finite.*--dtype float32"
    ):
        measured(loaded)


def test_nothing_is_left_behind_in_the_model():
    loaded = untied()
    before = [p.requires_grad for p in loaded.model.parameters()]
    measured(loaded, verify=2)
    assert [p.requires_grad for p in loaded.model.parameters()] == before
    assert all(p.grad is None for p in loaded.model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in loaded.model.modules())
