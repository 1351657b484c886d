"""Partners: who may be one, that chains stay short, and that the order of facts does not matter."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from random import Random

import pytest

from interp.data import waiting
from interp.data.facts import FactSet, Wording
from interp.data.hashing import hash_key
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


def pair_slowly(facts) -> tuple[list[str], list[str]]:
    """The definition: for each fact in turn, the best of all that are left."""
    cluster = {fact.group: fact.group for fact in facts}
    size: Counter[str] = Counter()
    chosen = []
    waiting = sorted(facts, key=lambda fact: (fact.relation, hash_key("partner", fact.fact_id)))
    while waiting:
        fact = waiting.pop(0)
        one = cluster[fact.group]
        candidates = []
        for place, mate in enumerate(waiting):
            other = cluster[mate.group]
            apart = mate.group != fact.group and mate.object_id != fact.object_id
            small = one == other or size[one] + size[other] < 6
            if mate.relation == fact.relation and apart and small:
                candidates.append((one != other, size[one] + size[other], place))
        if candidates:
            mate = waiting.pop(min(candidates)[2])
            chosen += [fact, mate]
            other = cluster[mate.group]
            size[one] += 2 + (size.pop(other, 0) if one != other else 0)
            cluster.update({group: one for group, label in cluster.items() if label == other})
    return [fact.fact_id for fact in chosen], [cluster[fact.group] for fact in chosen]


@pytest.mark.parametrize("seed", range(60))
def test_the_fast_search_is_the_slow_one(seed):
    random = Random(seed)
    n, relations = random.randint(2, 60), random.randint(1, 4)
    groups, answers = random.choice([1, 2, 3, 8, 60]), random.choice([1, 2, 3, 50])

    def rare(n):
        return min(random.randrange(n), random.randrange(n))

    facts = [
        replace(fact(i, relation=f"r{rare(relations)}", answer=f"a{rare(answers)}"), group=f"g{rare(groups)}")
        for i in range(n)
    ]
    expected = pair_slowly(facts)
    if not expected[0]:
        with pytest.raises(DataError, match="No two of"):
            pair_facts(made(*facts))
        return
    found = pair_facts(made(*facts))
    assert ([f.fact_id for f in found.facts], list(found.clusters)) == expected
    assert found.left_out == n - len(expected[0])


SHAPES = {
    "one subject": (lambda i: "s", lambda i: f"a{i}"),
    "one answer": (lambda i: f"s{i}", lambda i: "a"),
    "an answer that most have": (lambda i: f"s{i}", lambda i: "a" if i % 10 else f"a{i}"),
    "few subjects": (lambda i: f"s{i % 10}", lambda i: f"a{i % 7}"),
    "two facts of a subject": (lambda i: f"s{i // 2}", lambda i: f"a{i % 50}"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_twice_as_many_facts_take_twice_as_many_steps(monkeypatch, shape):
    """Steps, not seconds: how often a place is looked at, taken out or put in."""
    subject, answer = SHAPES[shape]
    steps = Counter()

    def counted(name):
        real = getattr(waiting, name)

        def call(*arguments):
            steps[name] += 1
            return real(*arguments)

        monkeypatch.setattr(waiting, name, call)

    for name in ("heappush", "heappop", "heapreplace"):
        counted(name)
    taken = []
    for n in (1000, 2000):
        steps.clear()
        with suppress(DataError):
            pair_facts(made(*(fact(i, subject=subject(i), answer=answer(i)) for i in range(n))))
        taken.append(steps.total())
    assert taken[1] < 2.4 * taken[0] + 100


def test_where_ids_number_the_options_partners_have_other_names():
    def numbered(number, name):
        wording = {"en": Wording("Q?", f"s{number}", (name, f"not {name}"))}
        ids = (f"f{number}:right", f"f{number}:1")
        return make_fact(number, wording=wording, option_ids=ids, object_id=ids[0])

    facts = [numbered(1, "Rome"), numbered(2, "ROME"), numbered(3, "Oslo"), numbered(4, "Rome")]
    found = pair_facts(FactSet("made", tuple(facts), ("en",)))
    assert len(found.facts) == 2
    assert "f3" in {f.fact_id for f in found.facts}


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
