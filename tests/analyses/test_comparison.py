"""Comparisons: the rate of false alarms on a null, planted effects, refusals, and the words of the
verdict."""

from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import pytest
from scipy import stats

from analyses.comparison import compare, compare_all
from analyses.comparison.units import contrast
from figures import plot, tables
from interp.data.prompts import Prompt, PromptSet
from interp.errors import ResultError
from interp.results import SpecializationResult
from interp.results.noise import noise_floor
from interp.stats import holm, jaccard
from tests.support.measuring import measure_heads, measure_specialization
from tests.support.planted.language import planted_model, planted_prompts
from tests.support.results import heads, neurons, provenance
from tests.support.tiny import opened

REPETITIONS, BLOCKS = 200, 8
MOST_ALARMS = 18  # 5 % of 200 and 2.6 standard errors of a binomial


def topical_prompts(n_blocks: int, items_per_block: int, length: int) -> PromptSet:
    """Languages with their own letters, and blocks with their own topics, so that tokens of a block go
    together."""
    rng = np.random.default_rng(0)
    prompts: dict[str, tuple[Prompt, ...]] = {}
    for offset, code in enumerate(("en", "sw", "ja")):
        items = []
        for block in range(n_blocks):
            topic = rng.dirichlet(np.full(8, 0.7))
            for i in range(items_per_block):
                letters = rng.choice(8, size=length, p=topic) + ord("a") + 5 * offset
                text = bytes(letters.astype(np.uint8)).decode()
                items.append(Prompt(f"{block}-{i}", code, text, "", "", f"topic-{block}"))
        prompts[code] = tuple(items)
    return PromptSet("topics", ("en", "sw", "ja"), prompts, parallel=True)


@pytest.fixture(scope="module")
def many_blocks():
    """A specialized tiny model, measured on 3,200 independent blocks of text."""
    prompts = topical_prompts(REPETITIONS * 2 * BLOCKS, items_per_block=1, length=20)
    loaded = opened("qwen2", num_hidden_layers=2)
    options = {"n_blocks": REPETITIONS * 2 * BLOCKS, "batch_tokens": 1024}
    return {
        "neurons": measure_specialization(loaded, prompts, **options),
        "heads": measure_heads(loaded, prompts, **options),
    }


@pytest.mark.parametrize("unit", ["neurons", "heads"])
def test_the_same_checkpoint_on_other_text_is_rarely_called_different(many_blocks, unit):
    """200 pairs of disjoint texts of one specialized checkpoint: at most 5 % alarms, up to sampling error."""
    result = many_blocks[unit]
    alarms, layer_alarms = 0, 0
    for repetition in range(REPETITIONS):
        first = range(2 * BLOCKS * repetition, 2 * BLOCKS * repetition + BLOCKS)
        one, other = result.subset(first), result.subset([b + BLOCKS for b in first])
        change = other.per_layer - one.per_layer
        low, high = change.mean().interval()
        alarms += bool(low > 0 or high < 0)
        layer_alarms += bool((change.p_value() < 0.05)[0])
    assert result.overall.interval()[0] > 0.01  # it is specialized, so there is something to confuse
    assert 1 <= alarms <= MOST_ALARMS
    assert layer_alarms <= MOST_ALARMS


def test_contrast_and_the_null_test_above_use_one_rule(many_blocks):
    one, other = many_blocks["neurons"].subset(range(8)), many_blocks["neurons"].subset(range(8, 16))
    comparison = contrast(one, other)
    change = other.per_layer - one.per_layer
    assert comparison.change.interval() == pytest.approx(change.mean().interval())
    p = np.append(change.p_value(), change.mean().p_value())
    adjusted = holm(p, np.array([0.25, 0.25, 0.5]))  # half of the error rate for the model as a whole
    assert (*comparison.adjusted_p, comparison.p) == pytest.approx(tuple(adjusted))
    assert comparison.differs is bool(adjusted[2] < 0.05)


def test_intervals_of_the_model_mean_cover_the_long_run_value(many_blocks):
    """200 texts: the jackknife interval holds the value of all 3,200 blocks about 95 % of the time."""
    result = many_blocks["neurons"]
    truth = result.overall.value
    covered = 0
    for repetition in range(REPETITIONS):
        low, high = result.subset(range(BLOCKS * repetition, BLOCKS * (repetition + 1))).overall.interval()
        covered += bool(low <= truth <= high)
    assert covered >= 180


def test_a_planted_neuron_and_head_are_found_as_a_change():
    prompts = planted_prompts(n_items=128)
    for measure, options in ((measure_specialization, {"head": False}), (measure_heads, {"neuron": False})):
        plain = planted_model("llama", neuron=False, head=False)
        before = measure(plain, prompts)
        after = measure(planted_model("llama", **options), prompts)
        comparison = contrast(before, after)
        assert comparison.differs
        assert comparison.change.value > 0
        assert not comparison.relative_to_noise <= 1  # NaN where every block changes alike
        assert comparison.verdict.startswith("More specialized, by ")
        changed = comparison.adjusted_p < 0.05
        planted_layer = 1 if measure is measure_specialization else 2
        assert changed[planted_layer]
        assert np.abs(np.delete(comparison.change_per_layer.value, planted_layer)).max() < 1e-3


