import copy
import json

import pytest

from interp.data.check import check_facts
from interp.data.files import write_rows
from interp.data.schema import row_problems
from interp.data.sources import load_facts, open_prompts
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
    # told apart by nothing that a reader sees
    ((*EN, "options"), ["Paris", "PARIS"], "are 'Paris' and 'PARIS': one name to a reader"),
    ((*EN, "options"), ["Ko\u0308ln", "Köln"], "wording.en.options[0] and [1] are"),
    ((*EN, "options"), ["New York", "New\u00a0 York"], "wording.en.options[0] and [1] are"),
    ((*EN, "options"), ["Paris", " Paris"], "wording.en.options[0] and [1] are"),
    ((*EN, "options"), ["می\u200cشود", "میشود"], "wording.en.options[0] and [1] are"),
    ((*EN, "options"), ["Zentral\u00adafrika", "zentralafrika"], "wording.en.options[0] and [1] are"),
    ((*EN, "options"), ["ＡＢ", "ab"], "wording.en.options[0] and [1] are"),
    ((*EN, "options"), ["a\u200b", "b"], "wording.en.options[0] has control characters: U+200B"),
    ((*EN, "options"), ["a\u2060", "b"], "wording.en.options[0] has control characters: U+2060"),
    ((*EN, "options"), ["a\u2028b", "b"], "wording.en.options[0] has control characters: U+2028"),
    ((*EN, "options"), ["?!", "b"], "options[0] is '?!': no letter or digit for a completion to name it by"),
    ((*EN, "options"), ["ʻ", "b"], "wording.en.options[0] is 'ʻ': no letter or digit"),
    ((*EN, "options"), ["ـ", "b"], "wording.en.options[0] is 'ـ': no letter or digit"),
    ((*EN, "aliases"), ["City", "b"], "wording.en.aliases[1] is 'b', which is a wrong option"),
    ((*EN, "aliases"), "City", "wording.en.aliases: expected a list, found a text"),
    ((*EN, "question"), "Q\u2028?", "wording.en.question has control characters: U+2028"),
    (("fact_id",), "f\u20281", "fact_id has control characters: U+2028"),
    (("fact_id",), "f\n1", "fact_id has control characters: U+000A"),
    (("fact_id",), "f\u200d1", "fact_id has characters that are not seen: U+200D"),
    (("fact_id",), " f1", "fact_id has white space around it: ' f1'"),
    (("subject_id",), "s\u00ad1", "subject_id has characters that are not seen: U+00AD"),
    (("option_ids",), ["a", "b\u2029"], "option_ids[1] has control characters: U+2029"),
    (("option_ids",), ["a", "b\ufe0f"], "option_ids[1] has characters that are not seen: U+FE0F"),
    (("wording", "de", "options"), ["B", "A"], "'A' and 'B' have changed places between 'en' and 'de'"),
    (("wording", "de"), ..., "lacks a language of other facts: 'de' (1 facts have it)"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "message"), ONE_FAULT)
def test_each_fault_is_reported_with_its_row(row, jsonl, path, value, message):
    sound = changed(changed(row, ("fact_id",), "f0"), ("subject_id",), "s0")
    found = check_facts(jsonl(sound, b"", changed(row, path, value)))
    reported = [violation for violation in found.violations if message in violation.message]
    assert reported, found.summary()
    assert {violation.row for violation in reported} == {3}, "blank lines count as rows"
    assert (found.n_rows, found.n_facts, found.ok) == (2, 1, False)


SOUND = [
    (EN, {"question": "Two\nlines?", "subject": "S", "options": ["C", "C#"]}),
    (EN, {"question": "Q?", "subject": "S", "options": ["10²", "102"]}),
    (EN, {"question": "Q?", "subject": "S", "options": ["¿Qué?", "Que"], "aliases": ["¿Qué?"]}),
    (
        EN,
        {"question": "Q?", "subject": "S", "options": ["می\u200cشود", "Zentral\u00adafrika"], "suffix": "."},
    ),
    (EN, {"question": "Q?", "subject": "S", "options": ["B", "x"]}),
    (("fact_id",), "été 1|x/y:z"),
]


