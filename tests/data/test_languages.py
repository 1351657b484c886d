import pytest

from interp.data.languages import LANGUAGES, PAPER_LANGUAGES, UNSEEN_LANGUAGES, language, parse_languages
from interp.errors import DataError


def test_the_paper_has_twelve_languages_in_its_order():
    assert " ".join(PAPER_LANGUAGES) == "en de id pt ar bn sw es ru fr ja zh"
    assert " ".join(UNSEEN_LANGUAGES) == "ca nl tr ko uk vi he hu fa el"
    assert tuple(LANGUAGES) == PAPER_LANGUAGES + UNSEEN_LANGUAGES


def test_resource_classes():
    low = {code for code, known in LANGUAGES.items() if known.resource == "low"}
    assert low == {"id", "bn", "sw"} | {"uk", "he", "el"}
    assert {known.resource for known in LANGUAGES.values()} == {"low", "high"}


def test_parse_languages_keeps_the_order_given():
    assert parse_languages("sw, en,zh") == ("sw", "en", "zh")
    assert parse_languages("paper") == PAPER_LANGUAGES
    assert parse_languages("unseen") == UNSEEN_LANGUAGES
    assert parse_languages("all") == tuple(LANGUAGES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("en,swa", r"Unknown language 'swa'\. Did you mean 'sw'\? Known: en de id"),
        ("en,sw,en", "Language 'en' is named more than once"),
        (" , ", "No language was named"),
        ("en,\u202exx", r"Unknown language '\\u202exx'"),
    ],
)
def test_parse_languages_refuses(text, message):
    with pytest.raises(DataError, match=message):
        parse_languages(text)


def test_language_looks_up():
    assert language("ja").script == "Jpan"
    assert language("uk").name == "Ukrainian"
    assert language("ca").seen is False
