"""Rows of a folder in every format, of what `datasets` saved, and through `datasets` as from the hub."""

import csv
import json
import sys

import datasets
import pyarrow
import pyarrow.parquet
import pytest

from interp.data.sources.configs import open_configs
from interp.data.sources.folders import split_named
from interp.data.sources.global_mmlu import global_mmlu_facts
from interp.data.sources.hub import hub_configs
from interp.data.sources.polyfact import polyfact_facts
from interp.data.sources.rows import Row, known_languages, listed, refuse
from interp.errors import CapabilityError, DataError
from tests.support.benchmark_files import flat_row, mmlu_row, parallel_row, write_json, write_lines

ROWS = {code: [mmlu_row(n, code, "ABC"[n]) for n in range(3)] for code in ("en", "ja")}


@pytest.fixture
def expected(tmp_path):
    for code, rows in ROWS.items():
        write_lines(tmp_path / "expected" / code / "test.jsonl", rows)
    return global_mmlu_facts(str(tmp_path / "expected")).digest


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """Caches of `datasets` in the test's folder."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def write_csv(path, rows, delimiter):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


def write_parquet(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def save_dict(path, rows):
    datasets.DatasetDict({"test": datasets.Dataset.from_list(rows)}).save_to_disk(str(path))


def save_one(path, rows):
    datasets.Dataset.from_list(rows).save_to_disk(str(path))


LAYOUTS = {
    "en/test.jsonl": write_lines,
    "en.jsonl": write_lines,
    "en.json": write_json,
    "en/test-00000-of-00001.parquet": write_parquet,
    "data/en/test.parquet": write_parquet,
    "en.csv": lambda path, rows: write_csv(path, rows, ","),
    "en.tsv": lambda path, rows: write_csv(path, rows, "\t"),
    "en": save_dict,
    "en/test": save_one,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_facts(tmp_path, expected, layout):
    for code, rows in ROWS.items():
        LAYOUTS[layout](tmp_path / "data set" / layout.replace("en", code, 1), rows)
    facts = global_mmlu_facts(str(tmp_path / "data set"))
    assert facts.digest == expected
    assert ("no name" in facts.note) == ("test" not in layout and layout != "en")


def test_csv_keeps_line_breaks_commas_and_lists_in_a_field(tmp_path):
    rows = [flat_row(1, code, 1) | {"question": f'{code}: one,\n"two"?'} for code in ("en", "de")]
    for row in rows:
        row["option_ids"] = json.dumps(row["option_ids"])
        write_csv(tmp_path / f"{row['language']}.csv", [row], ",")
    fact = polyfact_facts(str(tmp_path)).facts[0]
    assert fact.wording["de"].question == 'de: one,\n"two"?'
    assert fact.option_ids == ("Q101", "Q102", "Q103", "Q100")


@pytest.mark.parametrize("write", [write_parquet, save_one])
def test_blocks_survive_a_table(tmp_path, write):
    rows = [parallel_row(1, {"en": 1, "de": 2}), parallel_row(2, {"en": 3})]
    write_lines(tmp_path / "lines" / "parallel" / "test.jsonl", rows)
    name = "test.parquet" if write is write_parquet else "test"
    write(tmp_path / "table" / "parallel" / name, rows)
    found = polyfact_facts(str(tmp_path / "table"))
    assert found.digest == polyfact_facts(str(tmp_path / "lines")).digest
    assert [set(fact.wording) for fact in found] == [{"en", "de"}, {"en"}]


def test_more_rows_than_are_read_at_once(tmp_path):
    rows = [mmlu_row(n, "en") for n in range(2500)]
    save_dict(tmp_path / "saved" / "en", rows)
    write_parquet(tmp_path / "table" / "en" / "test.parquet", rows)
    found = [list(open_configs(str(tmp_path / name))["en"]()) for name in ("saved", "table")]
    assert [[row.number for row in read] for read in found] == [list(range(1, 2501))] * 2
    assert [row.values for row in found[0]] == [row.values for row in found[1]] == rows


def test_hub_data_sets_are_read_through_datasets(tmp_path, expected, no_network, monkeypatch):
    """A folder with a card stands for the hub: its configurations and splits are found in the same way."""
    folder = tmp_path / "hub"
    for code, rows in ROWS.items():
        write_lines(folder / code / "test.jsonl", rows)
        write_lines(folder / code / "dev.jsonl", [mmlu_row(9, code, part="dev")])
    card = "".join(
        f"  - config_name: {code}\n    data_files:\n      - split: test\n        path: {code}/test.jsonl\n"
        f"      - split: dev\n        path: {code}/dev.jsonl\n"
        for code in ROWS
    )
    (folder / "README.md").write_text(f"---\nconfigs:\n{card}---\n")
    configs = hub_configs(str(folder))
    assert set(configs) == {"en", "ja"}
    rows = list(configs["ja"]())
    assert [(row.config, row.split, row.number) for row in rows] == [
        *(("ja", "test", number) for number in (1, 2, 3)),
        ("ja", "validation", 1),
    ]
    real = {name: getattr(datasets, name) for name in ("get_dataset_config_names", "load_dataset")}
    asked = []

    def on_the_hub(name):
        def call(source, *args, revision, **options):
            asked.append((name, source, *args, revision))
            assert not options, "no code of others: trust_remote_code is never passed"
            return real[name](str(folder), *args)

        return call

    for name in real:
        monkeypatch.setattr(datasets, name, on_the_hub(name))
    assert global_mmlu_facts("owner/name@v1").split("test").digest == expected
    assert asked == [
        ("get_dataset_config_names", "owner/name", "v1"),
        ("load_dataset", "owner/name", "en", "v1"),
        ("load_dataset", "owner/name", "ja", "v1"),
    ]
    asked.clear()
    global_mmlu_facts("owner/name", languages=["ja"])
    assert [call[2] for call in asked] == [None, "ja"], "only the languages wanted are downloaded"


@pytest.mark.parametrize("failing", ["get_dataset_config_names", "load_dataset"])
def test_a_data_set_that_cannot_be_reached(monkeypatch, failing):
    def refuse_call(*_, **__):
        raise ConnectionError("no route")

    monkeypatch.setattr(datasets, "get_dataset_config_names", lambda *_, **__: ["en"])
    monkeypatch.setattr(datasets, failing, refuse_call)
    with pytest.raises(
        DataError, match=r"'owner/name' is no folder here, .*: ConnectionError: no route Check the name"
    ):
        global_mmlu_facts("owner/name")


@pytest.mark.parametrize("source", ["owner/name", "saved"])
def test_without_datasets_the_extra_is_named(monkeypatch, tmp_path, source):
    save_dict(tmp_path / "saved" / "en", ROWS["en"])
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(CapabilityError, match=r"need datasets: pip install 'interp\[train\]'"):
        global_mmlu_facts(source if "/" in source else str(tmp_path / source))


def test_without_pyarrow_the_extra_is_named(monkeypatch, tmp_path):
    write_parquet(tmp_path / "en.parquet", ROWS["en"])
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(CapabilityError, match=r"need pyarrow: pip install 'interp\[data\]'"):
        global_mmlu_facts(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("en.json", b"{}", r"en\.json cannot be read: expected a list of rows"),
        ("en.json", b"[{", r"en\.json cannot be read: Expecting"),
        ("en.csv", b'a,b\n"1,2\n', r"en\.csv cannot be read: unexpected end of data"),
        ("en.tsv", b"a\tb\n\xff\t1\n", r"en\.tsv cannot be read: 'utf-8' codec"),
        ("en.parquet", b"no", r"en\.parquet cannot be read: "),
        ("en/state.json", b"{}", r"en cannot be read by datasets: "),
        ("en.csv", b"a,b\n1\n", "en row 1: not readable: 1 fields, the header has 2"),
        ("en.json", b"[1]", "en row 1: not readable: expected an object with a key per column"),
        ("en.csv", b"", "has no rows"),
        (
            "en.txt",
            b"",
            r"has no \.jsonl, \.json, \.csv, \.tsv, \.parquet file and nothing that datasets saved",
        ),
        (".cache/en.jsonl", b"{}", "has no .*file and nothing"),
        ("be.jsonl", b"{}", r"has no language that is known here\. Choose from: be"),
    ],
)
def test_damaged_files_are_refused(tmp_path, name, content, message):
    path = tmp_path / "folder" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        global_mmlu_facts(str(tmp_path / "folder"))


@pytest.mark.parametrize("source", ["../none", "/none/at/all", "none", "", "a/b/c", "a\u202eb/c d"])
def test_what_is_neither_a_folder_nor_a_hub_id(source):
    with pytest.raises(DataError, match=r"No folder of rows at /.*is no hub id"):
        open_configs(source)


def test_a_file_of_another_kind(tmp_path):
    (tmp_path / "facts.txt").write_text("")
    with pytest.raises(DataError, match=r"facts\.txt is none of \.jsonl"):
        open_configs(str(tmp_path / "facts.txt"))


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("test", "test"),
        ("dev", "validation"),
        ("valid-00001-of-00002", "validation"),
        ("train", "train"),
        ("testing", ""),
        ("test_en", ""),
    ],
)
def test_names_of_splits(name, split):
    assert split_named(name) == split


def test_languages_are_chosen_in_a_fixed_order():
    assert known_languages({"sw", "en", "xx"}, None, "x") == (
        ("en", "sw"),
        "1 not read, no known language (xx)",
    )
    assert known_languages({"sw", "en"}, ["sw"], "x") == (("sw",), "")
    with pytest.raises(DataError, match="Unknown language 'xx'"):
        known_languages({"sw", "xx"}, ["xx"], "x")
    with pytest.raises(DataError, match="'x' lacks the language de, ja"):
        known_languages({"sw", "en"}, ["en", "de", "ja"], "x")


def test_refusals_list_twenty_and_count_the_rest():
    refuse("x", [], 1)
    with pytest.raises(DataError, match=r"^'x' has no rows"):
        refuse("x", [], 0)
    with pytest.raises(DataError) as error:
        refuse("x", [(Row("en", "test", n, {}).where, "bad") for n in range(1, 24)], 30)
    lines = str(error.value).split("\n")
    assert (lines[0], lines[1], lines[-1]) == (
        "'x' has 23 violations in 30 rows:",
        "  en test row 1: bad",
        "  and 3 more",
    )
    assert len(lines) == 22


def test_lists_are_short():
    assert listed("things", []) == ""
    assert listed("things", ["a", "b", "c"]) == "3 things (a, b, c)"
    assert listed("things", ["a", "b\u202e", "c", "d"]) == "4 things (first a, b\\u202e, c)"
