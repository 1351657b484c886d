"""Whom a fact is paired with, and whose activations make the noise floor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import interp.data.rings
from interp.data.facts import FactSet, Wording
from interp.data.hashing import hash_key
from interp.data.priors import answer_key, answers_of
from interp.data.prompts import prompts_from_facts
from interp.data.rings import SEARCHED
from interp.data.sources.cldr import cldr_facts
from interp.measure.contrasts import make_contrasts
from interp.measure.patching import pairs
from interp.measure.patching.pairs import FactTokenizer, Unrelated, make_pairs, partners_of
from tests.support.facts import make_fact
from tests.support.tiny import opened


def partners(facts: FactSet) -> list[int | None]:
    return partners_of(facts, answers_of(facts))


@pytest.fixture(scope="module")
def facts() -> FactSet:
    whole = cldr_facts()
    return FactSet("some", whole.facts[::5], whole.languages)


def test_a_partner_is_of_the_same_relation_and_has_another_answer(facts):
    found = partners(facts)
    assert sum(row is None for row in found) < 5
    for fact, row in zip(facts, found, strict=True):
        if row is not None:
            other = facts.facts[row]
            assert other.relation == fact.relation
            assert other.object_id != fact.object_id


def test_a_partner_does_not_depend_on_the_order_of_facts(facts):
    turned = FactSet("turned", facts.facts[::-1], facts.languages)
    for one, other in zip(partners(facts), reversed(partners(turned)), strict=True):
        assert (one is None) == (other is None)
        assert one is None or facts.facts[one] == turned.facts[other]


def test_without_another_answer_there_is_no_partner():
    alike = FactSet("alike", tuple(make_fact(i) for i in range(3)), ("en", "de"))
    assert partners(alike) == [None] * 3


def test_unrelated_facts_are_about_another_subject_and_have_none_of_the_answers(facts):
    fact = facts.facts[0]
    avoid = {fact.object_id, facts.facts[1].object_id}
    found = [facts.facts[row] for row in Unrelated(facts, answers_of(facts)).of(0, avoid)]
    assert len(found) > 100
    assert not avoid & {other.object_id for other in found}
    assert fact.subject_id not in {other.subject_id for other in found}
    same = [other.relation == fact.relation for other in found]
    assert 0 < sum(same) < len(same)
    assert same == sorted(same, reverse=True)  # those of the relation first


def numbered(answer: str, number: int):
    """A fact of a source whose ids only number the options of a fact."""
    words = {code: Wording(f"{number}?", f"{number}", (answer, f"other {number}")) for code in ("en", "de")}
    ids = (f"{number}:0", f"{number}:1")
    return make_fact(number, object_id=ids[0], option_ids=ids, wording=words)


def test_answers_are_told_apart_by_name_where_ids_are_each_facts_own():
    """Peru and Peru are one answer, though one is 0:0 and the other 1:0."""
    facts = FactSet("numbered", (numbered("Peru", 0), numbered("PERU", 1), numbered("Chad", 2)), ("en", "de"))
    assert answers_of(facts) == ("peru", "peru", "chad")
    assert partners(facts)[:2] == [2, 2]
    two = FactSet("numbered", facts.facts[:2], facts.languages)
    assert partners(two)[0] is None
    assert list(Unrelated(facts, answers_of(facts)).of(0, {"peru"})) == [2]


def test_letters_are_told_apart_by_what_they_stand_for():
    rows = [("Peru", "Chad"), ("Mali", "Togo"), ("Niue", "Iran"), ("Cuba", "Oman")]
    made = [
        make_fact(i, object_id="A", option_ids=("A", "B"), wording={"en": Wording(f"{i}?", f"{i}", names)})
        for i, names in enumerate(rows)
    ]
    facts = FactSet("letters", tuple(made), ("en",))
    key = answer_key(facts)
    assert [key(fact, 0) for fact in facts] == ["peru", "mali", "niue", "cuba"]
    assert answers_of(facts) == ("A",) * 4  # as they are, so that clusters of one answer are refused


def random_facts(n_facts: int, n_answers: int, n_relations: int, seed: int) -> FactSet:
    """Facts in any order, some with the subject of another; answers are unequally frequent."""
    rng = np.random.default_rng(seed)
    made = [
        replace(
            make_fact(i),
            relation=f"r{rng.integers(n_relations)}",
            subject_id=f"s{rng.integers(n_facts)}",
            object_id=f"a{rng.integers(n_answers) * rng.integers(n_answers)}",
        )
        for i in rng.permutation(n_facts)
    ]
    return FactSet("random", tuple(made), ("en", "de"))


def partner_by_all_pairs(facts: FactSet, row: int) -> int | None:
    fact = facts.facts[row]
    others = [i for i, f in enumerate(facts) if f.relation == fact.relation and f.object_id != fact.object_id]
    return min(others, key=lambda i: hash_key("pair", fact.fact_id, facts.facts[i].fact_id), default=None)


def unrelated_by_all_pairs(facts: FactSet, row: int, avoid: set[str]) -> list[int]:
    fact, found = facts.facts[row], []
    others = [i for i, f in enumerate(facts) if f.object_id not in avoid and f.subject_id != fact.subject_id]
    for same in (True, False):
        part = [i for i in others if (facts.facts[i].relation == fact.relation) == same]
        found += sorted(part, key=lambda i: hash_key("control", fact.fact_id, facts.facts[i].fact_id))
    return found


@pytest.mark.parametrize("n_answers", [1, 2, 9])
def test_of_few_facts_every_two_are_drawn_by_the_hash_of_both(n_answers):
    for seed in range(4):
        facts = random_facts(120, n_answers, 5, seed)
        assert partners(facts) == [partner_by_all_pairs(facts, row) for row in range(len(facts))]
        unrelated = Unrelated(facts, answers_of(facts))
        for row in range(0, len(facts), 11):
            avoid = {facts.facts[row].object_id, "a1"}
            assert [*unrelated.of(row, avoid)] == unrelated_by_all_pairs(facts, row, avoid)


@pytest.mark.parametrize("n_answers", [1, 2, 9])
def test_of_many_facts_the_next_in_the_circle_with_another_answer_is_the_partner(n_answers):
    facts = random_facts(3 * SEARCHED, n_answers, 1, 0)
    ring = sorted(range(len(facts)), key=lambda i: hash_key("ring", facts.facts[i].fact_id))
    for row, partner in enumerate(partners(facts)):
        at = ring.index(row)
        following = ring[at + 1 :] + ring[:at]
        own = facts.facts[row].object_id
        assert partner == next((i for i in following if facts.facts[i].object_id != own), None)


def test_of_many_facts_unrelated_ones_are_looked_for_among_those_that_follow(monkeypatch):
    monkeypatch.setattr(pairs, "_ALL_HASHED", 100)
    facts = random_facts(4 * SEARCHED, 9, 2, 1)
    fact = facts.facts[0]
    found = [facts.facts[row] for row in Unrelated(facts, answers_of(facts)).of(0, {fact.object_id})]
    same = [other.relation == fact.relation for other in found]
    assert same == sorted(same, reverse=True)
    assert SEARCHED / 2 < sum(same) <= SEARCHED
    assert SEARCHED / 2 < len(same) - sum(same) <= SEARCHED
    assert fact.object_id not in {other.object_id for other in found}
    assert len({other.fact_id for other in found}) == len(found)


def test_hashes_are_as_many_as_facts(monkeypatch):
    hashed = []
    monkeypatch.setattr(
        interp.data.rings, "hash_key", lambda *parts: hashed.append(parts) or hash_key(*parts)
    )
    monkeypatch.setattr(pairs, "hash_key", lambda *parts: hashed.append(parts) or hash_key(*parts))
    facts = random_facts(2000, 9, 3, 0)
    partners(facts)
    assert len(hashed) == 2000


def test_preparation_shows_progress():
    facts = cldr_facts().filter(languages=["en", "sw"], limit=6)
    seen: list[tuple[int, int]] = []
    make_contrasts(opened(), facts, "native", lambda *done: seen.append(done))
    assert seen == [(n, 6) for n in range(1, 7)]
    seen.clear()
    tokenizer = FactTokenizer(opened(), facts, prompts_from_facts(facts))
    right, wrong = np.ones((6, 2), dtype=bool), np.full((6, 2), -1)
    make_pairs(
        tokenizer, "within", ("en", "sw"), (), ("last",), right, wrong, lambda *done: seen.append(done)
    )
    assert seen == [(n, 6) for n in range(1, 7)]
