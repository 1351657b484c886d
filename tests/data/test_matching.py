"""Which answer a text names: hand-written cases in every language, laws, and the published matcher on its records."""

import itertools
import json
import os
import unicodedata
from pathlib import Path

import pytest

from interp.data.languages import LANGUAGES
from interp.data.matching import (
    _resource,
    answer_line,
    copies_english,
    first_line,
    klar_match,
    names,
    normalize,
    resolve,
    strip_answer_label,
    wrong_language,
)
from interp.data.templates import scaffold
from interp.errors import DataError

VERIFY = Path(os.environ.get("INTERP_VERIFY", Path(__file__).resolve().parents[3] / "shared" / "verify"))

# per language: Paris, London, a sentence with native punctuation that names Paris, a hedge
CITIES = {
    "en": ("Paris", "London", "The capital is “Paris”.", "Paris or London"),
    "de": ("Paris", "London", "Die Hauptstadt ist „Paris“.", "Paris oder London"),
    "id": ("Paris", "London", "Ibu kotanya adalah Paris.", "Paris atau London"),
    "pt": ("Paris", "Londres", "A capital é Paris!", "Paris ou Londres"),
    "ar": ("باريس", "لندن", "العاصمة هي «باريس»؟", "باريس أو لندن"),
    "bn": ("প্যারিস", "লন্ডন", "রাজধানী হলো ‘প্যারিস’।", "প্যারিস বা লন্ডন"),
    "sw": ("Paris", "London", "Mji mkuu ni Paris.", "Paris au London"),
    "es": ("París", "Londres", "¡La capital es París!", "París o Londres"),
    "ru": ("Париж", "Лондон", "Столица — «Париж».", "Париж или Лондон"),
    "fr": ("Paris", "Londres", "La capitale est « Paris » !", "Paris ou Londres"),
    "ja": ("パリ", "ロンドン", "首都は「パリ」です。", "パリまたはロンドン"),
    "zh": ("巴黎", "伦敦", "首都是《巴黎》。", "巴黎或伦敦"),
    "ca": ("París", "Londres", "La capital és París.", "París o Londres"),
    "nl": ("Parijs", "Londen", "De hoofdstad is ‘Parijs’.", "Parijs of Londen"),
    "tr": ("Paris", "Londra", "Başkent Paris'tir.", "Paris veya Londra"),
    "ko": ("파리", "런던", "수도는 파리입니다.", "파리 또는 런던"),
    "uk": ("Париж", "Лондон", "Столиця: «Париж».", "Париж або Лондон"),
    "vi": ("Paris", "Luân Đôn", "Thủ đô là Paris.", "Paris hoặc Luân Đôn"),
    "he": ("פריז", "לונדון", 'הבירה היא "פריז".', "פריז או לונדון"),
    "hu": ("Párizs", "London", "A főváros „Párizs”.", "Párizs vagy London"),
    "fa": ("پاریس", "لندن", "پایتخت «پاریس» است؟", "پاریس یا لندن"),
    "el": ("Παρίσι", "Λονδίνο", "Η πρωτεύουσα είναι το «Παρίσι»;", "Παρίσι ή Λονδίνο"),
}
TRAILING = [
    *".!?,;:…)]}\"'»”",
    "؟",
    "،",
    "؛",
    "۔",
    "।",
    "॥",
    "。",
    "、",
    "，",
    "！",
    "？",
    "；",
    "）",
    "」",
    "』",
    "】",
    "》",
    "·",
    "・",
    "׃",
]
QUOTES = [
    "“{}”",
    "„{}“",
    "«{}»",
    "‘{}’",
    '"{}"',
    "「{}」",
    "『{}』",
    "《{}》",
    "({})",
    "（{}）",
    "[{}]",
    "**{}**",
    "`{}`",
    "~{}~",
    "<{}>",
]

