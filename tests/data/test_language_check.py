"""Answers in the wrong language: by script, by share of letters, and English options copied."""

import pytest

from interp.data.language_check import copies_english, wrong_language
from interp.data.languages import LANGUAGES
from interp.data.matching import resolve
from interp.errors import DataError
from tests.support.cities import CITIES


def test_wrong_language_by_script():
    for language, (paris, *_) in CITIES.items():
        assert not wrong_language(paris, language)
        for other, (name, *_) in CITIES.items():
            same = LANGUAGES[language].script == LANGUAGES[other].script
            assert wrong_language(name, language) == (not same and (language, other) != ("ja", "zh"))


def test_wrong_language_by_share_of_letters():
    half = "Paris порто"
    assert not wrong_language(half, "ru")
    assert wrong_language(half, "ru", threshold=0.4)
    assert not wrong_language("12 ... !", "ru")
    assert not wrong_language("", "ru")


def test_an_english_answer_to_a_question_in_another_script():
    for language in ("bn", "ar", "ja", "ru", "el", "he", "ko", "zh", "fa", "uk"):
        paris, london, *_ = CITIES[language]
        assert resolve("Paris", (london, paris), language).kind == "none"
        assert wrong_language("The capital is Paris.", language)
        assert copies_english("The capital is Paris.", ["London", "Paris"], [london, paris])


def test_embedded_names_are_never_taken_for_foreign(cldr):
    for by_language in cldr.labels().values():
        for language, name in by_language.items():
            if not name.startswith("."):  # internet domains are Latin everywhere
                assert not wrong_language(name, language)


def test_copies_english_only_where_the_spelling_differs():
    english, german = ["Germany", "Berlin"], ["Deutschland", "Berlin"]
    assert copies_english("It is Germany.", english, german)
    assert not copies_english("Berlin", english, german)
    assert not copies_english("Deutschland", english, german)
    assert not copies_english("Deutschland (Germany)", english, german)
    assert not copies_english("France", english, german)
    assert not copies_english("Berlin, Deutschland", english, german)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wrong_language("x", "xx"), "Unknown language 'xx'"),
        (lambda: copies_english("x", [], []), "There are no options"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(DataError, match=message):
        call()
