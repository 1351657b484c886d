"""The rules of the builder, each on a case that can be checked by eye."""

from collections import Counter

import pytest

from interp.data.languages import EMBEDDED_LANGUAGES, LANGUAGES
from interp.data.similarity import fold
from interp.data.sources.cldr_build import babel_data
from interp.data.sources.cldr_build.filters import (
    filtered,
    fully_labeled,
    in_own_script,
    not_given_away,
    one_answer_per_name,
    one_subject_per_name,
    without_a_dominant_answer,
)
from interp.data.sources.cldr_build.labels import Labels, clean, entity_labels
from interp.data.sources.cldr_build.leak import leaks
from interp.data.sources.cldr_build.options import distractors, split_of, with_options
from interp.data.sources.cldr_build.scripts import foreign_letters
from interp.data.sources.cldr_build.tables import load_tables
from interp.data.sources.cldr_build.triples import Triple, all_triples


@pytest.fixture(scope="module")
def tables():
    return load_tables()


@pytest.mark.parametrize(
    ("code", "subject", "option", "expected"),
    [
        ("en", "Mexico", "Mexico City", True),
        ("en", "Algeria", "Algiers", False),  # three of seven letters
        ("en", "Austria", "Australia", True),
        ("en", "Norway", "Oslo", False),
        ("en", "Oman", "Romania", True),
        ("fr", "Algérie", "ALGÉRIE", True),
        ("id", "Kroasia", "Asia", True),
        ("en", "Slovakia", "Slovenia", True),
        ("en", "Iran", "Iraq", True),
        ("en", "Mali", "Malawi", True),
        ("en", "Peru", "Pretoria", False),
        ("ar", "المغرب", "المجر", False),
        ("ar", "الجزائر", "جزائرية", True),
        ("ja", "日本", "日本円", True),
        ("ja", "中国", "中央アジア", True),
        ("ja", "フランス", "フィンランド", True),
        ("ja", "ノルウェー", "オスロ", False),
        ("zh", "挪威", "奥斯陆", False),
        ("ko", "한국", "한강", False),
        ("ko", "가나", "가봉", False),
        ("ko", "대한민국", "한민족", True),
    ],
)
def test_leaks(code, subject, option, expected):
    assert leaks(code, subject, option) is expected
    assert leaks(code, option, subject) is expected


def test_folding_keeps_hangul_whole():
    assert fold("Ñandú É") == "nandu e"
    assert len(fold("한국")) == 2


@pytest.mark.parametrize(
    ("code", "label", "foreign"),
    [
        ("ru", "Осло", ""),
        ("ru", "Oслo", "Oo"),  # Latin look-alikes
        ("uk", "Кот-д\u02bcІвуар", ""),
        ("ja", "西アフリカ CFA フラン", ""),
        ("ja", "ソウル서울", "서울"),
        ("zh", "東京タワ", "タワ"),
        ("fa", "می‌شود", ""),
        ("en", "Zürich", ""),
        ("en", "Αθήνα", "Αθήνα"),
        ("ar", "فرنك Franc", "Franc"),
    ],
)
def test_foreign_letters(code, label, foreign):
    assert foreign_letters(code, label) == foreign


def test_clean():
    assert clean("Myanmar (Burma)") == "Myanmar"
    assert clean("刚果（布）") == "刚果"
    assert clean("CFA-Franc (BCEAO)", keep_parenthesis=True) == "CFA-Franc (BCEAO)"
    assert clean("a\u200f\u00a0 b") == "a b"
    assert clean("e\u0301") == "é"
    assert clean("می\u200cشود") == "می\u200cشود"


def labeled(**names):
    """Labels that are the same word in every language unless a dictionary says otherwise."""
    return {
        entity: Labels(
            {
                code: name.get(code, name.get("*")) if isinstance(name, dict) else name
                for code in EMBEDDED_LANGUAGES
            }
        )
        for entity, name in names.items()
    }


def triple(subject, answer, country="NO", relation="capital"):
    return Triple(relation, subject, answer, country)


