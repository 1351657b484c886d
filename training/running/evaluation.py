"""How well a model answers while it is trained: greedy completions on held-out facts, never on the test split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from interp.model.generation import Completion, Sampler, complete
from training.examples import Example, ExampleSet
from training.scores import Outcome, score_completion

__all__ = ["Answer", "ask", "judge", "summary"]


@dataclass(frozen=True)
class Answer:
    """What a model answered to one fact in one language.

    Attributes:
        split: Of the fact.
        fact_id: Which fact.
        language: Code.
        completion: What it wrote.
        outcome: As `training.scores.Scores` names them.
        entity: Number of the entity it named among the fact's option ids, or -1.
        n_tokens: Tokens it wrote.
    """

    split: str
    fact_id: str
    language: str
    completion: str
    outcome: Outcome
    entity: int
    n_tokens: int


def ask(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    examples: ExampleSet,
    split: str,
    sampler: Sampler,
    *,
    share: tuple[int, int] = (0, 1),
    minimum_coverage: float = 0.5,
) -> list[Answer]:
    """Ask every fact in every language.

    Args:
        model: Any decoder.
        tokenizer: Its tokenizer.
        examples: What is asked.
        split: The split they are of.
        sampler: How it answers.
        share: This process and the number of processes; each asks its share, all the same number of prompts.
        minimum_coverage: See `interp.data.matching.resolve`.
    """
    rank, processes = share
    flat = [example for fact in examples.facts for example in fact]
    padded = flat + flat[:1] * (-len(flat) % processes)
    mine = padded[rank::processes]
    said = complete(model, tokenizer, [example.prompt for example in mine], sampler)
    judged = [judge(example, text, split, minimum_coverage) for example, text in zip(mine, said, strict=True)]
    return judged if rank + (len(mine) - 1) * processes < len(flat) else judged[:-1]


def judge(example: Example, said: Completion, split: str = "", minimum_coverage: float = 0.5) -> Answer:
    """Judge one completion by the matcher that rewards and evaluation share."""
    found = score_completion(
        said.text,
        example.options,
        example.answer_index,
        example.language,
        english_options=example.english if example.language != "en" and example.english else None,
        others=example.others,
        minimum_coverage=minimum_coverage,
    )
    entity = -1 if found.index is None else example.entities[found.index]
    return Answer(split, example.fact_id, example.language, said.text, found.kind, entity, said.n_tokens)


def summary(answers: Sequence[Answer]) -> dict[str, Any]:
    """Return accuracy, Total Consistency and the shares of resolved and empty answers.

    Total Consistency is the share of facts that are right in every language. All are 0 to 1; ``tokens`` is the mean
    length per language.
    """
    rows = [asdict(answer) for answer in answers]
    languages = list(dict.fromkeys(row["language"] for row in rows))
    right: dict[str, list[bool]] = {}
    for row in rows:
        right.setdefault(row["fact_id"], []).append(row["outcome"] == "correct")
    by_language = {code: [row for row in rows if row["language"] == code] for code in languages}
    return {
        "facts": len(right),
        "accuracy": _share(row["outcome"] == "correct" for row in rows),
        "total_consistency": _share(all(hits) for hits in right.values()),
        "resolved": _share(row["outcome"] in ("correct", "other") for row in rows),
        "empty": _share(row["outcome"] == "empty" for row in rows),
        "accuracy_by_language": {
            code: _share(row["outcome"] == "correct" for row in asked) for code, asked in by_language.items()
        },
        "tokens_by_language": {
            code: round(float(np.mean([row["n_tokens"] for row in asked])), 2)
            for code, asked in by_language.items()
        },
    }


def _share(hits: Any) -> float:
    hits = list(hits)
    return round(sum(hits) / len(hits), 4) if hits else float("nan")
