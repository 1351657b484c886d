"""The specialization score: closed forms, slow oracle, bias, and what its knobs do."""

from __future__ import annotations

import numpy as np
import pytest

from interp.results.specialization import activity_information, language_information
from tests.support.oracles import mutual_information
from tests.support.results import neurons


def one_of(n: int) -> np.ndarray:
    rate = np.zeros((n, 1, 1))
    rate[0] = 1
    return rate


@pytest.mark.parametrize(("n", "nats"), [(2, np.log(2)), (3, 0.636514), (12, 0.286836)])
def test_a_perfect_detector_of_one_language(n, nats):
    assert activity_information(one_of(n)) == pytest.approx(nats, abs=1e-6)


def test_no_information_where_rates_are_equal():
    for rate in (0.0, 0.3, 1.0):
        assert activity_information(np.full((3, 1, 1), rate)) == pytest.approx(0, abs=1e-15)


def test_information_equals_the_definition_over_the_joint_distribution():
    rates = np.random.default_rng(0).random((4, 2, 5))
    rates[0, 0, 0] = 0
    found = activity_information(rates)
    for layer in range(2):
        for neuron in range(5):
            joint = [[r / 4, (1 - r) / 4] for r in rates[:, layer, neuron]]
            assert found[layer, neuron] == pytest.approx(mutual_information(joint))


def test_a_languages_part_averages_to_the_information():
    rates = np.random.default_rng(1).random((5, 3, 7))
    rates[2, 0] = 0
    rates[:, 1, 0] = 1
    assert language_information(rates).mean(axis=0) == pytest.approx(activity_information(rates))


def test_shuffling_languages_changes_nothing():
    rates = np.random.default_rng(2).random((5, 3, 7))
    assert activity_information(rates[::-1]) == pytest.approx(activity_information(rates))


def test_the_bias_of_the_plug_in_is_removed():
    """Equal rates in truth: the plug-in is (L - 1) / (2 N L) too high, the corrected score is zero on
    average."""
    rates = np.full((3, 1, 4000), 0.2)
    result = neurons(rates, tokens=50, blocks=8)
    expected_bias = 2 / (2 * 3 * 50 * 8)
    assert result.scores.plug_in.mean() == pytest.approx(expected_bias, rel=0.05)
    standard_error = result.scores.value.std() / np.sqrt(4000)
    assert abs(result.scores.value.mean()) < 4 * standard_error
    assert abs(result.scores.value.mean()) < expected_bias / 20


def test_the_bias_is_removed_also_when_tokens_of_a_block_go_together():
    """Rates vary from block to block, alike in truth for all languages: independent tokens would be a wrong
    model."""
    rng = np.random.default_rng(3)
    block_rates = rng.beta(2, 8, size=(3, 8, 1, 4000))
    result = neurons(np.full((3, 1, 4000), 0.2))
    clustered = np.asarray(rng.binomial(200, block_rates), dtype=np.int32)
    result = type(result)(
        result.languages, result.tokens * 0 + 200, result.items, result.provenance, counts=clustered
    )
    token_level_bias = 2 / (2 * 3 * 200 * 8)
    assert result.scores.plug_in.mean() > 10 * token_level_bias
    assert abs(result.scores.value.mean()) < 0.1 * result.scores.plug_in.mean()


def test_a_neuron_that_fired_once_is_not_specialized():
    result = neurons(np.zeros((12, 1, 3)), tokens=20_000, seed=None)
    result.counts[4, 2, 0, 1] = 1
    assert 0 <= result.scores.value[0, 1] < 2e-6  # nats; LAPE's entropy calls it perfectly specific
    assert not result.specialized().any()


def test_smoothing_draws_rates_towards_a_half_by_the_weight_of_its_tokens():
    result = neurons(np.zeros((3, 1, 2)), tokens=100, blocks=2, seed=None)
    assert result.smoothed_rates(0.5) == pytest.approx(np.full((3, 1, 2), 0.5 / 201))
    assert result.smoothed_rates(0.0) == pytest.approx(result.rates)


def test_unequal_token_counts_do_not_matter():
    rates = np.random.default_rng(0).random((3, 2, 5))
    even, uneven = neurons(rates, seed=None, tokens=1000), neurons(rates, seed=None, tokens=1000)
    uneven.counts[1] *= 7
    uneven.tokens[1] *= 7
    assert uneven.scores.value == pytest.approx(even.scores.value)


def test_scores_follow_the_number_of_specialized_neurons():
    """LAPE's number cannot fall; the specialized count and the mean can."""
    rates = np.full((3, 1, 200), 0.3)
    rates[0, 0, :50] = 0.9
    many = neurons(rates)
    rates[0, 0, 10:50] = 0.3
    few = neurons(rates)
    assert many.specialized().sum() == 50
    assert few.specialized().sum() == 10
    assert few.overall.value < many.overall.value / 3


def test_threshold_is_in_nats():
    rates = np.full((3, 1, 2), 0.2)
    rates[1, 0, 1] = 0.8
    result = neurons(rates, seed=None)
    nats = float(activity_information(rates)[0, 1])
    assert result.specialized(nats - 1e-6)[1, 0, 1]
    assert not result.specialized(nats + 1e-6).any()


def test_layer_means_and_the_overall_mean():
    result = neurons(np.random.default_rng(5).random((3, 4, 6)))
    assert result.per_layer.value == pytest.approx(result.scores.value.mean(axis=1))
    assert result.overall.value == pytest.approx(result.scores.value.mean())


def test_frame_has_a_row_per_neuron():
    result = neurons(np.random.default_rng(5).random((3, 4, 6)))
    frame = result.to_frame()
    assert len(frame) == 24
    row = frame[(frame.layer == 2) & (frame.neuron == 3)].iloc[0]
    assert row.specialization_nats == pytest.approx(result.scores.value[2, 3])
    assert row.rate_sw == pytest.approx(result.rates[1, 2, 3])


def test_repr_gives_the_answer_with_uncertainty_and_size():
    text = repr(neurons(np.random.default_rng(5).random((3, 4, 6))))
    assert "mean specialization (nats)" in text
    assert "95 %" in text
    assert "4 layers x 6 neurons, 3 languages, 24,000 tokens" in text
