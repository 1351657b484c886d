"""Samples of several languages become one result; files that do not belong together are refused."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace

import numpy as np
import pytest

from analyses.comparison import compare
from analyses.lm_eval import import_samples
from analyses.lm_eval_runs import describe_run
from interp.data.lm_eval import METRICS, write_tasks
from interp.data.prompts import prompts_from_facts
from interp.data.sources import open_facts
from interp.errors import DataError, ResultError
from interp.results import load_result
from interp.results.behavior import BehaviorResult
from tests.support.command import refused, run
from tests.support.lm_eval_logs import DATE, RESULTS, log_run, read_rows, write_samples

LANGUAGES = ("ja", "en", "sw")  # not the project's order


def score(document, option):
    """Some number per language, fact and option."""
    return -1 - zlib.crc32(f"{document['fact_id']} {document['language']} {option}".encode()) / 1e8


@pytest.fixture(scope="module")
def facts():
    """Facts with four options, and one with three."""
    known = open_facts("cldr").filter(languages=LANGUAGES, limit=8)
    first = known.facts[0]
    keep = [i for i in range(4) if i != (first.answer_index + 1) % 4]
    fewer = {
        code: replace(said, options=tuple(said.options[i] for i in keep))
        for code, said in first.wording.items()
    }
    small = replace(first, option_ids=tuple(first.option_ids[i] for i in keep), wording=fewer)
    return replace(known, facts=(small, *known.facts[1:]))


@pytest.fixture
def tasks(facts, tmp_path):
    write_tasks(facts, tmp_path / "tasks")
    return tmp_path / "tasks"


@pytest.fixture
def samples(tasks, tmp_path):
    return log_run(tasks, tmp_path / "hub__model", score)


def edit(file, change, row=1):
    rows = read_rows(file)
    change(rows[row])
    return write_samples(file, rows)


def test_every_number_stands_where_it_belongs(facts, samples):
    found = import_samples([samples[code] for code in ("en", "ja", "sw")])
    assert found.languages == LANGUAGES
    for f, fact in enumerate(facts):
        assert found.fact_ids[f] == fact.fact_id
        assert (found.relations[f], found.groups[f], found.splits[f]) == (
            fact.relation,
            fact.group,
            fact.split,
        )
        assert (found.answers[f], found.gold[f]) == (fact.object_id, fact.answer_index)
        for c, code in enumerate(LANGUAGES):
            options = fact.wording[code].options
            assert found.golds[f][c] == fact.answer(code)
            for o, option in enumerate(options):
                document = {"fact_id": fact.fact_id, "language": code}
                assert found.log_probability[f, c, o] == score(document, option)
                assert found.characters[f, c, o] == len(option)
                assert found.bytes[f, c, o] == len(option.encode("utf-8"))
            assert np.isnan(found.log_probability[f, c, len(options) :]).all()
            assert not found.bytes[f, c, len(options) :].any()


def test_the_harness_s_accuracies_and_ours_by_hand(facts, samples):
    """The harness takes the first of the options with the highest log-likelihood per length, without the
    space."""
    found = import_samples(list(samples.values()))
    lengths = {"acc": lambda option: 1, "acc_norm": len, "acc_bytes": lambda option: len(option.encode())}
    assert METRICS.keys() == lengths.keys()
    for metric, length in lengths.items():
        for c, code in enumerate(LANGUAGES):
            right = []
            for fact in facts:
                document = {"fact_id": fact.fact_id, "language": code}
                each = [score(document, option) / length(option) for option in fact.wording[code].options]
                right.append(each.index(max(each)) == fact.answer_index)
            assert found.credit(METRICS[metric])[:, c].tolist() == right


def test_it_is_the_question_that_evaluate_asks(facts, samples):
    found = import_samples(list(samples.values())).provenance
    assert found.prompts_digest == prompts_from_facts(facts).digest
    assert found.settings == {
        "languages": list(LANGUAGES),
        "mode": "mcq",
        "prompt_format": "native",
        "facts_digest": facts.digest,
    }
    assert (found.prompts, found.checkpoint, found.fingerprint) == ("cldr", "hub/model", "")
    assert found.run["notes"] == []
    assert found.run["model_args"] == "pretrained=hub/model"


def test_only_some_languages(facts, samples):
    found = import_samples(list(samples.values()), ["sw", "en"])
    assert found.languages == ("sw", "en")
    assert found.provenance.settings["facts_digest"] == facts.filter(languages=["sw", "en"]).digest
    whole = import_samples(list(samples.values()))
    assert np.array_equal(found.log_probability, whole.log_probability[:, [2, 1]], equal_nan=True)
    with pytest.raises(
        ResultError, match=r"Samples of ja, sw are missing; there are those of en\. Give their files"
    ):
        import_samples([samples["en"]])
    with pytest.raises(ResultError, match="Samples of ja are missing; there are those of en, sw"):
        import_samples([samples["en"], samples["sw"]], ["en", "ja"])
    with pytest.raises(DataError, match="Unknown language 'jp'"):
        import_samples([samples["en"]], ["jp"])


def test_options_without_ids_are_not_aligned(facts, tmp_path):
    write_tasks(replace(facts, aligned=False), tmp_path / "tasks")
    found = import_samples(list(log_run(tmp_path / "tasks", tmp_path / "run", score).values()))
    assert not found.aligned
    assert "rankc" not in found.consistency()


def test_token_lengths_are_not_known(samples):
    found = import_samples(list(samples.values()))
    assert not found.tokens.any()
    with pytest.raises(ResultError, match="lengths in tokens are not known"):
        found.scores("token")


def test_save_and_load(samples, tmp_path):
    found = import_samples(list(samples.values()))
    again = load_result(found.save(tmp_path / "r.npz"))
    assert isinstance(again, BehaviorResult)
    assert np.array_equal(again.log_probability, found.log_probability, equal_nan=True)
    assert again.provenance == found.provenance
    assert (compare(found, again).to_frame().change == 0).all()


def test_files_that_do_not_belong_together(facts, samples, tasks, tmp_path):
    every = list(samples.values())
    with pytest.raises(ResultError, match="No samples: give one"):
        import_samples([])
    twice = tmp_path / "samples_again_2026.jsonl"
    twice.write_bytes(samples["en"].read_bytes())
    with pytest.raises(ResultError, match=r"Language 'en' is in two files, .*en_\S+ and .*again_2026\.jsonl"):
        import_samples([*every, twice])
    write_tasks(facts, tmp_path / "english", "english")
    other = log_run(tmp_path / "english", tmp_path / "english-run", score)
    with pytest.raises(
        ResultError, match=r"of different exports: prompt_format is native in .* english in .*ja"
    ):
        import_samples([samples["en"], samples["sw"], other["ja"]])
    elsewhere = log_run(tasks, tmp_path / "other", score, {**RESULTS, "model_name": "hub/other"})
    with pytest.raises(
        ResultError, match=r"of different models: model is hub/other for .*sw.*, hub/model for"
    ):
        import_samples([samples["ja"], samples["en"], elsewhere["sw"]])
    unknown = log_run(tasks, tmp_path / "nobody", score, None)
    with pytest.raises(ResultError, match="of different models: model is nobody for"):
        import_samples([samples["ja"], samples["en"], unknown["sw"]])


def test_languages_that_do_not_ask_the_same(facts, samples):
    every = list(samples.values())
    kept = samples["sw"].read_bytes()
    write_samples(samples["sw"], read_rows(samples["sw"])[:6])
    with pytest.raises(ResultError, match=r"is in 'ja' and not in 'sw' \(2 such facts; ja has 8, sw 6\)"):
        import_samples(every)
    samples["sw"].write_bytes(kept)

    def swap(row):
        for key in ("option_ids", "options"):
            row["doc"][key] = row["doc"][key][::-1]
        row["doc"]["gold"] = len(row["doc"]["options"]) - 1 - row["doc"]["gold"]
        row["target"] = str(row["doc"]["gold"])
        asked = list(row["arguments"].values())[::-1]
        row["arguments"] = {f"gen_args_{i}": each for i, each in enumerate(asked)}
        row["filtered_resps"].reverse()

    edit(samples["sw"], swap)
    with pytest.raises(
        ResultError, match=f"'{facts.facts[1].fact_id}' has not the same option_ids in 'ja' and 'sw'"
    ):
        import_samples(every)
    samples["sw"].write_bytes(kept)

    def other_right(row):
        row["doc"]["gold"] = (row["doc"]["gold"] + 1) % 4
        row["doc"]["object_id"] = row["doc"]["option_ids"][row["doc"]["gold"]]
        row["target"] = str(row["doc"]["gold"])

    edit(samples["sw"], other_right)
    with pytest.raises(ResultError, match="has not the same object_id in 'ja' and 'sw'"):
        import_samples(every)


@pytest.mark.parametrize(
    "spaced", [True, False]
)  # a chat template takes the space away, an instruction does not
def test_what_stands_around_a_prompt_makes_it_another_question(facts, samples, spaced):
    for file in samples.values():
        rows = read_rows(file)
        for row in rows:
            for asked, option in zip(row["arguments"].values(), row["doc"]["options"], strict=True):
                asked["arg_0"] = f"<user>{asked['arg_0']}<bot>"
                asked["arg_1"] = asked["arg_1"] if spaced else option
        write_samples(file, rows)
    found = import_samples(list(samples.values())).provenance
    texts = prompts_from_facts(facts)
    around = {
        code: tuple(
            replace(p, text=f"<user>{p.text}<bot>", separator=p.separator if spaced else "") for p in each
        )
        for code, each in texts.prompts.items()
    }
    assert found.prompts_digest == replace(texts, prompts=around).digest != texts.digest
    assert found.run["notes"] == [
        "The harness put something around 24 prompts (a chat template, an instruction), so this result "
        "compares only with others that were asked so."
    ]


@pytest.mark.parametrize(
    ("results", "notes"),
    [
        ({}, []),
        ({"max_length": 108}, []),
        (
            {"max_length": 107},
            ["Prompt and option have up to 100 bytes, for a context of 107 tokens. The harness cuts"],
        ),
        ({"max_length": None}, ["for a context that is not known"]),
        (
            {"config": {"model_dtype": "torch.bfloat16"}},
            ["The harness took its log-softmax in bfloat16, in which"],
        ),
        (
            {"config": {"model_dtype": "torch.bfloat16", "model_args": "pretrained=x,softmax_dtype=float32"}},
            [],
        ),
        ({"config": {"model_dtype": "torch.bfloat16", "model_args": {"softmax_dtype": "float32"}}}, []),
    ],
)
def test_what_a_run_leaves_open(tmp_path, results, notes):
    (tmp_path / f"results_{DATE}.json").write_text(json.dumps({**RESULTS, **results}))
    found = describe_run([tmp_path / f"samples_interp_x_en_{DATE}.jsonl"], 100)["notes"]
    assert len(found) == len(notes)
    assert all(note in said for note, said in zip(notes, found, strict=True))


def test_a_run_that_nothing_is_known_of(tmp_path):
    file = tmp_path / "hub__model" / f"samples_interp_x_en_{DATE}.jsonl"
    found = describe_run([file], 100)
    assert found["model"] == "hub__model"
    assert "not known (no results_*.json beside the samples)" in found["notes"][0]
    file.parent.mkdir()
    for text in ("{", "[]", '{"config": 3}'):
        (file.parent / f"results_{DATE}.json").write_text(text)
        with pytest.raises(ResultError, match=r"results_\S+\.json is no results file of the harness"):
            describe_run([file], 100)


def test_the_commands(tmp_path):
    options = ("--languages", "en,ja", "--limit", 6, "--split", "test", "--prompt-format", "english")
    done = run("export-lm-eval", "--out", tmp_path / "tasks", *options)
    assert done.code == 0
    assert "6 facts in 2 languages, prompt format english" in done.stdout
    assert f"lm_eval run --include_path {tmp_path / 'tasks'} --tasks interp_cldr --log_samples" in done.stdout
    asked = open_facts("cldr").filter(languages=["en", "ja"], splits=["test"], limit=6)
    files = log_run(tmp_path / "tasks", tmp_path / "run", score)
    out = tmp_path / "r.npz"
    done = run("import-lm-eval", *files.values(), "--out", out, "--scoring", "sum")
    found = load_result(out)
    assert found.provenance.prompts_digest == prompts_from_facts(asked, prompt_format="english").digest
    assert "log-probability summed" in done.stdout
    assert f"{found.by_language('sum').accuracy[1]:.3f}" in done.stdout
    assert str(out.with_suffix("")) in done.stdout
    one = run("import-lm-eval", *files.values(), "--out", out, "--languages", "ja")
    assert load_result(out).languages == ("ja",)
    assert "pairs that agree" in done.stdout
    assert "pairs that agree" not in one.stdout


def test_what_the_commands_refuse(samples, tmp_path):
    out = tmp_path / "r.npz"
    command = ("import-lm-eval", *samples.values(), "--out", out, "--scoring")
    assert "lengths in tokens are not known" in refused(*command, "token")
    assert "has no scoring 'bytes'. Did you mean 'byte'?" in refused(*command, "bytes")
    assert not out.exists()
    export = ("export-lm-eval", "--out", tmp_path / "t")
    assert "'prompt_format' is 'nativ'" in refused(*export, "--prompt-format", "nativ")
    assert run(*export, "--limit", -1).code == 2
    assert not (tmp_path / "t").exists()
