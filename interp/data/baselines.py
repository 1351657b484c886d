"""What one scores without knowing anything: the accuracy of rules that look only at the options.

A set of questions is fair when every rule stays near 1 / number of options.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass

from interp.data.facts import Fact, FactSet
from interp.data.similarity import bigrams, fold
from interp.errors import DataError

Score = Callable[[Fact, int], float]


@dataclass(frozen=True)
class Baselines:
    """Accuracies from 0 to 1 on the validation and test facts; a tie between k options earns 1/k.

    Attributes:
        n: Facts that are scored.
        chance: Mean of 1 / number of options.
        most_frequent_gold: Picks the option that is most often right in the relation's train facts.
        least_frequent_gold: Picks the one that is least often right there.
        longest: Picks the longest option, by language.
        shortest: Picks the shortest option, by language.
        char_overlap: Picks the option whose pairs of neighboring characters occur most in the subject, by
            language.
    """

    n: int
    chance: float
    most_frequent_gold: float
    least_frequent_gold: float
    longest: dict[str, float]
    shortest: dict[str, float]
    char_overlap: dict[str, float]

    def __repr__(self) -> str:
        lines = [
            f"Baselines without a model on {self.n} validation and test facts (chance {self.chance:.3f})",
            f"  most frequent gold   {self.most_frequent_gold:.3f}",
            f"  least frequent gold  {self.least_frequent_gold:.3f}",
        ]
        for name in ("longest", "shortest", "char_overlap"):
            by_language = getattr(self, name)
            shown = " ".join(f"{code} {value:.3f}" for code, value in by_language.items())
            lines.append(f"  {name.replace('_', ' '):20s} {shown}")
        return "\n".join(lines)


def model_free_baselines(facts: FactSet, languages: Collection[str] | None = None) -> Baselines:
    """Return the accuracies of rules that know nothing.

    Args:
        facts: All splits; the train facts say which answers are frequent.
        languages: Languages to look at options in; all of the set by default.

    Raises:
        DataError: There is no validation or test fact, or a fact lacks a language.
    """
    facts = facts.filter(languages=facts.languages if languages is None else languages)
    scored = [fact for fact in facts if fact.split != "train"]
    if not scored:
        raise DataError(f"'{facts.name}' has no validation or test fact, so there is nothing to score.")
    frequency = Counter((fact.relation, fact.object_id) for fact in facts if fact.split == "train")

    def gold_count(fact: Fact, option: int) -> float:
        return frequency[fact.relation, fact.option_ids[option]]

    return Baselines(
        n=len(scored),
        chance=sum(1 / len(fact.option_ids) for fact in scored) / len(scored),
        most_frequent_gold=accuracy(scored, gold_count),
        least_frequent_gold=accuracy(scored, lambda fact, option: -gold_count(fact, option)),
        longest={code: accuracy(scored, _length(code)) for code in facts.languages},
        shortest={code: accuracy(scored, _length(code, sign=-1)) for code in facts.languages},
        char_overlap={code: accuracy(scored, _overlap(code)) for code in facts.languages},
    )


def accuracy(facts: Collection[Fact], score: Score) -> float:
    """Return the share of facts whose right option has the highest score; a tie of k options earns 1/k."""
    return sum(_credit(fact, score) for fact in facts) / len(facts)


def _credit(fact: Fact, score: Score) -> float:
    scores = [score(fact, option) for option in range(len(fact.option_ids))]
    best = max(scores)
    return (scores[fact.answer_index] == best) / scores.count(best)


def _length(code: str, sign: int = 1) -> Score:
    return lambda fact, option: sign * len(fact.wording[code].options[option])


def _overlap(code: str) -> Score:
    def share(fact: Fact, option: int) -> float:
        pairs = bigrams(fold(fact.wording[code].options[option]))
        return len(pairs & bigrams(fold(fact.wording[code].subject))) / max(1, len(pairs))

    return share


def rule_baselines(facts: FactSet, known: FactSet, *, offered: bool = True) -> dict[str, dict[str, float]]:
    """Return what rules score on given facts, per language, to stand beside a model's accuracy.

    ``prior``: the answer that is most often right in the relation's train facts (in all of ``known`` where it
    has none), a fact itself never counted. ``longest``: the longest option; only where options are offered.

    Args:
        facts: The model's questions.
        known: All facts of the source.
        offered: Whether the answer is one of the fact's options, or named freely.
    """
    if offered:
        prior = sum(prior_credit(facts, known)) / len(facts)
        longest = {code: accuracy(facts.facts, _length(code)) for code in facts.languages}
        return {"prior": dict.fromkeys(facts.languages, prior), "longest": longest}
    counts, counted = _gold_counts(known)
    best: dict[str, Counter[str]] = {}
    for (relation, answer), count in counts.items():
        best.setdefault(relation, Counter())[answer] = count
    hits = sum(_most_frequent(fact, best.get(fact.relation, Counter()), counted) for fact in facts)
    return {"prior": dict.fromkeys(facts.languages, hits / len(facts))}


def prior_credit(facts: FactSet, known: FactSet) -> list[float]:
    """Return the credit of each fact, 0 to 1, by the ``prior`` of `rule_baselines` among offered options."""
    counts, counted = _gold_counts(known)

    def count_of(fact: Fact, option: int) -> float:
        answer = fact.option_ids[option]
        return counts[fact.relation, answer] - (answer == fact.object_id and fact.fact_id in counted)

    return [_credit(fact, count_of) for fact in facts]


def _gold_counts(known: FactSet) -> tuple[Counter[tuple[str, str]], set[str]]:
    """How often each answer is right in a relation's train facts (or all facts), and those facts' ids."""
    train = [fact for fact in known if fact.split == "train"] or list(known)
    return Counter((fact.relation, fact.object_id) for fact in train), {fact.fact_id for fact in train}


def _most_frequent(fact: Fact, counts: Counter[str], counted: Collection[str]) -> float:
    """Credit for naming the relation's most frequent answer; shared where several are as frequent."""
    others = counts - Counter([fact.object_id]) if fact.fact_id in counted else counts
    if not others:
        return 0.0
    top = max(others.values())
    ties = [answer for answer, count in others.items() if count == top]
    return (fact.object_id in ties) / len(ties)
