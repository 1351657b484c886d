"""Which answer a text names: hand-written cases in every language, and laws."""

import itertools
import unicodedata

import pytest

from interp.data.languages import LANGUAGES
from interp.data.matching import mentions, resolve
from interp.data.templates import prompt_format
from interp.errors import DataError
from tests.support.cities import CASES, CITIES, QUOTES, TRAILING


def named(text, options, language, **settings):
    found = resolve(text, options, language, **settings)
    return (None if found.index is None else options[found.index]), found.kind


def fullwidth(text):
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def test_the_table_has_every_language():
    assert set(CITIES) == set(LANGUAGES)


@pytest.mark.parametrize("language", CITIES)
def test_a_name_in_every_language(language):
    paris, london, sentence, hedge = CITIES[language]
    options = (london, paris)
    assert named(paris, options, language) == (paris, "exact")
    assert named(london, options, language) == (london, "exact")
    assert named(sentence, options, language) == (paris, "contained")
    assert named(hedge, options, language) == (None, "ambiguous")
    for quote in QUOTES:
        assert named(quote.format(paris), options, language) == (paris, "exact"), quote


@pytest.mark.parametrize("language", CITIES)
def test_what_names_nothing_in_every_language(language):
    options = CITIES[language][:2]
    for letter in "abcdABCD":
        for form in ("{}", "{}.", "({})", "[{}]", "{})", "{}:", "{}。", "（{}）", "**{}**"):
            assert named(form.format(letter), options, language) == (None, "letter"), form
    label = prompt_format(language).answer_label
    for silence in (
        "",
        " ",
        "\n\t \n",
        "...",
        "。",
        "؟",
        "।",
        "—",
        "\u200b",
        "🎉",
        "\x00",
        label,
        f"{label}\n",
        f"{label} .",
    ):
        assert named(silence, options, language) == (None, "empty"), silence
    assert named(options[0][:2], ["xyz", options[0] * 2], language) == (None, "none")


@pytest.mark.parametrize(("language", "text", "options", "expected", "kind"), CASES)
def test_cases(language, text, options, expected, kind):
    assert named(text, options, language) == (expected, kind)


@pytest.mark.parametrize(("language", "text", "options", "expected", "kind"), CASES)
def test_the_order_of_options_does_not_matter(language, text, options, expected, kind):
    for order in itertools.permutations(options):
        assert named(text, order, language) == (expected, kind)


def all_texts():
    for language, (paris, london, sentence, hedge) in CITIES.items():
        yield from ((language, text, (london, paris)) for text in (paris, london, sentence, hedge))
    yield from ((language, text, options) for language, text, options, *_ in CASES)


@pytest.mark.parametrize(("language", "text", "options"), list(all_texts()))
def test_case_width_and_form_do_not_matter(language, text, options):
    expected = named(text, options, language)
    for same in (text.upper(), text.lower(), text.swapcase(), fullwidth(text)):
        assert named(same, options, language) == expected, same
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert named(unicodedata.normalize(form, text), options, language) == expected, form
    spaced = f" \u00a0{text.replace(' ', '  ')}\u3000"
    assert named(spaced, options, language) == expected


@pytest.mark.parametrize(("language", "text", "options"), list(all_texts()))
def test_trailing_punctuation_does_not_matter(language, text, options):
    expected = named(text, options, language)
    for mark in TRAILING:
        assert named(text + mark, options, language) == expected, mark
        assert named(text + mark * 3, options, language) == expected, mark


def test_every_embedded_option_names_itself_only(cldr):
    for fact in cldr:
        for language, wording in fact.wording.items():
            for index, option in enumerate(wording.options):
                found = resolve(option, wording.options, language)
                assert (found.index, found.kind) == (index, "exact")
                assert [mentions(option, other, language) for other in wording.options].count(True) == 1


def test_every_embedded_answer_after_its_label_and_in_other_forms(cldr):
    for fact in cldr:
        for language, wording in fact.wording.items():
            label, gold = prompt_format(language), fact.answer(language)
            for text in (
                f"{label.answer_label}{label.separator}{gold}。",
                gold.upper(),
                unicodedata.normalize("NFD", gold),
            ):
                assert resolve(text, wording.options, language).index == fact.answer_index, text


def test_greek_capitals_have_no_accents(cldr):
    for names_of in cldr.labels().values():
        apart = unicodedata.normalize("NFD", names_of["el"].upper())
        bare = "".join(c for c in apart if c not in "\u0301\u0308")
        assert mentions(bare, names_of["el"], "el")


@pytest.mark.parametrize(
    ("text", "language", "strict", "boundary", "anywhere"),
    [
        ("Paris", "en", True, True, True),
        ("Answer: paris.", "en", True, True, True),
        ("It is Paris, France", "en", False, True, True),
        ("Parisian", "en", False, False, True),
        ("I think so.\nParis", "en", False, False, True),
        ("London", "en", False, False, False),
        ("", "en", False, False, False),
    ],
)
def test_modes(text, language, strict, boundary, anywhere):
    found = [mentions(text, "Paris", language, mode=mode) for mode in ("strict", "boundary", "anywhere")]
    assert found == [strict, boundary, anywhere]
    assert mentions(text, "Paris", language) is strict


def test_aliases_and_coverage():
    assert not mentions("Holland", "Netherlands", "en")
    assert mentions("Holland", "Netherlands", "en", aliases=["Holland"])
    usa = {"answer": "United States of America", "language": "en", "mode": "boundary"}
    assert not mentions("United States", **usa)
    assert mentions("United States", **usa, minimum_coverage=0.5)
    assert not mentions("United States", **usa, minimum_coverage=0.6)
    assert not mentions("of", **usa, minimum_coverage=0.01)


def test_settings_of_resolve():
    assert named("Korea", ("South Korea", "Japan"), "en", minimum_coverage=0.4) == (
        "South Korea",
        "contained",
    )
    papua = "It is Papua New Guinea."
    assert named(papua, ("Guinea", "Mali"), "en") == ("Guinea", "contained")
    assert named(papua, ("Guinea", "Mali"), "en", others=["Papua New Guinea"]) == (None, "none")
    assert named("印度尼西亚", ("印度", "中国"), "zh", others=["印度尼西亚"]) == (None, "none")
    assert named("c", ("Paris", "London"), "en") == (None, "letter")
    assert named("e", ("Paris", "London"), "en") == (None, "none")
    assert named("e", ("Paris", "London", "Rome", "Bonn", "Oslo"), "en") == (None, "letter")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: resolve("x", [], "en"), "There are no options to choose from"),
        (
            lambda: resolve("x", ["a", " ?! "], "en"),
            r"The name ' \?! ' is empty once white space and punctuation",
        ),
        (lambda: resolve("x", ["a"], "en", others=["…"]), "is empty once"),
        (lambda: resolve("x", ["a"], "en", minimum_coverage=0), "The minimum coverage is 0; a share above 0"),
        (lambda: resolve("x", ["a"], "xx"), "Unknown language 'xx'"),
        (lambda: mentions("x", "a", "en", minimum_coverage=1.5), "The minimum coverage is 1.5; a share"),
        (lambda: mentions("x", "", "en"), "The name '' is empty"),
        (lambda: mentions("x", "a", "en", mode="loose"), "Unknown mode 'loose' of matching"),
        (lambda: mentions("x", "a", "xx"), "Unknown language 'xx'"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(DataError, match=message):
        call()
