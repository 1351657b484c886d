"""Demonstrations: of the relation, never the fact itself, the same in every language, whatever the order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from interp.data.demonstrations import demonstrations, prompts_with_demonstrations
from interp.data.facts import Fact, FactSet, Wording
from interp.data.hashing import hash_key
from interp.data.prompts import prompts_from_facts
from interp.data.rings import SEARCHED
from interp.data.sources.cldr import cldr_facts
from interp.errors import DataError


@pytest.fixture(scope="module")
def facts() -> FactSet:
    return cldr_facts().filter(languages=["en", "zh", "sw"], limit=60)


def cloze(number: int) -> Fact:
    said = {
        "en": Wording(f"The capital of S{number} is", f"S{number}", (f"C{number}",), suffix="."),
        "ja": Wording(f"S{number}の首都は", f"S{number}", (f"C{number}",), suffix="です。"),
    }
    return Fact(f"f{number}", "capital", f"S{number}", f"C{number}", (f"C{number}",), "test", wording=said)


def test_they_are_of_the_relation_and_of_other_subjects(facts):
    for fact in facts.filter(relations=["capital"]):
        shown = demonstrations(fact, cldr_facts(), 5)
        assert len({other.fact_id for other in shown}) == 5
        assert all(other.relation == fact.relation and other.subject_id != fact.subject_id for other in shown)


def test_their_choice_depends_on_ids_alone(facts):
    fact = facts.facts[0]
    chosen = [other.fact_id for other in demonstrations(fact, cldr_facts(), 3)]
    turned = FactSet("turned", cldr_facts().facts[::-1], cldr_facts().languages)
    assert [other.fact_id for other in demonstrations(fact, turned, 3)] == chosen
    assert [other.fact_id for other in demonstrations(fact, turned, 2)] == chosen[:2]


def test_facts_of_a_relation_share_them_but_where_one_is_about_its_own_subject(facts):
    capitals = cldr_facts().filter(relations=["capital"])
    first = [other.fact_id for other in demonstrations(capitals.facts[0], cldr_facts(), 4)]
    subjects = {fact.subject_id for fact in capitals if fact.fact_id in first}
    for fact in capitals:
        shown = [other.fact_id for other in demonstrations(fact, cldr_facts(), 4)]
        if fact.subject_id not in subjects and capitals.facts[0].subject_id not in subjects:
            assert shown == first
        assert len(set(shown) - set(first)) <= 2


def test_all_languages_show_the_same_facts(facts):
    prompts = prompts_with_demonstrations(facts, pool=cldr_facts(), shots=2)
    plain = prompts_from_facts(facts)
    answered = {
        code: {prompt.full_text: prompt.item_id for prompt in given}
        for code, given in prompts_from_facts(cldr_facts(), languages=facts.languages).prompts.items()
    }
    for number in range(len(facts)):
        shown = []
        for code in facts.languages:
            text = prompts.prompts[code][number].text
            assert text.endswith("\n\n" + plain.prompts[code][number].text)
            before = text.removesuffix(plain.prompts[code][number].text).split("\n\n")
            assert before[2:] == [""]
            shown.append([answered[code][one] for one in before[:2]])
        assert shown[0] == shown[1] == shown[2]
    assert prompts_with_demonstrations(facts, shots=0) == plain
    assert prompts.digest != plain.digest


def test_a_sentence_is_filled_in_where_its_answer_stands():
    facts = FactSet("cloze", tuple(map(cloze, range(3))), ("en", "ja"), prompt_format="none")
    asked = prompts_with_demonstrations(
        replace(facts, facts=facts.facts[:1]), pool=facts, shots=2, prompt_format="none"
    )
    first, second, last = asked.prompts["en"][0].text.split("\n")
    assert {first, second} == {"The capital of S1 is C1.", "The capital of S2 is C2."}
    assert last == "The capital of S0 is"
    assert asked.prompts["ja"][0].text.split("\n")[-1] == "S0の首都は"
    assert {"S1の首都はC1です。", "S2の首都はC2です。"} == set(asked.prompts["ja"][0].text.split("\n")[:2])


def test_a_relation_with_too_few_facts():
    facts = FactSet("cloze", tuple(map(cloze, range(3))), ("en", "ja"))
    with pytest.raises(
        DataError,
        match=r"3 demonstrations for 'f0' need as many other facts of the relation 'capital'; there are 2",
    ):
        prompts_with_demonstrations(facts, shots=3, prompt_format="none")


def test_of_many_facts_the_next_of_other_subjects_are_shown():
    facts = FactSet("many", tuple(cloze(number) for number in range(3 * SEARCHED)), ("en", "ja"))
    ring = sorted(facts, key=lambda fact: hash_key("ring", fact.fact_id))
    alone = replace(cloze(5), fact_id="not in the pool", subject_id="S7")
    for fact in (facts.facts[5], ring[-1], alone):
        after = [f for f in ring if hash_key("ring", f.fact_id) > hash_key("ring", fact.relation)]
        before = [f for f in ring if f not in after]
        expected = [f for f in after + before if f.subject_id != fact.subject_id][:4]
        assert demonstrations(fact, facts, 4) == expected
    prompts = prompts_with_demonstrations(facts, shots=2, prompt_format="none")
    (text,) = (p.text for p in prompts.prompts["en"] if p.item_id == "f5")
    assert text.count("capital") == 3


@pytest.mark.parametrize("shots", [1, 3])
def test_of_few_facts_the_first_of_the_relation_are_drawn_by_hash(shots):
    pool = cldr_facts()
    for fact in pool.facts[::131]:
        others = [o for o in pool if o.relation == fact.relation and o.subject_id != fact.subject_id]
        others.sort(key=lambda other: hash_key(f"{fact.relation}\n{other.fact_id}"))
        assert demonstrations(fact, pool, shots) == others[:shots]
