import copy
import json

import pytest

from interp.data.check import check_facts
from interp.data.files import write_rows
from interp.data.sources import load_facts
from interp.errors import DataError


def changed(row, path, value):
    """A copy of a row with one value replaced, or removed when the value is `...`."""
    row = copy.deepcopy(row)
    inner = row
    for key in path[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return row


EN = ("wording", "en")
ONE_FAULT = [
    (("fact_id",), ..., "'fact_id' is missing"),
    (("relation",), ..., "'relation' is missing"),
    (("wording",), ..., "'wording' is missing"),
    (("split",), None, "'split' is missing"),
    (("option_id",), [], "unknown key 'option_id' Did you mean 'option_ids'?"),
    (("fact_id",), 7, "fact_id: expected a text, found a number"),
    (("subject_id",), "", "subject_id is empty"),
    (("option_ids",), "a", "option_ids: expected a list, found a text"),
    (("option_ids",), ["a"], "option_ids has 1 entries; at least 2"),
    (("option_ids",), ["a", "a"], "option_ids has 'a' 2 times"),
    (("option_ids",), ["a", "b", "c"], "wording.en.options has 2 entries, option_ids has 3"),
    (("object_id",), "z", "object_id 'z' is not among option_ids"),
    (("split",), "tset", "split is 'tset', expected train, validation, test Did you mean 'test'?"),
    (("wording",), [], "wording: expected an object with a key per language, found a list"),
    (("wording",), {}, "wording has no language"),
    (EN, "Q?", "wording.en: expected an object, found a text"),
    (("wording", "enn"), {"question": "Q", "subject": "S", "options": ["A", "B"]}, "unknown language 'enn'"),
    ((*EN, "question"), ..., "wording.en: 'question' is missing"),
    ((*EN, "hint"), "x", "wording.en: unknown key 'hint'"),
    ((*EN, "question"), "   ", "wording.en.question is empty"),
    ((*EN, "subject"), True, "wording.en.subject: expected a text, found true or false"),
    ((*EN, "options"), {}, "wording.en.options: expected a list, found an object"),
    ((*EN, "options"), ["A", "A"], "wording.en.options has 'A' 2 times"),
    ((*EN, "options"), ["A", ""], "wording.en.options[1] is empty"),
    ((*EN, "options"), ["A", "B\u202e"], "wording.en.options[1] has control characters: U+202E"),
    ((*EN, "subject"), "S\u0000\u2066", "wording.en.subject has control characters: U+0000, U+2066"),
    ((*EN, "subject"), "S\nS", "wording.en.subject has control characters: U+000A"),
    ((*EN, "subject"), "\ud800", "wording.en.subject has control characters: U+D800"),
    ((*EN, "subject"), "S" * 2001, "wording.en.subject has 2001 characters; at most 2000"),
    (("wording", "de"), ..., "lacks a language of other facts: 'de' (1 facts have it)"),
]


@pytest.mark.parametrize(("path", "value", "message"), ONE_FAULT)
def test_each_fault_is_reported_with_its_row(row, jsonl, path, value, message):
    sound = changed(changed(row, ("fact_id",), "f0"), ("subject_id",), "s0")
    found = check_facts(jsonl(sound, b"", changed(row, path, value)))
    reported = [violation for violation in found.violations if message in violation.message]
    assert reported, found.summary()
    assert {violation.row for violation in reported} == {3}, "blank lines count as rows"
    assert (found.n_rows, found.n_facts, found.ok) == (2, 1, False)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"fact_id": "f1",', "not readable: Expecting"),
        (b"\xff\xfe", "not readable: 'utf-8' codec can't decode byte 0xff"),
        (b'["f1"]', "expected a JSON object, found a list"),
        (b"null", "expected a JSON object, found null"),
        (b'{"fact_id": "f1", "fact_id": "f2"}', "the key 'fact_id' appears twice"),
        (b"[" * 100_000, "not readable"),
    ],
)
def test_a_line_that_is_no_row(row, jsonl, line, message):
    found = check_facts(jsonl(row, line))
    assert any(violation.row == 2 and message in violation.message for violation in found.violations)
    assert found.n_facts == 1


