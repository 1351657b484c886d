import pytest

import interp
from interp.data.facts import FactSet
from interp.data.languages import EMBEDDED_LANGUAGES, POLYFACT_LANGUAGES
from interp.data.sources import open_prompts
from interp.errors import ConfigError, DataError
from tests.support.command import run_process
from tests.support.facts import make_fact


def test_cldr_by_split(cldr):
    made = open_prompts("cldr", ("en", "sw"), split="test")
    assert made.n_items == len(cldr.split("test"))
    assert (
        open_prompts("cldr", ("en",)).n_items
        == open_prompts("cldr", ("en",), split="all").n_items
        == len(cldr)
    )
    assert made.languages == ("en", "sw")
    assert "split test" in made.note


def test_languages_as_a_text_and_by_the_data(tmp_path):
    for named in ("sw,en", ["sw", "en"]):
        assert open_prompts("cldr", named, limit=1).languages == ("sw", "en")
    assert open_prompts("cldr", limit=1).languages == POLYFACT_LANGUAGES
    assert open_prompts("cldr", "all", limit=1).languages == EMBEDDED_LANGUAGES
    path = FactSet("x", (make_fact(1, ("de", "en")),), ("de", "en")).save(tmp_path / "x.jsonl")
    assert open_prompts(path).languages == open_prompts(path, "all").languages == ("en", "de")
    (tmp_path / "texts").mkdir()
    for code in ("ja", "en"):
        (tmp_path / "texts" / f"{code}.txt").write_text("a\nb\n")
    assert open_prompts(tmp_path / "texts").languages == ("en", "ja")
    assert open_prompts(tmp_path / "texts", "ja").languages == ("ja",)


def test_the_embedded_facts_are_one_call_away(cldr):
    assert interp.load_facts("cldr") is interp.open_facts("cldr") is cldr


def test_arguments_reach_the_prompts():
    assert open_prompts("cldr", ("en",), limit=7).n_items == 7
    assert (
        open_prompts("cldr", ("sw",), limit=1, prompt_format="english")
        .prompts["sw"][0]
        .text.startswith("Question:")
    )
    assert open_prompts("cldr", ("sw",), limit=1).prompts["sw"][0].text.startswith("Swali:")


def test_a_sample_is_the_same_in_any_language():
    one, other = (open_prompts("cldr", (code,), limit=20).prompts[code] for code in ("en", "fa"))
    assert [each.item_id for each in one] == [each.item_id for each in other]


def test_a_file_of_facts_and_missing_languages(small, tmp_path):
    gaps = FactSet("gaps", (*small.facts, make_fact(11, ["en"]), make_fact(13, ["en"])), ("en", "de"))
    path = gaps.save(tmp_path / "gaps.jsonl")
    assert open_prompts(str(path), ("en",)).n_items == 12
    with pytest.raises(DataError, match="'de' is missing in 2 of 12"):
        open_prompts(path, ("en", "de"))
    common = open_prompts(path, ("en", "de"), allow_missing=True)
    assert common.n_items == 10
    assert "2 of 12 left out for lack of a language" in common.note
    common = open_prompts(path, ("en", "de"), allow_missing=True, split="test")
    assert "2 of 7 left out" in common.note


def test_a_folder_of_text(tmp_path):
    (tmp_path / "en.txt").write_text("one\ntwo\nthree\n")
    assert open_prompts(tmp_path, ("en",)).n_items == 3
    assert open_prompts(tmp_path, ("en",), limit=2).n_items == 2
    with pytest.raises(ConfigError, match="Text has no splits, so split 'test'"):
        open_prompts(tmp_path, ("en",), split="test")
    with pytest.raises(ConfigError, match="prompt_format 'english' does not apply"):
        open_prompts(tmp_path, ("en",), prompt_format="english")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("cldrr", r"No data named 'cldrr'\. Did you mean 'cldr'\? Choose from: cldr"),
        ("none/facts.jsonl", r"Looked at /.*none/facts\.jsonl"),
        ("../../x", r"No data named '\.\./\.\./x'\. Looked at"),
        ("a\u202eb\x00", r"No data named 'a\\u202eb\\u0000'"),
        ("x" * 5000, r"x\.\.\. \(5000 characters\)"),
        ("", "No data named ''"),
    ],
)
def test_unknown_sources(source, message):
    with pytest.raises(DataError, match=message):
        open_prompts(source, ("en",))


def test_unknown_names_are_refused():
    with pytest.raises(DataError, match="Unknown language 'xx'"):
        open_prompts("cldr", ("en", "xx"))
    with pytest.raises(DataError, match=r"split 'dev'\. Choose from: "):
        open_prompts("cldr", ("en",), split="dev")


def test_importing_needs_no_heavy_library():
    code = "import sys, interp.data; print(*sorted(sys.modules))"
    loaded = run_process("-c", code).stdout.split()
    assert "interp.data.sources.cldr" in loaded
    assert not {"torch", "transformers", "pandas", "numpy", "babel", "pyarrow"} & set(loaded)


def test_every_language_opens():
    assert open_prompts("cldr", tuple(EMBEDDED_LANGUAGES), limit=3).languages == tuple(EMBEDDED_LANGUAGES)