def test_a_checkpoint_against_itself_shows_nothing():
    result = neurons(np.random.default_rng(0).random((3, 2, 50)))
    comparison = compare(result, result)
    assert not comparison.differs
    assert comparison.change.value == 0
    assert comparison.overlap == 1
    assert np.isnan(comparison.relative_to_noise)
    assert comparison.diagnosis.startswith("No difference is shown: Holm p 1 over 3 changes (a against a).")
    assert "inf" not in comparison.diagnosis


@pytest.mark.parametrize("odd", [(0, 1, 2), (1, 4, 6), (5, 6, 7), (0, 3)])
def test_overlap_of_halves_does_not_depend_on_the_order_of_blocks(odd):
    """Some blocks of other text than the rest: wherever they stand, the mean is that over all 35 halves."""
    rng = np.random.default_rng(0)
    one, other = neurons(rng.random((3, 2, 300)), seed=1), neurons(rng.random((3, 2, 300)), seed=2)
    counts = one.counts.copy()
    counts[:, odd] = other.counts[:, odd]
    mixed = dataclasses.replace(one, counts=counts)
    halves = [(0, *rest) for rest in itertools.combinations(range(1, 8), 3)]
    every = [
        jaccard(mixed.subset(half).selected(), mixed.subset(sorted({*range(8)} - {*half})).selected())
        for half in halves
    ]
    assert len(every) == 35
    assert np.ptp(every) > 0.1
    assert noise_floor(mixed).overlap.mean() == pytest.approx(np.mean(every), abs=0.03)


def drifting(seed: int, drift: float = 0.0, blocks: int = 8):
    """One text read by a checkpoint, and by another that is less specialized by a share ``drift``."""
    rng = np.random.default_rng(seed)
    rates = rng.beta(4, 4, size=(3, blocks, 2, 40))
    flat = rates.mean(axis=0, keepdims=True)
    before = neurons(np.full((3, 2, 40), 0.5), blocks=blocks)
    drawn = [np.rint(1000 * each).astype(np.int32) for each in (rates, flat + (rates - flat) * (1 - drift))]
    return [dataclasses.replace(before, counts=counts) for counts in drawn]


def test_a_change_is_judged_by_the_noise_of_a_paired_change():
    """Every block changes alike: certain on any text, though two texts differ by more."""
    one, other = drifting(0, drift=0.1)
    comparison = contrast(one, other)
    assert abs(comparison.change.value) < comparison.floor.overall  # the floor of two texts
    assert comparison.noise.value < comparison.floor.overall / 3
    assert comparison.differs is (comparison.p < 0.05)
    assert comparison.relative_to_noise == pytest.approx(
        abs(comparison.change.value) / comparison.noise.value
    )


def test_noise_is_the_percentile_of_its_standard_error_and_as_uncertain():
    """By hand on 4 blocks: 1.96 standard errors over the median of chi of 3 / sqrt 3."""
    one, other = drifting(1, blocks=4)[0], drifting(2, blocks=4)[0]
    change = contrast(one, other).change
    chi = stats.chi2.ppf([0.5, 0.975, 0.025], 3)
    expected = 1.959964 * float(change.standard_error) * np.sqrt(3 / chi)
    noise = change.noise()
    assert (noise.value, noise.low, noise.high) == pytest.approx(tuple(expected))
    assert change.noise(texts=2).value == pytest.approx(np.sqrt(2) * noise.value)
    floor = noise_floor(one)
    assert floor.overall == pytest.approx(one.overall.noise(texts=2).value)
    assert floor.per_layer == pytest.approx(one.per_layer.noise(texts=2).value)


def test_no_difference_comes_with_what_would_have_been_found():
    one, other = drifting(3)[0], drifting(4)[0]
    comparison = contrast(one, other, names=("base", "sft"))
    assert comparison.verdict == (
        f"No difference is shown: Holm p {comparison.p:.2g} over 3 changes (sft against base). A change of "
        f"{comparison.mde:.2g} nats would have been found in 80 % of such samples (MDE)."
    )
    assert comparison.mde == pytest.approx(comparison.change.mde(alpha=0.025))
    row = comparison.summary().iloc[0]
    assert (row.mde, row.holm, row.noise) == (comparison.mde, comparison.p, comparison.noise.value)
    (table,) = tables(comparison)
    assert "3 changes (sft against base)" in table.note
    assert table.header[-3:] == ("Holm p", "MDE", "noise [95 %]")
    assert table.rows[-1][0] == "all"


