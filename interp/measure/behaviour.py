"""Multiple choice by log-likelihood: a question is encoded once, and its cache serves all of its options."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from interp.data.characters import visible
from interp.data.facts import FactSet
from interp.data.prompts import Prompt, prompts_from_facts
from interp.errors import MeasurementError
from interp.measure.passes import Progress, run_batches
from interp.measure.provenance import make_provenance, resume_key
from interp.model.loading import LoadedModel
from interp.results.behaviour import BehaviourResult

__all__ = ["Question", "behaviour_settings", "measure_behaviour"]


@dataclass(frozen=True)
class Question:
    """One fact in one language, as tokens.

    Attributes:
        fact: Number of the fact.
        language: Number of the language.
        ids: The prompt's tokens.
        options: The tokens of each option, the separator before it included.
    """

    fact: int
    language: int
    ids: tuple[int, ...]
    options: tuple[tuple[int, ...], ...]

    @property
    def cost(self) -> int:
        """Tokens that pass the model."""
        return len(self.ids) + len(self.options) * max(map(len, self.options))


@dataclass
class _Scores:
    """Log-probabilities so far; NaN where a fact has fewer options, or was not asked yet."""

    found: np.ndarray

    def state(self) -> dict[str, np.ndarray]:
        return {"found": self.found}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        self.found[:] = state["found"]


def behaviour_settings(facts: FactSet, scaffold: str) -> dict[str, Any]:
    """What of a multiple-choice measurement decides its result, beside the prompts and the numerics."""
    return {"mode": "mcq", "scaffold": scaffold, "facts_digest": facts.digest}


def measure_behaviour(
    loaded: LoadedModel,
    facts: FactSet,
    *,
    scaffold: str = "native",
    batch_tokens: int = 4096,
    resume: Path | None = None,
    progress: Progress | None = None,
) -> BehaviourResult:
    """Score every option of every fact in every language of the set.

    The log-probability of an option is the sum over its tokens of log p(token | prompt, tokens before), from a log-softmax
    in float32. Prompt and option are tokenised together, and the prompt alone must be a prefix of that, token by token.
    Nothing is truncated. What follows the answer in a cloze sentence is not scored.

    Args:
        loaded: The model.
        facts: What is asked, in which languages.
        scaffold: ``native`` words around the question, ``english`` ones, or ``none``.
        batch_tokens: Padded tokens per pass; halved where memory runs out.
        resume: File in which an interrupted run keeps what is done; remove it once the result is saved.
        progress: Called with batches done and batches in all.

    Raises:
        DataError: A fact lacks a language.
        MeasurementError: A fact has one option only, a prompt is no prefix of prompt and option, an item is longer than the
            context, a score is not finite, or one question alone does not fit into memory.
        Interrupted: Ctrl-C or SIGTERM; what is done is kept in ``resume``.
    """
    _require_options(facts)
    prompts = prompts_from_facts(facts, scaffold=scaffold)
    questions = [
        _question(loaded, facts, row, column, prompts.prompts[code][row])
        for column, code in enumerate(facts.languages)
        for row in range(len(facts))
    ]
    shape = (len(facts), len(facts.languages), max(len(fact.option_ids) for fact in facts))
    scores = _Scores(np.full(shape, np.nan))

    def describe(question: Question) -> str:
        where = f"'{visible(facts.facts[question.fact].fact_id)}' in '{facts.languages[question.language]}'"
        return f"Question {where} ({question.cost} tokens with its options)"

    def add(batch: Sequence[Question]) -> None:
        for question, values in zip(batch, _score(loaded, batch), strict=True):
            if not np.isfinite(values).all():
                raise MeasurementError(
                    f"{describe(question)}: log-probabilities are not finite. Use --dtype float32 or bfloat16."
                )
            scores.found[question.fact, question.language, : len(values)] = values

    provenance = make_provenance(loaded, prompts, behaviour_settings(facts, scaffold))
    run_batches(
        loaded,
        list(_batches(sorted(questions, key=lambda q: (-len(q.ids), -q.cost)), batch_tokens)),
        add,
        scores,
        describe,
        resume=resume,
        key=resume_key(provenance, {"batch_tokens": batch_tokens}),
        progress=progress,
    )
    return BehaviourResult(
        languages=facts.languages,
        fact_ids=tuple(fact.fact_id for fact in facts),
        relations=tuple(fact.relation for fact in facts),
        groups=tuple(fact.group for fact in facts),
        answers=tuple(fact.object_id for fact in facts),
        splits=tuple(fact.split for fact in facts),
        golds=tuple(tuple(fact.answer(code) for code in facts.languages) for fact in facts),
        aligned=facts.aligned,
        gold=np.array([fact.answer_index for fact in facts]),
        log_probability=scores.found,
        provenance=provenance,
        **_lengths(facts, questions, shape),
    )


def _require_options(facts: FactSet) -> None:
    few = [fact for fact in facts if len(fact.option_ids) < 2]
    if few:
        raise MeasurementError(
            f"{len(few)} of {len(facts)} facts of '{visible(facts.name)}' have no options to choose from, first "
            f"'{visible(few[0].fact_id)}'. Ask them with --mode generate."
        )


def _lengths(
    facts: FactSet, questions: Sequence[Question], shape: tuple[int, ...]
) -> dict[str, Int[np.ndarray, "fact language option"]]:
    """Tokens, characters and bytes of every option; 0 where there is none."""
    lengths = {name: np.zeros(shape, dtype=np.int64) for name in ("tokens", "characters", "bytes")}
    for q in questions:
        names = facts.facts[q.fact].wording[facts.languages[q.language]].options
        for option, (name, ids) in enumerate(zip(names, q.options, strict=True)):
            at = (q.fact, q.language, option)
            lengths["tokens"][at], lengths["characters"][at] = len(ids), len(name)
            lengths["bytes"][at] = len(name.encode())
    return lengths


def _question(loaded: LoadedModel, facts: FactSet, row: int, column: int, prompt: Prompt) -> Question:
    """Tokenise a question, and see that the border between prompt and option is one between tokens."""
    tokenizer = loaded.tokenizer
    ids = tuple(tokenizer(prompt.text)["input_ids"])
    options = []
    for name in facts.facts[row].wording[facts.languages[column]].options:
        joint = tuple(tokenizer(prompt.text + prompt.separator + name)["input_ids"])
        said = f"'{visible(facts.facts[row].fact_id)}' in '{facts.languages[column]}'"
        if joint[: len(ids)] != ids or len(joint) == len(ids):
            raise MeasurementError(
                f"{said}: the tokens of the prompt are not the first ones of prompt and option '{visible(name)}', so the "
                "option's own log-probability is not defined. Use another scaffold."
            )
        if len(joint) > loaded.context:
            raise MeasurementError(
                f"{said}: prompt and option have {len(joint)} tokens, the model's context is {loaded.context}. Leave out "
                "the fact, or use a shorter scaffold."
            )
        options.append(joint[len(ids) :])
    return Question(row, column, ids, tuple(options))


def _batches(questions: Sequence[Question], batch_tokens: int) -> Iterator[list[Question]]:
    batch: list[Question] = []
    for question in questions:
        if batch and (len(batch) + 1) * max(question.cost, *(q.cost for q in batch)) > batch_tokens:
            yield batch
            batch = []
        batch.append(question)
    if batch:
        yield batch


@torch.no_grad()
def _score(loaded: LoadedModel, batch: Sequence[Question]) -> list[Float[np.ndarray, " option"]]:
    """Log-probabilities of all options of a batch: questions padded on the left, options on the right."""
    body: Any = loaded.architecture.body
    asked, asked_mask = _padded([q.ids for q in batch], loaded.pad_id, left=True, device=loaded.device)
    positions = (asked_mask.cumsum(dim=1) - 1).clamp_min(0)
    out = body(input_ids=asked, attention_mask=asked_mask, position_ids=positions, use_cache=True)
    first = loaded.architecture.unembed(out.last_hidden_state[:, -1]).float().log_softmax(dim=-1)

    owner = torch.tensor([i for i, q in enumerate(batch) for _ in q.options], device=loaded.device)
    options, mask = _padded(
        [o for q in batch for o in q.options], loaded.pad_id, left=False, device=loaded.device
    )
    total = first[owner, options[:, 0]].double()
    if options.shape[1] > 1:
        cache = out.past_key_values
        cache.batch_select_indices(owner)
        steps = torch.arange(options.shape[1] - 1, device=loaded.device)
        hidden = body(
            input_ids=options[:, :-1],
            attention_mask=torch.cat([asked_mask[owner], mask[:, :-1]], dim=1),
            position_ids=asked_mask.sum(dim=1)[owner].unsqueeze(1) + steps,
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        rows, at = mask[:, 1:].bool().nonzero(as_tuple=True)  # only what is scored is unembedded
        logged = loaded.architecture.unembed(hidden[rows, at]).float().log_softmax(dim=-1)
        each = logged.gather(1, options[rows, at + 1].unsqueeze(1)).squeeze(1)
        total.index_add_(0, rows, each.double())
    ends = np.cumsum([len(q.options) for q in batch])[:-1]
    return np.split(total.cpu().numpy(), ends)


def _padded(
    rows: Sequence[Sequence[int]], pad: int, *, left: bool, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad, device=device)
    mask = torch.zeros(len(rows), width, dtype=torch.long, device=device)
    for number, row in enumerate(rows):
        at = slice(width - len(row), width) if left else slice(0, len(row))
        ids[number, at] = torch.tensor(row, device=device)
        mask[number, at] = 1
    return ids, mask
