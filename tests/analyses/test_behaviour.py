"""Studies of answers: reuse, paired changes, what is doubtful, and the command from flags to files."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import interp.model.loading
from analyses.behaviour import compare_behaviour, run_evaluation
from interp import cli
from interp.config import EvaluationConfig
from interp.errors import ConfigError, ResultError
from interp.results.base import Provenance
from interp.results.behaviour import BehaviourResult
from interp.stats import paired_bootstrap

LANGUAGES = ("en", "sw", "zh")


def made(right: np.ndarray, seed: int = 0) -> BehaviourResult:
    """Answers in three languages of which these are right, by a margin that no normalisation undoes."""
    random, (n, languages) = np.random.default_rng(seed), right.shape
    scores = -20 - random.random((n, languages, 4))
    gold = random.integers(4, size=n)
    for row in range(n):
        for column in range(languages):
            best = gold[row] if right[row, column] else (gold[row] + 1) % 4
            scores[row, column, best] = -1.0
    ones = np.ones(scores.shape, dtype=np.int64)
    ids = tuple(f"f{i:03d}" for i in range(n))
    return BehaviourResult(
        LANGUAGES,
        ids,
        ("r",) * n,
        tuple(f"g{i // 2}" for i in range(n)),
        ("test",) * n,
        gold,
        scores,
        ones,
        ones,
        ones,
        Provenance(),
    )


def test_a_planted_change_is_found_where_it_is():
    random = np.random.default_rng(1)
    before = random.random((200, 3)) < 0.5
    after = before.copy()
    after[:, 1] |= random.random(200) < 0.5
    table = compare_behaviour(made(before), made(after)).set_index("quantity")
    assert table.change["accuracy sw"] == pytest.approx(after[:, 1].mean() - before[:, 1].mean())
    assert table.low["accuracy sw"] > 0.1
    assert table.holm["accuracy sw"] < 0.01
    assert (table.loc[["accuracy en", "accuracy zh"], ["change", "low", "high"]] == 0).all(axis=None)
    assert table.change["accuracy"] == pytest.approx(table.change["accuracy sw"] / 3)
    both = after.all(axis=1).mean() - before.all(axis=1).mean()
    assert table.change["right in all languages"] == pytest.approx(both)


def test_facts_of_a_group_are_resampled_together():
    random = np.random.default_rng(2)
    before, after = random.random((2, 100, 3)) < 0.5
    table = compare_behaviour(made(before), made(after)).set_index("quantity")
    groups = [f"g{i // 2}" for i in range(100)]
    own = paired_bootstrap(after[:, 0].astype(float), before[:, 0].astype(float), groups=groups)
    assert (table.low["accuracy en"], table.high["accuracy en"]) == (own.low, own.high)


def test_answers_to_different_questions_are_not_compared():
    right = np.ones((10, 3), dtype=bool)
    other = replace(made(right), fact_ids=tuple(f"x{i}" for i in range(10)))
    with pytest.raises(ResultError, match="facts or languages differ"):
        compare_behaviour(made(right), other)
    asked = replace(made(right), provenance=Provenance(settings={"scaffold": "none"}))
    with pytest.raises(ResultError, match="scaffold: None and none"):
        compare_behaviour(made(right), asked)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return EvaluationConfig(
        ckpt=("organism:final", "organism:sft"),
        languages=",".join(LANGUAGES),
        limit=12,
        split="train",
        out=tmp_path_factory.mktemp("evaluation"),
    )


@pytest.fixture(scope="module")
def study(config):
    return run_evaluation(config)


def test_a_rerun_and_another_normalisation_need_no_model(config, study, monkeypatch):
    monkeypatch.setattr(
        interp.model.loading, "open_checkpoint", lambda *a, **k: pytest.fail("a model was opened")
    )
    again = run_evaluation(config)
    pd.testing.assert_frame_equal(again.comparisons[0], study.comparisons[0])
    summed = run_evaluation(replace(config, normalization="sum"))
    assert summed.results[0].provenance == study.results[0].provenance
    with pytest.raises(ResultError, match=r"scaffold: native there, english asked.* Use --fresh"):
        run_evaluation(replace(config, scaffold="english"))
    with pytest.raises(ResultError, match="facts_digest"):
        run_evaluation(replace(config, limit=11))


def test_sft_changed_answers_and_the_base_knows_english(study):
    assert study.results[0].by_language().set_index("language").accuracy["en"] > 0.8
    assert study.comparisons[0].set_index("quantity").change["accuracy"] >= 0
    assert not study.sanity()


def test_no_checkpoint_and_twice_the_same(config):
    with pytest.raises(ConfigError, match="No checkpoint"):
        run_evaluation(replace(config, ckpt=()))
    with pytest.raises(ConfigError, match="the same weights, byte for byte"):
        run_evaluation(replace(config, ckpt=("organism:final", "organism:final")))


def test_a_model_that_knows_nothing_is_a_loud_failure_when_strict(checkpoints, tmp_path, monkeypatch, capsys):
    """A random model has no business above chance."""
    asked = (
        "--languages",
        "en,de",
        "--limit",
        "40",
        "--out",
        str(tmp_path / "out"),
        "--ckpt",
        str(checkpoints["qwen2"]),
    )
    codes = {}
    for flag in ((), ("--strict",)):
        monkeypatch.setattr(sys, "argv", ["interp", "evaluate", *asked, *flag])
        try:
            cli.main()
            codes[flag] = 0
        except SystemExit as stop:
            codes[flag] = stop.code or 0
    out = capsys.readouterr().out
    assert codes == {(): 0, ("--strict",): 1}
    assert "SANITY CHECK FAILED" in out
    assert "accuracy is not above chance (0.250) in any language" in " ".join(out.replace("│", " ").split())


def test_the_command_writes_results_and_changes(config, study, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    flags = ["--languages", config.languages, "--limit", "12", "--split", "train", "--out", str(config.out)]
    monkeypatch.setattr(
        sys, "argv", ["interp", "evaluate", *(f for c in config.ckpt for f in ("--ckpt", c)), *flags]
    )
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    out = capsys.readouterr().out
    for said in (
        "log-probability per byte",
        "organism-final -> organism-sft",
        "right in all languages",
        "12 facts; a guess",
    ):
        assert said in out
    written = pd.read_csv(config.out / "organism-final-to-organism-sft.byte.csv")
    np.testing.assert_allclose(written.change, study.comparisons[0].change)