# language, text, options, the option named or None, kind
CASES = [
    # a name inside another, as one word
    ("en", "It is Nigeria.", ("Niger", "Nigeria"), "Nigeria", "contained"),
    ("en", "Nigeria", ("Niger", "Mali"), None, "none"),
    ("en", "Niger or Nigeria", ("Niger", "Nigeria"), None, "ambiguous"),
    ("ru", "Это Нигерия.", ("Нигер", "Нигерия"), "Нигерия", "contained"),
    ("el", "Είναι η Νιγηρία.", ("Νίγηρας", "Νιγηρία"), "Νιγηρία", "contained"),
    ("ko", "기니비사우입니다.", ("기니", "기니비사우"), "기니비사우", "contained"),
    ("ko", "인도네시아", ("인도", "중국"), None, "none"),
    ("ja", "ギニアビサウです。", ("ギニア", "ギニアビサウ"), "ギニアビサウ", "contained"),
    ("ja", "インドネシア", ("インド", "中国"), None, "none"),
    ("sw", "Ginebisau.", ("Gine", "Mali"), None, "none"),
    ("de", "Äquatorialguinea", ("Guinea", "Mali"), None, "none"),
    # a name inside another, as several words
    ("en", "It is Equatorial Guinea.", ("Guinea", "Equatorial Guinea", "Guinea-Bissau"), "Equatorial Guinea", "contained"),
    ("en", "It is Guinea‑Bissau.", ("Guinea", "Equatorial Guinea", "Guinea-Bissau"), "Guinea-Bissau", "contained"),
    ("en", "It is Guinea-Bissau.", ("Guinea", "Mali"), None, "none"),
    ("en", "Guinea or Equatorial Guinea", ("Guinea", "Equatorial Guinea"), None, "ambiguous"),
    ("es", "Es Guinea Ecuatorial.", ("Guinea", "Guinea Ecuatorial"), "Guinea Ecuatorial", "contained"),
    ("pt", "É o Sudão do Sul.", ("Sudão", "Sudão do Sul"), "Sudão do Sul", "contained"),
    ("ar", "هي جنوب السودان.", ("السودان", "جنوب السودان"), "جنوب السودان", "contained"),
    ("ar", "غينيا بيساو هي", ("غينيا", "غينيا بيساو"), "غينيا بيساو", "contained"),
    ("bn", "দেশটি নিরক্ষীয় গিনি।", ("গিনি", "নিরক্ষীয় গিনি"), "নিরক্ষীয় গিনি", "contained"),
    ("bn", "এটি ইতালিয়।", ("ইতালি", "ইতালিয়"), "ইতালিয়", "contained"),
    ("ja", "答えは赤道ギニアです。", ("ギニア", "赤道ギニア"), "赤道ギニア", "contained"),
    ("zh", "答案是几内亚比绍。", ("几内亚", "几内亚比绍"), "几内亚比绍", "contained"),
    ("zh", "几内亚和赤道几内亚", ("几内亚", "赤道几内亚"), None, "ambiguous"),
    ("ko", "적도 기니입니다", ("기니", "적도 기니"), "적도 기니", "contained"),
    ("vi", "Đó là Guinea Xích Đạo.", ("Guinea", "Guinea Xích Đạo"), "Guinea Xích Đạo", "contained"),
    ("fa", "گینهٔ بیسائو است", ("گینه", "گینهٔ بیسائو"), "گینهٔ بیسائو", "contained"),
    ("he", "זו גינאה המשוונית.", ("גינאה", "גינאה המשוונית"), "גינאה המשוונית", "contained"),
    # a part of a name
    ("en", "Congo", ("Congo - Kinshasa", "Congo - Brazzaville"), None, "ambiguous"),
    ("en", "Congo – Kinshasa", ("Congo - Kinshasa", "Congo - Brazzaville"), "Congo - Kinshasa", "exact"),
    ("en", "Congo", ("Congo", "Democratic Republic of the Congo"), "Congo", "exact"),
    ("en", "the Congo", ("Republic of the Congo", "Democratic Republic of the Congo"), None, "ambiguous"),
    ("en", "United States", ("United States of America", "France"), "United States of America", "contained"),
    ("en", "Korea", ("South Korea", "Japan"), None, "none"),
    ("en", "dollar", ("US dollar", "Canadian dollar"), None, "ambiguous"),
    ("en", "Nig", ("Niger", "Mali"), None, "none"),
    ("en", "Ni", ("Niger", "Mali"), None, "none"),
    ("en", "US", ("US dollar", "euro"), None, "none"),
    ("ru", "Па", ("Париж", "Лондон"), None, "none"),
    ("ar", "با", ("باريس", "لندن"), None, "none"),
    ("bn", "প্য", ("প্যারিস", "লন্ডন"), None, "none"),
    ("ja", "アメリカ", ("アメリカ合衆国", "カナダ"), "アメリカ合衆国", "contained"),
    ("zh", "合众", ("美利坚合众国", "法国"), None, "none"),
    ("zh", "合众国", ("美利坚合众国", "法国"), "美利坚合众国", "contained"),
    # what is written onto a name
    ("ar", "والنيجر", ("النيجر", "مالي"), "النيجر", "contained"),
    ("ar", "نيجر", ("النيجر", "مالي"), "النيجر", "contained"),
    ("ar", "هي للنيجر", ("النيجر", "مالي"), "النيجر", "contained"),
    ("he", "בפריז", ("פריז", "לונדון"), "פריז", "contained"),
    ("bn", "প্যারিসের", ("প্যারিস", "লন্ডন"), "প্যারিস", "contained"),
    ("hu", "Franciaországban", ("Franciaország", "Ausztria"), "Franciaország", "contained"),
    ("fr", "l’Allemagne", ("Allemagne", "France"), "Allemagne", "contained"),
    ("en", "Pariss", ("Paris", "London"), None, "none"),
    ("ko", "Paris시", ("Paris", "런던"), "Paris", "contained"),
    ("ja", "首都はParisです", ("Paris", "ロンドン"), "Paris", "contained"),
    ("ko", "파리나무", ("파리", "런던"), None, "none"),
    # one spelling in several forms
    ("tr", "ISPARTA", ("Isparta", "İzmir"), "Isparta", "exact"),
    ("tr", "izmir", ("Isparta", "İzmir"), "İzmir", "exact"),
    ("fa", "ايران", ("ایران", "عراق"), "ایران", "exact"),
    ("fa", "نیمکرهٔ شمالی", ("نیم‌کرهٔ شمالی", "عراق"), "نیم‌کرهٔ شمالی", "exact"),
    ("ar", "ايطاليا", ("إيطاليا", "ألمانيا"), "إيطاليا", "exact"),
    ("ar", "إيطـــاليا", ("إيطاليا", "ألمانيا"), "إيطاليا", "exact"),
    ("el", "ΑΘΗΝΑ", ("Αθήνα", "Ρώμη"), "Αθήνα", "exact"),
    ("he", "ניז'ר", ("ניז׳ר", "מאלי"), "ניז׳ר", "exact"),
    ("ja", "ﾊﾟﾘ", ("パリ", "ロンドン"), "パリ", "exact"),
    ("tr", "i\u0307zmir", ("Isparta", "İzmir"), "İzmir", "exact"),  # what lower() makes of the capital
    ("ar", "لُبنانِ", ("لبنان", "ليبيا"), "لبنان", "exact"),
    ("fa", "كنيا", ("کنیا", "عراق"), "کنیا", "exact"),
    ("de", "STRASSBURG", ("Straßburg", "Bonn"), "Straßburg", "exact"),
    ("fa", "۱۹۴۵", ("1945", "1946"), "1945", "exact"),
    # letters
    ("en", "B. London", ("Paris", "London"), "London", "contained"),
    ("en", "B", ("A", "B"), "B", "exact"),
    ("en", "ab", ("Paris", "London"), None, "none"),
    ("en", "C#", ("C", "C#", "C++"), "C#", "exact"),
    # labels and lines
    ("bn", "উত্তর আমেরিকা", ("উত্তর আমেরিকা", "দক্ষিণ আমেরিকা"), "উত্তর আমেরিকা", "exact"),
    ("bn", "উত্তর: উত্তর আমেরিকা।", ("উত্তর আমেরিকা", "দক্ষিণ আমেরিকা"), "উত্তর আমেরিকা", "exact"),
    ("fr", "Réponse :\nParis\nLondres", ("Paris", "Londres"), "Paris", "exact"),
    ("fr", "Re\u0301ponse : Paris", ("Paris", "Londres"), "Paris", "exact"),
    ("en", "Paris\nLondon", ("Paris", "London"), "Paris", "exact"),
    ("ja", "東京・大阪", ("東京", "大阪"), None, "ambiguous"),
]  # fmt: skip


