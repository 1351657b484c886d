"""Overlap of routes from inner products: equal to the vectors' own, 1 and 0 where they must be, and a null at
its rate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analyses.comparison import compare
from interp.errors import ResultError
from interp.results import load_result
from interp.results.routing import RoutingResult
from interp.stats import clustered_mean
from tests.support.results.routing import CODES, TOP, routing_result, vectors


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def jaccard(a: np.ndarray, b: np.ndarray, k: int) -> float:
    one, other = (set(np.argsort(-v)[:k].tolist()) for v in (a, b))
    return len(one & other) / len(one | other)


def test_everything_equals_loops_over_the_vectors():
    made = vectors()
    result = routing_result(made)
    assert result.pairs == (("en", "sw"), ("en", "ja"), ("sw", "ja"))
    of_pair = {name: i for i, name in enumerate(result.pairs)}
    for layer in (0, 1, None):
        flat = made[:, :, layer] if layer is not None else made.reshape(6, 3, -1)
        at, k = (layer, TOP) if layer is not None else (-1, 2 * TOP)
        for f in range(6):
            mate = f + 1 if f % 2 == 0 else f - 1
            for (one, other), p in of_pair.items():
                a, b = CODES.index(one), CODES.index(other)
                assert result.overlap()[0, f, p, at] == pytest.approx(
                    cosine(flat[f, a], flat[f, b]), abs=1e-5
                )
                crossed = [cosine(flat[f, a], flat[mate, b]), cosine(flat[f, b], flat[mate, a])]
                assert result.chance()[0, f, p, at] == pytest.approx(np.mean(crossed), abs=1e-5)
                gaps = flat[f] - flat[mate]
                assert result.specific()[0, f, p, at] == pytest.approx(cosine(gaps[a], gaps[b]), abs=1e-5)
                assert result.overlap("top")[0, f, p, at] == pytest.approx(jaccard(flat[f, a], flat[f, b], k))
                mixed = [jaccard(flat[f, a], flat[mate, b], k), jaccard(flat[f, b], flat[mate, a], k)]
                assert result.chance("top")[0, f, p, at] == pytest.approx(np.mean(mixed))


def test_one_route_for_all_languages_is_1_and_none_in_common_is_0():
    made = vectors(n_languages=1).repeat(3, axis=1)
    found = routing_result(made).quantities()
    assert found["neurons: overlap"] == pytest.approx(np.ones(6))
    assert found["neurons: specific to the fact"] == pytest.approx(np.ones(6))
    apart = np.zeros((6, 3, 2, 9))
    for language in range(3):
        apart[:, language, :, 3 * language : 3 * language + 3] = vectors(n_languages=1, n_units=3)[:, 0]
    found = routing_result(apart).quantities()
    for name in ("overlap", "overlap above chance", "specific to the fact"):
        assert found[f"neurons: {name}"] == pytest.approx(np.zeros(6), abs=1e-6)


def test_what_all_facts_share_is_in_the_overlap_and_not_in_what_is_specific():
    """By hand: c + s in both languages has excess |s|^2 / |c + s|^2 and specific cosine 1, however large c
    is."""
    for size in (1.0, 10.0):
        made = np.zeros((2, 2, 1, 3))
        made[:, :, 0, 0] = size
        made[0, :, 0, 1] = made[1, :, 0, 2] = 1
        found = routing_result(made).quantities()
        assert found["neurons: overlap"] == pytest.approx(np.ones(2))
        assert found["neurons: overlap above chance"] == pytest.approx(
            np.full(2, 1 / (size**2 + 1)), rel=1e-4
        )
        assert found["neurons: specific to the fact"] == pytest.approx(np.ones(2), rel=1e-4)


def test_unrelated_routes_are_found_shared_at_the_stated_rate():
    """200 models whose languages share a common part only: the 95 % interval of the excess leaves out 0 in
    about 5 %."""
    rng = np.random.default_rng(1)
    outside = dict.fromkeys(("overlap above chance", "specific to the fact", "top units above chance"), 0)
    for _ in range(200):
        common = rng.normal(size=(1, 1, 1, 40))
        summary = routing_result(common + rng.normal(size=(60, 2, 1, 40))).summary().set_index("quantity")
        for name in outside:
            row = summary.loc[f"neurons: {name}"]
            outside[name] += not row.low <= 0 <= row.high
    assert all(2 <= count <= 24 for count in outside.values()), outside  # 30 pairs: a little above 10


def test_a_zero_attribution_and_partners_that_are_alike_have_no_value():
    made = vectors(n_facts=4)
    made[0, 0] = 0
    made[3] = made[2]
    found = routing_result(made)
    assert np.isnan(found.overlap()[0, 0, :2]).all()  # the pairs with that language
    assert not np.isnan(found.overlap()[0, 0, 2]).any()
    assert np.isnan(found.specific()[0, 2:]).all()
    assert np.isnan(found.quantities()["neurons: specific to the fact"][2:]).all()
    assert found.summary().set_index("quantity").n["neurons: specific to the fact"] == 2


def test_languages_in_different_scripts_are_reported_apart():
    result = routing_result(vectors())
    apart = result.quantities()["neurons: overlap above chance, across scripts"]
    excess = (result.overlap() - result.chance())[0, :, :, -1]
    assert apart == pytest.approx(excess[:, 1:].mean(axis=1))  # en-ja and sw-ja
    one = replace(result, scripts=("Latn",) * 3).quantities()
    assert not any("scripts" in name for name in one)


def test_checkpoints_compare_fact_by_fact_whatever_their_order():
    before, after = routing_result(vectors()), routing_result(vectors(seed=1), name="b")
    table = compare(before, after).table.set_index("quantity")
    gain = after.quantities()["neurons: overlap"] - before.quantities()["neurons: overlap"]
    assert table.change["neurons: overlap"] == pytest.approx(gain.mean())
    assert (compare(before, before).table.change == 0).all()
    with pytest.raises(ResultError, match="facts or languages differ"):
        compare(before, routing_result(vectors(n_facts=4)))


def test_the_contrast_stands_beside_the_routes():
    result = routing_result(vectors() + 1)
    found = result.quantities()["contrast, logits"]
    assert found == pytest.approx(result.contrast.mean(axis=1))
    assert found.mean() == pytest.approx(2 * 9, abs=2)


def test_few_groups_and_answers_that_are_not_above_the_others_are_doubted():
    assert routing_result(vectors(n_facts=40) + 1).diagnostics() == []
    (few,) = routing_result(vectors(n_facts=38) + 1).diagnostics()
    assert few.startswith("38 facts in 19 clusters: with fewer than 20 clusters")
    gaps = np.where(np.arange(60) // 2 % 2, 1.0, -0.9)  # on average a little above 0, and it could be chance
    contrast = np.repeat(gaps[:, None], 3, axis=1).astype(np.float32)
    (unknown,) = replace(routing_result(vectors(n_facts=60)), contrast=contrast).diagnostics()
    assert unknown.startswith("Right answers are not above wrong ones (mean contrast 0.05 logits")


def test_tables_and_text_say_the_same(tmp_path):
    result = routing_result(vectors(n_facts=10))
    frame = result.to_frame()
    assert len(frame) == 10 * 3
    means = frame[["overlap", "overlap above chance", "specific to the fact"]].mean()
    summary = result.summary().set_index("quantity")
    for name, value in means.items():
        assert summary.loc[f"neurons: {name}", "mean"] == pytest.approx(value)
    layers = result.by_layer()
    assert layers.overlap.to_numpy() == pytest.approx(result.overlap()[0, :, :, :2].mean(axis=(0, 1)))
    assert (layers.excess_low <= layers.excess).all()
    by = result.by_language()
    assert by.loc[1, ["one", "other"]].tolist() == ["en", "ja"]
    assert by["specific to the fact"].to_numpy() == pytest.approx(result.specific()[0, :, :, -1].mean(axis=0))
    assert "10 facts in 5 clusters, 3 languages" in repr(result)
    one = result.overlap()[0, :, 1, -1] - result.chance()[0, :, 1, -1]
    own = clustered_mean(one, result.groups)
    assert by.loc[1, ["overlap above chance", "n", "n_clusters", "low", "high"]].tolist() == pytest.approx(
        [own.estimate, 10, 5, own.low, own.high]
    )
    again = load_result(result.save(tmp_path / "r.npz"))
    assert isinstance(again, RoutingResult)
    assert repr(again) == repr(result)
    with pytest.raises(ResultError, match=r"No overlap 'cosin'. Did you mean 'cosine'\?"):
        result.overlap("cosin")
