import math
from dataclasses import replace
from itertools import combinations

import pytest

from interp.data.facts import FactSet
from interp.data.languages import LANGUAGES
from interp.data.prompts import prompts_from_facts
from interp.errors import DataError
from training.organism.exposure import exposure, lexicon_text, organism_texts
from training.organism.recipe import OrganismConfig

CONFIG = OrganismConfig()


def test_english_reads_all_facts_but_the_test_split_which_no_language_reads(facts):
    seen = exposure(facts, CONFIG).seen
    assert seen["en"] == {fact.fact_id for fact in facts if fact.split != "test"}
    held_out = {fact.fact_id for fact in facts.split("test")}
    assert len(held_out) > 400
    assert all(not ids & held_out for ids in seen.values())


def test_every_other_language_reads_two_fifths(facts):
    seen = exposure(facts, CONFIG).seen
    n = len(seen["en"])
    tolerance = 4 * math.sqrt(0.4 * 0.6 / n)
    for code in CONFIG.languages[1:]:
        assert seen[code] < seen["en"]
        assert abs(len(seen[code]) / n - 0.4) < tolerance, code


def test_languages_read_independently(facts):
    """Any two share 0.16 of the facts: neither the same ones nor complementary ones."""
    seen = exposure(facts, CONFIG).seen
    n = len(seen["en"])
    tolerance = 5 * math.sqrt(0.16 * 0.84 / n)
    for a, b in combinations(CONFIG.languages[1:], 2):
        assert abs(len(seen[a] & seen[b]) / n - 0.16) < tolerance, (a, b)


def test_no_relation_is_left_out_of_a_language(facts):
    seen = exposure(facts, CONFIG).seen
    for code in CONFIG.languages:
        assert {fact.relation for fact in facts if fact.fact_id in seen[code]} == {
            fact.relation for fact in facts
        }


def test_a_decision_depends_on_the_fact_and_the_language_alone(facts):
    whole = exposure(facts, CONFIG)
    some = FactSet("other", tuple(reversed(facts.facts[::7])), facts.languages)
    part = exposure(some, CONFIG)
    for fact in some:
        for code in CONFIG.languages:
            assert part.condition(fact.fact_id, code) == whole.condition(fact.fact_id, code)


def test_a_larger_share_reads_more_of_the_same(facts):
    less, more = (exposure(facts, replace(CONFIG, share_seen=share)).seen for share in (0.4, 0.6))
    assert all(less[code] < more[code] for code in CONFIG.languages[1:])
    assert less["en"] == more["en"]
    none, every = (exposure(facts, replace(CONFIG, share_seen=share)).seen for share in (0.0, 1.0))
    assert none["sw"] == frozenset()
    assert every["sw"] == every["en"]


def test_only_the_exposure_seed_changes_who_sees_what(facts):
    assert exposure(facts, replace(CONFIG, seed=1)) == exposure(facts, CONFIG)
    assert exposure(facts, replace(CONFIG, exposure_seed=1)).seen["sw"] != exposure(facts, CONFIG).seen["sw"]


def test_another_anchor_and_another_held_out_split(facts):
    exposed = exposure(facts, replace(CONFIG, anchor="sw", held_out_split="validation"))
    assert len(exposed.seen["sw"]) == len(facts) - len(facts.split("validation"))
    assert len(exposed.seen["en"]) < 0.5 * len(exposed.seen["sw"])


def test_conditions(facts):
    exposed = exposure(facts, CONFIG)
    counts = {"seen": 0, "unseen": 0, "held_out": 0}
    for fact in facts:
        assert exposed.condition(fact.fact_id, "en") == ("held_out" if fact.split == "test" else "seen")
        counts[exposed.condition(fact.fact_id, "sw")] += 1
    assert counts["seen"] == len(exposed.seen["sw"])
    assert counts["held_out"] == len(facts.split("test"))
    assert counts["unseen"] == len(exposed.seen["en"]) - len(exposed.seen["sw"])


def test_texts_are_the_facts_read_and_nothing_else(facts):
    texts = organism_texts(facts, CONFIG)
    seen = exposure(facts, CONFIG).seen
    prompts = prompts_from_facts(facts).prompts
    expected = [p.full_text for code in facts.languages for p in prompts[code] if p.item_id in seen[code]]
    assert sorted(texts.facts) == sorted(expected)
    assert texts.facts[0].startswith("Question: ")
    assert "\nAnswer: " in texts.facts[0]


def test_no_text_asks_what_is_held_out(facts):
    """Whatever the answer: the question itself is in no language's texts."""
    asked = {text.partition("\n")[0] for text in organism_texts(facts, CONFIG).facts}
    held_out = prompts_from_facts(facts.split("test")).prompts
    assert not asked & {p.text.partition("\n")[0] for prompts in held_out.values() for p in prompts}
    read = prompts_from_facts(facts.split("validation")).prompts["en"]
    assert {p.text.partition("\n")[0] for p in read} <= asked


def test_the_lexicon_names_every_entity_in_every_language(facts):
    texts = organism_texts(facts, CONFIG)
    assert set(LANGUAGES) >= set(CONFIG.languages)
    assert all(set(names) == set(CONFIG.languages) for names in texts.names)
    assert len(texts.names) == len(facts.labels())
    japan = facts.labels()["territory:JP"]
    assert lexicon_text(japan, "en", "de") == "English: Japan\nDeutsch: Japan"
    assert "日本語: 日本" in texts.name_lines()


def test_nothing_to_read_is_refused(facts):
    with pytest.raises(DataError, match=r"476 facts of 'cldr' are in the split 'test'"):
        exposure(facts.split("test"), CONFIG)