def test_what_is_not_a_number_is_no_verdict(tmp_path):
    """A language without tokens, as in a damaged file: nothing may read as "no difference"."""
    one, other = drifting(5)
    tokens = other.tokens.copy()
    tokens[1] = 0
    other.counts[1] = 0
    broken = dataclasses.replace(other, tokens=tokens)
    with np.errstate(invalid="ignore"):
        comparison = contrast(one, broken)
        assert comparison.verdict.startswith("No verdict: the change is not a number in layers 0, 1")
        assert not comparison.differs
        assert json.loads(comparison.save(tmp_path / "c.json").read_text())["holm_p"] is None
        assert broken.diagnostics()[0].startswith("The neurons' mean specialization is not a number")
        plot(comparison)
        assert tables(comparison)[0].rows[0][-3] == "-"


def test_all_that_a_command_compared_is_one_family():
    base, later = drifting(6)[0], [drifting(seed)[0] for seed in (7, 8)]
    found = compare_all({"neurons": [base, *later], "again": [base, *later]}, ("base", "sft", "grpo"))
    every = [comparison for of in found.values() for comparison in of]
    assert {each.family.n for each in every} == {4 * 3}
    assert {each.family.name for each in every} == {"sft, grpo against base; neurons, again"}
    p = [float(each.change.p_value()) for each in every]
    p += [x for each in every for x in each.change_per_layer.p_value()]
    expected = holm(np.array(p), np.repeat([0.5 / 4, 0.5 / 8], [4, 8]))
    assert [each.p for each in every] == pytest.approx(expected[:4])
    assert np.concatenate([each.adjusted_p for each in every]) == pytest.approx(expected[4:])
    assert found["neurons"][0].names == ("base", "sft")
    assert compare_all({"neurons": [base]}, ("base",)) == {"neurons": []}


def test_more_text_lowers_the_floor_and_chance_is_about_zero():
    rates = np.random.default_rng(0).random((3, 2, 50))
    little, much = noise_floor(neurons(rates, tokens=50)), noise_floor(neurons(rates, tokens=5000))
    assert much.overall < little.overall / 3
    specialized = neurons(rates, tokens=5000)
    assert abs(much.permuted.mean()) < much.chance < specialized.overall.value / 2


def test_saved_json_is_strict(tmp_path):
    """Too few neurons for 1 %: no set is selected, and JSON has no NaN."""
    tiny = neurons(np.random.default_rng(0).random((3, 1, 3)))
    saved = (compare(tiny, tiny).save(tmp_path / "c.json")).read_text()
    assert json.loads(saved, parse_constant=lambda name: pytest.fail(name))["jaccard"] is None


def test_floor_needs_four_blocks():
    with pytest.raises(ResultError, match="3 blocks; a noise floor needs at least 4"):
        noise_floor(neurons(np.random.default_rng(0).random((3, 2, 5)), blocks=3))


def result_with(**changes) -> SpecializationResult:
    result = neurons(np.random.default_rng(0).random((3, 2, 5)))
    return dataclasses.replace(result, provenance=dataclasses.replace(provenance("b", blocks=8), **changes))


def test_results_of_different_questions_are_refused_by_name():
    ours = result_with()
    with pytest.raises(
        ResultError, match=r"did not answer the same question \(prompts: d+\.\.\. and e+\.\.\.\)"
    ):
        compare(ours, result_with(prompts_digest="e" * 64))
    with pytest.raises(ResultError, match="blocks: 8 and 4"):
        compare(ours, result_with(settings={"blocks": 4}))
    with pytest.raises(ResultError, match="'specialization' cannot be compared with one of kind 'heads'"):
        compare(ours, heads(np.ones((3, 2, 5))))
    other = neurons(np.random.default_rng(0).random((3, 4, 5)))
    shaped = dataclasses.replace(other, provenance=provenance("b", blocks=8))
    with pytest.raises(ResultError, match="'b' has 2 layers x 5 neurons, 'b' 4 x 5"):
        compare(ours, shaped)


def test_remarks_say_what_weakens_a_comparison():
    few = neurons(np.random.default_rng(0).random((3, 2, 5)), blocks=4)
    other = dataclasses.replace(
        few, provenance=dataclasses.replace(few.provenance, run={"dtype": "bfloat16"})
    )
    diagnosis = compare(few, other).diagnosis
    assert "Few prompts: 80 per language." in diagnosis
    assert "4 blocks, fewer than 20, so intervals are wide." in diagnosis
    assert "The runs differ in dtype (None and bfloat16)." in diagnosis


def test_saved_json_and_frame_hold_the_same_numbers(tmp_path):
    a = neurons(np.random.default_rng(0).random((3, 2, 50)))
    b = neurons(np.random.default_rng(1).random((3, 2, 50)))
    comparison = compare(a, b, names=("base", "grpo"))
    saved = json.loads(comparison.save(tmp_path / "c.json").read_text())
    assert saved["names"] == ["base", "grpo"]
    assert saved["change_nats"] == pytest.approx(float(comparison.change.value))
    assert saved["layers"]["change"] == pytest.approx(comparison.to_frame()["change"].tolist())
    assert "base -> grpo" in repr(comparison)
