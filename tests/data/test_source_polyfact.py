"""PolyFact in its three schemas; an alignment file by hand, and the published one where it is at hand."""

import json

import pytest

import interp.data.sources.polyfact
from interp.data.hashing import Sample
from interp.data.prompts import prompts_from_facts
from interp.data.sources import open_facts, open_prompts
from interp.data.sources.polyfact import polyfact_facts
from interp.errors import ConfigError, DataError
from tests.support.benchmark_files import (
    entity,
    flat_row,
    parallel_row,
    polyfact_said,
    polyfact_shared,
    wikifact_row,
    write_json,
    write_lines,
)
from tests.support.published import EXCERPTS, full, needs_full_files, read_excerpt, read_full

TURNS = {"en": 1, "de": 3, "sw": 2}


def write_flat(folder, ids=True, numbers=(1, 2), split="test"):
    for code, turn in TURNS.items():
        write_lines(folder / code / f"{split}.jsonl", [flat_row(n, code, turn + n, ids) for n in numbers])
    return folder


def written(folder, schema, numbers=(1, 2)):
    """The same facts in a schema; ids only where the schema has them."""
    rows = {"flat": flat_row, "v1": flat_row, "parallel": parallel_row, "wikifact": wikifact_row}
    if schema in ("flat", "v1"):
        return write_flat(folder, ids=schema == "flat", numbers=numbers)
    turned = [rows[schema](n, {code: turn + n for code, turn in TURNS.items()}) for n in numbers]
    write_lines(folder / "parallel" / "test.jsonl" if schema == "parallel" else folder / "test.jsonl", turned)
    return folder


@pytest.mark.parametrize("schema", ["flat", "parallel"])
def test_options_are_put_in_the_order_of_english_by_id(tmp_path, schema):
    facts = open_facts(f"polyfact:{written(tmp_path, schema)}")
    assert (facts.name, facts.languages, facts.prompt_format) == (
        "polyfact",
        ("en", "de", "sw"),
        "english",
    )
    assert facts.aligned
    assert facts.note == ""
    first = facts.facts[0]
    assert (first.fact_id, first.relation, first.subject_id) == (f"Q1|P36|{entity(1, 0)}", "capital", "Q1")
    assert (first.group, first.split, first.object_id) == ("Q1", "test", entity(1, 0))
    # English is turned by 2
    assert first.option_ids == tuple(entity(1, k) for k in (2, 3, 0, 1))
    for code in TURNS:
        assert first.wording[code].options == tuple(f"{code} name 1 {k}" for k in (2, 3, 0, 1))
        assert first.wording[code].question == f"{code} question 1?"
        assert first.answer(code) == f"{code} name 1 0"


@pytest.mark.parametrize("schema", ["v1", "wikifact"])
def test_without_ids_only_the_right_answer_is_aligned(tmp_path, schema):
    facts = open_facts(f"polyfact:{written(tmp_path, schema)}")
    assert not facts.aligned
    assert facts.note == "no option_ids: options are not aligned, and the right one stands first"
    first = facts.facts[0]
    assert first.object_id == first.option_ids[0] == entity(1, 0)
    assert len(set(first.option_ids)) == 4
    assert {code: first.wording[code].options for code in TURNS} == {
        "en": tuple(f"en name 1 {k}" for k in (0, 2, 3, 1)),
        "de": tuple(f"de name 1 {k}" for k in (0, 1, 2, 3)),
        "sw": tuple(f"sw name 1 {k}" for k in (0, 3, 1, 2)),
    }


def test_the_schemas_say_the_same(tmp_path):
    flat, parallel = (written(tmp_path / name, name) for name in ("flat", "parallel"))
    assert polyfact_facts(str(flat)).digest == polyfact_facts(str(parallel)).digest
    v1, wikifact = (written(tmp_path / name, name) for name in ("v1", "wikifact"))
    assert polyfact_facts(str(v1)).digest == polyfact_facts(str(wikifact)).digest


def test_an_alignment_gives_the_order_that_ids_give(tmp_path):
    by_id = polyfact_facts(str(written(tmp_path / "flat", "flat")))
    folder = written(tmp_path / "v1", "v1")
    # English is turned by turn + n: its place p holds entity (p + turn + n) % 4; another language's likewise
    places = {
        f"Q{n}|P36|{entity(n, 0)}": {
            code: [(p + turn - TURNS["en"]) % 4 for p in range(4)] for code, turn in TURNS.items()
        }
        for n in (1, 2)
    }
    write_json(tmp_path / "places.json", places)
    facts = open_facts(f"polyfact:{folder}", alignment=tmp_path / "places.json")
    assert facts.aligned
    assert facts.note == "options aligned by places.json"
    for fact, expected in zip(facts, by_id, strict=True):
        assert fact.wording == expected.wording
        assert fact.answer_index == expected.answer_index
    without_english = polyfact_facts(str(folder), alignment=tmp_path / "places.json", languages=["de", "sw"])
    assert [fact.answer("sw") for fact in without_english] == ["sw name 1 0", "sw name 2 0"]