def named(text, options, language, **settings):
    found = resolve(text, options, language, **settings)
    return (None if found.index is None else options[found.index]), found.kind


def fullwidth(text):
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def test_the_table_has_every_language():
    assert set(CITIES) == set(LANGUAGES) == set(_resource()["labels"])


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
    label = scaffold(language).answer_label
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


@pytest.mark.parametrize("language", CITIES)
def test_labels_in_every_language(language):
    paris, london, *_ = CITIES[language]
    mine = scaffold(language)
    assert strip_answer_label(f"{mine.answer_label}{mine.separator}{paris}") == paris
    for label in _resource()["labels"][language]:
        for form in ("{}: {}", "{}：{}", "{}:\n{}", "**{}:** {}", "{} : {}", "## {}: {}"):
            text = form.format(label.capitalize(), paris)
            assert strip_answer_label(text) == strip_answer_label(text, language) == paris, text
            assert named(text, (london, paris), language) == (paris, "exact"), text
        if label not in _resource()["labels_before_a_colon"]:
            for form in ("{} {}", "{} - {}", "{} — {}", "{}\n{}"):
                assert strip_answer_label(form.format(label, paris), language) == paris
        if " " not in label:
            assert strip_answer_label(f"{label}x: {paris}") == f"{label}x: {paris}"


