"""A language is a file: what it may hold, what is refused, and that all of the data reads it."""

import copy
import unicodedata

import pytest

from interp.data.check import check_facts
from interp.data.facts import FactSet, Wording
from interp.data.language_check import wrong_language
from interp.data.languages import (
    LANGUAGES,
    language,
    parse_language,
    register_language_file,
)
from interp.data.languages.parsing import plain_language, read_language
from interp.data.matching import mentions, resolve
from interp.data.normalization import strip_answer_label
from interp.data.prompts import prompts_from_facts
from interp.data.sources import load_facts, open_facts, open_prompts
from interp.data.templates import question
from interp.data.text import load_text
from interp.errors import DataError
from tests.support.facts import make_fact


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_record_survives_as_plain_values(code):
    assert parse_language(plain_language(LANGUAGES[code]), code) == LANGUAGES[code]


def test_a_user_adds_a_language_by_its_file_alone(thai_unknown, tmp_path):
    text = unicodedata.normalize("NFKC", "คำตอบ: ปารีส")
    assert strip_answer_label(text) == text
    with pytest.raises(DataError, match="Unknown language 'th'"):
        resolve(text, ["ปารีส", "ลอนดอน"], "th")
    assert register_language_file(thai_unknown).name == "Thai"
    assert tuple(LANGUAGES)[-1] == "th"
    assert strip_answer_label(text) == "ปารีส"
    assert resolve("คิดว่าปารีสครับ", ["ปารีส", "ลอนดอน"], "th").index == 0
    assert mentions("๒๐", "20", "th")
    assert wrong_language("Paris", "th")
    assert not wrong_language("ปารีส", "th")
    assert question("capital", "th", "ฝรั่งเศส", "territory:FR") == "เมืองหลวงของประเทศฝรั่งเศสคือเมืองใด"
    (tmp_path / "th.txt").write_text("หนึ่ง\nสอง\n", encoding="utf-8")
    (tmp_path / "en.txt").write_text("one\ntwo\n", encoding="utf-8")
    assert load_text(tmp_path).languages == ("en", "th")
    assert open_prompts(tmp_path, "th").languages == ("th",)


def test_the_same_file_again_changes_nothing_and_another_description_is_refused(thai_unknown, tmp_path):
    first = register_language_file(thai_unknown)
    assert register_language_file(thai_unknown) == first
    other = tmp_path / "other.toml"
    other.write_text(thai_unknown.read_text(encoding="utf-8").replace('"ไทย"', '"ภาษาไทย"'), encoding="utf-8")
    with pytest.raises(
        DataError, match=r"other\.toml describes 'th', which is known as Thai with another .*'th-x-mine'"
    ):
        register_language_file(other)


def amharic_facts():
    wording = {
        "en": Wording("What is the capital of Ethiopia?", "Ethiopia", ("Addis Ababa", "Cairo")),
        "am": Wording("የኢትዮጵያ ዋና ከተማ ማን ናት?", "ኢትዮጵያ", ("አዲስ አበባ", "ካይሮ")),
    }
    return FactSet("africa", (make_fact(1, wording=wording),), ("en", "am"))


def test_a_language_without_templates_has_facts_that_bring_their_questions(few_words):
    facts = amharic_facts()
    bare = prompts_from_facts(facts, prompt_format="none").prompts["am"][0]
    assert (bare.text, bare.separator, bare.answer) == ("የኢትዮጵያ ዋና ከተማ ማን ናት?", " ", "አዲስ አበባ")
    english = prompts_from_facts(facts, prompt_format="english").prompts["am"][0]
    assert english.text == "Question: የኢትዮጵያ ዋና ከተማ ማን ናት?\nAnswer:"
    with pytest.raises(DataError, match=r"Amharic \('am'\) has no words around a question"):
        prompts_from_facts(facts, prompt_format="native")
    assert resolve("Answer: አዲስ አበባ።", facts.facts[0].wording["am"].options, "am").index == 0
    assert wrong_language("Addis", "am")


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_a_facts_file_describes_its_languages(few_words, tmp_path, suffix):
    facts = amharic_facts()
    path = facts.save(tmp_path / f"africa{suffix}")
    record = LANGUAGES.pop("am")
    assert check_facts(path).ok
    assert LANGUAGES.pop("am") == record
    assert load_facts(path) == facts
    assert language("am") == record
    assert open_facts(path).digest == facts.digest
    assert check_facts(path).n_rows == 1


def test_a_facts_file_does_not_describe_languages_that_ship(tmp_path):
    path = FactSet("x", (make_fact(1, ("en", "th")),), ("en", "th")).save(tmp_path / "x.jsonl")
    assert '"languages"' not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"languages": {}}, "row 1: languages: expected a list of objects"),
        ({"languages": [{"code": "am"}]}, "does not describe a language:\n  name is missing"),
        (
            {"languages": [{**plain_language(LANGUAGES["sw"]), "name": "Kiswahili"}]},
            "describes 'sw', which is known",
        ),
        ({"languages": ["am"]}, "a language is a table of keys, found the text 'am'"),
    ],
)
def test_a_bad_description_in_a_facts_file_is_refused(registration, row, jsonl, header, message):
    path = jsonl(header, row)
    with pytest.raises(DataError) as error:
        load_facts(path)
    assert message in str(error.value)
    assert (check_facts(path).n_rows, check_facts(path).n_facts) == (1, 1)


def test_rows_of_an_unknown_language_say_how_to_describe_it(row, jsonl):
    row["wording"]["am"] = row["wording"]["de"]
    with pytest.raises(DataError, match=r"unknown language 'am'\..* Or describe it in the file\."):
        load_facts(jsonl(row))


