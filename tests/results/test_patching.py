"""Recovery by hand: what a cell recovers, with which facts, and when a comparison is worth something."""

from __future__ import annotations

import numpy as np
import pytest

from analyses.comparison import compare
from interp.errors import ResultError
from interp.results import load_result
from interp.results.patching import PatchingResult
from interp.results.recovery import LEFT_OUT
from interp.stats import ratio_of_means
from tests.support.results.patching import N, patching_result


def test_recovery_is_the_share_of_the_gap():
    table = patching_result().recovery()
    assert table.layer.tolist() == [0, 1]
    assert table.recovery.tolist() == pytest.approx([0, 0.5])
    assert table.floor.tolist() == pytest.approx([0, 0.1])
    assert table.beyond.tolist() == pytest.approx([0, 0.4])
    assert table[["clean", "corrupt", "patched", "control"]].iloc[1].tolist() == pytest.approx(
        [4, -2, 1, -1.4]
    )
    assert table.n.tolist() == [N, N]
    assert patching_result().recovery(language="sw").n.tolist() == [N - 1, N - 1]
    assert patching_result().reasons().loc["sw", ["used", "target right"]].tolist() == [N - 1, 1]


def test_rescued_counts_facts_above_zero():
    table = patching_result(recovered=0.5).recovery("rescued")  # -2 + 3 is above zero
    assert table.patched.tolist() == [0, 1]
    assert table.clean.tolist() == [1, 1]
    assert patching_result(recovered=0.3).recovery("rescued").patched.tolist() == [0, 0]


def test_a_ratio_of_means_weighs_facts_by_what_there_is_to_recover():
    above, below = np.array([[1.0], [0.0], [3.0]]), np.array([1.0, 9.0, -1.0])
    found = ratio_of_means(above, below, ("a", "b", "c"))
    assert found.estimate[0] == pytest.approx(4 / 9)  # the mean of the three ratios would be -2/3
    assert np.isnan(ratio_of_means(above, -below, ("a", "b", "c")).estimate[0])  # nothing to recover
    shared = ratio_of_means(np.array([[1.0], [np.nan], [3.0]]), np.array([2.0, 9.0, 2.0]), ("a", "a", "b"))
    assert shared.estimate[0] == pytest.approx(1.0)
    gone = ratio_of_means(np.array([[1.0], [np.nan], [3.0]]), np.array([2.0, 9.0, 2.0]), ("a", "b", "c"))
    assert gone.estimate[0] == pytest.approx(1.0)  # a fact without a run counts on neither side


