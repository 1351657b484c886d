"""Studies of answers: reuse, paired changes, what is doubtful, and the command from flags to files."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import interp.model.loading
from analyses.behavior import clustered, diagnostics_of, run_evaluation
from analyses.changes import compare_facts
from interp import cli
from interp.config import EvaluationConfig
from interp.data.baselines import rule_baselines
from interp.data.sources.cldr import cldr_facts
from interp.errors import ConfigError, DataError, ResultError
from interp.results.base import Provenance
from interp.results.behavior import BehaviorResult
from interp.stats import paired_difference

LANGUAGES = ("en", "sw", "zh")


def made(right: np.ndarray, seed: int = 0) -> BehaviorResult:
    """Answers in three languages of which these are right, by a margin that no normalization undoes."""
    random, (n, languages) = np.random.default_rng(seed), right.shape
    scores = -20 - random.random((n, languages, 4))
    gold = random.integers(4, size=n)
    for row in range(n):
        for column in range(languages):
            best = gold[row] if right[row, column] else (gold[row] + 1) % 4
            scores[row, column, best] = -1.0
    ones = np.ones(scores.shape, dtype=np.int64)
    return BehaviorResult(
        languages=LANGUAGES,
        fact_ids=tuple(f"f{i:03d}" for i in range(n)),
        relations=tuple(f"r{i % 3}" for i in range(n)),
        groups=tuple(f"g{i // 2}" for i in range(n)),
        answers=tuple(f"a{i // 4}" for i in range(n)),
        splits=("test",) * n,
        golds=tuple(("Peru", "Peru" if i % 2 else "Piru", "秘鲁") for i in range(n)),
        aligned=True,
        gold=gold,
        log_probability=scores,
        tokens=ones,
        characters=ones,
        bytes=ones,
        provenance=Provenance(),
    )


def test_a_planted_change_is_found_where_it_is():
    random = np.random.default_rng(1)
    before = random.random((200, 3)) < 0.5
    after = before.copy()
    after[:, 1] |= random.random(200) < 0.5
    table = compare_facts(made(before), made(after)).table.set_index("quantity")
    assert table.change["accuracy sw"] == pytest.approx(after[:, 1].mean() - before[:, 1].mean())
    assert table.low["accuracy sw"] > 0.1
    assert table.holm["accuracy sw"] < 0.01
    still = table.loc[["accuracy en", "accuracy zh"]]
    assert (still.change == 0).all()
    assert (still.p == 1).all()
    assert ((still.low > -0.03) & (still.low < 0) & (still.high == -still.low)).all()
    assert table.change["accuracy"] == pytest.approx(table.change["accuracy sw"] / 3)
    both = after.all(axis=1).mean() - before.all(axis=1).mean()
    assert table.change["right in all languages"] == pytest.approx(both)


def test_facts_of_a_cluster_are_one_observation():
    random = np.random.default_rng(2)
    before, after = random.random((2, 100, 3)) < 0.5
    table = compare_facts(made(before), made(after)).table.set_index("quantity")
    groups = [f"g{i // 2}" for i in range(100)]
    one, other = before[:, 0].astype(float), after[:, 0].astype(float)
    own = paired_difference(other, one, groups, share=True)
    assert (table.low["accuracy en"], table.high["accuracy en"]) == (own.low, own.high)
    assert (table.n["accuracy en"], table.n_clusters["accuracy en"]) == (100, 50)
    assert table.mde["accuracy en"] == own.mde()
    for cluster, labels in (("fact", None), ("answer", [f"a{i // 4}" for i in range(100)])):
        results = [clustered(made(right), cluster) for right in (before, after)]
        row = compare_facts(*results).table.set_index("quantity").loc["accuracy en"]
        own = paired_difference(other, one, labels, share=True)
        assert (row.low, row.high) == (own.low, own.high)


def guessed(right: np.ndarray) -> BehaviorResult:
    """Answers in as many languages as there are columns; every fact is a cluster."""
    result = made(right)
    return replace(result, languages=tuple(f"l{i}" for i in range(right.shape[1])), groups=result.fact_ids)


def test_letters_are_no_clusters():
    right = np.ones((8, 3), dtype=bool)
    letters = replace(made(right), answers=tuple("ABCDABCD"))
    with pytest.raises(
        ConfigError, match=r"The answers are letters \(A, B, C, D\), which unrelated facts share"
    ):
        clustered(letters, "answer")
    assert clustered(letters, "fact").groups == letters.fact_ids
    assert clustered(made(right), "answer").groups == made(right).answers


def test_above_chance_in_some_language_is_corrected_over_languages():
    """Of 100 models that guess in 12 languages, about 5 are above chance in some, where 12 tests by themselves find 30."""
    random, doubted, alone = np.random.default_rng(4), 0, 0
    for _ in range(100):
        table = guessed(random.random((60, 12)) < 0.25)
        doubted += bool(diagnostics_of("a", table, "byte"))
        alone += not (table.by_language().low > 0.25).any()
    assert doubted >= 90
    assert alone < 85
    known = np.repeat(random.random((60, 1)) < 0.7, 12, axis=1)
    assert diagnostics_of("a", guessed(known), "byte") == []
    (few,) = diagnostics_of("a", guessed(np.ones((19, 12), dtype=bool)), "byte")
    assert few.startswith("a: 19 facts in 19 clusters: ")


def test_the_order_of_facts_does_not_change_a_digit():
    random = np.random.default_rng(3)
    results = [made(right) for right in random.random((2, 80, 3)) < 0.5]
    turned = [
        replace(
            r,
            fact_ids=r.fact_ids[::-1],
            groups=r.groups[::-1],
            gold=r.gold[::-1],
            log_probability=r.log_probability[::-1],
        )
        for r in results
    ]
    pd.testing.assert_frame_equal(compare_facts(*results).table, compare_facts(*turned).table)


def test_answers_to_different_questions_are_not_compared():
    right = np.ones((10, 3), dtype=bool)
    other = replace(made(right), fact_ids=tuple(f"x{i}" for i in range(10)))
    with pytest.raises(ResultError, match="facts or languages differ"):
        compare_facts(made(right), other)
    asked = replace(made(right), provenance=Provenance(settings={"prompt_format": "none"}))
    with pytest.raises(ResultError, match="prompt_format: None and none"):
        compare_facts(made(right), asked)


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


def test_a_rerun_and_another_normalization_need_no_model(config, study, monkeypatch):
    monkeypatch.setattr(
        interp.model.loading, "open_checkpoint", lambda *a, **k: pytest.fail("a model was opened")
    )
    again = run_evaluation(config)
    pd.testing.assert_frame_equal(again.comparisons[0].table, study.comparisons[0].table)
    summed = run_evaluation(replace(config, normalization="sum"))
    assert summed.results[0].provenance == study.results[0].provenance
    assert not summed.comparisons[0].table.equals(study.comparisons[0].table)
    by_answer = run_evaluation(replace(config, cluster="answer")).comparisons[0].table
    assert not by_answer[["low", "high"]].equals(study.comparisons[0].table[["low", "high"]])
    with pytest.raises(ResultError, match=r"prompt_format: native there, english asked.* Use --fresh"):
        run_evaluation(replace(config, prompt_format="english"))
    with pytest.raises(ResultError, match="facts_digest"):
        run_evaluation(replace(config, limit=11))


def test_sft_changed_answers_and_the_base_knows_english(study):
    assert study.results[0].by_language().set_index("language").accuracy["en"] > 0.8
    assert study.comparisons[0].table.set_index("quantity").change["accuracy"] >= 0
    assert [text.partition(":")[2][:26] for text in study.diagnostics()] == [" 12 facts in 12 clusters: "] * 2


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
        "12 facts in 12 clusters; 95 % by Wilson over clusters; a guess",
    ):
        assert said in out
    written = json.loads((config.out / "organism-final-to-organism-sft.behavior.byte.json").read_text())
    changes = [row["change"] for row in written["quantities"]]
    np.testing.assert_allclose(changes, study.comparisons[0].table.change)


def run(monkeypatch, *flags: object) -> int:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "argv", ["interp", *map(str, flags)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code or 0)


def test_means_over_languages_classes_spellings_and_strata():
    right = np.zeros((40, 3), dtype=bool)
    right[:, 0], right[:20, 1], right[:10, 2] = True, True, True
    result = made(right)
    table = result.by_language().set_index("language")
    assert table.accuracy.tolist() == [1, 0.5, 0.25]
    uneven = replace(result, relations=("large",) * 30 + ("small",) * 10)
    assert uneven.by_language().set_index("language").relation_macro["sw"] == pytest.approx((20 / 30 + 0) / 2)
    means = result.by_class({"high": ("en", "zh"), "low": ("sw", "bn"), "none": ("fr",)})
    assert (means["high"].value, means["high"].n) == (0.625, 2)
    assert (means["low"].value, means["low"].n, means["none"].n) == (0.5, 1, 0)
    spelled = result.by_spelling()
    assert (spelled["spelled as in en"].value, spelled["spelled as in en"].n) == (0.5, 20)
    assert (spelled["not spelled as in en"].value, spelled["not spelled as in en"].n) == (20 / 60, 60)
    mask = np.arange(40) < 10
    parts = result.by_stratum({"contaminated": mask, "not contaminated": ~mask})
    assert (parts["contaminated"].value, parts["contaminated"].n) == (1.0, 10)
    assert parts["not contaminated"].value == pytest.approx((30 + 10) / 90)
    assert result.histogram().tolist() == [0, 20, 10, 10]


def test_rescore_and_compare_need_no_model(config, study, monkeypatch, capsys, tmp_path):
    files = [file for file in study.files if file.suffix == ".npz"]
    monkeypatch.setattr(
        interp.model.loading, "open_checkpoint", lambda *a, **k: pytest.fail("a model was opened")
    )
    summed = run_evaluation(replace(config, normalization="sum")).results[0].by_language("sum")
    assert run(monkeypatch, "rescore", *files, "--as", "sum", "--out", tmp_path / "answers") == 0
    out = capsys.readouterr().out
    assert "log-probability summed" in out
    assert all(f"{value:.3f}" in out for value in summed.accuracy)
    written = pd.read_csv(next(tmp_path.glob("answers-organism-final*.sum.csv")))
    assert written.groupby("language", sort=False).credit.mean().to_list() == pytest.approx(
        summed.accuracy.to_list()
    )
    assert run(monkeypatch, "compare", *files, "--out", tmp_path / "both") == 0
    assert "RankC" in capsys.readouterr().out
    assert {file.suffix for file in tmp_path.glob("both*")} == {".json", ".png", ".pdf", ".csv"}
    assert run(monkeypatch, "rescore", files[0], "--as", "bite") == 2
    assert "Unknown reading 'bite'" in capsys.readouterr().err


def test_generation_from_the_command(monkeypatch, capsys, tmp_path):
    asked = (
        "evaluate",
        "--ckpt",
        "organism:final",
        "--languages",
        "en,ru",
        "--limit",
        20,
        "--split",
        "train",
    )
    where = ("--mode", "generate", "--out", tmp_path / "out")
    assert run(monkeypatch, *asked, *where, "--figure") == 0
    out = capsys.readouterr().out
    assert "generated text has the answer at word boundaries" in out
    assert "prior" in out
    assert "longest" not in out
    assert {file.suffix for file in (tmp_path / "out").iterdir()} == {".npz", ".png", ".pdf", ".csv"}
    assert run(monkeypatch, *asked, *where, "--match", "strict") == 0
    assert run(monkeypatch, *asked, *where, "--shots", 2) == 2
    assert "answers another question" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--shots", "2"), "--shots is of --mode generate"),
        (("--new-tokens", "2"), "--new-tokens is of --mode generate"),
        (("--match", "strict"), "--match is of --mode generate"),
        (("--mode", "generate", "--normalization", "sum"), "--normalization is of --mode mcq"),
        (
            ("--mode", "generate", "--protocol", "published"),
            "--protocol published is of klar:DIR, not of 'cldr'",
        ),
        (("--mode", "generate", "--new-tokens", "0"), "--new-tokens is 0"),
        (("--benchmark", "cldrr"), "cldr"),
        (("--contaminated", "nowhere.json"), "nowhere.json is not readable JSON"),
        (("--cluster", "facts"), "one of group, fact, answer is expected"),
    ],
)
def test_flags_that_do_not_go_together(flags, said, monkeypatch, capsys, tmp_path):
    assert run(monkeypatch, "evaluate", "--ckpt", "organism:final", "--out", tmp_path, *flags) == 2
    assert said in capsys.readouterr().err


def test_contaminated_facts_are_told_apart(monkeypatch, capsys, tmp_path, study, config):
    ids = [fact.fact_id for fact in study.asked.facts][:5]
    (tmp_path / "seen.json").write_text(json.dumps([*ids, "of another benchmark"]))
    apart = run_evaluation(replace(config, contaminated=tmp_path / "seen.json"))
    assert apart.asked.strata["contaminated"].sum() == 5
    assert apart.results[0].by_stratum(apart.asked.strata)["not contaminated"].n == 7
    (tmp_path / "none.json").write_text('["x"]')
    with pytest.raises(DataError, match="names 1 facts, but none of the 12 that are asked"):
        run_evaluation(replace(config, contaminated=tmp_path / "none.json"))


def test_rules_beside_the_model():
    facts = cldr_facts().filter(languages=["en", "de"])
    asked = facts.split("test")
    train = facts.split("train")
    right = []
    for fact in asked:
        counts = [
            sum(f.relation == fact.relation and f.object_id == o for f in train) for o in fact.option_ids
        ]
        best = [i for i, count in enumerate(counts) if count == max(counts)]
        right.append((fact.answer_index in best) / len(best))
    found = rule_baselines(asked, facts)
    assert found["prior"]["de"] == pytest.approx(np.mean(right))
    itself = []
    for fact in train:
        names = [f.object_id for f in train if f.relation == fact.relation and f.fact_id != fact.fact_id]
        counts = [names.count(option) for option in fact.option_ids]
        best = [i for i, count in enumerate(counts) if count == max(counts)]
        itself.append((fact.answer_index in best) / len(best))
    assert rule_baselines(train, facts)["prior"]["en"] == pytest.approx(np.mean(itself))
    free = rule_baselines(train, facts, offered=False)
    hits = []
    for fact in train:
        names = [f.object_id for f in train if f.relation == fact.relation and f.fact_id != fact.fact_id]
        top = max((names.count(n) for n in set(names)), default=0)
        ties = {n for n in names if names.count(n) == top}
        hits.append((fact.object_id in ties) / len(ties) if ties else 0)
    assert free == {"prior": {"en": pytest.approx(np.mean(hits)), "de": pytest.approx(np.mean(hits))}}
