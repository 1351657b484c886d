"""Large files of facts: texts stay in the file, and everything is as if they were in memory."""

import copy
import json
import os

import pytest

from interp.data.facts import FactSet
from interp.data.files import open_rows, write_rows
from interp.data.prompts import prompts_from_facts
from interp.data.sources import load_facts, open_prompts
from interp.data.wording import StoredWording
from interp.errors import DataError
from tests.support.extras import needed


@pytest.fixture
def rows(row):
    """Six facts with line feeds, other lengths and another right answer; the third lacks German."""
    made = []
    for number in range(6):
        one = copy.deepcopy(row) | {"fact_id": f"f{number}", "subject_id": f"s{number}"}
        for code in ("en", "de"):
            one["wording"][code]["question"] = f"{code} «Q»\n{'é' * number} {number}?"
        one["wording"]["en"] |= {"suffix": ".", "aliases": ["Alias"]} if number == 1 else {}
        made.append(one | {"object_id": "ab"[number % 2], "split": ("test", "train")[number % 2]})
    del made[2]["wording"]["de"]
    return made


@pytest.fixture(params=["jsonl", "parquet", "bom"])
def file(request, rows, tmp_path):
    if request.param == "parquet":
        return write_rows(tmp_path / "f.parquet", rows)
    path = write_rows(tmp_path / "f.jsonl", rows)
    if request.param == "bom":
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n\n"))
    return path


@pytest.fixture
def stored(monkeypatch):
    monkeypatch.setattr("interp.data.stored.HELD", 0)


def test_a_stored_set_is_the_set(file, monkeypatch):
    held = load_facts(file)
    assert not any(isinstance(fact.wording, StoredWording) for fact in held)
    monkeypatch.setattr("interp.data.stored.HELD", 0)
    for sample in (False, True):
        kept = load_facts(file, sample=sample)
        assert all(isinstance(fact.wording, StoredWording) for fact in kept)
        assert repr(kept) == repr(held)
        assert kept.facts == held.facts
        assert kept.digest == held.digest
        assert [list(fact.wording) for fact in kept] == [list(fact.wording) for fact in held]
        few = [s.filter(languages=["de"], splits=["test"], limit=1, allow_missing=True) for s in (kept, held)]
        assert few[0].digest == few[1].digest
        assert isinstance(few[0].facts[0].wording, StoredWording)
        assert prompts_from_facts(few[0]).digest == prompts_from_facts(few[1]).digest


def test_languages_that_were_dropped_are_gone(file, stored):
    facts = load_facts(file).filter(languages=["en"])
    wording = facts.facts[0].wording
    assert ("de" in wording, len(wording), list(wording)) == (False, 1, ["en"])
    with pytest.raises(KeyError):
        wording["de"]
    assert wording["en"].options == ("A", "B")
    assert facts.filter(languages=["en"]).facts[0].wording["en"] is wording["en"]


def test_nothing_is_read_before_a_text_is_used(file, stored, monkeypatch):
    read = []
    for kind in ("JsonLines", "ParquetRows"):
        real = getattr(__import__("interp.data.files", fromlist=[kind]), kind).row_at

        def counted(self, place, real=real):
            read.append(place)
            return real(self, place)

        monkeypatch.setattr(f"interp.data.files.{kind}.row_at", counted)
    facts = load_facts(file)
    chosen = facts.filter(languages=["en"], splits=["test"], limit=2)
    assert [fact.answer_index for fact in facts] == [0, 1, 0, 1, 0, 1]
    assert read == []
    prompts_from_facts(chosen)
    assert len(read) == 2, "each text once, whatever is asked of it"


def test_a_fact_lacks_its_language_as_in_memory(file, stored):
    with pytest.raises(DataError, match="'de' is missing in 1 of 6 facts"):
        load_facts(file).filter(languages=["de"])


def test_rows_are_found_again_by_their_place(file, rows):
    opened = open_rows(file)
    places = [place for _, place, _ in opened.placed()]
    assert [opened.row_at(place)["fact_id"] for place in reversed(places)] == [
        f"f{n}" for n in range(5, -1, -1)
    ]


