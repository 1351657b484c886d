"""Exported tasks ask what we ask; a line of samples that is damaged or of another task is refused."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import replace

import pytest

from interp.data.facts import FactSet
from interp.data.lm_eval import task_name, write_tasks
from interp.data.lm_eval_samples import read_samples
from interp.data.prompts import prompts_from_facts
from interp.errors import ConfigError, DataError
from tests.support.extras import needed
from tests.support.facts import make_fact
from tests.support.lm_eval_logs import documents, log_run, read_rows, read_task, write_samples

LANGUAGES = ("en", "sw", "zh", "ja")


@pytest.fixture(scope="session")
def facts(cldr):
    return cldr.filter(languages=LANGUAGES, limit=5)


@pytest.fixture
def tasks(facts, tmp_path):
    write_tasks(facts, tmp_path / "tasks")
    return tmp_path / "tasks"


@pytest.mark.parametrize("prompt_format", ["native", "english", "none"])
def test_tasks_ask_what_we_ask(facts, tmp_path, prompt_format):
    write_tasks(facts, tmp_path, prompt_format)
    asked = prompts_from_facts(facts, prompt_format=prompt_format)
    for code in LANGUAGES:
        task = read_task(tmp_path / f"interp_cldr_{code}.yaml")
        found = documents(tmp_path, code)
        assert [each["fact_id"] for each in found] == [fact.fact_id for fact in facts]
        for document, prompt, fact in zip(found, asked.prompts[code], facts, strict=True):
            said = document[task["doc_to_text"]]
            options = document[task["doc_to_choice"]]
            right = options[document[task["doc_to_target"]]]
            assert (said, tuple(options)) == (prompt.text, fact.wording[code].options)
            assert said + task["target_delimiter"] + right == prompt.full_text


def test_the_separator_is_the_languages_own(tasks):
    found = {code: read_task(tasks / f"interp_cldr_{code}.yaml")["target_delimiter"] for code in LANGUAGES}
    assert found == {"en": " ", "sw": " ", "zh": "", "ja": ""}


def test_tasks_and_their_group(tasks):
    task, group = read_task(tasks / "interp_cldr_sw.yaml"), read_task(tasks / "interp_cldr.yaml")
    assert (task["task"], task["output_type"], task["num_fewshot"]) == (
        "interp_cldr_sw",
        "multiple_choice",
        0,
    )
    assert [metric["metric"] for metric in task["metric_list"]] == ["acc", "acc_norm", "acc_bytes"]
    assert (group["group"], group["task"]) == ("interp_cldr", [f"interp_cldr_{code}" for code in LANGUAGES])
    assert {metric["metric"] for metric in group["aggregate_metric_list"]} == {"acc", "acc_norm", "acc_bytes"}


@pytest.mark.parametrize(
    ("name", "task"),
    [("cldr", "interp_cldr_en"), ("my-facts.v2/é", "interp_my_facts_v2_en"), ("事", "interp_facts_en")],
)
def test_names_that_a_command_line_takes(name, task):
    assert task_name(name, "en") == task


def test_documents_are_read_where_the_folder_is_moved_to_and_as_they_are(small, tmp_path):
    needed("datasets")
    dated = replace(
        small.facts[0].wording["en"], options=("1999-12-31", "2000-01-01"), question="one\u2028line?"
    )
    odd = replace(small, facts=tuple(replace(f, wording={**f.wording, "en": dated}) for f in small.facts))
    write_tasks(odd, tmp_path / "here")
    there = shutil.move(tmp_path / "here", tmp_path / "there")
    spec = importlib.util.spec_from_file_location("documents", there / "documents.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    given = read_task(there / "interp_small_en.yaml")
    assert given["custom_dataset"] == "documents.load"
    split = module.load(**given["dataset_kwargs"], version=1.0, pretrained="x")[given["test_split"]]
    assert len(split) == len(small)
    assert split[3] == documents(there, "en")[3]
    assert split[3]["options"] == ["1999-12-31", "2000-01-01"]
    assert "one\u2028line?" in split[3]["prompt"]


def test_a_second_export_to_the_same_folder(facts, tasks):
    assert len(write_tasks(facts, tasks)) == 2 * len(LANGUAGES) + 2
    (tasks / "__pycache__").mkdir()
    write_tasks(facts, tasks)
    with pytest.raises(
        DataError, match=r"holds 2 files that are not of this export, such as 'interp_cldr_ja\.jsonl'"
    ):
        write_tasks(facts.filter(languages=["en", "sw", "zh"]), tasks)


def test_what_is_not_exported(small, tmp_path):
    spaced = replace(small.facts[0].wording["en"], question="Paris is in ")
    trailing = FactSet("x", (replace(small.facts[0], wording={"en": spaced}),), ("en",))
    write_tasks(trailing, tmp_path / "fine")  # words stand behind the question
    with pytest.raises(
        DataError, match="'f0' in 'en' is empty or ends in a space, which the harness would score"
    ):
        write_tasks(trailing, tmp_path / "tasks", "none")
    alone = replace(small.facts[0].wording["en"], options=("en right",))
    cloze = replace(small.facts[0], option_ids=("right",), wording={"en": alone})
    with pytest.raises(
        DataError, match="'f0' in 'en' has 1 options that are not empty; multiple choice needs 2"
    ):
        write_tasks(FactSet("x", (cloze,), ("en",)), tmp_path / "tasks")
    with pytest.raises(DataError, match="'de' is missing in 1 of 1"):
        write_tasks(FactSet("x", (make_fact(1, ["en"]),), ("en", "de")), tmp_path / "tasks")
    with pytest.raises(ConfigError, match=r"Unknown prompt_format 'nativ'\. Did you mean 'native'"):
        write_tasks(small, tmp_path / "tasks", "nativ")
    assert not (tmp_path / "tasks").exists()


@pytest.fixture
def samples(tasks, tmp_path):
    return log_run(tasks, tmp_path / "run", lambda document, option: -float(len(option)))


def test_samples_carry_the_fact(facts, samples):
    for code, file in samples.items():
        for fact, (fact_id, found) in zip(facts, read_samples(file).items(), strict=True):
            assert fact_id == fact.fact_id
            assert found.fact == replace(fact, wording={code: fact.wording[code]})
            assert found.log_probability == tuple(-len(option) for option in fact.wording[code].options)
            assert found.separator == ("" if code in ("zh", "ja") else " ")


def test_samples_of_several_processes_are_put_in_order(samples):
    rows = read_rows(samples["en"])
    read = list(read_samples(samples["en"]))
    assert list(read_samples(write_samples(samples["en"], rows[::2] + rows[1::2]))) == read


def _set(*path, value):
    def change(row):
        for key in path[:-1]:
            row = row[key]
        row[path[-1]] = value

    return change


def _drop(*path):
    def change(row):
        for key in path[:-1]:
            row = row[key]
        del row[path[-1]]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_drop("doc"), "expected an object with a 'doc'"),
        (_drop("doc", "fact_id"), "no 'fact_id', so this is no task of `interp export-lm-eval`"),
        (_set("doc", "relation", value=None), "'relation' of its document is None"),
        (_set("doc", "options", value=["a", 2, "c", "d"]), "'options' of its document is"),
        (_set("doc", "gold", value=True), "'gold' of its document is True"),
        (_set("doc", "language", value="xx"), "language is 'xx', which is none of the export's"),
        (_set("doc", "language", value="de"), "language is 'de', which is none of the export's"),
        (_set("doc", "options", value=["a", "b"]), "4 option_ids and 2 options"),
        (_set("doc", "options", value=["a", "b", "", "d"]), "4 option_ids and 4 options"),
        (_set("doc", "object_id", value="nothing"), "the right answer 'nothing' is not among its option_ids"),
        (_set("doc", "gold", value=9), r"the right option is number \d by its id, 9 in the document"),
        (_set("target", value="9"), r"and '9' for the harness"),
        (_set("doc_id", value="0"), "doc_id is '0'"),
        (_drop("arguments"), "'arguments' has not a context and a continuation per option"),
        (_drop("arguments", "gen_args_2"), "'arguments' has not a context"),
        (_set("arguments", "gen_args_4", value={"arg_0": "x", "arg_1": "y"}), "not scored one by one"),
        (_set("arguments", "gen_args_1", "arg_0", value="another"), "not scored one by one"),
        (_set("arguments", "gen_args_1", "arg_1", value=" another"), "not scored one by one"),
        (_set("arguments", "gen_args_0", "arg_1", value=3), "'arguments' has not a context"),
        (_drop("filtered_resps"), "'filtered_resps' has not a log-likelihood"),
        (
            _set("filtered_resps", value=[["-1.0", "False"]]),
            "4 finite log-likelihoods are expected, found -1.0",
        ),
        (_set("filtered_resps", 2, 0, value="nan"), "4 finite log-likelihoods are expected"),
        (_set("filtered_resps", 2, 0, value="-1,5"), "'filtered_resps' has not a log-likelihood"),
    ],
)
def test_damaged_samples_are_refused_by_line(samples, change, message):
    rows = read_rows(samples["en"])
    change(rows[2])
    with pytest.raises(DataError, match=rf"samples_interp_cldr_en_\S+, line 3: .*{message}"):
        read_samples(write_samples(samples["en"], rows))


def test_a_line_that_was_cut(samples):
    text = samples["en"].read_bytes()
    samples["en"].write_bytes(text[:-30])
    with pytest.raises(DataError, match="line 5: "):
        read_samples(samples["en"])


def test_files_that_are_no_samples(samples, tmp_path):
    rows = read_rows(samples["en"])
    with pytest.raises(DataError, match=r"line 6: the fact '.*' is there twice"):
        read_samples(write_samples(samples["en"], [*rows, rows[1]]))
    with pytest.raises(DataError, match=r"has several languages \(en, sw\)"):
        read_samples(write_samples(samples["en"], [*rows[:2], *read_rows(samples["sw"])[2:]]))
    with pytest.raises(DataError, match="has no samples"):
        read_samples(write_samples(samples["en"], []))
    for missing in (tmp_path / "samples_x.jsonl", tmp_path / "run", tmp_path / "run" / "results.json"):
        with pytest.raises(
            DataError, match=r"is no file of samples; samples_<task>_<date>\.jsonl is expected"
        ):
            read_samples(missing)


def test_samples_of_another_task(tmp_path):
    row = {"doc_id": 0, "doc": {"query": "2 + 2", "choices": ["4", "5"], "gold": 0}, "target": "0"}
    file = write_samples(tmp_path / "samples_arithmetic_2026.jsonl", [row])
    with pytest.raises(
        DataError, match="Only those say which documents of different languages are the same fact"
    ):
        read_samples(file)
