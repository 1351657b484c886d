"""Spellings that a language does not tell apart: of every embedded answer that has one, and no more."""

import re
import unicodedata

import pytest

from interp.data.chinese import build_characters, simplified
from interp.data.klar import klar_match
from interp.data.languages import EMBEDDED_LANGUAGES
from interp.data.matching import mentions, resolve
from interp.data.normalization import normalize
from interp.data.spelling import variants
from tests.support.extras import needed

TONES = "\u0300\u0301\u0303\u0309\u0323"


def old_tones(text):
    """Tone marks on the first vowel of oa, oe and uy."""
    apart = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFC", re.sub(f"([oO](?=[ae])|[uU](?=y))(.)([{TONES}])", r"\1\3\2", apart))


def new_tones(text):
    """Tone marks on the second."""
    apart = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFC", re.sub(f"([oO]|[uU](?=.y))([{TONES}])([aey])", r"\1\3\2", apart))


EMBEDDED = {
    "old tones": ("vi", old_tones),
    "new tones": ("vi", new_tones),
    "tones apart": ("vi", lambda text: unicodedata.normalize("NFD", new_tones(text))),
    "eth": ("vi", lambda text: text.replace("Đ", "Ð").replace("đ", "ð")),
    "e for yo": ("ru", lambda text: text.replace("ё", "е").replace("Ё", "Е")),
    "joiner as space": ("fa", lambda text: text.replace("\u200c", " ")),
    "joiner as nothing": ("fa", lambda text: text.replace("\u200c", "")),
    "space as joiner": ("fa", lambda text: text.replace(" ", "\u200c")),
    "khanda ta of old": ("bn", lambda text: text.replace("ৎ", "ত\u09cd\u200d")),
    "ta with hasanta": ("bn", lambda text: text.replace("ৎ", "ত\u09cd")),
    **{f"dot as {dot!r}": ("ja", lambda text, dot=dot: text.replace("・", dot)) for dot in [*"･·‧•=", ""]},
    **{f"l{dot}l": ("ca", lambda text, dot=dot: text.replace("l·l", f"l{dot}l")) for dot in ".•‧・"},
    "one letter for l and dot": ("ca", lambda text: text.replace("l·l", "ŀl")),
}  # fmt: skip
COUNTS = {
    "old tones": 0,
    "new tones": 13,
    "eth": 156,
    "e for yo": 2,
    "joiner as space": 25,
    "khanda ta of old": 2,
}


@pytest.mark.parametrize("spelling", EMBEDDED)
def test_every_embedded_answer_in_another_spelling(cldr, spelling):
    code, respell = EMBEDDED[spelling]
    changed = 0
    for fact in cldr:
        gold, options = fact.answer(code), fact.wording[code].options
        other = respell(gold)
        changed += other != gold
        assert mentions(other, gold, code)
        assert mentions(f"({other}).", gold, code, mode="boundary")
        assert mentions(f"x {other} x", gold, code, mode="anywhere")
        assert mentions(gold, other, code)
        for text, known in ((other, options), (gold, [respell(option) for option in options])):
            found = resolve(text, known, code)
            assert (found.index, found.kind) == (fact.answer_index, "exact")
    assert changed > 0 or spelling == "old tones"  # CLDR writes the tones as of old
    assert COUNTS.get(spelling, changed) == changed


@pytest.mark.parametrize("config", ["s2t", "s2tw", "s2hk"])
def test_every_embedded_answer_in_traditional_characters(cldr, config):
    convert = needed("opencc").OpenCC(config).convert
    changed = 0
    for fact in cldr:
        gold, options = fact.answer("zh"), fact.wording["zh"].options
        changed += convert(gold) != gold
        assert resolve(f"答案：{convert(gold)}。", options, "zh").index == fact.answer_index
        assert resolve(gold, [convert(option) for option in options], "zh").index == fact.answer_index
        assert simplified(convert(gold)) == gold
    assert changed > 950


def test_the_table_is_that_of_opencc(tmp_path):
    needed("opencc")
    from importlib import resources

    shipped = resources.files("interp.data") / "resources" / "chinese_characters.json"
    built = build_characters(tmp_path / "c.json").read_text(encoding="utf-8")
    assert built == shipped.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("language", "text", "options", "index"),
    [
        ("vi", "Thuỵ Sĩ", ("Thụy Sĩ", "Thụy Điển"), 0),
        ("vi", "Cộng hoà Séc", ("Cộng hòa Séc", "Slovakia"), 0),
        ("vi", "Đó là Khoẻ", ("Khỏe", "Yếu"), 0),
        ("vi", "Qúy Châu", ("Quý Châu", "Vân Nam"), 0),
        ("vi", "Của", ("Cua", "Củ"), None),  # no tone is dropped
        ("vi", "toà", ("toa", "tỏa"), None),
        ("ru", "Самолет", ("Самолёт", "Поезд"), 0),
        ("fa", "آفریقای جنوبی", ("آفریقای\u200cجنوبی", "عراق"), 0),
        ("fa", "این نیم کره است", ("نیم\u200cکره", "عراق"), 0),
        ("fa", "این نیم\u200cکره است", ("نیم کره", "عراق"), 0),
        ("fa", "نیم\u200cکره یا عراق", ("نیمکره", "عراق"), None),
        ("fa", "نیم\u200cکره یا عراق", ("نیم کره", "عراق"), None),
        ("ar", "نيم كره", ("نيم\u200cكره", "ب"), None),  # of Persian alone
        ("bn", "উত্স", ("উৎস", "মূল"), 0),
        ("ja", "答えはニュー・デリーです。", ("ニューデリー", "パリ"), 0),
        ("ja", "ギニア=ビサウ", ("ギニア", "ギニア・ビサウ"), 1),
        ("ja", "ドイツ・フランス", ("ドイツ", "フランス"), None),
        ("ja", "東京・大阪", ("東京", "大阪"), None),
        ("zh", "讓·雷諾", ("让•雷诺", "巴黎"), 0),
        ("zh", "答案是烏克蘭", ("乌克兰", "俄罗斯"), 0),
        ("zh", "紐西蘭", ("新西兰", "澳大利亚"), None),  # another word
        ("ja", "臺灣", ("台湾", "中国"), None),  # of Chinese alone
        ("en", "Paris•London", ("Paris", "London"), None),
        ("ca", "al.lot", ("al·lot", "x"), 0),
        ("en", "al.lot", ("al·lot", "x"), None),
        ("ko", "독일ㆍ프랑스", ("독일·프랑스", "중국"), 0),
    ],
)
def test_by_hand(language, text, options, index):
    assert resolve(text, options, language).index == index


@pytest.mark.parametrize("language", EMBEDDED_LANGUAGES)
def test_twice_changes_nothing_and_names_stay_apart(cldr, language):
    """No two names of the embedded facts become one that were not before."""
    labels = {text for fact in cldr for text in fact.wording[language].options}
    for text in labels:
        for form in variants(text, language):
            once = normalize(form, language)
            assert normalize(once, language) == once
    before = {normalize(text) for text in labels}
    assert len({normalize(text, language) for text in labels}) == len(before)


@pytest.mark.parametrize(
    ("text", "gold"),
    [("thuỵ sĩ", "Thụy Sĩ"), ("烏克蘭", "乌克兰"), ("самолет", "самолёт"), ("サンマリノ", "サン・マリノ")],
)
def test_the_published_match_stays_as_it_is(text, gold):
    assert not klar_match(text, gold)
