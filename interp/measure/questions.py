"""Questions with options as tokens: one pass gives a cache to score options, and states for the loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch.nn import functional

from interp.data.facts import Fact, FactSet
from interp.data.prompts import Prompt, PromptSet
from interp.model.loading import LoadedModel
from interp.model.tokens import TokenizedPrompt, make_batches, token_positions
from interp.model.vocabulary import from_logits, log_probabilities

__all__ = [
    "EncodedQuestions",
    "Question",
    "encode_questions",
    "make_questions",
    "question_batches",
    "score_options",
    "text_losses",
]


@dataclass(frozen=True)
class Question:
    """One fact in one language, as tokens.

    Attributes:
        fact: Number of the fact.
        language: Number of the language.
        label: What a message calls it.
        ids: The prompt's tokens.
        options: The tokens of each option, the separator before it included.
    """

    fact: int
    language: int
    label: str
    ids: tuple[int, ...]
    options: tuple[tuple[int, ...], ...]

    @property
    def cost(self) -> int:
        """Tokens that pass the model."""
        return len(self.ids) + len(self.options) * max(map(len, self.options))

    def describe(self) -> str:
        """What a message calls it, with its size."""
        return f"Question {self.label} ({self.cost} tokens with its options)"


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
        MeasurementError: A prompt's tokens are not the first ones of prompt and option, or both are longer
            than the context.
    """
    return [
        _question(loaded, fact, row, column, prompts.prompts[code][row])
        for column, code in enumerate(facts.languages)
        for row, fact in enumerate(facts)
    ]


def question_batches(questions: Sequence[Question], batch_tokens: int) -> list[tuple[Question, ...]]:
    """Batches of about ``batch_tokens`` padded tokens, longest questions first."""
    return make_batches(questions, batch_tokens, lambda q: q.cost, order=lambda q: (-len(q.ids), -q.cost))


@torch.no_grad()
def encode_questions(loaded: LoadedModel, questions: Sequence[Question]) -> EncodedQuestions:
    """Pass questions through the decoder, and keep their cache."""
    ids, mask = loaded.pad_rows([q.ids for q in questions], side="left")
    body: Any = loaded.architecture.body
    out = body(input_ids=ids, attention_mask=mask, position_ids=token_positions(mask), use_cache=True)
    return EncodedQuestions(ids, mask, out.last_hidden_state, out.past_key_values)


@torch.no_grad()
def score_options(
    loaded: LoadedModel, questions: Sequence[Question], encoded: EncodedQuestions
) -> list[Float[np.ndarray, " option"]]:
    """Log-probability of every option, summed over its tokens, in nats; uses up the cache."""
    starts, there = loaded.pad_rows([[option[0] for option in q.options] for q in questions])
    first = from_logits(encoded.hidden[:, -1], loaded.architecture.unembed, log_probabilities, starts)
    owner = torch.tensor(
        [i for i, q in enumerate(questions) for _ in q.options]
    )  # the cache may be on several devices
    options, mask = loaded.pad_rows([option for q in questions for option in q.options])
    total = first[there.bool().to(first.device)].double().to(loaded.device)
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
    mean: np.ndarray = (total.cpu().numpy() - logged) / (scored + tokens)
    return mean


def _question(loaded: LoadedModel, fact: Fact, row: int, column: int, prompt: Prompt) -> Question:
    """Tokenize a question with its options."""
    tokens = TokenizedPrompt(loaded.tokenizer, prompt)
    options = tokens.continuations(fact.wording[prompt.language].options)
    tokens.require_room(len(tokens.ids) + max(map(len, options)), loaded.context)
    return Question(row, column, tokens.label, tokens.ids, tuple(options))


def _at(hidden: torch.Tensor, rows: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    """Some of the states, on their own device when a model is spread."""
    return hidden[rows.to(hidden.device), at.to(hidden.device)]


def _losses(
    loaded: LoadedModel, states: torch.Tensor, targets: torch.Tensor
) -> Float[torch.Tensor, " token"]:
    """Negative log-likelihood of each target, in float64 from a log-softmax in float32."""

    def read(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(logits, ids, reduction="none").double()

    return from_logits(states, loaded.architecture.unembed, read, targets).to(loaded.device)
