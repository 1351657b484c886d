"""KLAR-CLC: made-up folders by hand, and the published files where they are at hand."""

import pytest

from interp.data.facts import Wording
from interp.data.sources import open_facts
from interp.data.sources.klar import klar_facts
from interp.errors import DataError
from tests.support.benchmark_files import change_json, klar_row, write_klar
from tests.support.published import full, needs_full_files


@pytest.fixture
def folder(tmp_path):
    return write_klar(tmp_path)


def test_a_row_by_hand(folder):
    facts = open_facts(f"klar:{folder}")
    assert (facts.name, facts.languages, facts.prompt_format, facts.aligned) == (
        "klar",
        ("en", "de"),
        "none",
        False,
    )
    assert [fact.fact_id for fact in facts] == [
        *(f"capital/{index}" for index in (10, 11, 12)),
        *(f"continent/{index}" for index in (20, 21, 22)),
    ]
    first = facts.facts[0]
    assert (first.relation, first.split, first.group) == ("capital", "test", "en capital 11")
    assert first.option_ids == ("en answer 10",) == (first.object_id,)
    # rows 10 and 11 have one subject, so each other's answers are right as well
    assert first.wording["de"] == Wording(
        "de capital 0 of de capital 11? It is:", "de capital 11", ("de answer 10",), "", ("de answer 11",)
    )
    assert facts.facts[2].wording["de"].aliases == ()
    assert facts.note == "template 0; a fact has only its right answer as option"


def test_the_template_is_cut_at_its_mask_and_the_rest_is_the_suffix(folder):
    fact = open_facts(f"klar:{folder}", template=1).facts[2]
    assert fact.wording["en"].question == "en capital 1 of en capital 12? It is:"
    assert fact.wording["en"].suffix == "."


def test_rows_that_a_language_lacks_are_left_out_and_counted(tmp_path):
    facts = klar_facts(write_klar(tmp_path, ("en", "de", "fa"), extra=("de", "fa")))
    assert len(facts) == 6
    assert (
        "left out, since not all 3 languages have them: 2 rows of de (capital/13, continent/23), 2 rows of fa"
        in facts.note
    )
    assert klar_facts(tmp_path, languages=["fa", "de"]).languages == ("de", "fa")
    assert len(klar_facts(tmp_path, languages=["fa", "de"])) == 6, (
        "the facts are the same whichever languages are chosen"
    )


def test_a_row_that_only_english_has_is_left_out(tmp_path):
    write_klar(tmp_path, ("en", "de"), extra=("en",))
    assert [fact.fact_id for fact in klar_facts(tmp_path)][2:4] == ["capital/12", "continent/20"]


def test_aliases_are_in_order_whatever_the_order_of_rows(folder):
    for code in ("en", "de"):
        rows = [klar_row(code, "capital", index, "one", f"answer {index}") for index in (30, 34, 31, 33, 32)]
        change_json(folder / code / "capital.json", lambda values, rows=rows: values.update(samples=rows))
    first = klar_facts(folder).facts[0]
    assert first.wording["en"].aliases == tuple(f"en answer {index}" for index in (31, 32, 33, 34))


def test_english_names_come_from_the_translations_where_there_is_no_english(folder, tmp_path):
    other = write_klar(tmp_path / "other", ("de", "fr"))
    with_english = klar_facts(folder, languages=["de"])
    without = klar_facts(other, languages=["de"])
    assert without.digest == with_english.digest


def test_order_of_rows_and_languages_does_not_matter(folder):
    before = klar_facts(folder)
    for file in folder.rglob("*.json"):
        change_json(file, lambda values: values["samples"].reverse())
    assert klar_facts(folder).digest == before.digest
    assert klar_facts(folder, languages=["de", "en"]) == klar_facts(folder, languages=["en", "de"])


def test_unknown_languages_are_noted(folder):
    write_klar(folder, ("la",))
    assert "1 not read, no known language (la)" in klar_facts(folder).note


