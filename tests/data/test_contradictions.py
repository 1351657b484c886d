"""Rows of outside data that contradict themselves or each other."""

import copy
import json

import pytest

from interp.data.crossing import crossed, misplaced
from interp.data.sources import open_facts
from interp.errors import DataError
from tests.support.benchmark_files import (
    LETTERS,
    change_json,
    flat_row,
    mmlu_row,
    parallel_row,
    polyfact_said,
    write_json,
    write_klar,
    write_lines,
    write_tsv,
)

ALIKE = ("Paris", "Berlin", "Roma", "Bern")
ALL_LETTERS = [f"option_{letter.lower()}" for letter in LETTERS]


def refusal(source, **options):
    with pytest.raises(DataError) as error:
        open_facts(source, **options)
    return str(error.value)


def flat(folder, change, code="de", ids=True, **more):
    """Two languages of one fact, of which one is changed."""
    for language in ("en", "de"):
        row = flat_row(1, language, 1, ids)
        write_lines(folder / language / "test.jsonl", [row | change if language == code else row])
    return refusal(f"polyfact:{folder}", **more)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"relation": "continent"}, "de test row 1: de: relation is 'continent', and 'capital' in 'en'"),
        ({"object": "Rome"}, "de test row 1: de: object is 'Rome', and 'x' in 'en'"),
        ({"subject": "Malta"}, "de test row 1: de: subject is 'Malta', and 'subject 1' in 'en'"),
        ({"object_id": "Q7"}, "de test row 1: object_id is 'Q7', and fact_id 'Q1|P36|Q100' has 'Q100'"),
        ({"subject_id": "Q7"}, "subject_id is 'Q7', and fact_id 'Q1|P36|Q100' has 'Q1'"),
        ({"property_id": "P7"}, "property_id is 'P7', and fact_id 'Q1|P36|Q100' has 'P36'"),
        ({"relation": "P7"}, "relation is 'P7', and fact_id 'Q1|P36|Q100' has 'P36'"),
        (
            {"options": ["de name 1 1", "de name 1 2", "de name 1 0", "de name 1 3"]},
            "options has 'de name 1 0' where option_a to option_d have 'de name 1 3' (option 2)",
        ),
        ({"options": ["de name 1 1"]}, "options has nothing where option_a to option_d have 'de name 1 2'"),
        ({"option_a": "DE NAME 1 2"}, "option 1 is 'de name 1 2', which to a reader is option 0, 'DE"),
        ({"option_a": "de  name\u00a01 2"}, "option 1 is 'de name 1 2', which to a reader is option 0"),
        ({"option_a": "de na\u200bme 1 2"}, "option 1 is 'de name 1 2', which to a reader is option 0"),
        ({"option_a": "Köln", "option_b": "Ko\u0308ln"}, "which to a reader is option 0, 'Köln'"),
        ({"option_a": "ﾊﾟﾘ", "option_b": "パリ"}, "which to a reader is option 0, 'ﾊﾟﾘ'"),
        ({"fact_id": "Q1|P36|\u2028Q100"}, "fact_id has control characters: U+2028"),
        ({"fact_id": "Q1|P36|Q1\u200d00"}, "fact_id has characters that are not seen: U+200D"),
        ({"option_a": "de\u2028name"}, "option 0 is 'de\\u2028name', of several lines"),
        ({"langs": {}, "translations": {}}, "both translations and langs, which are two schemas"),
    ],
)  # fmt: skip
def test_a_polyfact_row_that_contradicts_itself_or_english(tmp_path, change, message):
    assert message in flat(tmp_path, change)


def test_a_column_that_one_language_lacks_is_no_contradiction(tmp_path):
    for code, change in (("en", {}), ("de", {"relation": None, "object": "", "subject": None})):
        write_lines(tmp_path / code / "test.jsonl", [flat_row(1, code, 1) | change])
    assert len(open_facts(f"polyfact:{tmp_path}")) == 1