def test_an_alignment_that_lacks_a_fact_leaves_it_out(tmp_path):
    folder = written(tmp_path / "v1", "v1")
    places = {code: [(p + turn - TURNS["en"]) % 4 for p in range(4)] for code, turn in TURNS.items()}
    names = [f"Q{n}|P36|{entity(n, 0)}" for n in (1, 2)]
    write_json(tmp_path / "a.json", {names[0]: places, names[1]: {**places, "de": None}})
    facts = polyfact_facts(str(folder), alignment=tmp_path / "a.json")
    assert [fact.fact_id for fact in facts] == names[:1]
    assert f"1 facts left out that the alignment lacks ({names[1]})" in facts.note
    assert len(polyfact_facts(str(folder), alignment=tmp_path / "a.json", languages=["en", "sw"])) == 2
    write_json(tmp_path / "a.json", {})
    with pytest.raises(DataError, match=r"The alignment .*a\.json covers no fact"):
        polyfact_facts(str(folder), alignment=tmp_path / "a.json")


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ([1, 2, 3, 0], "Q1|P36|Q100: the right answer is in place 1 in 'de' and 2 in 'en'"),
        ([0, 1, 2, 2], "Q1|P36|Q100: places in 'de' are [0, 1, 2, 2], expected 0 to 3, each once"),
        (["0", "1", "2", "3"], "places in 'de' are ['0', '1', '2', '3'], expected 0 to 3"),
        ([0, 1, 2], "places in 'de' are [0, 1, 2], expected 0 to 3"),
    ],
)
def test_an_alignment_of_other_data_is_refused(tmp_path, places, message):
    written(tmp_path / "v1", "v1", numbers=(1,))
    write_json(tmp_path / "a.json", {"Q1|P36|Q100": {"en": [0, 1, 2, 3], "de": places, "sw": [1, 2, 3, 0]}})
    with pytest.raises(DataError) as error:
        polyfact_facts(str(tmp_path / "v1"), alignment=tmp_path / "a.json")
    assert message in str(error.value)


def test_alignments_that_cannot_be_used(tmp_path):
    flat, v1 = written(tmp_path / "flat", "flat"), written(tmp_path / "v1", "v1")
    write_json(tmp_path / "a.json", {"x": [0, 1, 2, 3]})
    with pytest.raises(ConfigError, match="has option_ids, so an alignment file does not apply"):
        polyfact_facts(str(flat), alignment=tmp_path / "a.json")
    with pytest.raises(DataError, match="is not an object of fact id to language to places"):
        polyfact_facts(str(v1), alignment=tmp_path / "a.json")
    with pytest.raises(DataError, match=r"The alignment .*none\.json cannot be read: "):
        polyfact_facts(str(v1), alignment=tmp_path / "none.json")


FAULTS = [
    ({"answer_index": 2}, "answer_index 2 is 'en name 1 3', and answer_text is 'en name 1 0'"),
    ({"answer_index": 4}, "answer_index is 4, expected 0 to 3"),
    ({"answer_index": True}, "answer_index is True, expected 0 to 3"),
    ({"answer_index": None, "answer_text": None}, "neither answer_index nor answer_text"),
    ({"answer_text": "Rome"}, "answer_text 'Rome' is not among the options"),
    ({"option_a": " "}, "option 0 is empty"),
    ({"option_a": None}, "option 0 is empty"),
    ({"option_b": "en name 1 1"}, "option 1 is 'en name 1 1', as option 0"),
    ({"option_d": ...}, "3 options, expected 4"),
    ({"question": ""}, "question is empty"),
    ({"question": "\ud800?"}, "question has half of a surrogate pair"),
    ({"fact_id": None}, "'fact_id' is missing"),
    ({"language": "de"}, "language is 'de' in the rows of 'en'"),
    ({"split": "tset"}, "split is 'tset', expected train, validation, test"),
    (
        {"option_ids": ["Q1", "Q1", "Q2", "Q3"]},
        "option_ids is ['Q1', 'Q1', 'Q2', 'Q3'], expected 4 different ids",
    ),
    ({"option_ids": [1, 2, 3, 4]}, "option_ids is [1, 2, 3, 4], expected 4 different ids"),
    ({"option_ids": "[1"}, "option_ids is ['[1'], expected 4 different ids"),
    ({"option_ids": None}, "en: option_ids is missing, which other rows have"),
    ({"option_ids": ["Q100", "Q101", "Q102", "Q103"]}, "en: the right option's id is Q103, expected Q100"),
    ({"fact_id": "Q1|P36|Q9"}, "en: the right option's id is Q100, expected Q9"),
    ({"split": "train"}, "split is 'test', and 'train' in 'en'"),
]