def test_fully_labeled():
    labels = labeled(a="Aa", b="Bb") | {"c": Labels({"en": "Cc"})}
    assert fully_labeled([triple("a", "b"), triple("a", "c"), triple("c", "b")], labels) == [triple("a", "b")]


def test_in_own_script():
    latin, own = "Oslo", dict.fromkeys(EMBEDDED_LANGUAGES, "")
    labels = labeled(latin=latin, own=own) | labeled(**{"tld:.no": ".no"})
    assert in_own_script([triple("own", "latin"), triple("tld:.no", "own")], labels) == [
        triple("tld:.no", "own")
    ]


def test_names_that_two_entities_share():
    labels = labeled(a="Aa", b={"*": "Bb", "zh": "AA"}, c="Cc", x="Xx", y={"*": "Yy", "sw": "xx"}, z="Zz")
    facts = [triple("a", "x"), triple("b", "y"), triple("c", "z")]
    assert one_subject_per_name(facts, labels) == [triple("c", "z")]
    assert one_answer_per_name(facts, labels) == [triple("c", "z")]


def test_a_leak_in_one_language_drops_the_fact():
    labels = labeled(a={"*": "Aaaa", "sw": "Kisumu"}, x={"*": "Xxxx", "sw": "Kisumuni"}, y="Yyyy")
    assert not_given_away([triple("a", "x"), triple("a", "y")], labels) == [triple("a", "y")]