def test_options_said_twice_alike_are_read(tmp_path):
    row = flat_row(1, "en", 1)
    names = [row[key] for key in ALL_LETTERS]
    for options in (names, json.dumps(names), dict(zip("DCBA", reversed(names), strict=True))):
        write_lines(tmp_path / "en" / "test.jsonl", [row | {"options": options}])
        assert open_facts(f"polyfact:{tmp_path}").facts[0].wording["en"].options == tuple(names)


def named(code, turn, ids=True, order=(0, 1, 2, 3)):
    """A fact whose options have one spelling in all languages; `order` moves the ids of a language."""
    row = flat_row(1, code, turn, ids)
    turned = [(position + turn) % 4 for position in range(4)]
    row |= {key: ALIKE[k] for key, k in zip(ALL_LETTERS, turned, strict=True)} | {"answer_text": "Paris"}
    if ids:
        row["option_ids"] = [f"Q{100 + order[k]}" for k in turned]
    return row


def test_ids_that_exchange_two_names_are_refused(tmp_path):
    write_lines(tmp_path / "en" / "test.jsonl", [named("en", 1)])
    write_lines(tmp_path / "de" / "test.jsonl", [named("de", 2, order=(0, 2, 1, 3))])
    message = refusal(f"polyfact:{tmp_path}")
    assert (
        "en test row 1: by option_ids 'Berlin' and 'Roma' have changed places between 'en' and 'de'"
        in message
    )


def test_one_name_with_two_ids_may_be_two_things_and_is_noted(tmp_path):
    other = named("de", 2, order=(0, 2, 1, 3))
    other = {key: "Rom" if value == "Roma" else value for key, value in other.items()}
    write_lines(tmp_path / "en" / "test.jsonl", [named("en", 1)])
    write_lines(tmp_path / "de" / "test.jsonl", [other])
    assert open_facts(f"polyfact:{tmp_path}").note == "1 facts where one name has two ids (Q1|P36|Q100)"


def test_an_alignment_may_not_put_one_name_in_two_places(tmp_path):
    """Two wrong options of German change places; Roma is spelled alike in both languages, Bern is not."""
    rows = {"en": named("en", 0, ids=False), "de": named("de", 1, ids=False)}
    rows["de"]["option_c"] = "Bern (Stadt)"
    for code, row in rows.items():
        write_lines(tmp_path / "v1" / code / "test.jsonl", [row])
    places = {"en": [0, 1, 2, 3], "de": [1, 2, 3, 0]}
    write_json(tmp_path / "a.json", {"Q1|P36|Q100": places})
    aligned = open_facts(f"polyfact:{tmp_path / 'v1'}", alignment=tmp_path / "a.json")
    assert aligned.facts[0].wording["de"].options == ("Paris", "Berlin", "Roma", "Bern (Stadt)")
    write_json(tmp_path / "b.json", {"Q1|P36|Q100": places | {"de": [1, 3, 2, 0]}})
    message = refusal(f"polyfact:{tmp_path / 'v1'}", alignment=tmp_path / "b.json")
    assert "Q1|P36|Q100: 'Roma' is in place 3 in 'de' and 2 in 'en'" in message


def test_names_are_told_to_change_places_only_where_two_do():
    same = {"en": ("Georgia", "Chad"), "fr": ("Géorgie", "Tchad")}
    assert (misplaced(same), crossed(same)) == ("", "")
    homonym = {"en": ("Guinea", "Papua"), "es": ("Guinea Ecuatorial", "Guinea")}
    assert misplaced(homonym) == "'Guinea' is in place 1 in 'es' and 0 in 'en'"
    assert crossed(homonym) == ""
    exchanged = {"it": ("x", "Roma", "Berlin"), "de": ("y", "BERLIN", "Roma")}
    assert crossed(exchanged) == "'Roma' and 'Berlin' have changed places between 'it' and 'de'"
    assert crossed(exchanged, right=0) == ""
    assert crossed(exchanged, right=2) != ""


COPIED = (
    "question, right answer and options are those of 'Q1|P36|Q100' (parallel row 1), so it would count twice"
)


