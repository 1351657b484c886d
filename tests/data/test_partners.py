"""Partners: who may be one, that chains stay short, and that the order of facts does not matter."""

from __future__ import annotations

from collections import Counter

import pytest

from interp.data.facts import FactSet
from interp.data.partners import pair_facts
from interp.data.sources.cldr import cldr_facts
from interp.errors import DataError
from tests.support.facts import make_fact


def fact(number, relation="capital", subject=None, answer="right"):
    subject = subject or f"s{number}"
    return make_fact(
        number, relation=relation, subject_id=subject, object_id=answer, option_ids=(answer, "x")
    )


def made(*facts) -> FactSet:
    return FactSet("made", facts, ("en", "de"))


def test_partners_share_the_relation_and_nothing_else():
    facts = cldr_facts()
    found = pair_facts(facts)
    pairs = list(zip(found.facts.facts[::2], found.facts.facts[1::2], strict=True))
    assert len(pairs) > 500
    assert 2 * len(pairs) + found.left_out == len(facts)
    for one, other in pairs:
        assert one.relation == other.relation
        assert one.group != other.group
        assert one.object_id != other.object_id
    assert [found.partner(i) for i in (0, 1, 6, 7)] == [1, 0, 7, 6]


def test_partners_and_groups_are_resampled_together_and_chains_stay_short():
    found = pair_facts(cldr_facts())
    of_group: dict[str, set[str]] = {}
    for f, label in zip(found.facts, found.clusters, strict=True):
        of_group.setdefault(f.group, set()).add(label)
    assert all(len(labels) == 1 for labels in of_group.values())
    assert found.clusters[::2] == found.clusters[1::2]
    sizes = Counter(found.clusters)
    assert len(sizes) > 60
    assert max(sizes.values()) < 0.06 * len(found.clusters)


def test_a_partner_is_taken_from_the_same_cluster_where_there_is_one():
    """Two subjects with three relations each, and two more: nobody needs a stranger."""
    facts = [
        fact(10 * s + r, relation=f"r{r}", subject=f"s{s}", answer=f"a{s}")
        for s in range(4)
        for r in range(3)
    ]
    found = pair_facts(made(*facts))
    assert found.left_out == 0
    assert len(set(found.clusters)) == 2


def test_the_order_of_facts_changes_nothing():
    facts = cldr_facts().filter(limit=80)
    turned = FactSet(facts.name, facts.facts[::-1], facts.languages)
    one, other = pair_facts(facts), pair_facts(turned)
    assert [f.fact_id for f in one.facts] == [f.fact_id for f in other.facts]
    assert one.clusters == other.clusters


def test_facts_without_a_partner_are_left_out_and_counted():
    found = pair_facts(made(fact(1), fact(2, answer="b"), fact(3, relation="river"), fact(4, answer="b")))
    assert sorted(f.fact_id for f in found.facts)[0] == "f1"
    assert (len(found.facts), found.left_out) == (2, 2)


@pytest.mark.parametrize(
    "other", [{"answer": "right"}, {"subject": "s1", "answer": "b"}, {"relation": "river", "answer": "b"}]
)
def test_the_same_answer_or_subject_or_another_relation_is_no_partner(other):
    with pytest.raises(
        DataError, match="No two of 2 facts share a relation and differ in subject and answer"
    ):
        pair_facts(made(fact(1), fact(2, **other)))