def test_labels_of_one_language_or_of_all():
    assert strip_answer_label("Antwort: Paris") == strip_answer_label("Antwort: Paris", "de") == "Paris"
    assert strip_answer_label("Antwort: Paris", "fr") == "Antwort: Paris"
    assert strip_answer_label("Answer: Paris", "fr") == "Paris"
    assert strip_answer_label("Answer text: Paris") == "Paris"  # not "text: Paris"
    assert strip_answer_label("Answer: Antwort: Paris") == "Paris"


def test_an_english_answer_to_a_question_in_another_script():
    for language in ("bn", "ar", "ja", "ru", "el", "he", "ko", "zh", "fa", "uk"):
        paris, london, *_ = CITIES[language]
        assert named("Paris", (london, paris), language) == (None, "none")
        assert wrong_language("The capital is Paris.", language)
        assert copies_english("The capital is Paris.", ["London", "Paris"], [london, paris])


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
                assert [names(option, other, language) for other in wording.options].count(True) == 1


def test_every_embedded_answer_after_its_label_and_in_other_forms(cldr):
    for fact in cldr:
        for language, wording in fact.wording.items():
            label, gold = scaffold(language), fact.answer(language)
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
        assert names(bare, names_of["el"], "el")


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


def test_embedded_names_are_never_taken_for_labels_or_foreign(cldr):
    for by_language in cldr.labels().values():
        for language, name in by_language.items():
            assert normalize(answer_line(name)) == normalize(name)
            assert normalize(normalize(name)) == normalize(name)
            if not name.startswith("."):  # internet domains are Latin everywhere
                assert not wrong_language(name, language)