FAULTS = [
    (lambda v: v["samples"].append(v["samples"][0]), "en/capital row 4: index 10 appears 2 times"),
    (
        lambda v: v["samples"][1].update(index="11"),
        "en/capital row 2: index is '11', expected a whole number",
    ),
    (lambda v: v["samples"][1].update(subject=" "), "en/capital row 2: subject is empty"),
    (lambda v: v["samples"][1].pop("object"), "en/capital row 2: 'object' is missing"),
    (lambda v: v["samples"][1].update(object="\ud800"), "row 2: object has half of a surrogate pair"),
    (
        lambda v: v["samples"][0].update(object="Bonn"),
        "en/capital row 1: object 'Bonn' is not among object_candidates",
    ),
    (lambda v: v["samples"].append("row"), "en/capital row 4: expected an object"),
    (lambda v: v.update(samples=[]), "en/capital: 'samples' is missing or empty"),
    (lambda v: v.pop("prompt_templates"), "en/capital: 'prompt_templates' is missing or empty"),
    (
        lambda v: v.update(prompt_templates=["<subject>?"]),
        "template 0 is '<subject>?', expected <subject> and then one <mask>",
    ),
    (lambda v: v.update(prompt_templates=["Capital? <mask>"]), "template 0 is 'Capital? <mask>'"),
    (
        lambda v: v.update(prompt_templates=["<subject> <mask> <subject>"]),
        "template 0 is '<subject> <mask> <subject>'",
    ),
    (lambda v: v.update(prompt_templates=["<mask> of <subject>"]), "template 0 is '<mask> of <subject>'"),
    (
        lambda v: v.update(prompt_templates=["<subject> <mask> <mask>"]),
        "expected <subject> and then one <mask>",
    ),
    (
        lambda v: v["samples"][2].update(subject="Rome"),
        "de/capital row 3: index 12 translates 'en capital 12', 'en answer 12'; the English row is 'Rome', "
        "'en answer 12'",
    ),
]


@pytest.mark.parametrize(("change", "message"), FAULTS)
def test_malformed_rows_are_refused_with_their_place(folder, change, message):
    change_json(folder / "en" / "capital.json", change)
    with pytest.raises(DataError) as error:
        klar_facts(folder)
    assert message in str(error.value)


def test_the_first_twenty_violations_are_listed(tmp_path):
    folder = write_klar(tmp_path)
    rows = [klar_row("en", "capital", 99, "x", "y") for _ in range(30)]
    change_json(folder / "en" / "capital.json", lambda values: values.update(samples=rows))
    with pytest.raises(DataError, match=r"has 30 violations in 39 rows:(?s:.*) row 20: .*\n  and 10 more$"):
        klar_facts(folder)


def test_missing_files_languages_and_templates_are_refused(folder, tmp_path):
    with pytest.raises(DataError, match=r"lacks the language sw\. Choose from: de, en"):
        klar_facts(folder, languages=["en", "sw"])
    with pytest.raises(DataError, match=r"There is no template 2 .*4 files \(first en/capital \(2\)"):
        klar_facts(folder, template=2)
    with pytest.raises(DataError, match="There is no template -1"):
        klar_facts(folder, template=-1)
    change_json(folder / "de" / "capital.json", lambda values: values["prompt_templates"].pop())
    with pytest.raises(DataError, match=r"in 1 files \(de/capital \(1\)\)"):
        klar_facts(folder, template=1)
    assert len(klar_facts(folder, template=1, languages=["en"])) == 6
    (folder / "de" / "capital.json").write_text("{")
    with pytest.raises(DataError, match=r"de/capital\.json cannot be read: Expecting"):
        klar_facts(folder)
    (folder / "de" / "capital.json").unlink()
    with pytest.raises(
        DataError, match=r"lacks 1 files of relations that other languages have \(de/capital\.json\)"
    ):
        klar_facts(folder)
    with pytest.raises(DataError, match=r"No folder of KLAR at /.*none; it holds"):
        klar_facts(tmp_path / "none")


@needs_full_files
def test_the_published_files():
    facts = open_facts(f"klar:{full('klar')}")
    assert len(facts) == 2619
    assert len(facts.languages) == 17
    assert len({fact.relation for fact in facts}) == 20
    assert all(len(fact.wording) == 17 for fact in facts)
    assert "213 rows of he" in facts.note
    assert "213 rows of fa" in facts.note
    several = {(fact.relation, fact.subject_id) for fact in facts if fact.wording["en"].aliases}
    assert len(several) == 145
    assert sum(bool(fact.wording["en"].suffix) for fact in facts) == 303
    assert sum(bool(fact.wording["ca"].suffix) for fact in facts) == 1205
    with pytest.raises(
        DataError, match=r"There is no template 1 .* 4 files \(first he/language_of_work_or_name \(1\)"
    ):
        open_facts(f"klar:{full('klar')}", template=1)
