import pytest

from interp.data.sources import open_facts
from interp.data.sources.bmlama import bmlama_facts
from interp.errors import DataError
from tests.support.benchmark_files import write_tsv

EN = [
    ("Ann died in <mask>.", "Rome", "Venice, Rome", "Ann"),
    ("The capital of Peru is <mask> today .", "Lima", "Rome, Lima, Oslo", "Peru"),
    ('The capital of "Oz" is <mask>', "Rome", "Rome, Lima, Oslo", '"Oz"'),
]
DE = [
    ("Ann starb in <mask>.", "Rom", "Venedig, Rom", "Ann"),
    ("In <mask> ist Perus Hauptstadt .", "Lima", "Rom, Lima, Oslo", "Peru"),
    ('<mask> ist die Hauptstadt von "Oz"', "Rom", "Rom, Lima, Oslo", '"Oz"'),
]


@pytest.fixture
def folder(tmp_path):
    write_tsv(tmp_path / "en.tsv", EN)
    write_tsv(tmp_path / "de.tsv", DE)
    return tmp_path


def test_rows_by_hand(folder):
    facts = open_facts(f"bmlama:{folder}")
    assert (facts.name, facts.languages, facts.prompt_format, facts.aligned) == (
        "bmlama",
        ("en", "de"),
        "none",
        True,
    )
    assert facts.note == ""
    died, peru, oz = facts
    assert (died.fact_id, died.relation, died.subject_id, died.split) == (
        "bmlama53_0",
        "[X] died in <mask>.",
        "Ann",
        "test",
    )
    assert (died.option_ids, died.object_id) == (("0:0", "0:1"), "0:1")
    assert died.wording["de"].options == ("Venedig", "Rom")
    assert (peru.wording["en"].question, peru.wording["en"].suffix) == ("The capital of Peru is", " today .")
    assert (peru.wording["de"].question, peru.wording["de"].suffix) == ("In", " ist Perus Hauptstadt .")
    assert peru.answer("de") == "Lima"
    assert oz.relation == "The capital of [X] is <mask>"
    assert (oz.subject_id, oz.wording["de"].question) == ('"Oz"', ""), "quotation marks are part of the text"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("Ann starb in Rom.", "Rom", "Venedig, Rom", "Ann"), "no <mask>"),
        (("Ann starb in <mask>.", "Rom", "Rom", "Ann"), "fewer than two candidates"),
        (("Ann starb in <mask>.", "Köln", "Venedig, Rom", "Ann"), "an answer that is no candidate"),
        (("Ann starb in <mask>.", "Rom", "Venedig, Rom, Köln", "Ann"), "pools of different sizes"),
        (("Ann starb in <mask>.", "Rom", "Rom, Venedig", "Ann"), "the answer in different places"),
        (("Ann starb in <mask>.", "Rom", "Venedig, Rom", ""), "no subject"),
    ],
)
def test_rows_that_a_language_cannot_use_are_left_out_and_counted(folder, row, reason):
    write_tsv(folder / "de.tsv", [row, *DE[1:]])
    facts = bmlama_facts(str(folder))
    assert [fact.fact_id for fact in facts] == ["bmlama53_1", "bmlama53_2"]
    assert facts.note == f"left out of 3: 1 rows with {reason} (bmlama53_0)"
    assert len(bmlama_facts(str(folder), languages=["en"])) == 3, "fewer languages leave more rows"


def test_a_language_that_ends_before(folder):
    write_tsv(folder / "de.tsv", DE[:2])
    facts = bmlama_facts(str(folder))
    assert len(facts) == 2
    assert "1 rows with a language that ends before (bmlama53_2)" in facts.note


def test_equal_candidates_stay_and_are_counted(folder):
    write_tsv(folder / "de.tsv", [("Ann starb in <mask>.", "Rom", "Rom, Rom", "Ann"), *DE[1:]])
    facts = bmlama_facts(str(folder))
    assert (len(facts), facts.facts[0].object_id) == (3, "0:1"), "the place that is right in both languages"
    assert facts.note == "1 rows have two candidates with one name in a language (bmlama53_0)"


def test_another_right_answer_among_the_candidates_is_counted(folder):
    write_tsv(folder / "en.tsv", [*EN, ("Ann died in <mask>.", "Venice", "Venice, Rome", "Ann")])
    write_tsv(folder / "de.tsv", [*DE, ("Ann starb in <mask>.", "Venedig", "Venedig, Rom", "Ann")])
    assert (
        bmlama_facts(str(folder)).note
        == "2 rows have another right answer among the candidates (bmlama53_0, bmlama53_3)"
    )


def test_the_order_of_languages_does_not_matter_and_unknown_ones_are_noted(folder):
    write_tsv(folder / "be.tsv", DE)
    facts = bmlama_facts(str(folder), languages=["de", "en"])
    assert facts.digest == bmlama_facts(str(folder)).digest
    assert facts.note == "1 not read, no known language (be)"


def test_refusals(folder):
    with pytest.raises(DataError, match=r"lacks the language sw\. Choose from: de, en"):
        bmlama_facts(str(folder), languages=["en", "sw"])
    with (folder / "de.tsv").open("a", encoding="utf-8") as file:
        file.write("one\ttwo\n")
    with pytest.raises(
        DataError, match=r"has 1 violations in 7 rows:\n  de row 4: not readable: 2 fields, the header has 4"
    ):
        bmlama_facts(str(folder))
    (folder / "de.tsv").write_text("Prompt\tAns\tSubject\nx\ty\tz\n")
    with pytest.raises(DataError, match="de row 1: no column Candidate Ans"):
        bmlama_facts(str(folder))
    write_tsv(folder / "de.tsv", [("?", "Rom", "Venedig, Rom", "Ann")])
    with pytest.raises(
        DataError, match=r"No row of .* in all of en de: 1 rows with no <mask> \(bmlama53_0\), 2 rows with a"
    ):
        bmlama_facts(str(folder))
