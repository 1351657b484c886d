"""Romanized and shuffled facts: what changes, what stays, and what is refused."""

from __future__ import annotations

import sys
from collections import Counter

import pytest

from interp.data.controls import CONTROLS, controlled, parse_controls, shuffled, with_distinct_options
from interp.data.facts import Fact, FactSet, Wording
from interp.data.prompts import prompts_from_facts
from interp.data.romanization import romanized
from interp.data.sources import open_facts, open_prompts
from interp.data.sources.cldr import cldr_facts
from interp.data.tasks import open_task
from interp.data.text import load_text
from interp.errors import CapabilityError, ConfigError, DataError


@pytest.fixture(scope="module")
def facts() -> FactSet:
    return cldr_facts().filter(limit=12)


def words_of(text: str) -> Counter[str]:
    return Counter(text)


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        ("ru", "Какой город?", "Kakoy gorod?"),
        ("de", "Zürich", "Zuerich"),
        ("en", "What is it?", "What is it?"),
        ("ja", "質問：", "zhiwen:"),
        ("zh", "中国", "zhongguo"),
        ("ru", " да\nнет ", " da\nnet "),
        ("ar", "", ""),
        ("en", "1998", "1998"),
    ],
)
def test_texts_in_latin_letters(code, text, expected):
    assert romanized(text, code) == expected


def test_everything_that_is_read_is_romanized_and_names_its_subject(facts):
    found = controlled(facts, "romanized")
    prompts = prompts_from_facts(found)
    latin = {
        letter
        for code in found.languages
        for prompt in prompts.prompts[code]
        for letter in prompt.full_text
        if letter.isalpha() and not letter.isascii()
    }
    assert latin <= set("ʼ’ʿ")
    for code in found.languages:
        for before, fact, prompt in zip(facts, found, prompts.prompts[code], strict=True):
            wording = fact.wording[code]
            assert wording.subject in prompt.text
            assert prompt.answer == romanized(before.answer(code), code)
            assert wording.subject == romanized(before.wording[code].subject, code)
    (question,) = (p.text for p in prompts.prompts["ja"] if p.item_id == facts.facts[0].fact_id)
    assert question.startswith("zhiwen: ")
    assert question.endswith("\nhuida:")
    assert {p.separator for p in prompts.prompts["ja"]} == {" "}


def test_shuffled_questions_have_the_same_words_and_whole_subjects(facts):
    found = controlled(facts, "shuffled")
    for before, fact in zip(facts, found, strict=True):
        for code, wording in fact.wording.items():
            plain = before.wording[code]
            assert wording.question != plain.question
            assert words_of(wording.question) == words_of(plain.question)
            assert wording.question.count(wording.subject) >= 1
            assert (wording.options, wording.subject) == (plain.options, plain.subject)
    prompts = prompts_from_facts(found)
    assert all(p.text.endswith("\nAnswer:") for p in prompts.prompts["en"])  # the words around it stay


@pytest.mark.parametrize(
    ("code", "text", "whole", "words"),
    [
        ("en", "Is N'Djamena the well-known capital, or not?", "", 7),
        ("en", "Where is Côte d’Ivoire today?", "Côte d’Ivoire", 4),
        ("tr", "Norveç'in başkenti neresi?", "Norveç", 3),
        ("zh", "挪威的首都？", "挪威", 4),
        ("ja", "ノルウェーの首都", "", 4),  # katakana runs on, the others are characters
        ("th", "ก่ำข", "", 3),
        ("fa", "می\u200cرود کجا", "", 2),
    ],
)
def test_what_a_word_is(code, text, whole, words):
    seen = {shuffled(text, code, str(i), whole) for i in range(200)}
    assert text not in seen
    assert all(words_of(each) == words_of(text) for each in seen)
    assert len(seen) <= {2: 1, 3: 5, 4: 23}.get(words, 200)
    if words <= 3:
        assert len(seen) == {2: 1, 3: 5}[words]
    assert all(whole in each for each in seen)


def test_white_space_punctuation_and_lines_stay_in_place():
    text = "¿Cuál  es: la capital?\n(dos tres)"
    found = shuffled(text, "es", "x")
    assert found[0] == "¿"
    assert sorted(found.split("\n")[1]) == sorted("(dos tres)")
    assert found.split("\n")[1] == "(tres dos)"
    assert "  " in found


