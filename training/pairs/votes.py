"""Preference pairs from a vote: the entity that a model names most often, in all languages or in one, wins.

Which answer is right is not used. (The matcher knows the names that answer a relation's other facts, only to
keep Guinea apart from Papua New Guinea.) A vote needs one winner: facts in which several entities have the
most votes are skipped. In each language, every distinct answer that does not name the winner is rejected, an
empty answer too, so that silence is unlearned; one answer that names the winner is preferred to all of them.

Source: CALM (https://arxiv.org/abs/2501.18457) pools the languages; it votes over letters, takes the first of
a tie and translates the chosen answer by machine. CM-Align (https://arxiv.org/abs/2509.08541) follows
English; its pivot for open questions is the answer nearest to the others by embedding, not by vote.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from interp.data.languages import language_hint
from interp.errors import ConfigError
from training.examples import Example, ExampleSet
from training.pairs.samples import Sample

__all__ = ["Pair", "PairSet", "calm_pairs", "cm_align_pairs", "require_pivot", "vote"]


@dataclass(frozen=True)
class Pair:
    """A chosen and a rejected answer to one fact in one language.

    Attributes:
        fact_id: Which fact.
        language: Code.
        prompt: Its prompt.
        chosen: An answer that names the winner, as the model writes it, separator included.
        rejected: An answer that does not; may be empty.
        chosen_ended: Whether the chosen answer is complete, so that an end token belongs to it.
        rejected_ended: The same for the rejected answer.
        chosen_entity: Number of the entity that the chosen answer names; the winner.
        rejected_entity: Number of the one that the rejected answer names, or -1.
        votes: Entity to the number of answers that name it, in the languages that vote.
        winner: The entity with the most votes.
        source: ``sampled``: the model wrote the chosen answer. ``canonical``: it is the option's own name.
    """

    fact_id: str
    language: str
    prompt: str
    chosen: str
    rejected: str
    chosen_ended: bool
    rejected_ended: bool
    chosen_entity: int
    rejected_entity: int
    votes: Mapping[int, int]
    winner: int
    source: Literal["sampled", "canonical"]


@dataclass(frozen=True)
class PairSet:
    """Pairs, and counts of what became of the facts.

    Attributes:
        pairs: By fact, then language.
        counts: ``facts`` = ``voted`` + ``ties`` + ``unresolved``, where ``unresolved`` are those in which no
            answer of the voters names an entity. ``pairs`` in all and per language in ``pairs_by_language``.
            Of the voted facts, per language: ``never_winner``, no answer names the winner;
            ``nothing_rejected``, all answers do. ``canonical``: pairs whose chosen answer is the option's
            name.
    """

    pairs: tuple[Pair, ...]
    counts: dict[str, Any] = field(default_factory=dict)


def vote(samples: Iterable[Sample]) -> tuple[dict[int, int], int | None]:
    """Return entity to votes, most first, and the winner: the one entity with the most votes, or None."""
    counted = Counter(sample.entity for sample in samples if sample.entity >= 0)
    votes = dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))
    most = [entity for entity, count in votes.items() if count == max(votes.values())]
    return votes, most[0] if len(most) == 1 else None


def calm_pairs(examples: ExampleSet, samples: Sequence[Sample], *, canonical: bool = True) -> PairSet:
    """Return pairs in every language, relative to the winner among the answers of all languages.

    Args:
        examples: The facts.
        samples: All answers.
        canonical: Where no answer in a language names the winner, prefer the option's own name; otherwise
            there is no pair.
    """
    return _pairs(examples, samples, examples.languages, examples.languages, canonical)


def cm_align_pairs(
    examples: ExampleSet, samples: Sequence[Sample], *, pivot: str = "en", canonical: bool = False
) -> PairSet:
    """Return pairs in every language but the pivot, relative to the winner among the pivot's answers.

    Args:
        examples: The facts.
        samples: All answers.
        pivot: Code of the language that alone votes.
        canonical: As in `calm_pairs`.

    Raises:
        ConfigError: The pivot is not among the languages, or alone among them.
    """
    require_pivot(pivot, examples.languages)
    others = [code for code in examples.languages if code != pivot]
    return _pairs(examples, samples, [pivot], others, canonical)


def require_pivot(pivot: str, languages: Sequence[str]) -> None:
    """Refuse a pivot that is not among the languages, or alone among them.

    Raises:
        ConfigError: As above.
    """
    if pivot not in languages or len(languages) < 2:
        raise ConfigError(
            f"The pivot is '{pivot}' and the languages are {','.join(languages)}; the pivot must be one of "
            f"them, and not the only one.{language_hint(pivot, languages)} Add it to --languages, "
            "or name another --pivot."
        )


def _pairs(
    examples: ExampleSet,
    samples: Sequence[Sample],
    voters: Collection[str],
    learners: Sequence[str],
    canonical: bool,
) -> PairSet:
    answers: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        answers.setdefault((sample.fact_id, sample.language), []).append(sample)
    pairs: list[Pair] = []
    counts = Counter(facts=len(examples))
    never, nothing = Counter[str](), Counter[str]()
    for fact in examples.facts:
        votes, winner = vote(s for e in fact if e.language in voters for s in answers[e.fact_id, e.language])
        counts["unresolved" if not votes else "ties" if winner is None else "voted"] += 1
        if winner is None:
            continue
        for example in (e for e in fact if e.language in learners):
            given = answers[example.fact_id, example.language]
            never[example.language] += all(sample.entity != winner for sample in given)
            nothing[example.language] += all(sample.entity == winner for sample in given)
            pairs += _pairs_of(example, given, votes, winner, canonical)
    by_language = Counter(pair.language for pair in pairs)
    return PairSet(
        tuple(pairs),
        {name: counts[name] for name in ("facts", "voted", "ties", "unresolved")}
        | {
            "pairs": len(pairs),
            "canonical": sum(pair.source == "canonical" for pair in pairs),
            "pairs_by_language": {code: by_language[code] for code in learners},
            "never_winner": {code: never[code] for code in learners},
            "nothing_rejected": {code: nothing[code] for code in learners},
        },
    )


def _pairs_of(
    example: Example, answers: Sequence[Sample], votes: Mapping[int, int], winner: int, canonical: bool
) -> list[Pair]:
    """The pairs of one fact in one language."""
    right = [sample for sample in answers if sample.entity == winner]
    if right:
        chosen, source = _most_frequent(right), "sampled"
    elif canonical:
        name = example.separator + example.options[example.entities.index(winner)]
        chosen, source = Sample(example.fact_id, example.language, name, True, winner), "canonical"
    else:
        return []
    wrong = dict.fromkeys(sample for sample in answers if sample.entity != winner)
    return [
        Pair(
            fact_id=example.fact_id,
            language=example.language,
            prompt=example.prompt,
            chosen=chosen.text,
            rejected=sample.text,
            chosen_ended=chosen.ended,
            rejected_ended=sample.ended,
            chosen_entity=winner,
            rejected_entity=sample.entity,
            votes=votes,
            winner=winner,
            source=source,  # type: ignore[arg-type]
        )
        for sample in wrong
    ]


def _most_frequent(samples: Sequence[Sample]) -> Sample:
    """The most frequent answer; of several the complete one, then the shortest, then by code point."""
    counted = Counter(samples)
    return min(
        counted, key=lambda sample: (-counted[sample], not sample.ended, len(sample.text), sample.text)
    )
