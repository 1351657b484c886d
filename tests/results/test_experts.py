"""Scores of routing to experts: paper and pencil, the definition slowly, and nothing there."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from analyses.comparison import compare
from interp.errors import ResultError
from interp.results import load_result
from interp.results.base import Note
from interp.results.experts import ExpertsResult, router_divergence
from tests.support.oracles import mutual_information
from tests.support.results.experts import experts_result


def slow_divergence(p, q):
    def entropy(r):
        return -sum(x * math.log(x) for x in r if x > 0)

    mean = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    jsd = entropy(mean) - (entropy(p) + entropy(q)) / 2
    return jsd / (math.log(len(p)) - (entropy(p) + entropy(q)) / 2)


def test_divergence_on_paper():
    one, other = np.array([[1.0, 0, 0, 0]]), np.array([[0, 1.0, 0, 0]])
    half, rest = np.array([[0.5, 0.5, 0, 0]]), np.array([[0, 0, 0.5, 0.5]])
    uniform = np.full((1, 4), 0.25)
    assert router_divergence(one, other) == pytest.approx(0.5)  # ln 2 of ln 4
    assert router_divergence(half, rest) == pytest.approx(1.0)  # ln 2 of ln 4 - ln 2
    assert router_divergence(one, one) == router_divergence(uniform, uniform) == 0
    third = np.array([[0, 1, 1, 1]]) / 3
    assert router_divergence(one, third) == pytest.approx(math.log(2) / (math.log(4) - math.log(3) / 2))


def test_divergence_equals_the_slow_definition_and_is_symmetric():
    q = np.random.default_rng(0).dirichlet(np.full(6, 0.5), size=(3, 2))
    result = experts_result(q)
    found = result.divergence.plug_in
    for layer in range(2):
        for i in range(3):
            for j in range(3):
                expected = slow_divergence(q[i, layer], q[j, layer]) if i != j else 0
                assert found[layer, i, j] == pytest.approx(expected, abs=1e-12)
    assert result.divergence_from_reference.plug_in == pytest.approx(found[:, 0, 1:])
    assert result.divergence_per_layer.value == pytest.approx(found[:, 0, 1:].mean(axis=1))
    assert len(result.pairs()) == 2 * 3
    row = result.pairs().query("layer == 1 and one == 'sw' and other == 'ja'")
    assert row.divergence.item() == pytest.approx(found[1, 1, 2])


def test_information_is_that_of_language_and_chosen_expert():
    q = np.random.default_rng(1).dirichlet(np.ones(5), size=(3, 2))
    result = experts_result(q, seed=2)
    for layer in range(2):
        usage = result.chosen[:, :, layer].sum(axis=1)
        joint = (usage / usage.sum(axis=1, keepdims=True) / 3).tolist()
        assert result.per_layer.plug_in[layer] == pytest.approx(mutual_information(joint))
    assert result.usage.sum(axis=-1) == pytest.approx(np.ones((3, 2)))
    assert result.distribution.sum(axis=-1) == pytest.approx(np.ones((3, 2)))


def test_experts_of_a_language_are_chosen_more_than_elsewhere():
    q = np.full((3, 1, 4), 0.25)
    q[1, 0] = [0.4, 0.2, 0.2, 0.2]  # of top-2 choices: 80 % of tokens against 50 %
    result = experts_result(q)
    assert np.argwhere(result.selected()).tolist() == [[1, 0, 0]]
    assert result.by_language().experts.tolist() == [0, 1, 0]
    assert not experts_result(np.full((3, 1, 4), 0.25)).selected().any()


def test_a_router_blind_to_language_has_no_divergence_in_200_repetitions():
    q = np.broadcast_to(np.random.default_rng(3).dirichlet(np.ones(6), size=(1, 1)), (3, 2, 6))
    made = [experts_result(q, tokens=40, seed=seed) for seed in range(200)]
    for found in (
        [result.divergence_per_layer.mean() for result in made],
        [result.overall for result in made],
    ):
        values = np.array([float(each.value) for each in found])
        assert abs(values.mean()) < 4 * values.std() / math.sqrt(len(values))
        plain = np.array([float(each.plug_in) for each in found])
        assert plain.mean() > 10 * values.std() / math.sqrt(len(values))  # what the jackknife takes off
        below = np.mean([float(each.interval()[0]) <= 0 for each in found])
        assert below >= 0.95
    for text in ("not above that with shuffled", "not above that of two halves"):
        doubted = [any(text in each for each in result.diagnostics()) for result in made[:40]]
        assert np.mean(doubted) >= 0.95, text


def test_what_languages_are_told_apart_by_is_not_doubtful():
    q = np.random.default_rng(4).dirichlet(np.full(6, 0.5), size=(3, 2))
    result = experts_result(q, seed=5)
    assert all(isinstance(text, Note) for text in result.diagnostics())
    summary = result.summary()
    assert summary.layer.tolist() == ["0", "1", "all"]
    assert (summary.divergence_low > summary.floor).all()
    assert result.noise_floor.chance < result.overall.interval()[0]


def test_the_order_of_languages_changes_nothing_but_order():
    q = np.random.default_rng(6).dirichlet(np.ones(4), size=(3, 2))
    result = experts_result(q)
    turned = replace(
        experts_result(q[::-1].copy()), languages=result.languages[::-1]
    )  # English last, and still the reference
    assert turned.divergence_per_layer.value == pytest.approx(result.divergence_per_layer.value)
    without = replace(result, languages=("de", "sw", "ja"))
    assert (without.reference, without.others) == ("de", ("sw", "ja"))


def test_saved_loaded_and_refused(tmp_path):
    result = experts_result(np.full((3, 2, 4), 0.25))
    again = load_result(result.save(tmp_path / "r.npz"))
    assert isinstance(again, ExpertsResult)
    assert again.layers == (0, 1)
    assert np.array_equal(again.probability, result.probability)
    assert again.select("distribution", language="sw", layer=1).shape == (4,)
    chosen = result.chosen.copy()
    chosen[0, 0, 0, 0] -= 1
    for changes, text in (
        ({"chosen": chosen}, "different numbers of experts"),
        ({"probability": result.probability * 2}, "does not sum to the number of tokens"),
        ({"layers": (0, 0)}, "layers"),
    ):
        with pytest.raises(ResultError, match=text):
            load_result(replace(result, **changes).save(tmp_path / "bad.npz"))


def test_two_checkpoints_are_compared_layer_by_layer():
    q = np.random.default_rng(7).dirichlet(np.ones(6), size=(3, 2))
    same = np.broadcast_to(q.mean(axis=0), q.shape)
    before, after = experts_result(same, seed=1), experts_result(q, seed=1, name="b")
    before, after = (replace(each, layers=(1, 3)) for each in (before, after))
    found = compare(before, after)
    assert found.to_frame().layer.tolist() == [1, 3]
    assert found.differs
    assert found.change.value == pytest.approx(after.overall.value - before.overall.value)
    assert not compare(before, before).differs
    with pytest.raises(ResultError, match=r"in layers 1, 3, 'b' in 1, 2: only checkpoints of one"):
        compare(before, replace(after, layers=(1, 2)))