@pytest.mark.parametrize(("common", "rare", "left"), [(50, 7, 4), (40, 60, 40), (41, 60, 40), (10, 10, 6)])
def test_no_answer_beyond_forty_percent(common, rare, left):
    """With n of c common facts left among r rare ones, n <= 0.4 (n + r): n is the floor of 2 r / 3."""
    facts = [triple(f"c{n}", "euro") for n in range(common)] + [triple(f"r{n}", f"o{n}") for n in range(rare)]
    found = without_a_dominant_answer(facts)
    assert Counter(each.object for each in found)["euro"] == left == min(common, 2 * rare // 3)
    assert [each for each in facts if each in found] == found
    assert without_a_dominant_answer(facts[::-1]) == found[::-1]


def test_six_answers_or_fewer_have_no_cap():
    facts = [triple(f"c{n}", "africa") for n in range(50)] + [triple(f"r{n}", f"o{n}") for n in range(5)]
    assert without_a_dominant_answer(facts) == facts


def test_split_shares():
    shares = Counter(split_of(f"{n}") for n in range(20_000))
    assert shares["train"] / 20_000 == pytest.approx(0.6, abs=0.012)  # 3.5 standard errors
    assert shares["validation"] / 20_000 == pytest.approx(0.1, abs=0.008)


def test_distractors_are_drawn_by_how_often_they_are_right():
    """One draw from weights 6:3:1 takes each with that probability."""
    counts = Counter(often=600, seldom=300, rarely=100)
    labels = labeled(often="Aa", seldom="Bb", rarely="Cc", gold="Dd") | labeled(
        **{f"s{n}": {"*": chr(0x4E00 + n)} for n in range(2000)}
    )
    first = Counter(
        distractors(Triple("capital", f"s{n}", "gold", "NO"), counts, labels)[0] for n in range(2000)
    )
    assert first["often"] / 2000 == pytest.approx(0.6, abs=0.04)  # 3.5 standard errors
    assert first["seldom"] / 2000 == pytest.approx(0.3, abs=0.036)


def test_distractors_leave_out_what_is_true_given_away_or_asked():
    labels = labeled(gold="Dd", true="Tt", same="Norway", s="Norwegian", a="Aa", b="Bb", c="Cc")
    asked = Triple("capital", "s", "gold", "NO", frozenset({"true"}))
    counts = Counter(a=1, b=1, c=1, gold=10**9, true=10**9, same=10**9, s=10**9)
    assert sorted(distractors(asked, counts, labels)) == ["a", "b", "c"]


def test_options_stay_within_the_split_where_answers_do():
    countries = [f"{n}" for n in range(60)]
    labels = labeled(**{f"s{c}": {"*": chr(0x4E00 + int(c))} for c in countries}) | labeled(
        **{f"o{c}": {"*": chr(0x5E00 + int(c))} for c in countries}
    )
    facts = [Triple("capital", f"s{c}", f"o{c}", c) for c in countries]
    for each, options in with_options(facts, labels):
        assert {split_of(option[1:]) for option in options} == {split_of(each.country)}
    facts = [Triple("country_currency", f"s{c}", f"o{c}", c) for c in countries]
    mixed = [{split_of(option[1:]) for option in options} for _, options in with_options(facts, labels)]
    assert len(mixed) == 60
    assert any(len(splits) > 1 for splits in mixed)


def test_too_few_wrong_answers_drop_the_fact():
    labels = labeled(s="一", a="二", b="三", c="四")
    assert list(with_options([triple("s", name) for name in "abc"], labels)) == []


def test_united_nations_have_193_members_on_six_continents(tables):
    assert len(tables.countries) == 193
    assert len(set(tables.subregion.values())) == 22
    assert len(set(tables.continent.values())) == 6
    assert len(tables.continent) == 193 - 12
    assert len(tables.capital) == 125
    assert set(tables.capital) <= set(tables.countries)


def test_hand_tables_name_what_exists(tables):
    regions = set(tables.subregion.values())
    for country, others in tables.also_in.items():
        assert others <= regions - {tables.subregion[country]}, country
    zones = {zone for country in tables.countries for zone in babel_data.zones_of(country)}
    assert set(tables.capital.values()) <= zones
    assert all(zone in babel_data.zones_of(country) for country, zone in tables.capital.items())


def test_raw_facts(tables):
    triples = all_triples(tables)
    by_id = {each.fact_id: each for each in triples}
    assert len(by_id) == len(triples)
    assert by_id["cldr:capital:NO"].object == "city:Europe/Oslo"
    assert by_id["cldr:city_currency:Europe/Oslo"] == Triple(
        "city_currency", "city:Europe/Oslo", "currency:NOK", "NO"
    )
    assert "language:ca" in by_id["cldr:country_language:ES"].also_true
    assert by_id["cldr:country_subregion:GB"].also_true == {"region:155"}
    for absent in (
        "capital:CD",
        "city_country:Africa/Kinshasa",
        "country_continent:RU",
        "country_currency:BG",
        "country_currency:HR",
        "country_language:ZA",
        "country_language:CH",
        "city_continent:Pacific/Honolulu",
        "city_country:America/St_Johns",
    ):
        assert f"cldr:{absent}" not in by_id
    assert "cldr:city_continent:Africa/Kinshasa" in by_id, "the city has a usable name"


def test_city_names_are_found_under_the_older_zone_ids():
    assert babel_data.zone_city("ru", "Asia/Kolkata") == "Калькутта"
    assert babel_data.zone_city("ja", "America/Argentina/Buenos_Aires") == "ブエノスアイレス"


def test_labels_by_rule_are_marked_and_only_latin(tables):
    labels = entity_labels(["city:Europe/Tirane", "city:Asia/Tokyo", "tld:.no", "territory:XX"], tables)
    assert labels["city:Europe/Tirane"].text["en"] == "Tirana"
    assert labels["city:Europe/Tirane"].text["sw"] == "Tirana"
    assert "sw" in labels["city:Europe/Tirane"].by_rule
    assert all(LANGUAGES[code].script == "Latn" for code in labels["city:Europe/Tirane"].by_rule)
    assert labels["city:Asia/Tokyo"].text["ja"] == "東京"
    assert labels["tld:.no"].text["bn"] == ".no"
    assert labels["territory:XX"].text == {}


def test_a_relation_passes_through_all_filters(tables):
    """Of these, the Netherlands leak nothing, Mexico names its capital and Singapore is unknown."""
    facts = [
        triple("territory:NL", "city:Europe/Amsterdam"),
        triple("territory:MX", "city:America/Mexico_City"),
        triple("territory:SG", "city:Asia/Nowhere"),
    ]
    labels = entity_labels({e for each in facts for e in (each.subject, each.object)}, tables)
    assert filtered(facts, labels) == facts[:1]