@pytest.mark.parametrize(("path", "value"), SOUND)
def test_what_a_reader_can_tell_apart_is_sound(row, jsonl, path, value):
    assert check_facts(jsonl(changed(row, path, value))).violations == ()


def test_without_alignment_only_the_right_option_has_its_place(row, jsonl):
    options = {"en": ["A", "B", "C"], "de": ["A", "C", "B"]}
    for code, names in options.items():
        row = changed(row, ("wording", code, "options"), names)
    row = row | {"option_ids": ["a", "b", "c"], "aligned": False}
    assert check_facts(jsonl(row)).ok
    assert not check_facts(jsonl(row | {"object_id": "b"})).ok
    assert not check_facts(jsonl(row | {"aligned": True})).ok


@pytest.mark.parametrize(("path", "value"), [(path, value) for path, value, _ in ONE_FAULT] + SOUND)
def test_the_quick_look_and_the_rules_agree(row, monkeypatch, path, value):
    quick = [*row_problems(changed(row, path, value))]
    monkeypatch.setattr("interp.data.schema.all_pass", lambda *_: False)
    monkeypatch.setattr("interp.data.schema.ids_pass", lambda *_: False)
    assert quick == [*row_problems(changed(row, path, value))]


@pytest.mark.parametrize(("path", "value", "message"), ONE_FAULT)
def test_reading_refuses_what_the_check_reports(row, jsonl, path, value, message):
    """But for a language that a fact lacks, which counts when it is asked for."""
    file = jsonl(changed(changed(row, ("fact_id",), "f0"), ("subject_id",), "s0"), changed(row, path, value))
    if "lacks a language" in message:
        assert len(load_facts(file)) == 2
        return
    with pytest.raises(DataError) as error:
        open_prompts(file, ["en"])
    assert message in str(error.value)


@pytest.mark.parametrize("content", [b"", b"\n\n  \n"])
def test_a_file_without_facts_is_no_sound_file(tmp_path, content):
    path = tmp_path / "f.jsonl"
    path.write_bytes(content)
    found = check_facts(path)
    assert (found.ok, found.n_rows, found.n_facts) == (False, 0, 0)
    assert "1 violations" in found.summary()
    assert "the file has no facts" in found.summary()
    with pytest.raises(DataError, match="has no facts"):
        load_facts(path)


def test_one_question_under_two_ids_would_count_twice(row, jsonl):
    copied = changed(row, (*EN, "question"), "q? ") | {"fact_id": "f2"}
    turned = copied | {"option_ids": ["b", "a"], "fact_id": "f3"}
    for code in ("en", "de"):
        turned = changed(turned, ("wording", code, "options"), ["B", "A"])
    other = changed(copied, (*EN, "options"), ["A", "C"]) | {"fact_id": "f4"}
    found = check_facts(jsonl(row, copied, turned, other))
    said = "subject, question, answer and options are row 1's (f1): it would count twice"
    assert [(v.row, v.fact_id, v.message) for v in found.violations] == [(2, "f2", said), (3, "f3", said)]
    with pytest.raises(DataError, match="it would count twice"):
        load_facts(jsonl(row, copied))
    poorer = changed(changed(copied, ("wording", "en"), ...), ("wording", "fr"), row["wording"]["en"])
    assert [v.message for v in check_facts(jsonl(row, poorer)).violations if v.fatal] == [said]


def test_ids_are_equal_however_they_are_composed(row, jsonl):
    found = check_facts(jsonl(row | {"fact_id": "é"}, row | {"fact_id": "e\u0301", "subject_id": "s9"}))
    assert [violation.message for violation in found.violations] == ["fact_id is also that of row 1"]


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
