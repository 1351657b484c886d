"""What is compared: normal forms, answer labels in every language, first lines."""

import unicodedata

import pytest

from interp.data.languages import LANGUAGES
from interp.data.matching import resolve
from interp.data.normalization import (
    answer_line,
    first_line,
    normalize,
    strip_answer_label,
)
from interp.data.templates import prompt_format
from interp.errors import DataError
from tests.support.cities import CITIES


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" ＰＡＲＩＳ ", "paris"),
        ("ﬁnland", "finland"),
        ("\u110c\u1175", "지"),
        ("Nuku’alofa", "nuku'alofa"),
        ("Guinée‑Bissau", "guinée-bissau"),
        ("Чили — песо", "чили - песо"),
        ("¿  São\u00a0Tomé\n?", "são tomé"),
        ("Washington, D.C.", "washington, d.c"),
        ("٢٠", "20"),
        ("。！", ""),
    ],
)
def test_normal_forms(text, expected):
    assert normalize(text) == expected
    assert normalize(expected) == expected


@pytest.mark.parametrize("language", CITIES)
def test_labels_in_every_language(language):
    paris, london, *_ = CITIES[language]
    mine = prompt_format(language)
    assert strip_answer_label(f"{mine.answer_label}{mine.separator}{paris}") == paris
    for label in LANGUAGES[language].matching.answer_labels:
        for form in ("{}: {}", "{}：{}", "{}:\n{}", "**{}:** {}", "{} : {}", "## {}: {}"):
            text = form.format(label.capitalize(), paris)
            assert strip_answer_label(text) == strip_answer_label(text, language) == paris, text
            found = resolve(text, (london, paris), language)
            assert (found.index, found.kind) == (1, "exact"), text
        if label not in LANGUAGES[language].matching.labels_before_a_colon:
            for form in ("{} {}", "{} - {}", "{} — {}", "{}\n{}"):
                assert strip_answer_label(form.format(label, paris), language) == paris
        if " " not in label:
            longer = unicodedata.normalize("NFKC", f"{label}x: {paris}")
            assert strip_answer_label(longer) == longer


def test_labels_of_one_language_or_of_all():
    assert strip_answer_label("Antwort: Paris") == strip_answer_label("Antwort: Paris", "de") == "Paris"
    assert strip_answer_label("Antwort: Paris", "fr") == "Antwort: Paris"
    assert strip_answer_label("Answer: Paris", "fr") == "Paris"
    assert strip_answer_label("Answer text: Paris") == "Paris"  # not "text: Paris"
    assert strip_answer_label("Answer: Antwort: Paris") == "Paris"


def test_embedded_names_are_never_taken_for_labels(cldr):
    for by_language in cldr.labels().values():
        for name in by_language.values():
            assert normalize(answer_line(name)) == normalize(name)
            assert normalize(normalize(name)) == normalize(name)


def test_first_line():
    assert first_line("\n  \n Paris \nLondon") == "Paris"
    assert first_line(" \n") == ""


def test_an_unknown_language_is_refused():
    with pytest.raises(DataError, match="Unknown language 'xx'"):
        strip_answer_label("x", "xx")
