"""Comparisons: the rate of false alarms on a null, planted effects, refusals, and the words of the
verdict."""

from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import pytest

from analyses.comparison import compare
from analyses.comparison.units import contrast
from interp.data.prompts import Prompt, PromptSet
from interp.errors import ResultError
from interp.results import SpecializationResult
from interp.results.noise import noise_floor
from interp.stats import jaccard
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
    low, high = (other.per_layer - one.per_layer).mean().interval()
    assert comparison.change.interval() == pytest.approx((low, high))
    assert comparison.differs is bool(low > 0 or high < 0)


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
        assert comparison.relative_to_floor > 1
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
    assert comparison.relative_to_floor == 0
    assert comparison.diagnosis.startswith("No difference is shown")


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


def test_change_below_the_floor_is_said_to_be_within_it():
    """A small shift in every block alike: certain on this text, and smaller than what other text does."""
    rng = np.random.default_rng(0)
    block_rates = rng.beta(4, 4, size=(3, 8, 2, 40))
    before = neurons(np.full((3, 2, 40), 0.5))
    noisy = dataclasses.replace(before, counts=(1000 * block_rates).astype(np.int32))
    shifted = dataclasses.replace(before, counts=(1000 * block_rates).astype(np.int32))
    shifted.counts[0] += (0.02 * (1000 - shifted.counts[0])).astype(np.int32)
    comparison = compare(noisy, shifted)
    assert comparison.relative_to_floor < 1
    if comparison.differs:
        assert "within the noise floor" in comparison.diagnosis


def test_floor_is_the_spread_between_halves():
    """Slow oracle on 4 blocks: the three ways to halve them."""
    result = neurons(np.random.default_rng(0).random((3, 2, 50)), blocks=4, tokens=100)
    differences = []
    for one, other in (((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2))):
        means = [
            r.score(r.activity(np.ones(2, bool))).mean(axis=1)
            for r in (result.subset(one), result.subset(other))
        ]
        differences.append(means[0] - means[1])
    floor = noise_floor(result)
    assert floor.halves == pytest.approx(np.array(differences))
    assert floor.per_layer == pytest.approx(np.quantile(np.abs(differences), 0.95, axis=0))


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
    assert "Few blocks: 4" in diagnosis
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