@pytest.mark.parametrize(("change", "message"), FAULTS)
def test_malformed_rows_are_refused_with_their_place(tmp_path, change, message):
    rows = {code: flat_row(1, code, 1) for code in ("en", "de")}
    rows["en"] = {key: value for key, value in (rows["en"] | change).items() if value is not ...}
    for code, row in rows.items():
        write_lines(tmp_path / code / "test.jsonl", [row])
    with pytest.raises(DataError) as error:
        polyfact_facts(str(tmp_path))
    place = "de" if message.endswith("in 'en'") else "en"
    assert f"{place} test row 1: {message}" in str(error.value)


def test_other_ids_than_in_english_are_refused(tmp_path):
    for code, ids in {"en": ("Q101", "Q102", "Q103", "Q100"), "de": ("Q101", "Q102", "Q7", "Q100")}.items():
        write_lines(tmp_path / code / "test.jsonl", [flat_row(1, code, 1) | {"option_ids": ids}])
    with pytest.raises(DataError) as error:
        polyfact_facts(str(tmp_path))
    assert str(error.value).endswith(
        "has 1 violations in 2 rows:\n"
        "  de test row 1: de: option_ids is Q101, Q102, Q7, Q100; 'en' has Q101, Q102, Q103, Q100"
    )


def test_a_fact_twice_is_refused(tmp_path):
    write_flat(tmp_path)
    write_lines(tmp_path / "en" / "train.jsonl", [flat_row(1, "en")])
    with pytest.raises(
        DataError, match=r"en train row 1: fact_id 'Q1\|P36\|Q100' in 'en' is also that of en test row 1"
    ):
        polyfact_facts(str(tmp_path))


@pytest.mark.parametrize(
    ("translations", "message"),
    [
        (["en"], "translations or langs: expected an object with a key per language"),
        ({"la": {}}, "no known language in la"),
        ({"en": "x"}, "row 1: en: expected an object"),
        (
            {"en": polyfact_said(1, "en", 0) | {"answer_index": 1}},
            "row 1: en: answer_index 1 is 'en name 1 1', and answer",
        ),
    ],
)
def test_malformed_blocks_are_refused(tmp_path, translations, message):
    write_lines(tmp_path / "parallel.jsonl", [{**polyfact_shared(1), "translations": translations}])
    with pytest.raises(DataError) as error:
        polyfact_facts(str(tmp_path))
    assert message in str(error.value)


def test_gaps_unknown_languages_and_other_files_are_noted(tmp_path):
    written(tmp_path, "flat")
    write_json(tmp_path / "alignment.json", [])
    assert polyfact_facts(str(tmp_path)).note == "1 not read, no known language (alignment)"
    rows = [parallel_row(1, {"en": 0, "la": 1, "de": 2}), parallel_row(2, {"en": 0}) | {"split": "dev"}]
    rows[0]["translations"]["sw"] = None  # as a table has it where a language is missing
    write_lines(tmp_path / "parallel.jsonl", rows)
    facts = polyfact_facts(str(tmp_path))
    assert facts.note == (
        f"1 facts that some language lacks (Q2|P36|{entity(2, 0)}); "
        f"1 facts of no split taken for test (Q1|P36|{entity(1, 0)}); "
        "4 other files or configurations not read (first alignment, de, en); 1 not read, no known language "
        "(la)"
    )
    assert facts.languages == ("en", "de")
    assert [fact.split for fact in facts] == ["test", "validation"]
    with pytest.raises(DataError, match="'de' is missing in 1 of 2"):
        facts.filter(languages=["en", "de"])


def test_order_of_rows_and_languages_does_not_matter(tmp_path):
    one = written(tmp_path / "one", "parallel", numbers=(1, 2, 3))
    other = written(tmp_path / "other", "parallel", numbers=(3, 1, 2))
    assert polyfact_facts(str(one)).digest == polyfact_facts(str(other)).digest
    chosen = polyfact_facts(str(one), languages=["sw", "en"])
    assert chosen.digest == polyfact_facts(str(other), languages=["en", "sw"]).digest
    assert chosen.digest == polyfact_facts(str(one)).filter(languages=["en", "sw"]).digest
    with pytest.raises(DataError, match=r"lacks the language ru\. Choose from: de, en, sw"):
        polyfact_facts(str(one), languages=["en", "ru"])


