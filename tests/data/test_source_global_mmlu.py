import pytest

from interp.data.sources import open_facts
from interp.data.sources.global_mmlu import global_mmlu_facts
from interp.errors import DataError
from tests.support.benchmark_files import mmlu_row, write_lines


@pytest.fixture
def folder(tmp_path):
    for code in ("en", "de", "zh"):
        write_lines(tmp_path / code / "test.jsonl", [mmlu_row(n, code, "ABCD"[n]) for n in range(4)])
    write_lines(tmp_path / "en" / "dev.jsonl", [mmlu_row(9, "en", part="dev")])
    return tmp_path


def test_a_sample_by_hand(folder):
    facts = open_facts(f"global-mmlu:{folder}")
    assert (facts.languages, facts.prompt_format, facts.aligned) == (("en", "de", "zh"), "none", True)
    assert len(facts.split("test")) == 4
    second = facts.filter(splits=["test"], languages=["en", "de", "zh"]).facts[1]
    assert (second.fact_id, second.relation, second.group) == (
        "virology/test/1",
        "virology",
        "virology/test/1",
    )
    assert (second.option_ids, second.object_id) == (("A", "B", "C", "D"), "B")
    assert second.wording["de"].options == ("A", "B", "C", "D")
    assert second.wording["de"].question == (
        "Question: de question 1?\nA. de option A 1\nB. de option B 1\nC. de option C 1\nD. de option D "
        "1\nAnswer:"
    )
    dev = facts.split("validation")
    assert [fact.fact_id for fact in dev] == ["virology/dev/9"]
    assert facts.note == "1 samples that some language lacks (virology/dev/9)"


def test_samples_with_another_letter_somewhere_are_left_out_and_counted(folder):
    write_lines(folder / "zh" / "test.jsonl", [mmlu_row(n, "zh", "ABDD"[n]) for n in range(4)])
    facts = global_mmlu_facts(str(folder))
    assert [fact.fact_id[-1] for fact in facts.split("test")] == ["0", "1", "3"]
    assert "1 samples left out, whose right letter differs between languages (virology/test/2)" in facts.note
    assert len(global_mmlu_facts(str(folder), languages=["en", "de"]).split("test")) == 4
    write_lines(folder / "en" / "dev.jsonl", [mmlu_row(0, "en", "D")])
    (folder / "en" / "test.jsonl").unlink()
    write_lines(folder / "de" / "test.jsonl", [mmlu_row(0, "de", "A")])
    write_lines(folder / "zh" / "test.jsonl", [mmlu_row(0, "zh", "A")])
    with pytest.raises(DataError, match=r"The right letter of every sample of .* differs between languages"):
        global_mmlu_facts(str(folder))


def test_equal_options_and_parts_without_a_name_are_counted(tmp_path):
    twin = mmlu_row(0, "en") | {"option_c": "en option A 0"}
    write_lines(tmp_path / "en.jsonl", [twin, mmlu_row(1, "en")])
    facts = global_mmlu_facts(str(tmp_path))
    assert facts.note == (
        "1 samples with two equal options in a language (virology/test/0); "
        "2 rows whose part has no name were taken for test (en row 1, en row 2)"
    )


def test_order_of_rows_does_not_matter(folder):
    before = global_mmlu_facts(str(folder)).digest
    write_lines(folder / "de" / "test.jsonl", [mmlu_row(n, "de", "ABCD"[n]) for n in (3, 1, 0, 2)])
    assert global_mmlu_facts(str(folder), languages=["zh", "de", "en"]).digest == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": "E"}, "en test row 2: answer is 'E', expected A, B, C or D"),
        ({"answer": None}, "en test row 2: 'answer' is missing"),
        ({"option_c": ""}, "en test row 2: option_c is empty"),
        ({"question": None}, "en test row 2: 'question' is missing"),
        (
            {"sample_id": "virology/test/0"},
            "en test row 2: sample_id 'virology/test/0' is also that of en test row 1",
        ),
    ],
)
def test_malformed_samples_are_refused(folder, change, message):
    write_lines(folder / "en" / "test.jsonl", [mmlu_row(0, "en", "A"), mmlu_row(1, "en") | change])
    with pytest.raises(DataError) as error:
        global_mmlu_facts(str(folder))
    assert message in str(error.value)
    assert "has 1 violations in 11 rows" in str(error.value)


def test_refusals(folder):
    with pytest.raises(DataError, match="lacks the language ru"):
        global_mmlu_facts(str(folder), languages=["en", "ru"])
    (folder / "en" / "test.jsonl").write_text("{\n[]\n")
    with pytest.raises(
        DataError,
        match=r"en test row 1: not readable: Expecting.*\n.*row 2: not readable: expected an object",
    ):
        global_mmlu_facts(str(folder))