@pytest.mark.parametrize("schema", ["translations", "langs"])
def test_one_question_under_two_ids_would_count_twice(tmp_path, schema):
    row = parallel_row(1, {"en": 0, "de": 1}, ids=schema == "translations")
    if schema == "langs":
        row["langs"] = row.pop("translations")
    other = copy.deepcopy(row) | {"fact_id": "Q2|P36|Q100", "subject_id": "Q2"}
    other[schema]["en"]["question"] = "EN  question 1?"  # case and spaces
    other[schema]["de"] |= polyfact_said(1, "de", 3, ids=schema == "translations")  # another order
    write_lines(tmp_path / "parallel.jsonl", [row, other])
    assert f"row 2: fact_id 'Q2|P36|Q100': {COPIED}" in refusal(f"polyfact:{tmp_path}")


def test_one_question_with_other_wrong_options_is_noted_and_another_answer_is_not(tmp_path):
    rows = [parallel_row(1, {"en": 0}), *(parallel_row(1, {"en": 0}) for _ in range(2))]
    rows[1]["fact_id"], rows[1]["translations"]["en"]["option_d"] = "Q2|P36|Q100", "elsewhere"
    rows[2]["fact_id"], rows[2]["translations"]["en"]["question"] = "Q3|P36|Q100", "another?"
    write_lines(tmp_path / "parallel.jsonl", [row | {"subject_id": None} for row in rows])
    assert open_facts(f"polyfact:{tmp_path}").note.startswith(
        "1 facts with question and answer of another one (Q2|P36|Q100); 3 facts of no split"
    )


def test_questions_that_are_one_in_one_language_only_are_two(tmp_path):
    """A name that German has for two things, and English for one of them."""
    rows = [
        parallel_row(1, {"en": 0, "de": 0}),
        parallel_row(1, {"en": 0, "de": 0}) | {"fact_id": "Q2|P36|Q100"},
    ]
    rows[1]["translations"]["en"]["question"] = "another?"
    write_lines(tmp_path / "parallel.jsonl", [row | {"subject_id": None, "split": "test"} for row in rows])
    assert open_facts(f"polyfact:{tmp_path}").note == ""


def items(code, rows, **more):
    """The form of the published sample: rows in ``items``, options by letter, language and split beside."""
    each = [
        {"fact_id": row["fact_id"], "language": code}
        | {key: row[key] for key in ("question", "answer_text")}
        | {"options": {letter: row[f"option_{letter.lower()}"] for letter in LETTERS}}
        | {"answer_index": row["answer_index"], "human_eval": {"label": None}}
        for row in rows
    ]  # fmt: skip
    return {"dataset": "x", "language": code, "split": "validation", "n": len(each), "items": each, **more}


def test_the_form_of_the_published_sample_is_read(tmp_path):
    for code, turn in (("en", 1), ("de", 3)):
        write_json(
            tmp_path / "sample" / f"{code}.json",
            items(code, [flat_row(n, code, turn, False) for n in (1, 2)]),
        )
        write_lines(
            tmp_path / "rows" / code / "validation.jsonl", [flat_row(n, code, turn, False) for n in (1, 2)]
        )
    sample, rows = (open_facts(f"polyfact:{tmp_path / name}") for name in ("sample", "rows"))
    assert [fact.wording["de"].options for fact in sample] == [fact.wording["de"].options for fact in rows]
    assert [fact.split for fact in sample] == ["validation", "validation"]
    write_json(tmp_path / "mmlu" / "en.json", {"items": [mmlu_row(1, "en")]})
    assert len(open_facts(f"global-mmlu:{tmp_path / 'mmlu'}")) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 2}, "n is 2, and there are 1 items"),
        ({"language": "de"}, "language is de, and en in item 1"),
        ({"split": "tset"}, "split is 'tset', expected train, validation, test"),
        ({"items": {}}, 'expected a list of rows, or an object with a list of them under "items"'),
        ({"items": [1]}, "not readable: expected an object with a key per column"),
    ],
)
def test_a_sample_that_contradicts_what_stands_beside_it(tmp_path, change, message):
    write_json(tmp_path / "en.json", items("en", [flat_row(1, "en", 1, False)]) | change)
    assert message in refusal(f"polyfact:{tmp_path}")


