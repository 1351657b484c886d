"""Whom a fact is paired with, and whose activations make the noise floor."""

from __future__ import annotations

import pytest

from interp.data.facts import FactSet
from interp.data.sources.cldr import cldr_facts
from interp.measure.patching.pairs import partner_of, unrelated_to
from tests.support.facts import make_fact


@pytest.fixture(scope="module")
def facts() -> FactSet:
    whole = cldr_facts()
    return FactSet("some", whole.facts[::5], whole.languages)


def test_a_partner_is_of_the_same_relation_and_has_another_answer(facts):
    found = [partner_of(facts, row) for row in range(len(facts))]
    assert sum(row is None for row in found) < 5
    for fact, row in zip(facts, found, strict=True):
        if row is not None:
            other = facts.facts[row]
            assert other.relation == fact.relation
            assert other.object_id != fact.object_id


def test_a_partner_does_not_depend_on_the_order_of_facts(facts):
    turned = FactSet("turned", facts.facts[::-1], facts.languages)
    last = len(facts) - 1
    for row in range(0, len(facts), 7):
        one, other = partner_of(facts, row), partner_of(turned, last - row)
        assert (one is None) == (other is None)
        assert one is None or facts.facts[one] == turned.facts[other]


def test_without_another_answer_there_is_no_partner():
    alike = FactSet("alike", tuple(make_fact(i) for i in range(3)), ("en", "de"))
    assert partner_of(alike, 0) is None


def test_unrelated_facts_are_about_another_subject_and_have_none_of_the_answers(facts):
    fact = facts.facts[0]
    avoid = {fact.object_id, facts.facts[1].object_id}
    found = [facts.facts[row] for row in unrelated_to(facts, 0, avoid)]
    assert len(found) > 100
    assert not avoid & {other.object_id for other in found}
    assert fact.subject_id not in {other.subject_id for other in found}
    same = [other.relation == fact.relation for other in found]
    assert 0 < sum(same) < len(same)
    assert same == sorted(same, reverse=True)  # those of the relation first
