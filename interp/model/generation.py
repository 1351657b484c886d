"""Completions of many prompts: each different prompt is computed once, and serves all of its completions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from transformers import (
    LogitsProcessorList,
    PreTrainedTokenizerBase,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)

from interp.errors import MeasurementError
from interp.model.prefixes import PromptCache, Tokens, encode_prompts, shortest_window
from interp.model.tokens import filler, make_batches, pad_rows, tokenize

__all__ = [
    "Completion",
    "NotFiniteError",
    "Sampler",
    "complete",
    "continuations",
    "finite_logits",
    "newline_ids",
]

_ELEMENTS = 2**24  # logits that are turned into draws at a time: those of a large vocabulary are many
_CROWDED = 0.75  # share of the rows that may still be going on before the others are taken out
_PADDED = 1.25  # padded tokens per token of a batch of prompts


class NotFiniteError(MeasurementError):
    """A model's logits are not finite, so that nothing can be drawn from them.

    Attributes:
        row: Of the batch, or of the prompts of `complete`.
    """

    def __init__(self, row: int):
        super().__init__(
            "the model's logits are not finite where it completes a prompt. Try dtype float32, and check the "
            "weights."
        )
        self.row = row


@dataclass(frozen=True)
class Sampler:
    """How completions are drawn.

    Attributes:
        new_tokens: Longest completion.
        stop_ids: Tokens that end one.
        temperature: 0 for the most probable token at each step.
        top_p: Share of the probability that is drawn from.
        batch: Completions at once.
        repetition_penalty: Divides the positive logits of tokens that prompt or completion have already, and
            multiplies the negative ones; 1 for none.
    """

    new_tokens: int
    stop_ids: tuple[int, ...]
    temperature: float = 0.0
    top_p: float = 1.0
    batch: int = 96
    repetition_penalty: float = 1.0

    def processors(self) -> LogitsProcessorList:
        """What is done to logits before a token is drawn."""
        chosen = LogitsProcessorList()
        if self.repetition_penalty != 1:
            chosen.append(RepetitionPenaltyLogitsProcessor(self.repetition_penalty))
        if self.temperature not in (0, 1):
            chosen.append(TemperatureLogitsWarper(float(self.temperature)))
        if self.temperature and self.top_p < 1:
            chosen.append(TopPLogitsWarper(self.top_p))
        return chosen


@dataclass(frozen=True)
class Completion:
    """What a model wrote.

    Attributes:
        text: Without special tokens.
        n_tokens: Tokens, the stop token included.
        ended: Whether it came to a stop token.
    """

    text: str
    n_tokens: int
    ended: bool


def newline_ids(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """Return every token that has a line break in it."""
    ids = sorted(tokenizer.get_vocab().values())
    return tuple(
        i for i, text in zip(ids, tokenizer.batch_decode([[i] for i in ids]), strict=True) if "\n" in text
    )


def complete(
    model: Any, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], sampler: Sampler
) -> list[Completion]:
    """Return one completion per prompt, in their order; a prompt that comes several times is computed once.

    Greedy completions depend neither on the batch nor on torch's random state, which they leave as it was;
    sampled ones depend on the state alone.

    Raises:
        NotFiniteError: A logit from which a token would be drawn is not finite; names the row of the prompt.
    """
    ids = [text.without_end().ids for text in tokenize(tokenizer, prompts)]
    table = next(model.get_input_embeddings().parameters())
    rows = continuations(model, ids, sampler, filler(tokenizer, len(table)))
    return [
        Completion(
            str(tokenizer.decode(row, skip_special_tokens=True)),
            len(row),
            bool(row) and row[-1] in sampler.stop_ids,
        )
        for row in rows
    ]


def continuations(model: Any, prompts: Sequence[Tokens], sampler: Sampler, pad: int) -> list[list[int]]:
    """Return the tokens that continue each prompt, its stop token included.

    A token is drawn by one uniform number, so neither batches nor other rows decide it: the first whose
    cumulative probability exceeds the number.

    Args:
        model: Any decoder.
        prompts: Token ids; the same may come several times.
        sampler: How tokens are drawn, and how many rows at once.
        pad: Padding token.

    Raises:
        NotFiniteError: A logit from which a token would be drawn is not finite; names the row of the prompt.
    """
    numbers = (
        torch.rand(len(prompts), sampler.new_tokens, dtype=torch.float64) if sampler.temperature else None
    )
    written: list[list[int]] = [[] for _ in prompts]
    with _evaluating(model), torch.no_grad():
        for batch in _batches(prompts, sampler.batch):
            drawn = None if numbers is None else numbers[list(batch)]
            try:
                rows = _continue(model, [prompts[i] for i in batch], sampler, pad, drawn)
            except NotFiniteError as error:
                raise NotFiniteError(batch[error.row]) from None
            for i, row in zip(batch, rows, strict=True):
                written[i] = row
    return written


def _batches(prompts: Sequence[Tokens], rows: int) -> list[tuple[int, ...]]:
    """Rows of similar prompts together; those of one prompt next to each other."""
    parts: list[tuple[int, ...]] = []
    for batch in make_batches(
        range(len(prompts)), rows, lambda i: 1, order=lambda i: (len(prompts[i]), prompts[i])
    ):
        start, tokens = 0, 0
        for end, i in enumerate(batch):
            new = end == start or prompts[i] != prompts[batch[end - 1]]
            tokens += len(prompts[i])
            if new and len(prompts[i]) * (end + 1 - start) > _PADDED * tokens:
                parts.append(batch[start:end])
                start, tokens = end, len(prompts[i])
        parts.append(batch[start:])
    return parts


def _continue(
    model: Any,
    prompts: Sequence[Tokens],
    sampler: Sampler,
    pad: int,
    numbers: Float[torch.Tensor, "row token"] | None,
) -> list[list[int]]:
    """The tokens that continue the prompts of one batch."""
    device = next(model.get_input_embeddings().parameters()).device
    distinct = list(dict.fromkeys(prompts))
    window = shortest_window(model.config)
    cached = encode_prompts(
        model,
        distinct,
        fill=pad,
        device=device,
        room=None if window is None else window - sampler.new_tokens,
        logits_to_keep=1,
    )
    owner = {prompt: number for number, prompt in enumerate(distinct)}
    owners = [owner[prompt] for prompt in prompts]
    logits = cached.output.logits[:, -1][torch.tensor(owners, device=device)]
    seen = _laid_out(prompts, pad, device) if sampler.repetition_penalty != 1 else None
    written: list[list[int]] = [[] for _ in prompts]
    live = list(range(len(prompts)))  # row of the cache -> row of the batch
    cached = cached.rows(owners)
    for step in range(sampler.new_tokens):
        drawn = None if numbers is None else numbers[live, step].to(device)
        _require_finite(logits, live)
        tokens = _draw(logits, sampler, seen, drawn)
        going = []
        for at, (row, token) in enumerate(zip(live, tokens.tolist(), strict=True)):
            if written[row] and written[row][-1] in sampler.stop_ids:
                continue
            written[row].append(token)
            if token not in sampler.stop_ids:
                going.append(at)
        if not going or step + 1 == sampler.new_tokens:
            break
        if seen is not None:
            seen = torch.cat([seen, tokens[:, None]], dim=1)
        if len(going) <= _CROWDED * len(live):
            cached, live = cached.rows(going), [live[at] for at in going]
            tokens = tokens[going]
            seen = None if seen is None else seen[going]
        logits = _next_logits(model, cached, tokens)
    return written


def _next_logits(model: Any, cached: PromptCache, tokens: Int[torch.Tensor, " row"]) -> torch.Tensor:
    ids = tokens[:, None]
    output = model(**cached.following(ids, torch.ones_like(ids)))
    cached.cache = output.past_key_values
    return output.logits[:, -1]


def _require_finite(logits: Float[torch.Tensor, "row vocab"], rows: Sequence[int]) -> None:
    """Refuse logits that are not finite: their largest would be a token, but no answer."""
    finite = logits.amax(dim=-1).isfinite()  # some models have -inf for tokens that do not exist
    if not finite.all():
        raise NotFiniteError(rows[int((~finite).int().argmax())])


def _draw(
    logits: Float[torch.Tensor, "row vocab"],
    sampler: Sampler,
    seen: Int[torch.Tensor, "row token"] | None,
    numbers: Float[torch.Tensor, " row"] | None,
) -> Int[torch.Tensor, " row"]:
    """The next token of every row: the most probable one, or by its number."""
    process, drawn = sampler.processors(), []
    size = max(1, _ELEMENTS // logits.shape[1])
    for start in range(0, len(logits), size):
        part = slice(start, start + size)
        before: Any = None if seen is None else seen[part]
        scores = process(before, logits[part].float())
        if numbers is None:
            drawn.append(scores.argmax(dim=-1))
            continue
        cumulative = scores.softmax(dim=-1).cumsum(dim=-1, dtype=torch.float64)
        sought = numbers[part, None] * cumulative[:, -1:]
        drawn.append(torch.searchsorted(cumulative, sought, right=True)[:, 0].clamp(max=scores.shape[1] - 1))
    return torch.cat(drawn)


def _laid_out(prompts: Sequence[Tokens], pad: int, device: torch.device) -> torch.Tensor:
    return pad_rows(prompts, fill=pad, side="left", device=device)[0]


@contextmanager
def finite_logits(model: Any) -> Iterator[None]:
    """Refuse logits of the last position that are not finite: their largest would be a token, but no answer.

    Raises:
        NotFiniteError: Names the row.
    """

    def look(module: Any, arguments: Any, output: Any) -> None:
        finite = (
            output.logits[:, -1].amax(dim=-1).isfinite()
        )  # some models have -inf for tokens that do not exist
        if not finite.all():
            raise NotFiniteError(int((~finite).int().argmax()))

    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    hook = base.register_forward_hook(look)
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Without dropout, and with a cache: recomputing activations would switch it off."""
    was = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was)
