"""How often each answer of a relation is right in other facts: all that a guess without knowledge can use."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable
from functools import cached_property

from interp.data.equality import plain
from interp.data.facts import Fact, FactSet
from interp.data.hashing import hash_sample

__all__ = ["AnswerCounts", "answer_key", "answers_of", "by_ids", "by_names", "ids_are_shared"]

Key = Callable[[Fact, int], str]
"""Of a fact and the place of an option: what it is compared by."""

_AGREEING = 0.9  # of pairs of options with one name; homonyms are few
_SAME_NAME = 0.5  # of pairs of options with one id; spellings of one name are few
_LOOKED_AT = 1000  # facts


def by_ids(fact: Fact, option: int) -> str:
    """Compare options by id."""
    return fact.option_ids[option]


def by_names(language: str) -> Key:
    """Compare options by their names in a language, as a reader sees them."""
    return lambda fact, option: plain(fact.wording[language].options[option])


def ids_are_shared(facts: Collection[Fact], language: str) -> bool:
    """Return whether an answer has the same id in every fact.

    It has in data with ids of entities, and not where ids only number the options of a fact, or are letters.
    Wrong options that have the name of an option of another fact of the relation are looked at, or where no
    wrong one has, right ones: nine of ten such pairs must agree in their ids. And of options that have one id
    in a relation, half of the pairs must agree in their names.

    Args:
        facts: At least those of each relation that share answers; 1,000 of them are looked at.
        language: A language of their names.
    """
    ids: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    names: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    options: list[tuple[tuple[str, str], str, bool]] = []
    for fact in hash_sample(facts, _LOOKED_AT, key=lambda fact: fact.fact_id):
        for place, name in enumerate(fact.wording[language].options if language in fact.wording else ()):
            named = (fact.relation, plain(name))
            ids[named][fact.option_ids[place]] += 1
            names[fact.relation, fact.option_ids[place]][plain(name)] += 1
            options.append((named, fact.option_ids[place], place == fact.answer_index))
    repeated = sum(count.total() * (count.total() - 1) for count in names.values())
    alike = sum(n * (n - 1) for count in names.values() for n in count.values())
    if alike < _SAME_NAME * repeated:
        return False
    for right in (False, True):
        pairs = agreeing = 0
        for named, option_id, is_right in options:
            if is_right == right:
                pairs += ids[named].total() - 1
                agreeing += ids[named][option_id] - 1
        if pairs:
            return agreeing >= _AGREEING * pairs
    return True


def answer_key(facts: FactSet) -> Key:
    """What tells whether two facts have one answer: its id where ids are shared by facts, else its name.

    The name is that in the first language, as a reader sees it.
    """
    language = facts.languages[0]
    return by_ids if ids_are_shared(facts.facts, language) else by_names(language)


def answers_of(facts: FactSet) -> tuple[str, ...]:
    """Label of each fact's answer, the same in all facts that it is right in (`answer_key`).

    Letters are left as they are, so that whoever takes facts of one answer as a cluster can refuse them.
    """
    if any(len(fact.object_id) == 1 and fact.object_id.isascii() for fact in facts):
        return tuple(fact.object_id for fact in facts)
    key = answer_key(facts)
    return tuple(key(fact, fact.answer_index) for fact in facts)


class AnswerCounts:
    """How often each answer is right, by relation; a counted fact is left out of its own counts.

    Leaving a fact out makes its right answer one rarer. Where the answers of a relation are right equally
    often, or as nearly as their number allows, that alone would make every guess wrong, so there all answers
    count as equally often right in a counted fact.

    Args:
        facts: What is counted.
        key: What answers are compared by; `by_ids` or what `by_names` returns.
    """

    def __init__(self, facts: Iterable[Fact], key: Key):
        self._key = key
        self._facts = {fact.fact_id: fact for fact in facts}
        self._right = Counter((f.relation, key(f, f.answer_index)) for f in self._facts.values())

    def of_option(self, fact: Fact, option: int) -> int:
        """Return how often an option is right in other facts of its relation."""
        counted = fact.fact_id in self._facts
        if counted and fact.relation in self._even_offered:
            return 0
        key = self._key(fact, option)
        return self._right[fact.relation, key] - (counted and key == self._key(fact, fact.answer_index))

    def of_relation(self, fact: Fact) -> Counter[str]:
        """Return how often each answer is right in other facts of a relation, if ever."""
        counts = self._by_relation[fact.relation]
        if fact.fact_id not in self._facts:
            return counts
        if _is_even(counts.values(), least=2):
            return Counter(dict.fromkeys(counts, 1))
        return counts - Counter([self._key(fact, fact.answer_index)])

    def right_answer(self, fact: Fact) -> str:
        """Return what `of_relation` calls the right answer."""
        return self._key(fact, fact.answer_index)

    @cached_property
    def _by_relation(self) -> dict[str, Counter[str]]:
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for (relation, answer), count in self._right.items():
            counts[relation][answer] = count
        return counts

    @cached_property
    def _even_offered(self) -> set[str]:
        """Relations of which every answer that is offered is right about equally often."""
        offered: dict[str, set[str]] = defaultdict(set)
        for fact in self._facts.values():
            offered[fact.relation].update(self._key(fact, option) for option in range(len(fact.option_ids)))
        return {
            relation
            for relation, answers in offered.items()
            if _is_even((self._right[relation, answer] for answer in answers), least=1)
        }


def _is_even(counts: Iterable[int], least: int) -> bool:
    """Whether counts are within one of each other, and none is under ``least``."""
    counts = [*counts]
    return min(counts, default=0) >= least and max(counts) - min(counts) <= 1