def test_options_by_letter_must_be_the_four(tmp_path):
    row = {k: v for k, v in flat_row(1, "en", 1, False).items() if k not in ALL_LETTERS}
    for options, message in (({"A": "x", "B": "y"}, "2 options, expected 4"), ({}, "0 options, expected 4")):
        write_lines(tmp_path / "en" / "test.jsonl", [row | {"options": options}])
        assert message in refusal(f"polyfact:{tmp_path}")


def test_global_mmlu_ids_hide_nothing(tmp_path):
    write_lines(tmp_path / "en" / "test.jsonl", [mmlu_row(1, "en") | {"sample_id": "law/test\u2029/1"}])
    assert "en test row 1: sample_id has control characters: U+2029" in refusal(f"global-mmlu:{tmp_path}")


def test_global_mmlu_samples_of_two_subjects_or_parts(tmp_path):
    write_lines(tmp_path / "en" / "test.jsonl", [mmlu_row(1, "en")])
    write_lines(tmp_path / "de" / "test.jsonl", [mmlu_row(1, "de") | {"subject": "law"}])
    assert "de test row 1: subject is 'law', and 'virology' in 'en'" in refusal(f"global-mmlu:{tmp_path}")
    (tmp_path / "de" / "test.jsonl").unlink()
    write_lines(tmp_path / "de" / "dev.jsonl", [mmlu_row(1, "de")])
    message = refusal(f"global-mmlu:{tmp_path}")
    assert "de validation row 1: the part is 'validation', and 'test' in 'en'" in message


def test_global_mmlu_notes_twins_crossings_and_repeats(tmp_path):
    options = dict(zip(ALL_LETTERS, ALIKE, strict=True))
    turned = dict(zip(ALL_LETTERS, ("Paris", "Roma", "Berlin", "Bern"), strict=True))
    for code, second in (("en", options), ("de", turned)):
        rows = [
            mmlu_row(1, code) | {"option_a": "PARIS", "option_b": "Paris"},
            mmlu_row(2, code) | second,
            mmlu_row(3, code) | second | {"question": f"{code} Question  2?"},
        ]
        write_lines(tmp_path / code / "test.jsonl", rows)
    assert open_facts(f"global-mmlu:{tmp_path}").note == (
        "1 samples with two equal options in a language (virology/test/1); "
        "2 samples whose options change places between languages (virology/test/2, virology/test/3); "
        "1 samples with question and options of one before them (virology/test/3)"
    )


def test_bmlama_notes_twins_crossings_and_repeats(tmp_path):
    for code, pool in (("en", "Paris, Roma, Bern"), ("de", "Paris, Bern, Roma")):
        rows = [("X is in <mask>.", "Paris", "Paris, PARIS, Bern", "X")]
        rows += [("Y is in <mask>.", "Paris", pool, "Y")] * 2
        write_tsv(tmp_path / f"{code}.tsv", rows)
    assert open_facts(f"bmlama:{tmp_path}").note == (
        "1 rows have two candidates with one name in a language (bmlama53_0); "
        "2 rows have candidates that change places between languages (bmlama53_1, bmlama53_2); "
        "1 rows ask and answer what a row before them does (bmlama53_2)"
    )


def test_klar_files_of_two_relations_and_rows_that_repeat_each_other(tmp_path):
    write_klar(tmp_path)

    def repeat(values):
        values["samples"][2] |= {
            key: values["samples"][1][key] for key in ("subject", "object", "object_candidates")
        }
        values["samples"][2] |= {k: v for k, v in values["samples"][1].items() if k.endswith("_en")}

    for code in ("en", "de"):
        change_json(tmp_path / code / "capital.json", repeat)
    note = open_facts(f"klar:{tmp_path}").note
    assert "1 rows ask and answer what a row before them does (capital/12)" in note
    change_json(tmp_path / "de" / "capital.json", lambda values: values.update(relation_id="P2"))
    assert "de/capital: relation_id is 'P2', and 'P1' in 'en'" in refusal(f"klar:{tmp_path}")
