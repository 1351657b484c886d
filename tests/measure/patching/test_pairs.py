"""Whom a fact is paired with, and whose activations make the noise floor."""

from __future__ import annotations

import pytest

from interp.data.facts import FactSet, Wording
from interp.data.priors import answer_key, answers_of
from interp.data.sources.cldr import cldr_facts
from interp.measure.patching.pairs import partner_of, unrelated_to
from tests.support.facts import make_fact


def partner(facts: FactSet, row: int) -> int | None:
    return partner_of(facts, answers_of(facts), row)


@pytest.fixture(scope="module")
def facts() -> FactSet:
    whole = cldr_facts()
    return FactSet("some", whole.facts[::5], whole.languages)


def test_a_partner_is_of_the_same_relation_and_has_another_answer(facts):
    found = [partner(facts, row) for row in range(len(facts))]
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
        one, other = partner(facts, row), partner(turned, last - row)
        assert (one is None) == (other is None)
        assert one is None or facts.facts[one] == turned.facts[other]


def test_without_another_answer_there_is_no_partner():
    alike = FactSet("alike", tuple(make_fact(i) for i in range(3)), ("en", "de"))
    assert partner(alike, 0) is None


def test_unrelated_facts_are_about_another_subject_and_have_none_of_the_answers(facts):
    fact = facts.facts[0]
    avoid = {fact.object_id, facts.facts[1].object_id}
    found = [facts.facts[row] for row in unrelated_to(facts, answers_of(facts), 0, avoid)]
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
    assert [partner(facts, row) for row in range(2)] == [2, 2]
    two = FactSet("numbered", facts.facts[:2], facts.languages)
    assert partner(two, 0) is None
    assert list(unrelated_to(facts, answers_of(facts), 0, {"peru"})) == [2]


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
