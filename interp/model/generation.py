"""Completions of many prompts: batches of similar length, padded on the left, cut at the first stop token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedTokenizerBase

from interp.errors import MeasurementError
from interp.model.tokens import filler, make_batches, pad_rows, tokenize

__all__ = ["Completion", "NotFiniteError", "Sampler", "complete", "finite_logits", "newline_ids"]


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
        batch: Prompts at once.
    """

    new_tokens: int
    stop_ids: tuple[int, ...]
    temperature: float = 0.0
    top_p: float = 1.0
    batch: int = 96


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
    """Return one completion per prompt, in their order.

    Greedy completions depend neither on the batch nor on torch's random state, which they leave as it was.

    Raises:
        NotFiniteError: A logit from which a token would be drawn is not finite; names the row of the prompt.
    """
    ids = [text.without_end().ids for text in tokenize(tokenizer, prompts)]
    shortest_first = make_batches(range(len(ids)), sampler.batch, lambda i: 1, order=lambda i: len(ids[i]))
    completions: dict[int, Completion] = {}
    with _evaluating(model), torch.no_grad():
        for batch in shortest_first:
            try:
                rows = _generate(model, tokenizer, [ids[i] for i in batch], sampler)
            except NotFiniteError as error:
                raise NotFiniteError(batch[error.row]) from None
            completions |= {i: _cut(tokenizer, row, sampler) for i, row in zip(batch, rows, strict=True)}
    return [completions[i] for i in range(len(ids))]


def _generate(
    model: Any, tokenizer: PreTrainedTokenizerBase, rows: Sequence[tuple[int, ...]], sampler: Sampler
) -> list[list[int]]:
    table = next(model.get_input_embeddings().parameters())
    pad, device = filler(tokenizer, len(table)), table.device
    ids, mask = pad_rows(rows, fill=pad, side="left", device=device)
    sampling = (
        {"temperature": sampler.temperature, "top_p": sampler.top_p, "top_k": 0}
        if sampler.temperature
        else {}
    )
    config = GenerationConfig(
        max_new_tokens=sampler.new_tokens,
        do_sample=bool(sampler.temperature),
        eos_token_id=list(sampler.stop_ids),
        pad_token_id=pad,
        **sampling,
    )
    with finite_logits(model):
        written = model.generate(input_ids=ids, attention_mask=mask, generation_config=config)
    return written[:, ids.shape[1] :].tolist()


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


def _cut(tokenizer: PreTrainedTokenizerBase, tokens: list[int], sampler: Sampler) -> Completion:
    stop = next((i for i, token in enumerate(tokens) if token in sampler.stop_ids), None)
    tokens = tokens if stop is None else tokens[: stop + 1]
    text = str(tokenizer.decode(tokens, skip_special_tokens=True))
    return Completion(text, len(tokens), stop is not None)


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Without dropout, and without what the model's own generation settings would add to the sampler's.

    transformers fills every setting that is not given from the model's; a parent's repetition penalty would
    fall on the options in the prompt.
    """
    was, settings = model.training, model.generation_config
    model.eval()
    model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = settings
        model.train(was)
