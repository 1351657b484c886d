"""The lens's numbers by hand: who takes over where, areas, what is left out; frames, intervals, files of
old."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analyses.comparison import compare
from interp.errors import MeasurementError, ResultError
from interp.results import load_result
from interp.results.lens import LensResult
from interp.results.separable import require_separable
from interp.stats import clustered_mean
from tests.support.golden import golden
from tests.support.results.lens import lens_result, random_lens_result

EN, SW, JA = range(3)


def curves(*pairs: tuple[list[float], list[float]]) -> LensResult:
    """Prompts in Swahili only: per fact, the curve of its answer in Swahili and of that in the pivot."""
    n_layers = len(pairs[0][0])
    probability = np.zeros((len(pairs), 2, n_layers, 2))
    for fact, (own, pivot) in enumerate(pairs):
        probability[fact, SW, :, SW], probability[fact, SW, :, EN] = own, pivot
    return lens_result(probability)


# by hand


def test_the_layer_from_which_on_a_language_is_above_the_pivot():
    result = curves(
        ([0.5, 0.5, 0.5], [0.1, 0.1, 0.1]),  # always
        ([0.0, 0.2, 0.5], [0.1, 0.1, 0.1]),  # from layer 0 on
        ([0.5, 0.0, 0.5], [0.1, 0.1, 0.1]),  # lost on the way: from layer 1 on
        ([0.5, 0.5, 0.0], [0.1, 0.1, 0.1]),  # not at the output
        ([0.1, 0.1, 0.1], [0.1, 0.1, 0.1]),  # as high is not above
    )
    assert result.takeover("sw").tolist() == [-1, 0, 1, 2, 2]
    assert result.summary().set_index("quantity")["mean"]["takeover layer"] == pytest.approx(4 / 5)


def test_areas_by_hand():
    """Three layers: trapezia of width one half."""
    result = curves(([0.2, 0.4, 0.8], [0.4, 0.6, 0.2]), ([0.0, 0.0, 0.1], [0.0, 0.0, 0.0]))
    found = result.quantities()
    assert found["pivot area"] == pytest.approx([0.5 * (0.5 + 0.4), 0], abs=1e-7)
    assert found["pivot lead"] == pytest.approx([0.5 * (0.2 + 0.1), 0], abs=1e-7)
    assert found["answer at output"] == pytest.approx([0.8, 0.1])
    mass = result.mass[:, SW, :, EN].astype(float)
    assert found["pivot mass"] == pytest.approx((mass[:, 0] + 2 * mass[:, 1] + mass[:, 2]) / 4)
    assert list(found) == ["takeover layer", "pivot area", "pivot lead", "answer at output", "pivot mass"]


def test_quantities_are_over_all_others_and_then_of_each():
    result = random_lens_result()
    found = result.quantities()
    for name in ("takeover layer", "pivot area", "pivot lead", "answer at output", "pivot mass"):
        assert found[name] == pytest.approx((found[f"{name} sw"] + found[f"{name} ja"]) / 2)
    assert not any(name.endswith(" en") for name in found)


# what is left out


def test_a_fact_counts_where_its_answers_are_told_apart():
    overlap = np.zeros((5, 3, 3), dtype=bool)
    overlap[0, [SW, EN], [EN, SW]] = True
    overlap[1, [SW, JA], [JA, SW]] = True
    overlap[2, SW, :] = overlap[2, :, SW] = True  # no token begins the word
    clean = np.ones((5, 3), dtype=bool)
    clean[3, SW] = False
    result = random_lens_result(5, overlap=overlap, clean=clean)
    assert result.counted("sw").tolist() == [False, True, False, False, True]
    assert result.counted("ja").tolist() == [True] * 5
    assert result.counted("en").tolist() == [True] * 5
    assert result.counted("sw", "ja").tolist() == [False, False, False, False, True]
    assert result.counted("en", "sw").tolist() == [False, True, False, True, True]
    assert result.counted("ja", "sw").tolist() == [False, False, False, True, True]
    assert result.left_out() == {"en": 0, "sw": 3, "ja": 0}
    found = result.quantities()
    assert np.isnan(found["pivot area sw"]).tolist() == [True, False, True, True, False]
    assert found["pivot area"][0] == pytest.approx(found["pivot area ja"][0])  # of those that it has
    assert np.isnan(found["pivot mass sw"]).tolist() == [False, False, False, True, False]
    assert result.curve("sw", "en").shape == (2, 4)
    assert result.mass_curve("sw", "en").shape == (4, 4)


def test_another_pivot_needs_no_model():
    result = random_lens_result()
    turned = result.with_pivot("ja")
    assert turned.pivot == "ja"
    assert result.pivot == "en"
    swapped = {name for name in turned.quantities() if name.startswith("pivot area ")}
    assert swapped == {"pivot area en", "pivot area sw"}
    mean = turned.probability[:, SW, :, JA].astype(float)
    assert turned.quantities()["pivot area sw"] == pytest.approx(np.trapezoid(mean, dx=1 / 3, axis=1))
    with pytest.raises(
        MeasurementError, match=r"The pivot 'jaa' is not one of the languages en sw ja. Did you"
    ):
        result.with_pivot("jaa")


# frames and intervals


def test_the_curves_are_means_with_intervals_over_groups():
    result = random_lens_result()
    table = result.curves().set_index(["prompt", "answer", "layer"])
    assert len(table) == (1 + 2 + 2) * 4  # the pivot's own prompts have one curve
    row = table.loc["sw", "en", 1]
    values = result.probability[:, SW, 2, EN].astype(float)
    found = clustered_mean(values, result.groups)
    assert (row.value, row.low, row.high) == pytest.approx((found.estimate, found.low, found.high))
    assert (row.n, row.n_clusters) == (12, len(set(result.groups)))
    assert row["rank"] == np.median(result.rank[:, SW, 2, EN])
    assert row.low < values.mean() < row.high
    wide = result.curves(answers="all", prompts=("sw",))
    assert set(wide.answer) == {"en", "sw", "ja"}
    assert set(wide.prompt) == {"sw"}


def test_the_curves_of_the_lexicon():
    result = random_lens_result()
    table = result.curves("mass").set_index(["prompt", "answer", "layer"])
    assert table.value["ja", "en", 2] == pytest.approx(result.mass[:, JA, 3, EN].mean())
    assert table["rank"].isna().all()
    mass = result.mass.copy()
    mass[..., SW] = np.nan
    without = replace(result, mass=mass, mass_tokens=(5, 0, 5))
    assert set(without.curves("mass").answer) == {"en", "ja"}
    assert np.isnan(without.with_pivot("sw").quantities()["pivot mass"]).all()
    none = without.with_pivot("sw").summary().set_index("quantity").loc["pivot mass"]
    assert none.n == 0
    assert np.isnan(none["mean"])


def test_a_language_that_no_fact_tells_apart_has_no_curve():
    overlap = np.zeros((4, 3, 3), dtype=bool)
    overlap[:, [SW, JA], [JA, SW]] = True
    result = random_lens_result(4, overlap=overlap)
    assert set(result.curves(answers="all", prompts=("sw",)).answer) == {"en", "sw"}
    assert np.isnan(result.to_frame().set_index(["prompt", "layer"]).answer_ja["sw"]).all()


def test_the_frame_holds_the_means():
    result = random_lens_result()
    frame = result.to_frame().set_index(["prompt", "layer"])
    assert len(frame) == 3 * 4
    row = frame.loc["ja", 0]
    assert row.entropy == pytest.approx(result.entropy[:, JA, 1].mean())
    assert row.energy == pytest.approx(result.energy[:, JA, 1].mean())
    assert row.answer_sw == pytest.approx(result.probability[:, JA, 1, SW].mean())
    assert row.mass_sw == pytest.approx(result.mass[:, JA, 1, SW].mean())
    bits = result.to_frame(bits=True).set_index(["prompt", "layer"])
    assert bits.entropy["ja", 0] == pytest.approx(row.entropy / np.log(2))


def test_the_summary_says_how_sure_it_is():
    text = repr(random_lens_result())
    assert "LensResult of a on made: 12 facts in 3 languages, 3 layers, pivot en" in text
    assert "takeover layer" in text
    assert "pivot mass" in text
    assert "95 %, 12 facts" in text
    assert "left out          en 0 sw 0 ja 0" in text


# nothing there, and something there


def test_the_same_checkpoint_twice_changes_nothing():
    changes = compare(random_lens_result(), random_lens_result(name="b"))
    assert (changes.table.change == 0).all()
    assert (changes.table.holm == 1).all()


def test_a_language_that_takes_over_a_layer_earlier_is_found():
    random = np.random.default_rng(3)
    before = random_lens_result(60, seed=3)
    probability = before.probability.copy()
    probability[:, SW] = 0.01 + random.random((60, 4, 3)) / 1000
    probability[:, SW, :, EN] = 0.05
    probability[:, SW, 2:, SW] = 0.2
    late = replace(before, probability=probability)
    probability = probability.copy()
    probability[:, SW, 1, SW] = 0.2
    early = replace(before, probability=probability)
    table = compare(late, early).table.set_index("quantity")
    assert table.change["takeover layer sw"] == -1
    assert table.change["takeover layer ja"] == 0
    assert table.holm["takeover layer sw"] < 0.05
    assert (
        table.holm.drop(["takeover layer", "takeover layer sw", "pivot lead", "pivot lead sw"]) > 0.05
    ).all()


def test_two_pivots_are_two_questions():
    with pytest.raises(ResultError, match=r"answer different questions \(pivot: en and sw\)"):
        compare(random_lens_result(), random_lens_result().with_pivot("sw"))


# files


def test_round_trip(tmp_path):
    result = random_lens_result()
    again = load_result(result.save(tmp_path / "r.npz"))
    assert type(again) is LensResult
    assert again.provenance == result.provenance
    assert (again.fact_ids, again.groups, again.mass_tokens) == (result.fact_ids, result.groups, (5, 5, 5))
    for name, array in result._arrays().items():
        assert np.array_equal(getattr(again, name), array)
        assert getattr(again, name).dtype == array.dtype
    assert repr(again) == repr(result)


def test_the_golden_file_of_schema_1_loads():
    result, expected = golden("lens")
    found = result.summary().set_index("quantity")
    assert list(found.index) == list(expected["quantities"])
    for name, row in expected["quantities"].items():
        assert found.loc[name].tolist() == pytest.approx(row, rel=1e-9, nan_ok=True), name
    assert result.left_out() == expected["left_out"]
    assert result.provenance.settings["pivot"] == expected["pivot"]


# refusals


def test_what_cannot_be_told_apart_is_refused():
    overlap, clean = np.zeros((3, 2, 2), dtype=bool), np.ones((3, 2), dtype=bool)
    require_separable(overlap, clean, ("en", "sw"), "en")
    with pytest.raises(MeasurementError, match=r"One language \(en\); a lens compares at least one other"):
        require_separable(overlap[:, :1, :1], clean[:, :1], ("en",), "en")
    alike = overlap.copy()
    alike[:, [0, 1], [1, 0]] = True
    with pytest.raises(
        MeasurementError,
        match=r"No token set separates 'sw' from 'en' in any of 3 items: the answers in 'sw' and 'en' "
        r"begin with the same "
        r"tokens, or one contains the other. Leave out the language, or take other prompts or a "
        r"narrower rule",
    ):
        require_separable(alike, clean, ("en", "sw"), "en")
    joined = clean.copy()
    joined[:, 1] = False
    with pytest.raises(MeasurementError, match="the tokenizer joins the end of the prompt with its answer"):
        require_separable(overlap, joined, ("en", "sw"), "en")
    alike[1] = False
    require_separable(alike, clean, ("en", "sw"), "en")  # one is enough
    with pytest.raises(MeasurementError, match="The result has no language 'fr'; it has en sw ja"):
        random_lens_result().curve("fr", "en")