def test_intervals_over_groups_hold_what_they_promise():
    """Of 200 samples whose recovery is 0.5 in truth, about 190 intervals hold it."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        below = 4 + rng.normal(size=60)
        above = (0.5 * below + rng.normal(size=60))[:, None]
        found = ratio_of_means(above, below, [str(i) for i in range(60)])
        held += bool(found.low[0] <= 0.5 <= found.high[0])
    assert 180 <= held <= 199


def test_groups_widen_the_interval_when_their_facts_are_alike():
    rng = np.random.default_rng(1)
    each = np.repeat(rng.normal(size=20), 10)[:, None] + 2
    alone = ratio_of_means(each, np.full(200, 4.0), [str(i) for i in range(200)])
    grouped = ratio_of_means(each, np.full(200, 4.0), [str(i // 10) for i in range(200)])
    assert (grouped.high - grouped.low)[0] > 2 * (alone.high - alone.low)[0]


def test_groups_without_a_run_do_not_count():
    rng = np.random.default_rng(2)
    above, below, groups = rng.normal(size=(20, 1)) + 2, np.full(20, 4.0), [str(i) for i in range(20)]
    whole = ratio_of_means(above, below, groups)
    more = ratio_of_means(
        np.concatenate([above, np.full((60, 1), np.nan)]),
        np.concatenate([below, np.full(60, np.nan)]),
        groups + [f"x{i}" for i in range(60)],
    )
    assert (more.estimate, more.low, more.high) == (whole.estimate, whole.low, whole.high)
    assert (more.n, more.n_clusters) == (20, 20)


def test_a_run_that_one_language_lacks_is_left_out_of_every_mean():
    """Position 1 exists in Japanese alone; a patch that does nothing recovers nothing there."""
    plain = patching_result()
    shape = (*plain.patched.shape[:5], 2)
    corrupt = plain.corrupt.copy()
    corrupt[:, 1] -= 4
    patched = np.broadcast_to(corrupt[..., None, None, None], shape).copy()
    control = patched.copy()
    patched[:, 1, ..., 1], control[:, 1, ..., 1] = np.nan, np.nan
    found = patching_result(corrupt=corrupt, patched=patched, control=control, positions=("0", "1"))
    table = found.recovery()
    for name in ("recovery", "floor", "beyond"):
        assert table[name].tolist() == pytest.approx([0] * 4)
    assert table.corrupt.tolist() == pytest.approx(
        [-4, -2, -4, -2], abs=0.1
    )  # the last fact has Japanese alone
    for name, values in found.quantities().items():
        if name.startswith(("recovery", "beyond")):
            assert np.nanmax(np.abs(values)) == 0
    gone = plain.control.copy()
    gone[:, 1] = np.nan  # a floor in one language alone
    table = patching_result(control=gone).recovery()
    assert table.floor.tolist() == pytest.approx([0, 0.1])
    assert table.beyond.tolist() == pytest.approx([0, 0.4])


def test_checkpoints_are_compared_where_both_have_a_pair():
    """In 'sw' patches recover nothing and in 'ja' all; the second checkpoint needs no rescue in half of
    'sw'."""
    plain = patching_result()
    patched = plain.patched.copy()
    patched[:, 0, :, 1], patched[:, 1, :, 1] = 4, -2
    patched[-1, 1] = np.nan
    before = patching_result(patched=patched)
    right = np.zeros((N, 2), dtype=bool)
    right[: N // 2, 1] = True
    values = {}
    for name in ("clean", "corrupt", "patched", "control"):
        values[name] = getattr(before, name).copy()
        values[name][right] = np.nan
    after = patching_result(
        **values, left_out=np.where(right, LEFT_OUT.index("target right"), before.left_out)
    )
    assert after.recovery().recovery[1] > before.recovery().recovery[1] + 0.1
    table = compare(before, after).table
    assert (table.change == 0).all()
    assert (compare(after, before).table.change == 0).all()


def test_the_best_cell_is_best_beyond_the_floor():
    lucky = patching_result(recovered=0.5, floor=0.1)
    patched, control = lucky.patched.copy(), lucky.control.copy()
    patched[:, :, :, 0], control[:, :, :, 0] = patched[:, :, :, 1] + 0.3, control[:, :, :, 1] + 2
    found = patching_result(patched=patched, control=control)
    assert found.recovery().recovery.idxmax() == 0
    assert found.best() == (1, 0, 0)
    assert found.at(1, 0, 0).recovery == pytest.approx(0.5)
    assert found.at(1, 0, 0, language="sw").n == N - 1


def test_a_checkpoint_against_itself_and_against_one_that_recovers_more():
    before, same = patching_result(noise=1.0), patching_result(noise=1.0)
    table = compare(before, same).table.set_index("quantity")
    assert (table.change == 0).all()
    after = patching_result(recovered=0.9, noise=1.0, seed=1)
    table = compare(before, after).table.set_index("quantity")
    row = table.loc["recovery layer 1 last"]
    assert row.low > 0.25
    assert row.holm < 0.01
    assert table.loc["recovery layer 0 last"].holm > 0.05
    assert row.before == pytest.approx(float(before.recovery().recovery[1]))
    row = table.loc["beyond layer 1 last"]
    assert row.before == pytest.approx(float(before.recovery().beyond[1]))
    assert row.low > 0.25
    with pytest.raises(ResultError, match="answer different questions"):
        compare(before, patching_result(fact_ids=tuple(f"x-{i}" for i in range(N))))


def test_what_is_doubtful_is_said():
    assert not patching_result().diagnostics()
    assert patching_result(n=20).diagnostics() == [
        "20 facts in 10 clusters: with fewer than 20 clusters intervals are wide, and right only if no "
        "cluster is very "
        "unlike the others."
    ]
    plain = patching_result()
    said = patching_result(clean=plain.corrupt, corrupt=plain.clean).diagnostics()
    assert said == [
        "Clean runs are not better than corrupt ones by logit_diff (mean difference -6), so there is "
        "nothing to recover."
    ]
    assert "no noise floor" in patching_result(control=np.full_like(plain.control, np.nan)).diagnostics()[0]


def test_unknown_metrics_and_languages():
    with pytest.raises(ResultError, match=r"Unknown metric 'logits'.* logit_diff, .*rescued"):
        patching_result().recovery("logits")
    with pytest.raises(ResultError, match="No language 'en' in this result; there is: ja, sw"):
        patching_result().recovery(language="en")


def test_its_repr_says_what_was_recovered_and_left_out():
    text = repr(patching_result())
    assert "resid_pre across from en in ja,sw; 79 pairs of 40 facts (left out: 1 target right)" in text
    assert (
        "most recovered at layer 1, resid_pre all, last: 0.500 [0.500, 0.500] of a logit difference of 6.00"
        in text
    )
    assert "by an unrelated fact 0.100" in text


def test_a_tidy_frame_has_all_languages_first():
    frame = patching_result().to_frame()
    assert frame.language.unique().tolist() == ["all", "ja", "sw"]
    assert len(frame) == 6


def test_it_is_loaded_by_its_kind(tmp_path):
    found = load_result(patching_result().save(tmp_path / "r.npz"))
    assert isinstance(found, PatchingResult)
    assert found.units == ("all",)