MINIMAL = {
    "code": "am",
    "name": "Amharic",
    "endonym": "አማርኛ",
    "script": "Ethi",
    "resource": "low",
    "letters": ["ETHIOPIC"],
}
FORMAT = {"question": "ጥያቄ፦ {q}", "answer_label": "መልስ:"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"code": None}, "code is missing"),
        ({"code": "Amharic"}, "code is 'Amharic', expected two or three small letters such as 'th'"),
        ({"code": "all"}, "code is 'all', expected"),
        ({"letter": ["X"]}, "unknown key 'letter'. Did you mean 'letters'? Choose from: code, name"),
        ({"letters": "ETHIOPIC"}, "letters: expected a list of texts, found the text 'ETHIOPIC'"),
        ({"letters": []}, "letters is empty, expected the first words"),
        ({"letters": ["LATIN"]}, "endonym 'አማርኛ' has letters of ETHIOPIC, letters lists LATIN"),
        ({"unspaced": ["THAI"]}, "unspaced has THAI, which letters lacks"),
        ({"script": "Ethiopic"}, "script is 'Ethiopic', expected a code of ISO 15924 such as 'Latn'"),
        ({"resource": "tiny"}, "resource is 'tiny', expected high or low"),
        ({"name": " "}, "name is empty"),
        ({"name": "Am\u202eharic"}, "name has control characters: U+202E"),
        ({"name": 1}, "name: expected a text, found 1"),
        ({"prompt_format": {"question": "Q"}}, "prompt_format.answer_label is missing"),
        (
            {"prompt_format": FORMAT | {"question": "{q} {q}"}},
            "prompt_format.question is '{q} {q}', expected a text",
        ),
        ({"prompt_format": FORMAT | {"question": "{q}{0.x}"}}, "expected a text with one {q}"),
        (
            {"prompt_format": FORMAT | {"answer_label": "መልስ"}},
            "answer_label is 'መልስ', expected a word and a colon",
        ),
        ({"prompt_format": FORMAT | {"instructions": ["x"]}}, "instructions has 1 lines, expected 4 or none"),
        ({"templates": {"capital": "x"}}, "templates.capital is 'x', expected a question with one {s}"),
        ({"templates": {"capital": "{s}"}}, "confidence: each relation that has a template is expected once"),
        ({"confidence": {"sure": []}}, "confidence has sure, expected high, medium, low"),
        ({"particles": {"x": ["y"]}}, "particles.x: expected two forms"),
        ({"matching": {"same": {"a": "b"}}}, "matching.same: 'a' = 'b' replaces a character of ASCII"),
        ({"matching": {"ignored": ["U+0041"]}}, "matching.ignored has 'U+0041', expected U+064B"),
        ({"matching": {"ignored": ["x"]}}, "matching.ignored has 'x', expected U+064B"),
        (
            {"matching": {"spellings": {"ab": "cab"}}},
            "matching.spellings: 'ab' = 'cab', expected a text to another",
        ),
        (
            {"matching": {"spellings": {" ": "b"}}},
            "matching.spellings: ' ' = 'b', expected a text to another",
        ),
        ({"matching": {"name_dots": "·a"}}, "matching.name_dots is '·a', expected marks, no letters"),
        ({"matching": {"joiners": ["U+0041"]}}, "matching.joiners has 'U+0041', expected U+200C or the like"),
        ({"matching": {"joiners": ["x"]}}, "matching.joiners has 'x', expected U+200C or the like"),
        ({"matching": {"digits": "0123"}}, "matching.digits is '0123', expected ten digits"),
        ({"matching": {"labels_before_a_colon": ["x"]}}, "has 'x', which answer_labels lacks"),
        ({"matching": {"suffix": []}}, "unknown key 'matching.suffix'"),
        ({"matching": []}, "matching: expected a table, found a list"),
    ],
)
def test_what_no_file_of_a_language_may_hold(change, message):
    table = {key: value for key, value in {**copy.deepcopy(MINIMAL), **change}.items() if value is not None}
    with pytest.raises(DataError) as error:
        parse_language(table, "am.toml")
    assert str(error.value).startswith("am.toml does not describe a language:\n  ")
    assert message in str(error.value)


def test_everything_that_is_wrong_is_listed_at_once():
    with pytest.raises(DataError, match=r"resource is 'x'.*\n  letters is empty"):
        parse_language({**MINIMAL, "resource": "x", "letters": []}, "am.toml")


def test_templates_of_unknown_relations_are_refused(registration, tmp_path):
    path = tmp_path / "am.toml"
    rows = [f"{key} = {value!r}" for key, value in MINIMAL.items()]
    rows += ["[templates]", "capitol = '{s}?'", "[confidence]", "low = ['capitol']"]
    path.write_text("\n".join(rows), encoding="utf-8")
    with pytest.raises(
        DataError, match=r"has templates of unknown relations: capitol\. Choose from: capital, city_c"
    ):
        register_language_file(path)
    assert "am" not in LANGUAGES


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match=r"The language file .*none\.toml cannot be read: No such file"):
        read_language(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("code = ", encoding="utf-8")
    with pytest.raises(DataError, match=r"bad\.toml is not TOML in UTF-8: "):
        read_language(tmp_path / "bad.toml")


def test_the_embedded_facts_have_no_thai(cldr):
    for refused in (lambda: open_prompts("cldr", "th"), lambda: cldr.filter(languages="en,th")):
        with pytest.raises(
            DataError, match=r"'cldr' has no facts in Thai \(th\)\. Choose from: en, .*, el\. For other"
        ):
            refused()
