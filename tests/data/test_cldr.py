"""The embedded facts: what the frozen file promises."""

import json
from collections import Counter
from importlib import resources

import pytest

from interp.data.facts import fact_to_row
from interp.data.languages import EMBEDDED_LANGUAGES
from interp.data.schema import row_problems
from interp.data.similarity import fold
from interp.data.sources.cldr_build import build_cldr, built_facts
from interp.data.sources.cldr_build.leak import leaks
from interp.data.sources.cldr_build.scripts import foreign_letters
from interp.data.templates import relations
from interp.errors import DataError, NoSpaceError

COUNTS = {
    "capital": 107,
    "city_continent": 186,
    "city_country": 208,
    "city_currency": 204,
    "city_language": 149,
    "country_continent": 168,
    "country_currency": 41,
    "country_language": 65,
    "country_subregion": 174,
    "tld_country": 191,
}


@pytest.fixture(scope="module")
def frozen():
    return (resources.files("interp.data") / "resources" / "cldr_facts.json").read_text(encoding="utf-8")


def test_the_frozen_file_is_what_the_builder_builds(frozen):
    assert built_facts() == frozen


def test_header_names_source_and_licence(frozen):
    header = json.loads(frozen)
    assert (header["source"], header["license"]) == ("CLDR 47 via Babel 2.18", "Unicode-3.0")
    assert header["languages"] == list(EMBEDDED_LANGUAGES)


def test_one_entity_or_fact_per_line(frozen):
    content = json.loads(frozen)
    assert len(frozen.splitlines()) == len(content["entities"]) + len(content["facts"]) + 10


def test_counts(cldr):
    assert Counter(fact.relation for fact in cldr) == COUNTS
    assert set(COUNTS) == set(relations())
    assert Counter(fact.split for fact in cldr) == {"train": 857, "validation": 160, "test": 476}


def test_every_fact_is_sound_in_every_language(cldr):
    for fact in cldr:
        assert set(fact.wording) == set(EMBEDDED_LANGUAGES)
        assert list(row_problems(fact_to_row(fact, cldr.languages))) == []
        for code, said in fact.wording.items():
            assert len({fold(option) for option in said.options}) == 4, (fact.fact_id, code)
            assert fact.answer(code) == said.options[fact.option_ids.index(fact.object_id)]


def test_no_option_can_be_read_off_the_subject(cldr):
    for fact in cldr:
        for code, said in fact.wording.items():
            for option in said.options:
                assert not leaks(code, said.subject, option), (fact.fact_id, code, option)
                assert fold(option) not in fold(said.subject)


def test_the_question_names_the_subject_and_not_the_answer(cldr):
    for fact in cldr:
        for code, said in fact.wording.items():
            assert said.subject in said.question
            assert fact.answer(code) not in said.question, (fact.fact_id, code)


def test_one_question_has_one_answer(cldr):
    for code in EMBEDDED_LANGUAGES:
        answers = {}
        for fact in cldr:
            assert answers.setdefault(fact.wording[code].question, fact.object_id) == fact.object_id


def test_labels_are_in_the_script_of_their_language(cldr):
    for entity, names in cldr.labels().items():
        if not entity.startswith("tld:"):
            assert {code: foreign_letters(code, name) for code, name in names.items()} == dict.fromkeys(
                names, ""
            )


def test_splits_share_no_country_and_answers_of_one_relation_do_not_either(cldr):
    split_of = {}
    for fact in cldr:
        assert split_of.setdefault(fact.group, fact.split) == fact.split
    for relation in ("capital", "city_country", "tld_country"):
        options = {split: set() for split in ("train", "validation", "test")}
        for fact in cldr.filter(relations=[relation]):
            options[fact.split].update(fact.option_ids)
        assert not options["train"] & options["test"]
        assert not options["train"] & options["validation"]
        assert not options["validation"] & options["test"]


def test_a_capital_is_in_its_country(cldr):
    country_of = {fact.subject_id: fact.object_id for fact in cldr.filter(relations=["city_country"])}
    capitals = cldr.filter(relations=["capital"])
    known = [fact for fact in capitals if fact.object_id in country_of]
    assert len(known) > 90
    assert all(country_of[fact.object_id] == fact.subject_id for fact in known)


def test_two_hops_agree_with_one(cldr):
    def of(relation):
        return {fact.subject_id: fact.object_id for fact in cldr.filter(relations=[relation])}

    countries = of("city_country")
    for what in ("continent", "currency", "language"):
        direct = of(f"country_{what}")
        pairs = [
            (two, direct[countries[city]])
            for city, two in of(f"city_{what}").items()
            if countries.get(city) in direct
        ]
        assert len(pairs) > 20
        assert all(two == one for two, one in pairs)


@pytest.mark.parametrize(
    ("fact_id", "code", "subject", "answer"),
    [
        ("cldr:capital:NO", "en", "Norway", "Oslo"),
        ("cldr:capital:JP", "ja", "日本", "東京"),
        ("cldr:city_country:Asia/Kolkata", "en", "Kolkata", "India"),
        ("cldr:city_country:Africa/Cairo", "ca", "el Caire", "Egipte"),
        ("cldr:country_continent:MM", "en", "Myanmar", "Asia"),
        ("cldr:tld_country:.uk", "en", ".uk", "United Kingdom"),
        ("cldr:country_currency:SN", "de", "Senegal", "CFA-Franc (BCEAO)"),
        ("cldr:tld_country:.ae", "ru", ".ae", "Объединённые Арабские Эмираты"),
    ],
)
def test_known_facts(cldr, fact_id, code, subject, answer):
    facts = {fact.fact_id: fact for fact in cldr}
    assert facts[fact_id].wording[code].subject == subject
    assert facts[fact_id].answer(code) == answer


def test_no_answer_dominates_a_relation(cldr):
    for relation, count in COUNTS.items():
        golds = Counter(fact.object_id for fact in cldr.filter(relations=[relation]))
        assert max(golds.values()) <= 0.4 * count, relation


def test_answers_stand_in_every_position(cldr):
    places = Counter(fact.answer_index for fact in cldr)
    assert all(abs(places[place] / len(cldr) - 0.25) < 0.04 for place in range(4))  # 3.5 standard errors


def test_groups_are_country_codes(cldr):
    assert all(len(fact.group) == 2 and fact.group.isupper() for fact in cldr)


def test_building_without_babel_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "babel.core", None)
    with pytest.raises(DataError, match=r"needs babel: pip install 'interp\[data\]'"):
        built_facts()


def test_build_writes_whole_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.setattr("interp.data.sources.cldr_build.build.built_facts", lambda: "{}\n")
    path = build_cldr(tmp_path / "facts.json")
    assert path.read_text() == "{}\n"
    monkeypatch.setattr(
        "os.replace", lambda *names: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(NoSpaceError, match="No space left on device"):
        build_cldr(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["facts.json"]
