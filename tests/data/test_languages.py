"""Which languages are known, what they are called, and what is said to whom calls them otherwise."""

import pytest

from interp.data.languages import (
    EMBEDDED_LANGUAGES,
    LANGUAGES,
    POLYFACT_LANGUAGES,
    POLYFACT_UNSEEN_LANGUAGES,
    as_languages,
    language,
    language_classes,
    parse_languages,
    requested_languages,
    resolve_languages,
)
from interp.errors import DataError


def test_the_paper_has_twelve_languages_in_its_order():
    assert " ".join(POLYFACT_LANGUAGES) == "en de id pt ar bn sw es ru fr ja zh"
    assert " ".join(POLYFACT_UNSEEN_LANGUAGES) == "ca nl tr ko uk vi he hu fa el"
    assert EMBEDDED_LANGUAGES == POLYFACT_LANGUAGES + POLYFACT_UNSEEN_LANGUAGES
    others = sorted(set(LANGUAGES) - set(EMBEDDED_LANGUAGES))
    assert {"th", "yo"} <= set(others)
    assert tuple(LANGUAGES) == (*EMBEDDED_LANGUAGES, *others)


def test_the_embedded_facts_have_the_languages_that_are_listed(cldr):
    assert cldr.languages == EMBEDDED_LANGUAGES


def test_resource_classes():
    low = {code for code in EMBEDDED_LANGUAGES if LANGUAGES[code].resource == "low"}
    assert low == {"id", "bn", "sw"} | {"uk", "he", "el"}
    assert LANGUAGES["th"].resource == LANGUAGES["yo"].resource == "low"


def test_classes_have_the_languages_that_there_are():
    assert language_classes(("sw", "en", "ko", "xx")) == {
        "high-resource": ("en", "ko"),
        "low-resource": ("sw",),
        "PolyFact's": ("sw", "en"),
        "not PolyFact's": ("ko",),
    }
    assert list(language_classes(("th",))) == ["low-resource", "not PolyFact's"]


def test_parse_languages_keeps_the_order_given():
    assert parse_languages("sw, en,zh") == ("sw", "en", "zh")
    assert parse_languages("polyfact") == POLYFACT_LANGUAGES
    assert parse_languages("polyfact-unseen") == POLYFACT_UNSEEN_LANGUAGES
    assert parse_languages("all") == EMBEDDED_LANGUAGES


@pytest.mark.parametrize("given", ["sw,en", ["sw", "en"], ("sw", "en"), {"sw": 1, "en": 2}])
def test_a_text_and_a_sequence_name_the_same(given):
    assert as_languages(given) == requested_languages(given) == ("sw", "en")


def test_who_decides_the_languages():
    data = ("ja", "en", "th")
    for named in ("auto", "all", None):
        assert requested_languages(named) is None
    assert resolve_languages("auto", data) == resolve_languages(" all ", data) == data
    assert resolve_languages("auto", EMBEDDED_LANGUAGES, embedded=True) == POLYFACT_LANGUAGES
    assert resolve_languages("all", EMBEDDED_LANGUAGES, embedded=True) == EMBEDDED_LANGUAGES
    assert resolve_languages("polyfact", data) == POLYFACT_LANGUAGES
    assert (
        resolve_languages(["sw", "en"], data, embedded=True)
        == resolve_languages("sw,en", data)
        == ("sw", "en")
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("en,swa", r"Unknown language 'swa'\. Did you mean 'sw' \(Swahili\)\? Choose from: en, de, id"),
        ("en,sw,en", "Language 'en' is named more than once"),
        (" , ", r"No language is named\. Choose from: polyfact, polyfact-unseen, all, or codes of en, de"),
        ("en,\u202exx", r"Unknown language '\\u202exx'\. Choose from: en"),
        ("jp", r"'jp'\. Did you mean 'ja' \(Japanese\)\?"),
        ("English", r"'English'\. Did you mean 'en' \(English\)\?"),
        ("swahili", r"Did you mean 'sw' \(Swahili\)\?"),
        ("EN", r"Did you mean 'en' \(English\)\?"),
        ("日本語", r"Did you mean 'ja' \(Japanese\)\?"),
        ("Japanes", r"Did you mean 'ja' \(Japanese\)\?"),
        (
            "zh-CN",
            r"Did you mean 'zh'\? It is Chinese in the script Hans; regions and scripts are not told apart",
        ),
        ("pt_BR", r"Did you mean 'pt'\? It is Portuguese in the script Latn"),
        ("jp_JP.UTF-8", r"Did you mean 'ja'\? It is Japanese"),
        ("cyrl", r"Unknown language 'cyrl'\. That is a script; in it are written ru, uk\. Choose from"),
        ("paper", r"'paper' is now 'polyfact': en, de, .* zh\. Choose from: polyfact, polyfact-unseen, all,"),
        ("unseen", r"'unseen' is now 'polyfact-unseen': ca, nl"),
    ],
)
def test_parse_languages_refuses(text, message):
    with pytest.raises(DataError, match=message):
        parse_languages(text)


def test_every_name_and_other_code_leads_to_its_language_alone():
    words = [
        (word.casefold(), record.code)
        for record in LANGUAGES.values()
        for word in {record.code, record.name, record.endonym, *record.other_codes}
    ]
    assert len({word for word, _ in words}) == len({(word, code) for word, code in words})
    assert not {word for word, code in words if word != code} & set(LANGUAGES)


def test_language_looks_up():
    assert language("ja").script == "Jpan"
    assert language("uk").name == "Ukrainian"
    assert [code for code in (*EMBEDDED_LANGUAGES, "th") if not language(code).spaced] == ["ja", "zh", "th"]
    assert repr(language("sw")) == "Language('sw', Swahili, Latn, low resource)"