# names


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
    found = [names(text, "Paris", language, mode=mode) for mode in ("strict", "boundary", "anywhere")]
    assert found == [strict, boundary, anywhere]
    assert names(text, "Paris", language) is strict


def test_aliases_and_coverage():
    assert not names("Holland", "Netherlands", "en")
    assert names("Holland", "Netherlands", "en", aliases=["Holland"])
    usa = {"answer": "United States of America", "language": "en", "mode": "boundary"}
    assert not names("United States", **usa)
    assert names("United States", **usa, minimum_coverage=0.5)
    assert not names("United States", **usa, minimum_coverage=0.6)
    assert not names("of", **usa, minimum_coverage=0.01)


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


def test_first_line():
    assert first_line("\n  \n Paris \nLondon") == "Paris"
    assert first_line(" \n") == ""


# languages


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


def test_copies_english_only_where_the_spelling_differs():
    english, german = ["Germany", "Berlin"], ["Deutschland", "Berlin"]
    assert copies_english("It is Germany.", english, german)
    assert not copies_english("Berlin", english, german)
    assert not copies_english("Deutschland", english, german)
    assert not copies_english("Deutschland (Germany)", english, german)
    assert not copies_english("France", english, german)
    assert not copies_english("Berlin, Deutschland", english, german)


# refusals


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: resolve("x", [], "en"), "There are no options to choose from"),
        (
            lambda: resolve("x", ["a", " ?! "], "en"),
            r"The name ' \?! ' is empty once white space and punctuation",
        ),
        (lambda: resolve("x", ["a"], "en", others=["…"]), "is empty once"),
        (lambda: resolve("x", ["a"], "en", minimum_coverage=0), "minimum coverage of 0 was asked for"),
        (lambda: resolve("x", ["a"], "xx"), "Unknown language 'xx'"),
        (lambda: names("x", "a", "en", minimum_coverage=1.5), "minimum coverage of 1.5 was asked for"),
        (lambda: names("x", "", "en"), "The name '' is empty"),
        (lambda: names("x", "a", "en", mode="loose"), "Unknown mode 'loose' of matching"),
        (lambda: names("x", "a", "xx"), "Unknown language 'xx'"),
        (lambda: wrong_language("x", "xx"), "Unknown language 'xx'"),
        (lambda: strip_answer_label("x", "xx"), "Unknown language 'xx'"),
        (lambda: copies_english("x", [], []), "There are no options"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(DataError, match=message):
        call()


# the published matcher


@pytest.mark.parametrize(
    ("prediction", "gold", "expected"),
    [
        ("france", "France", True),
        ("the france.", "France", True),
        ("nigeria", "Niger", True),  # no word boundary after a prefix
        ("the united states", "United States", False),  # several words count at the beginning only
        ("serbo-croata", "croata", False),  # the hyphen does not part words
        ("東京。", "東京", True),
        ("1055 مونتريال،", "مونتريال", False),  # nor does the Arabic comma
        ("", "Paris", False),
        ("Paris", "", False),
    ],
)
def test_klar_rules(prediction, gold, expected):
    assert klar_match(prediction, gold) is expected


@pytest.mark.skipif(not VERIFY.is_dir(), reason=f"published outputs are not at {VERIFY}")
@pytest.mark.parametrize(
    ("name", "correct"), [("OLMo-2-1124-7B", 2856), ("Qwen-2.5-7B-grpo-consistent", 7055)]
)
def test_klar_records_are_reproduced(name, correct):
    records = json.loads((VERIFY / "klar_runs" / f"{name}.json").read_text())["records"]
    assert len(records) == 6 * 2619
    found = [klar_match(record["pred"], record["target"]) for record in records]
    assert found == [record["correct"] for record in records]
    assert sum(found) == correct