def test_faults_between_rows(row, jsonl):
    other = row | {"subject_id": "s2", "fact_id": "f2"}
    found = check_facts(
        jsonl(
            row | {"group": "NO"},
            row | {"subject_id": "s9"},
            row | {"fact_id": "f3", "split": "train"},
            other | {"group": "NO", "split": "train"},
        )
    )
    assert [(violation.row, violation.message) for violation in found.violations] == [
        (2, "fact_id is also that of row 1"),
        (3, "the relation and subject is in split 'train' here and in 'test' in row 1"),
        (4, "the group is in split 'train' here and in 'test' in row 1"),
    ]


def test_violations_come_in_the_order_of_the_rows(row, jsonl):
    poorer = changed(row, ("wording", "de"), ...)
    found = check_facts(jsonl(poorer, row | {"split": "dev"}, {}))
    rows = [violation.row for violation in found.violations]
    assert rows == sorted(rows)
    assert set(rows) == {1, 2, 3}


def test_a_sound_file(row, jsonl):
    found = check_facts(jsonl(row, row | {"fact_id": "f2", "subject_id": "s2", "group": None}))
    assert found.ok
    assert (found.n_rows, found.n_facts, found.languages) == (2, 2, ("en", "de"))
    assert "2 rows, 2 without fault, languages en de; no violation" in repr(found)


def test_zero_width_joiners_are_spelling_not_controls(row, jsonl):
    assert check_facts(jsonl(changed(row, (*EN, "subject"), "می‌شود"))).ok


def test_byte_order_mark_and_windows_line_ends_are_read(row, tmp_path):
    path = tmp_path / "windows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(row).encode() + b"\r\n\r\n")
    assert check_facts(path).ok


def test_parquet_rows_are_checked_like_lines(row, tmp_path):
    path = write_rows(tmp_path / "f.parquet", [row, row | {"split": "dev"}])
    messages = [str(violation) for violation in check_facts(path).violations]
    assert "row 2 (f1): fact_id is also that of row 1" in messages
    assert any(message.startswith("row 2 (f1): split is 'dev'") for message in messages)


def test_loading_shows_the_first_twenty_rows(row, jsonl):
    path = jsonl(*(row | {"fact_id": f"f{n}", "subject_id": f"s{n}", "split": "dev"} for n in range(25)))
    with pytest.raises(DataError) as error:
        load_facts(path)
    lines = str(error.value).splitlines()
    assert "has 25 violations in 25 rows" in lines[0]
    assert lines[1].startswith("  row 1 (f0): split is 'dev'")
    assert lines[20].startswith("  row 20 ")
    assert lines[21] == "  and 5 more; check_facts lists all"
    assert len(lines) == 22
    assert "and 15 more" in check_facts(path).summary(10)


def test_a_gap_can_be_loaded_and_counts_when_asked_for(row, jsonl):
    poorer = changed(row, ("wording", "de"), ...) | {"fact_id": "f2", "subject_id": "s2"}
    facts = load_facts(jsonl(row, poorer))
    assert facts.languages == ("en", "de")
    assert len(facts.filter(languages=["en"])) == 2
    with pytest.raises(DataError, match="'de' is missing in 1 of 2"):
        facts.filter(languages=["de"])


def test_messages_do_not_carry_what_they_warn_of(row, jsonl):
    bad = row | {"fact_id": "x\u202eevil", "split": "\u001b[31m" + "y" * 10**6, "wording": {"\u202een": {}}}
    text = check_facts(jsonl(bad)).summary()
    assert "\u202e" not in text
    assert "\u001b" not in text
    assert len(text) < 2000
