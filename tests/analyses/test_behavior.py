"""`interp evaluate` and `rescore`: reuse, paired changes, doubtful results, flags to files."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import interp.model.loading
from analyses.behavior import MEASURE
from analyses.comparison import compare
from analyses.plan import Plan, Request
from analyses.runner import Run
from analyses.runner import run as run_command
from figures import drawings, tables
from interp.config import DataOptions, NumericOptions
from interp.data.baselines import rule_baselines
from interp.data.sources.cldr import cldr_facts
from interp.errors import ConfigError, DataError, ResultError
from interp.results.base import Note, Provenance
from interp.results.behavior import BehaviorResult
from interp.results.settings.evaluation import EvaluationSettings, EvaluationView
from interp.stats import paired_difference
from tests.support.benchmark_files import mmlu_row, write_lines
from tests.support.command import refused, run
from tests.support.golden import FOLDER, golden

LANGUAGES = ("en", "sw", "zh")


def made(right: np.ndarray, seed: int = 0) -> BehaviorResult:
    """Answers in three languages of which these are right, by a margin that no scoring undoes."""
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
    table = compare(made(before), made(after)).to_frame().set_index("quantity")
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
    table = compare(made(before), made(after)).to_frame().set_index("quantity")
    groups = [f"g{i // 2}" for i in range(100)]
    one, other = before[:, 0].astype(float), after[:, 0].astype(float)
    own = paired_difference(other, one, groups, share=True)
    assert (table.low["accuracy en"], table.high["accuracy en"]) == pytest.approx((own.low, own.high))
    assert (table.n["accuracy en"], table.n_clusters["accuracy en"]) == (100, 50)
    assert table.mde["accuracy en"] == pytest.approx(own.mde(alpha=0.05 / len(table)))
    for cluster, labels in (("fact", None), ("answer", [f"a{i // 4}" for i in range(100)])):
        comparison = compare(made(before), made(after), cluster=cluster)
        assert comparison.to_dict()["view"] == {"cluster": cluster}
        row = comparison.to_frame().set_index("quantity").loc["accuracy en"]
        own = paired_difference(other, one, labels, share=True)
        assert (row.low, row.high) == pytest.approx((own.low, own.high))
    with pytest.raises(
        ResultError, match=r"has no cluster 'facts'\. Did you mean 'fact'\?.*: group, fact, answer"
    ):
        compare(made(before), made(after), cluster="facts")


def guessed(right: np.ndarray) -> BehaviorResult:
    """Answers in as many languages as there are columns; every fact is a cluster."""
    result = made(right)
    return replace(result, languages=tuple(f"l{i}" for i in range(right.shape[1])), groups=result.fact_ids)


def test_all_intervals_are_over_the_clusters_of_the_view():
    right = np.random.default_rng(5).random((60, 3)) < 0.6
    result = made(np.repeat(right, 4, axis=0))  # facts of one answer are alike
    by_answer = result.clustered("answer").by_language()
    assert by_answer.n_clusters.tolist() == [60] * 3
    apart = result.clustered("fact").by_language()
    assert ((by_answer.high - by_answer.low) > 1.5 * (apart.high - apart.low)).all()
    (table,) = tables(result, ("a",), cluster="answer")
    assert "240 facts in 60 clusters" in table.note
    assert any(f"[{by_answer.low[0]:.3f}, {by_answer.high[0]:.3f}]" in cell for cell in table.rows[0])
    (drawn,) = drawings(result, ("a",), cluster="answer")
    assert set(drawn.data.n_clusters.dropna()) == {60}


def test_letters_are_no_clusters():
    right = np.ones((8, 3), dtype=bool)
    letters = replace(made(right), answers=tuple("ABCDABCD"))
    refusal = r"Answers are letters \(A, B, C, D\), which unrelated facts share"
    for refused_act in (
        letters.clusters,
        letters.clustered,
        lambda cluster: letters.diagnostics(cluster=cluster),
    ):
        with pytest.raises(ResultError, match=refusal):
            refused_act("answer")
    assert letters.clusters("fact") == letters.fact_ids
    assert made(right).clusters("answer") == made(right).answers


def test_letters_are_refused_before_a_model_is_opened(tmp_path):
    for code in ("en", "de"):
        write_lines(tmp_path / code / "test.jsonl", [mmlu_row(number, code) for number in range(4)])
    data = DataOptions(data=f"global-mmlu:{tmp_path}", split="test")
    planned(data, EvaluationSettings())
    with pytest.raises(ResultError, match="Answers are letters"):
        planned(data, EvaluationSettings(), cluster="answer")


def test_above_chance_in_some_language_is_corrected_over_languages():
    """Of 100 models that guess in 12 languages 5 are above chance in one, of 12 single tests 30."""
    random, doubted, alone = np.random.default_rng(4), 0, 0
    for _ in range(100):
        result = guessed(random.random((60, 12)) < 0.25)
        doubted += bool(result.diagnostics())
        alone += not (result.by_language().low > 0.25).any()
    assert doubted >= 90
    assert alone < 85
    known = np.repeat(random.random((60, 1)) < 0.7, 12, axis=1)
    assert guessed(known).diagnostics() == []
    (few,) = guessed(np.ones((19, 12), dtype=bool)).diagnostics()
    assert few.startswith("19 facts in 19 clusters: ")
    assert isinstance(few, Note)


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
    pd.testing.assert_frame_equal(compare(*results).to_frame(), compare(*turned).to_frame())


def test_answers_to_different_questions_are_not_compared():
    right = np.ones((10, 3), dtype=bool)
    other = replace(made(right), fact_ids=tuple(f"x{i}" for i in range(10)))
    with pytest.raises(ResultError, match="facts or languages differ"):
        compare(made(right), other)
    asked = replace(made(right), provenance=Provenance(settings={"prompt_format": "none"}))
    with pytest.raises(ResultError, match="prompt_format: None and none"):
        compare(made(right), asked)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return {
        "ckpt": ("organism:final", "organism:sft"),
        "languages": ",".join(LANGUAGES),
        "limit": 12,
        "split": "train",
        "out": tmp_path_factory.mktemp("evaluation"),
    }


def evaluated(config: dict, **changes: object) -> Run:
    """The measure with these flags."""
    return run_command("evaluate", **{**config, **changes})


def planned(data: DataOptions, settings: EvaluationSettings, **view: object) -> Plan:
    return MEASURE.plan(Request(data, NumericOptions(), settings, EvaluationView(**view)))


def changes_of(run: Run) -> pd.DataFrame:
    return run.comparisons["behavior"][0].to_frame()


@pytest.fixture(scope="module")
def study(config):
    return evaluated(config)


def test_a_rerun_and_another_scoring_need_no_model(config, study, no_model):
    again = evaluated(config)
    pd.testing.assert_frame_equal(changes_of(again), changes_of(study))
    summed = evaluated(config, scoring="sum")
    assert summed.results["behavior"][0].provenance == study.results["behavior"][0].provenance
    assert not changes_of(summed).equals(changes_of(study))
    by_answer = changes_of(evaluated(config, cluster="answer"))
    assert not by_answer[["low", "high"]].equals(changes_of(study)[["low", "high"]])
    with pytest.raises(ResultError, match=r"prompt_format: native there, english asked.* Use --fresh"):
        evaluated(config, prompt_format="english")
    with pytest.raises(ResultError, match="facts_digest"):
        evaluated(config, limit=11)


@pytest.mark.parametrize("kind", ["behavior", "generation"])
def test_a_result_of_schema_1_answers_the_question_of_today(kind):
    """Measured with ``--languages en,sw,ja --limit 40 --split train`` (and ``--shots 1 --new-tokens 8``)."""
    settings = EvaluationSettings()
    if kind == "generation":
        settings = EvaluationSettings(mode="generate", shots=1, new_tokens=8)
    data = DataOptions(languages="en,sw,ja", limit=40, split="train")
    (part,) = planned(data, settings).parts
    saved = golden(kind)[0]
    assert part.kind is type(saved)
    words = ("prompts", "facts_digest")  # of the embedded facts, which may be mended
    assert saved.provenance.differences(part.question, ignore=words) == {}


def test_sft_changed_answers_and_the_base_knows_english(study):
    assert study.results["behavior"][0].by_language().set_index("language").accuracy["en"] > 0.8
    assert changes_of(study).set_index("quantity").change["accuracy"] >= 0
    assert [text.partition(":")[2][:26] for text in study.diagnostics()] == [" 12 facts in 12 clusters: "] * 2


def test_no_checkpoint_and_twice_the_same(config):
    with pytest.raises(ConfigError, match="No checkpoint"):
        evaluated(config, ckpt=())
    with pytest.raises(ConfigError, match="the same weights, byte for byte"):
        evaluated(config, ckpt=("organism:final", "organism:final"))


def test_a_model_that_knows_nothing_is_a_loud_failure_when_strict(checkpoints, tmp_path):
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
    code, out, _ = run("evaluate", *asked)
    assert (code, run("evaluate", *asked, "--strict").code) == (0, 1)
    assert "SANITY CHECK FAILED" in out
    assert "Accuracy is not above chance (0.250) in any language" in " ".join(out.replace("│", " ").split())


def test_the_command_writes_results_and_changes(config, study):
    out = config["out"]
    flags = ["--languages", config["languages"], "--limit", "12", "--split", "train", "--out", str(out)]
    code, shown, _ = run("evaluate", *(f for c in config["ckpt"] for f in ("--ckpt", c)), *flags)
    assert code == 0
    one, other = study.names
    for text in (
        "log-probability per byte",
        f"{one} -> {other}",
        "right in all languages",
        "12 facts in 12 clusters. Accuracy with its 95 % interval (Wilson, over clusters). Chance 0.250; "
        "tied options share credit",
        "paired over clusters (groups of facts)",
    ):
        assert text in shown
    written = json.loads((out / f"{one}-to-{other}.behavior.json").read_text())
    assert written["view"] == {"cluster": "group", "scoring": "byte"}
    changes = [row["change"] for row in written["quantities"]]
    np.testing.assert_allclose(changes, changes_of(study).change)
    data = pd.read_csv(out / "behavior.csv")  # without --figure
    accuracy = data[(data.checkpoint == other) & (data.quantity == "accuracy")].value
    np.testing.assert_allclose(accuracy, study.results["behavior"][1].by_language().accuracy)
    assert not (out / "behavior.png").exists()


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
    assert (spelled["spelled otherwise"].value, spelled["spelled otherwise"].n) == (20 / 60, 60)
    mask = np.arange(40) < 10
    parts = result.by_stratum({"contaminated": mask, "not contaminated": ~mask})
    assert (parts["contaminated"].value, parts["contaminated"].n) == (1.0, 10)
    assert parts["not contaminated"].value == pytest.approx((30 + 10) / 90)
    assert result.histogram().tolist() == [0, 20, 10, 10]


def test_rescore_and_compare_need_no_model(config, study, no_model, tmp_path):
    files = [file for file in study.files if file.suffix == ".npz"]
    summed = study.results["behavior"][0].by_language("sum")
    code, out, _ = run("rescore", *files, "--scoring", "sum", "--out", tmp_path / "answers")
    assert code == 0
    assert "log-probability summed" in out
    assert all(f"{value:.3f}" in out for value in summed.accuracy)
    written = pd.read_csv(tmp_path / f"answers-{study.names[0]}.sum.csv")
    assert written.groupby("language", sort=False).credit.mean().to_list() == pytest.approx(
        summed.accuracy.to_list()
    )
    code, out, _ = run("compare", *files, "--out", tmp_path / "both")
    assert code == 0
    assert "RankC" in out
    assert {file.suffix for file in tmp_path.glob("both*")} == {".json", ".png", ".pdf", ".svg", ".csv"}
    for flags, text in (
        (("--scoring", "bite"), "A 'behavior' result has no scoring 'bite'. Did you mean 'byte'?"),
        (("--scoring", "boundary"), "Choose from: sum, token, character, byte."),
        (("--cluster", "facts"), "has no cluster 'facts'. Did you mean 'fact'?"),
    ):
        assert text in refused("rescore", files[0], *flags)
    assert (
        "paired over clusters (facts of one answer)" in run("rescore", *files, "--cluster", "answer").stdout
    )
    text = refused("rescore", FOLDER / "routing-schema-1.npz")
    assert "is a 'routing' result; one of evaluate is expected" in text


def test_compare_reads_answers_as_asked(study):
    before, after = study.results["behavior"]
    table = interp.compare(before, after).to_frame().set_index("quantity")
    assert table.before["accuracy"] == pytest.approx(before.credit().mean())
    summed = interp.compare(before, after, scoring="sum").to_frame().set_index("quantity")
    assert summed.before["accuracy"] == pytest.approx(before.credit("sum").mean())
    assert summed.after["RankC"] == pytest.approx(after.consistency("sum")["rankc"])
    with pytest.raises(ResultError, match="has no scoring 'bite'"):
        interp.compare(before, after, scoring="bite")


def test_a_result_says_its_answer_with_uncertainty_and_sample_size(study):
    result = study.results["behavior"][0]
    row = result.by_language().iloc[1]
    assert f"accuracy sw  {row.accuracy:.3f}  [{row.low:.3f}, {row.high:.3f}] 95 %" in repr(result)
    assert "12 facts, byte (chance 0.250)" in repr(result)
    summary = result.summary(scoring="sum").set_index("quantity")
    assert summary["mean"]["accuracy"] == pytest.approx(result.credit("sum").mean())
    assert (summary.n == 12).all()
    shown = result._repr_html_()
    assert "accuracy sw" in shown
    assert "<th>low</th>" in shown


def test_what_is_not_above_chance_is_doubtful_and_what_a_run_left_open_is_a_note():
    wrong = made(np.zeros((40, 3), dtype=bool))
    (doubt,) = wrong.diagnostics()
    assert doubt.startswith(
        "Accuracy is not above chance (0.250) in any language, at most 0.000 (p by Holm over 3 languages; "
        "0.12"
    )
    assert not isinstance(doubt, Note)
    right = made(np.arange(120).reshape(40, 3) % 3 == 1)  # in one language
    assert right.diagnostics() == []
    noted = replace(right, provenance=Provenance(run={"notes": ["Cut on the left."]}))
    (note,) = noted.diagnostics("sum")
    assert isinstance(note, Note)
    assert note == "Cut on the left."


def test_generation_from_the_command(tmp_path):
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
    code, out, _ = run(*asked, *where, "--figure")
    assert code == 0
    assert "generated text has the answer at word boundaries" in out
    assert "prior" in out
    assert "longest" not in out
    assert {file.suffix for file in (tmp_path / "out").iterdir()} == {".npz", ".png", ".pdf", ".svg", ".csv"}
    assert "generated text is the answer" in run(*asked, *where, "--scoring", "strict").stdout
    assert "answers another question" in refused(*asked, *where, "--shots", 2)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--shots", "2"), "--shots is of --mode generate"),
        (("--new-tokens", "2"), "--new-tokens is of --mode generate"),
        (("--stop", "end"), "--stop is of --mode generate"),
        (("--protocol", "published"), "--protocol is of --mode generate"),
        (("--scoring", "strict"), "--scoring strict does not apply to --mode mcq. Choose from: sum, token,"),
        (
            ("--mode", "generate", "--scoring", "sum"),
            "--scoring sum does not apply to --mode generate. Choose",
        ),
        (
            ("--mode", "generate", "--protocol", "published", "--shots", "2"),
            "decides demonstrations, template",
        ),
        (
            ("--mode", "generate", "--protocol", "published", "--stop", "line"),
            "leave out --shots, --template",
        ),
        (
            ("--mode", "generate", "--protocol", "published"),
            "--protocol published is of klar:DIR, not of 'cldr'",
        ),
        (
            ("--mode", "generate", "--new-tokens", "0"),
            "'new_tokens' is 0; a number of at least 1 is expected",
        ),
        (("--data", "cldrr"), "Did you mean 'cldr'?"),
        (("--template", "2"), "template 2 does not apply to 'cldr'"),
        (("--contaminated", "nowhere.json"), "nowhere.json is not readable JSON"),
        (("--cluster", "facts"), "Choose from: group, fact, answer."),
    ],
)
def test_flags_that_do_not_go_together(flags, said, tmp_path):
    assert said in refused("evaluate", "--ckpt", "organism:final", "--out", tmp_path, *flags)


def test_contaminated_facts_are_told_apart(tmp_path, study, config):
    result = study.results["behavior"][0]
    (tmp_path / "seen.json").write_text(json.dumps([*result.fact_ids[:5], "of another benchmark"]))
    apart = evaluated(config, contaminated=tmp_path / "seen.json")
    strata = apart.plan.context["strata"]
    assert strata["contaminated"].sum() == 5
    assert result.by_stratum(strata)["not contaminated"].n == 7
    flags = [f for c in config["ckpt"] for f in ("--ckpt", c)]
    flags += ["--languages", config["languages"], "--limit", 12, "--split", "train", "--out", config["out"]]
    code, out, _ = run("evaluate", *flags, "--contaminated", tmp_path / "seen.json")
    assert code == 0
    assert "not contaminated (7 facts in 7 clusters)" in out
    (tmp_path / "none.json").write_text('["x"]')
    with pytest.raises(DataError, match="names 1 facts, but none of the 12 that are asked"):
        evaluated(config, contaminated=tmp_path / "none.json")


def test_what_is_usual_for_the_data_and_the_protocol_is_filled_in():
    asked = EvaluationSettings(mode="generate")
    assert [
        (each.shots, each.new_tokens, each.stop)
        for each in (asked.resolved("cldr"), asked.resolved("klar:x"))
    ] == [
        (0, 16, "line"),
        (3, 10, "line"),
    ]
    chosen = EvaluationSettings(mode="generate", shots=1, new_tokens=5, stop="end")
    assert chosen.resolved("klar:x") == chosen
    published = EvaluationSettings(mode="generate", protocol="published")
    assert published.resolved("klar:x").stored() == {
        "mode": "generate",
        "new_tokens": 10,
        "stop": "end",
        "protocol": "published",
    }
    assert [s.scoring() for s in (EvaluationSettings(), asked, published)] == [
        "byte",
        "boundary",
        "published",
    ]
    assert EvaluationSettings(mode="generate", protocol="upstream").scoring() == "prefix"
    assert EvaluationSettings().resolved("klar:x").stored() == {"mode": "mcq"}


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
    itself, even = [], set()
    for relation in {f.relation for f in train}:
        golds = [f.object_id for f in train if f.relation == relation]
        offered = {o for f in train if f.relation == relation for o in f.option_ids}
        if {golds.count(o) for o in offered} == {1}:
            even.add(relation)  # leaving a fact out would leave its answer the only one that is never right
    assert even == {"capital", "tld_country"}
    for fact in train:
        if fact.relation in even:
            itself.append(1 / 4)
            continue
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