def test_parquet_rows_of_several_groups(rows, tmp_path):
    pyarrow, parquet = needed("pyarrow"), needed("pyarrow.parquet")
    flat = [{**row, "wording": json.dumps(row["wording"])} for row in rows]
    parquet.write_table(pyarrow.Table.from_pylist(flat), tmp_path / "f.parquet", row_group_size=2)
    opened = open_rows(tmp_path / "f.parquet")
    assert [opened.row_at(place)["fact_id"] for place in (5, 0, 3)] == ["f5", "f0", "f3"]


@pytest.mark.parametrize("change", ["longer", "touched", "gone"])
def test_a_file_that_changes_meanwhile_is_told(file, stored, change):
    facts = load_facts(file)
    if change == "longer":
        file.write_bytes(b"\n" + file.read_bytes())
    elif change == "touched":
        os.utime(file, ns=(1, 1))
    else:
        file.unlink()
    with pytest.raises(DataError, match=r"has changed since it was opened\. Leave it as it is during a run"):
        facts.facts[0].answer("en")


def test_a_whole_file_is_checked_at_once_and_a_sample_when_it_is_used(rows, tmp_path, stored):
    rows[4]["wording"]["en"]["options"] = ["Paris", "PARIS"]
    path = write_rows(tmp_path / "f.jsonl", rows)
    with pytest.raises(DataError, match=r"row 5 \(f4\): wording\.en\.options\[0\] and \[1\] are"):
        load_facts(path)
    facts = load_facts(path, sample=True)
    assert facts.facts[0].answer("en") == "A"
    with pytest.raises(DataError, match=r"f\.jsonl, fact 'f4':\n  wording\.en\.options\[0\] and \[1\] are"):
        facts.facts[4].answer("en")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fact_id": "f0"}, "row 5 (f0): fact_id is also that of row 1"),
        ({"fact_id": "f\u2028"}, "fact_id has control characters: U+2028"),
        ({"split": "tset"}, "split is 'tset'"),
        ({"subject_id": "s1", "split": "test"}, "the relation and subject is in split 'test' here"),
        ({"option_ids": ["a", "a"]}, "option_ids has 'a' 2 times"),
        ({"wording": {"enn": {}}}, "unknown language 'enn'"),
        ({"wording": {"en": 1}}, "wording.en: expected an object, found a number"),
        ({"wording": {}}, "wording has no language"),
    ],
)
def test_what_decides_the_sample_is_checked_in_all_rows(rows, tmp_path, stored, change, message):
    rows[4] |= change
    path = write_rows(tmp_path / "f.jsonl", rows)
    with pytest.raises(DataError) as error:
        open_prompts(path, ["en"], limit=1)
    assert message in str(error.value)


def test_saving_and_copying_a_stored_set(file, stored, tmp_path):
    facts = load_facts(file)
    again = load_facts(facts.save(tmp_path / "again.jsonl"))
    assert again.facts == facts.facts == FactSet("x", facts.facts, facts.languages).facts
    assert repr(facts.facts[2].wording) == "StoredWording(en)"


@pytest.mark.parametrize("name", ["f.jsonl", "f.parquet"])
@pytest.mark.parametrize("sample", [True, False])
def test_languages_that_a_large_file_describes_are_known(rows, few_words, stored, tmp_path, name, sample):
    for row in rows:
        row["wording"][few_words] = {"question": "ጥያቄ?", "subject": "ስም", "options": ["ካይሮ", "አዲስ አበባ"]}
        row["wording"][few_words]["question"] += row["fact_id"]
    first = load_facts(write_rows(tmp_path / "first.jsonl", rows))
    facts = load_facts(first.save(tmp_path / name), sample=sample)
    assert facts.digest == first.digest
    assert facts.languages[-1] == few_words
    assert facts.facts[3].answer(few_words) == "አዲስ አበባ"
    assert len(facts) == 6