def test_orders_depend_on_item_and_language_alone():
    line = "one two three four five six seven eight"
    assert shuffled(line, "en", "a") == shuffled(line, "en", "a")
    assert len({shuffled(line, "en", "a"), shuffled(line, "en", "b"), shuffled(line, "de", "a")}) == 3
    assert shuffled("same same", "en", "a") == "same same"
    assert shuffled("alone", "en", "a") == "alone"


def test_a_control_is_part_of_the_question(facts):
    plain = prompts_from_facts(facts)
    digests = {prompts_from_facts(controlled(facts, control)).digest for control in CONTROLS}
    assert len({plain.digest, *digests}) == 3
    found = open_prompts("cldr", "en,ru", limit=4, control="romanized")
    assert (found.control, found.context, plain.context) == ("romanized", {"control": "romanized"}, {})
    assert found.restrict(["ru"]).sample(2).control == "romanized"
    assert "romanized" in found.note


def test_running_text_is_shuffled_line_by_line(tmp_path):
    for code, lines in {"en": "one two\nthree four\n", "ru": "один два\nтри четыре\n"}.items():
        (tmp_path / f"{code}.txt").write_text(lines)
    text = load_text(tmp_path)
    assert [p.text for p in controlled(text, "shuffled").prompts["en"]] == ["two one", "four three"]
    assert [p.text for p in controlled(text, "romanized").prompts["ru"]] == ["odin dva", "tri chetyre"]


def test_lens_tasks_are_romanized_with_their_labels_and_answers():
    task = open_task("translation", "en,ru", pivot="en", source="ja", limit=3, control="romanized")
    for code in ("en", "ru"):
        for prompt in task.prompts.prompts[code]:
            assert prompt.full_text.isascii()
            assert task.subjects[code][prompt.item_id] in prompt.text
    with pytest.raises(ConfigError, match="no words to shuffle"):
        open_task("repetition", "en,ru", pivot="en", limit=3, control="shuffled")
    asked = open_task("facts", "en,ru", pivot="en", limit=3, shots=2, control="romanized")
    assert all(prompt.full_text.isascii() for prompt in asked.prompts.prompts["ru"])


def two_facts(*options: tuple[str, str]) -> FactSet:
    made = [
        Fact(f"f{i}", "r", f"s{i}", "a", ("a", "b"), "test", wording={"ru": Wording("О?", "О", each)})
        for i, each in enumerate(options)
    ]
    return FactSet("made", tuple(made), ("ru",))


def test_facts_whose_options_become_alike_are_left_out():
    found = controlled(two_facts(("Да", "Da"), ("Да", "Нет")), "romanized")
    assert [fact.wording["ru"].options for fact in found] == [("Da", "Da"), ("Da", "Net")]
    kept = with_distinct_options(found)
    assert [fact.fact_id for fact in kept] == ["f1"]
    assert kept.note == "1 facts left out whose options are alike when romanized"
    with pytest.raises(DataError, match="written alike"):
        with_distinct_options(controlled(two_facts(("Да", "Da")), "romanized"))


def test_names_of_controls():
    assert parse_controls("") == ()
    assert parse_controls("shuffled, romanized") == ("shuffled", "romanized")
    with pytest.raises(ConfigError, match="Did you mean 'romanized'"):
        parse_controls("romanised")
    with pytest.raises(ConfigError, match="more than once"):
        parse_controls("shuffled,shuffled")
    with pytest.raises(ConfigError, match="One control at a time"):
        controlled(controlled(two_facts(("Да", "Нет")), "shuffled"), "romanized")
    with pytest.raises(ConfigError, match="One control at a time"):
        controlled(two_facts(("Да", "Нет")), "romanized,shuffled")


def test_without_the_package_romanizing_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "uroman", None)
    with pytest.raises(CapabilityError, match=r"pip install 'interp\[romanize\]'"):
        parse_controls("romanized")
    assert open_facts("cldr").control == ""
    assert parse_controls("shuffled") == ("shuffled",)
