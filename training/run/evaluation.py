"""How well a model answers while it is trained: greedy completions on some facts, never of the test split."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState
from accelerate.utils import gather_object
from transformers import PreTrainedTokenizerBase

from interp.model.generation import Completion, Sampler, complete
from training.checkpoint.parent import ParentCheckpoint
from training.examples import Example, ExampleSet
from training.files import write_table
from training.run.callbacks import RunCallback
from training.run.metrics import MetricsFile
from training.scores import Outcome, score_completion

__all__ = ["Answer", "Evaluator", "complete_examples", "judge", "summarize"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """A completion of a prompt, judged.

    Attributes:
        split: Split of the fact.
        fact_id: Which fact.
        language: Code.
        completion: Text of the completion.
        outcome: As `training.scores.Scores` names them.
        entity: Number of the entity it names among the fact's option ids, or -1.
        n_tokens: Tokens of the completion.
    """

    split: str
    fact_id: str
    language: str
    completion: str
    outcome: Outcome
    entity: int
    n_tokens: int


class Evaluator:
    """Evaluates the model of a run: writes all answers to a table, and a summary to metrics and trackers.

    Args:
        parent: Tokenizer and stop tokens.
        examples: Split to its examples.
        out: Folder of the run.
        new_tokens: Maximum number of tokens of a completion.
        minimum_coverage: See `interp.data.matching.resolve`.

    Attributes:
        trainer: Holds the model; set when training begins.
    """

    def __init__(
        self,
        parent: ParentCheckpoint,
        examples: Mapping[str, ExampleSet],
        out: Path,
        new_tokens: int = 48,
        minimum_coverage: float = 0.5,
    ):
        self.parent, self.examples, self.out = parent, examples, out
        self.new_tokens, self.minimum_coverage = new_tokens, minimum_coverage
        self.trainer: Any = None

    def __call__(self, step: int) -> None:
        """Evaluate; all processes share the prompts, and the first one writes."""
        process, lines = PartialState(), []
        model = self.trainer.accelerator.unwrap_model(self.trainer.model_wrapped)
        sampler = Sampler(self.new_tokens, self.parent.stop_ids)
        for split, examples in self.examples.items():
            answers: list[Answer] = gather_object(
                complete_examples(
                    model,
                    self.parent.tokenizer,
                    examples,
                    split,
                    sampler,
                    share=(process.process_index, process.num_processes),
                    minimum_coverage=self.minimum_coverage,
                )
            )
            if process.is_main_process:
                lines.append(self._record(split, step, answers))
        if lines:
            _log.info("step %d of %d: %s", step, self.trainer.state.max_steps, "; ".join(lines))

    def _record(self, split: str, step: int, answers: Sequence[Answer]) -> str:
        rows = [asdict(answer) for answer in sorted(answers, key=lambda a: (a.fact_id, a.language))]
        write_table(self.out / "evaluations" / f"{split}-{step:06d}.parquet", rows)
        numbers = summarize(answers)
        MetricsFile(self.out / "metrics.jsonl").add(
            {"event": "evaluation", "step": step, "split": split, **numbers}
        )
        logs = {f"{split}/{name}": value for name, value in numbers.items() if isinstance(value, float)}
        for tracker in self.trainer.callback_handler.callbacks:
            if not isinstance(tracker, RunCallback):
                state, control = self.trainer.state, self.trainer.control
                tracker.on_log(self.trainer.args, state, control, logs=logs, model=self.trainer.model)
        return f"{split} accuracy {numbers['accuracy']:.3f}, resolved {numbers['resolved']:.3f}"


def complete_examples(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    examples: ExampleSet,
    split: str,
    sampler: Sampler,
    *,
    share: tuple[int, int] = (0, 1),
    minimum_coverage: float = 0.5,
) -> list[Answer]:
    """Return the judged completion of every example, or of this process's share.

    Args:
        model: Any decoder.
        tokenizer: Its tokenizer.
        examples: What is completed.
        split: Their split.
        sampler: How completions are drawn.
        share: This process and the number of processes; all complete the same number of prompts.
        minimum_coverage: See `interp.data.matching.resolve`.
    """
    rank, processes = share
    flat = [example for fact in examples.facts for example in fact]
    padded = flat + flat[:1] * (-len(flat) % processes)
    mine = padded[rank::processes]
    completions = complete(model, tokenizer, [example.prompt for example in mine], sampler)
    answers = [
        judge(example, completion, split, minimum_coverage)
        for example, completion in zip(mine, completions, strict=True)
    ]
    return answers if rank + (len(mine) - 1) * processes < len(flat) else answers[:-1]


def judge(example: Example, completion: Completion, split: str = "", minimum_coverage: float = 0.5) -> Answer:
    """Judge one completion by the matcher that rewards and evaluation share."""
    score = score_completion(
        completion.text,
        example.options,
        example.answer_index,
        example.language,
        english_options=example.english if example.language != "en" and example.english else None,
        others=example.others,
        minimum_coverage=minimum_coverage,
    )
    entity = -1 if score.index is None else example.entities[score.index]
    return Answer(
        split, example.fact_id, example.language, completion.text, score.kind, entity, completion.n_tokens
    )


def summarize(answers: Sequence[Answer]) -> dict[str, Any]:
    """Return accuracy, Total Consistency and the shares of resolved and empty answers.

    Total Consistency is the share of facts that are right in every language. All are 0 to 1;
    ``tokens_by_language`` has mean lengths.
    """
    by_fact, by_language = defaultdict(list), defaultdict(list)
    for answer in answers:
        by_fact[answer.fact_id].append(answer.outcome == "correct")
        by_language[answer.language].append(answer)
    return {
        "facts": len(by_fact),
        "accuracy": _share(answers, "correct"),
        "total_consistency": _mean([all(hits) for hits in by_fact.values()]),
        "resolved": _share(answers, "correct", "other"),
        "empty": _share(answers, "empty"),
        "accuracy_by_language": {code: _share(rows, "correct") for code, rows in by_language.items()},
        "tokens_by_language": {
            code: round(float(np.mean([row.n_tokens for row in rows])), 2)
            for code, rows in by_language.items()
        },
    }


def _share(answers: Sequence[Answer], *outcomes: Outcome) -> float:
    return _mean([answer.outcome in outcomes for answer in answers])


def _mean(hits: Sequence[bool]) -> float:
    return round(sum(hits) / len(hits), 4) if hits else float("nan")
