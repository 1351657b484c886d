"""Questions with options as tokens, in one encoding: its cache gives the score of every option, its states the loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch.nn import functional

from interp.data.characters import visible
from interp.data.facts import FactSet
from interp.data.prompts import Prompt, PromptSet
from interp.errors import MeasurementError
from interp.model.loading import LoadedModel

__all__ = [
    "EncodedQuestions",
    "Question",
    "encode_questions",
    "make_questions",
    "question_batches",
    "score_options",
    "text_losses",
]

_CHUNK = 512  # tokens unembedded at a time: the logits of a large vocabulary never exist all at once


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


@dataclass(frozen=True)
class EncodedQuestions:
    """Questions that have passed the decoder, padded on the left.

    Attributes:
        ids: Their tokens.
        mask: 1 on tokens, 0 on padding.
        hidden: Final hidden states.
        cache: Keys and values, for one use.
    """

    ids: Int[torch.Tensor, "prompt token"]
    mask: Int[torch.Tensor, "prompt token"]
    hidden: Float[torch.Tensor, "prompt token model"]
    cache: Any


def make_questions(loaded: LoadedModel, facts: FactSet, prompts: PromptSet) -> list[Question]:
    """Tokenize all facts in all languages, language by language.

    Raises:
        MeasurementError: A prompt's tokens are not the first ones of prompt and option, or both are longer than the context.
    """
    return [
        _question(loaded, facts, row, column, prompts.prompts[code][row])
        for column, code in enumerate(facts.languages)
        for row in range(len(facts))
    ]


def question_batches(questions: Sequence[Question], batch_tokens: int) -> Iterator[list[Question]]:
    """Batches of about ``batch_tokens`` padded tokens, longest questions first."""
    batch: list[Question] = []
    for question in sorted(questions, key=lambda q: (-len(q.ids), -q.cost)):
        if batch and (len(batch) + 1) * max(question.cost, *(q.cost for q in batch)) > batch_tokens:
            yield batch
            batch = []
        batch.append(question)
    if batch:
        yield batch


@torch.no_grad()
def encode_questions(loaded: LoadedModel, questions: Sequence[Question]) -> EncodedQuestions:
    """Pass questions through the decoder, and keep their cache."""
    ids, mask = _padded([q.ids for q in questions], loaded, left=True)
    body: Any = loaded.architecture.body
    positions = (mask.cumsum(dim=1) - 1).clamp_min(0)
    out = body(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True)
    return EncodedQuestions(ids, mask, out.last_hidden_state, out.past_key_values)


@torch.no_grad()
def score_options(
    loaded: LoadedModel, questions: Sequence[Question], encoded: EncodedQuestions
) -> list[Float[np.ndarray, " option"]]:
    """Log-probability of every option, summed over its tokens, in nats; uses up the cache."""
    first = loaded.architecture.unembed(encoded.hidden[:, -1]).float().log_softmax(dim=-1)
    owner = torch.tensor(
        [i for i, q in enumerate(questions) for _ in q.options]
    )  # the cache may be on several devices
    options, mask = _padded([o for q in questions for o in q.options], loaded, left=False)
    total = first[owner.to(first.device), options[:, 0].to(first.device)].double().to(loaded.device)
    if options.shape[1] > 1:
        encoded.cache.batch_select_indices(owner)
        steps = torch.arange(options.shape[1] - 1, device=loaded.device)
        body: Any = loaded.architecture.body
        hidden = body(
            input_ids=options[:, :-1],
            attention_mask=torch.cat([encoded.mask[owner], mask[:, :-1]], dim=1),
            position_ids=encoded.mask.sum(dim=1)[owner].unsqueeze(1) + steps,
            past_key_values=encoded.cache,
            use_cache=True,
        ).last_hidden_state
        rows, at = mask[:, 1:].bool().nonzero(as_tuple=True)
        total.index_add_(0, rows, -_losses(loaded, _at(hidden, rows, at), options[rows, at + 1]))
    ends = np.cumsum([len(q.options) for q in questions])[:-1]
    return np.split(total.cpu().numpy(), ends)


@torch.no_grad()
def text_losses(
    loaded: LoadedModel,
    questions: Sequence[Question],
    encoded: EncodedQuestions,
    answers: Sequence[tuple[float, int]],
) -> Float[np.ndarray, " prompt"]:
    """Mean negative log-likelihood of the tokens of question and answer but the first, in nats per token.

    Args:
        loaded: The model.
        questions: As encoded.
        encoded: Their encoding.
        answers: Per question, the answer's summed log-probability and its number of tokens.
    """
    rows, at = (encoded.mask[:, 1:] & encoded.mask[:, :-1]).bool().nonzero(as_tuple=True)
    each = _losses(loaded, _at(encoded.hidden, rows, at), encoded.ids[rows, at + 1])
    total = torch.zeros(len(questions), dtype=torch.double, device=each.device).index_add_(0, rows, each)
    scored = np.array([len(q.ids) - 1 for q in questions])
    logged, tokens = np.array([a[0] for a in answers]), np.array([a[1] for a in answers])
    found: np.ndarray = (total.cpu().numpy() - logged) / (scored + tokens)
    return found


def _question(loaded: LoadedModel, facts: FactSet, row: int, column: int, prompt: Prompt) -> Question:
    """Tokenize a question, and see that the border between prompt and option is one between tokens."""
    tokenizer = loaded.tokenizer
    ids = tuple(tokenizer(prompt.text)["input_ids"])
    options = []
    for name in facts.facts[row].wording[facts.languages[column]].options:
        joint = tuple(tokenizer(prompt.text + prompt.separator + name)["input_ids"])
        said = f"'{visible(facts.facts[row].fact_id)}' in '{facts.languages[column]}'"
        if joint[: len(ids)] != ids or len(joint) == len(ids):
            raise MeasurementError(
                f"{said}: the tokens of the prompt are not the first ones of prompt and option '{visible(name)}', so the "
                "option's own log-probability is not defined. Use another prompt_format."
            )
        if len(joint) > loaded.context:
            raise MeasurementError(
                f"{said}: prompt and option have {len(joint)} tokens, the model's context is {loaded.context}. Leave out "
                "the fact, or use a shorter prompt_format."
            )
        options.append(joint[len(ids) :])
    return Question(row, column, ids, tuple(options))


def _at(hidden: torch.Tensor, rows: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    """Chosen states, on their own device when a model is spread."""
    return hidden[rows.to(hidden.device), at.to(hidden.device)]


def _losses(
    loaded: LoadedModel, states: torch.Tensor, targets: torch.Tensor
) -> Float[torch.Tensor, " token"]:
    """Negative log-likelihood of each target, in float64 from a log-softmax in float32."""
    found = []
    for some, wanted in zip(states.split(_CHUNK), targets.split(_CHUNK), strict=True):
        logits = loaded.architecture.unembed(some).float()  # on its own device when a model is spread
        found.append(functional.cross_entropy(logits, wanted.to(logits.device), reduction="none").double())
    return torch.cat(found).to(loaded.device)


def _padded(
    rows: Sequence[Sequence[int]], loaded: LoadedModel, *, left: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), loaded.pad_id)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for number, row in enumerate(rows):
        at = slice(width - len(row), width) if left else slice(0, len(row))
        ids[number, at] = torch.tensor(row)
        mask[number, at] = 1
    return ids.to(loaded.device), mask.to(loaded.device)