def test_a_single_file_with_a_language_column(tmp_path):
    rows = [flat_row(1, "en", 1), flat_row(1, "de", 2), flat_row(1, "la", 2)]
    write_lines(tmp_path / "test.jsonl", rows)
    facts = polyfact_facts(str(tmp_path / "test.jsonl"))
    assert (facts.languages, len(facts), facts.note) == (
        ("en", "de"),
        1,
        "1 not read, no known language (la)",
    )
    write_lines(
        tmp_path / "test.jsonl", [{key: row[key] for key in row if key != "language"} for row in rows]
    )
    with pytest.raises(DataError, match="test row 1: 'language' is missing"):
        polyfact_facts(str(tmp_path / "test.jsonl"))


@pytest.mark.parametrize("source", ["excerpt", pytest.param("full", marks=needs_full_files)])
def test_the_published_sample_and_its_alignment(tmp_path, source):
    codes = ("en", "fr", "de", "ar")
    if source == "excerpt":
        samples = {code: read_excerpt(f"polyfact/{code}.json") for code in codes}
        n, alignment = 12, EXCERPTS / "polyfact" / "alignment.json"
    else:
        samples = {code: read_full(f"polyfact_samples/{code}.json")["items"] for code in codes}
        n, alignment = 100, full("polyfact_samples/alignment_full.json")
    for code, items in samples.items():
        flat = [
            {**item, **{f"option_{k.lower()}": name for k, name in item["options"].items()}} for item in items
        ]
        write_lines(tmp_path / f"{code}.jsonl", flat)
    facts = open_facts(f"polyfact:{tmp_path}")
    assert (len(facts), facts.aligned) == (n, False)
    aligned = open_facts(f"polyfact:{tmp_path}", alignment=alignment)
    assert (len(aligned), aligned.aligned) == (n, True)
    english = {item["fact_id"]: item for item in samples["en"]}
    equal = 0
    for fact in aligned:
        said = english[fact.fact_id]
        assert fact.wording["en"].options == tuple(said["options"].values())
        assert fact.answer_index == said["answer_index"]
        for code in codes[1:]:
            for place, name in enumerate(fact.wording[code].options):
                if name in fact.wording["en"].options:
                    equal += 1
                    assert fact.wording["en"].options[place] == name
    assert equal > 2 * n, "the direction of the places would show"


@pytest.mark.parametrize("schema", ["flat", "v1", "parallel", "wikifact", "one file"])
@pytest.mark.parametrize(("limit", "split"), [(1, "all"), (5, "all"), (4, "validation"), (99, "test")])
def test_a_sample_is_what_the_whole_would_give(tmp_path, monkeypatch, schema, limit, split):
    """And no other row is looked at."""
    splits = {number: ("dev", "test")[number % 3 == 0] for number in range(1, 31)}
    numbers = sorted(splits, key=lambda number: number * 7 % 31)
    if schema == "one file":
        rows = [{**flat_row(n, c, t), "split": splits[n]} for c, t in TURNS.items() for n in numbers]
        write_lines(tmp_path / "test.jsonl", rows)
    else:
        written(tmp_path, schema, numbers)
        for file in tmp_path.rglob("*.jsonl"):
            rows = [json.loads(line) for line in file.read_text().splitlines()]
            write_lines(file, [{**row, "split": splits[n]} for row, n in zip(rows, numbers, strict=True)])
    source, codes = f"polyfact:{tmp_path}", ["en", "sw"]
    whole = open_facts(source).filter(
        splits=None if split == "all" else [split], languages=codes, limit=limit
    )
    looked_at = []
    row_entries = interp.data.sources.polyfact.row_entries
    monkeypatch.setattr(
        interp.data.sources.polyfact,
        "row_entries",
        lambda row, c: looked_at.append(row) or row_entries(row, c),
    )
    few = open_facts(source, languages=codes, sample=Sample(limit, split))
    assert [fact.fact_id for fact in few] == [fact.fact_id for fact in whole]
    assert few.digest == whole.digest
    assert len(looked_at) == len(whole) * (1 if schema in ("parallel", "wikifact") else 2)
    prompts = open_prompts(source, codes, split=split, limit=limit)
    assert prompts.digest == prompts_from_facts(whole).digest


def test_a_source_with_a_gap_or_a_bad_row_is_read_whole(tmp_path):
    write_flat(tmp_path, numbers=range(1, 9))
    path = tmp_path / "de" / "test.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[1:]) + "\n")  # one fact lacks German
    source = f"polyfact:{tmp_path}"
    with pytest.raises(DataError, match="'de' is missing in 1 of 8 facts"):
        open_prompts(source, limit=2)
    assert open_prompts(source, limit=2, allow_missing=True).n_items == 2
    assert len(open_facts(source, languages="en,sw", sample=Sample(2))) == 2
    for bad in ("{", lines[0].replace('"fact_id"', '"id"'), lines[1]):
        path.write_text("\n".join([bad, *lines[1:]]) + "\n")
        with pytest.raises(DataError, match=r"de test row"):
            open_prompts(source, limit=2)
