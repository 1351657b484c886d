"""What one scores without knowing anything: the accuracy of rules that look only at the options.

A set of questions is fair when every rule stays near 1 / number of options.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from statistics import fmean as mean

from interp.data.facts import Fact, FactSet
from interp.data.priors import AnswerCounts, by_ids, by_names, ids_are_shared
from interp.data.similarity import bigrams, fold
from interp.errors import DataError

Score = Callable[[Fact, int], float]


@dataclass(frozen=True)
class Baselines:
    """Accuracies from 0 to 1 on the validation and test facts; a tie between k options earns 1/k.

    Attributes:
        n: Facts that are scored.
        chance: Mean of 1 / number of options.
        most_frequent_gold: Picks the option that is most often right in the relation's train facts; where ids
            are not shared by facts, the one whose name is, as a mean over languages.
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
    train = [fact for fact in facts if fact.split == "train"]
    counts = [*_counts(train, facts.languages).values()]
    return Baselines(
        n=len(scored),
        chance=sum(1 / len(fact.option_ids) for fact in scored) / len(scored),
        most_frequent_gold=mean(accuracy(scored, each.of_option) for each in counts),
        least_frequent_gold=mean(accuracy(scored, _rarity(each)) for each in counts),
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


def _rarity(counts: AnswerCounts) -> Score:
    return lambda fact, option: -counts.of_option(fact, option)


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
    has none), a fact itself never counted; see `interp.data.priors.AnswerCounts`. Answers are compared by id,
    or in each language by name where ids are not shared by facts. ``longest``: the longest option; only where
    options are offered.

    Args:
        facts: The model's questions.
        known: All facts of the source, in the languages of the questions.
        offered: Whether the answer is one of the fact's options, or named freely.
    """
    prior = {}
    for code, counts in _counts(_counted(known), facts.languages).items():
        credit = _offered_credit(facts, counts) if offered else _named_credit(facts, counts)
        prior[code] = sum(credit) / len(facts)
    if len(prior) == 1:  # ids are shared
        prior = dict.fromkeys(facts.languages, *prior.values())
    longest = {code: accuracy(facts.facts, _length(code)) for code in facts.languages}
    return {"prior": prior, "longest": longest} if offered else {"prior": prior}


def prior_credit(facts: FactSet, known: FactSet) -> list[float]:
    """Return the credit of each fact, 0 to 1, by the ``prior`` of `rule_baselines` among offered options.

    Where ids are not shared by facts, its mean over the languages.
    """
    every = _counts(_counted(known), facts.languages).values()
    credits = [_offered_credit(facts, counts) for counts in every]
    return [mean(of_fact) for of_fact in zip(*credits, strict=True)]


def _counted(known: FactSet) -> list[Fact]:
    """The train facts, or all facts where there is none."""
    return [fact for fact in known if fact.split == "train"] or list(known)


def _counts(train: list[Fact], languages: Sequence[str]) -> dict[str, AnswerCounts]:
    """How often answers are right, per language; of the first language alone where ids are shared."""
    if ids_are_shared(train, languages[0]):
        return {languages[0]: AnswerCounts(train, by_ids)}
    return {code: AnswerCounts(train, by_names(code)) for code in languages}


def _offered_credit(facts: FactSet, counts: AnswerCounts) -> list[float]:
    return [_credit(fact, counts.of_option) for fact in facts]


def _named_credit(facts: FactSet, counts: AnswerCounts) -> list[float]:
    """Credit for naming the relation's most frequent answer; shared where several are as frequent."""
    credit = []
    for fact in facts:
        others = counts.of_relation(fact)
        top = max(others.values(), default=0)
        ties = [answer for answer, count in others.items() if count == top]
        credit.append((counts.right_answer(fact) in ties) / len(ties) if ties else 0.0)
    return credit
