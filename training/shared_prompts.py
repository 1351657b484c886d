"""Log-probabilities of answers for a loss: each prompt is computed once for all of its answers.

TRL calls ``model(..., labels=labels, fused_lm_head=True)`` for the log-probabilities of the labeled tokens.
`share_prompts` answers that call: rows that begin with the same prompt share its keys and values, rows that
are the same are computed once, only labeled positions are projected onto the vocabulary, and that in pieces.
Loss, gradient and metrics are those of one whole row after the other.
"""

from __future__ import annotations

import functools
import logging
import types
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import PartialState
from jaxtyping import Int
from transformers import PreTrainedModel
from trl.trainer.utils import FusedCausalLMOutput

from interp.errors import CapabilityError
from interp.model.prefixes import Tokens, encode_prompts, is_plain, shortest_window
from interp.model.sites import unembed
from interp.model.tokens import pad_rows, token_positions
from interp.model.vocabulary import token_scores

__all__ = ["share_prompts", "weights_are_sharded"]

_log = logging.getLogger(__name__)

_IGNORED = -100
_TOLERANCE = 1e-3  # nats: how far the two ways may be apart when they are tried; 20 times that in 16 bit


def share_prompts(model: Any, temperature: float = 1.0) -> None:
    """Let a model answer ``fused_lm_head`` calls with each prompt computed once.

    Whether its cache can be shared is tried on a few tokens; where it cannot, or while activations are
    recomputed, whole rows are passed, and the log says so once.

    Args:
        model: A causal decoder, under a LoRA adapter or not; before it is wrapped for several processes.
        temperature: Divides logits.
    """
    base: PreTrainedModel = model.get_base_model() if hasattr(model, "get_base_model") else model
    if getattr(base, "_shared_prompts", None) is not None:
        return
    scorer: Any = _Scorer(temperature)
    plain = base.forward

    @functools.wraps(plain)
    def forward(self: Any, *args: Any, fused_lm_head: bool = False, **inputs: Any) -> Any:
        if not fused_lm_head:
            return plain(*args, **inputs)
        if inputs.get("output_router_logits"):  # their loss is of every token of every row
            return plain(*args, fused_lm_head=True, **inputs)
        return scorer(self, inputs["input_ids"], inputs["attention_mask"], inputs["labels"])

    base._shared_prompts = scorer
    base.forward = types.MethodType(forward, base)
    scorer.refused = _tried(model, scorer)


@dataclass(frozen=True)
class _Rows:
    """Different rows of a batch: a prompt, and what follows it, of which some tokens are scored.

    Attributes:
        prompts: Different ones.
        owners: Per row, the number of its prompt.
        answers: Per row, the tokens behind the prompt.
        copies: Per row of the batch, which of these it is.
        scored: Per row of the batch, which tokens of the answer have a label.
    """

    prompts: list[Tokens]
    owners: list[int]
    answers: list[Tokens]
    copies: list[int]
    scored: list[list[int]]

    @classmethod
    def of(cls, ids: torch.Tensor, mask: torch.Tensor, labels: torch.Tensor) -> _Rows:
        """Divide each row at its first label; a row without any is a prompt alone."""
        prompts: dict[Tokens, int] = {}
        rows: dict[tuple[int, Tokens], int] = {}
        copies, scored = [], []
        for tokens, real, told in zip(ids.tolist(), mask.tolist(), labels.tolist(), strict=True):
            row = [(t, label) for t, m, label in zip(tokens, real, told, strict=True) if m]
            labeled = [i for i, (_, label) in enumerate(row) if label != _IGNORED and i > 0]
            start = labeled[0] if labeled else len(row)
            whole = tuple(t for t, _ in row)
            owner = prompts.setdefault(whole[:start] or (tokens[-1],), len(prompts))
            copies.append(rows.setdefault((owner, whole[start:]), len(rows)))
            scored.append([i - start for i in labeled])
        return cls(
            list(prompts), [owner for owner, _ in rows], [answer for _, answer in rows], copies, scored
        )

    @property
    def saved(self) -> bool:
        """Whether sharing saves tokens."""
        whole = sum(len(self.prompts[o]) + len(a) for o, a in zip(self.owners, self.answers, strict=True))
        return sum(map(len, self.prompts)) + sum(map(len, self.answers)) < whole


class _Scorer:
    """Answers of a model to ``fused_lm_head`` calls.

    Attributes:
        refused: Why prompts are not shared; empty if they are.
    """

    def __init__(self, temperature: float):
        self.temperature, self.refused = temperature, ""
        self._logged: set[str] = set()

    def __call__(
        self,
        model: Any,
        ids: Int[torch.Tensor, "row token"],
        mask: Int[torch.Tensor, "row token"],
        labels: Int[torch.Tensor, "row token"],
    ) -> FusedCausalLMOutput:
        """Score the labeled tokens."""
        rows = _Rows.of(ids, mask, labels)
        reason = self.refused or _forbidden(model, rows)
        if reason and reason not in self._logged:
            self._logged.add(reason)
            _log.warning("Prompts are computed once per answer: %s.", reason)
        states = _whole if reason or not (rows.saved or weights_are_sharded()) else _shared
        hidden = states(model, rows, ids.device)
        return self._output(model, rows, hidden, labels)

    def _output(
        self, model: Any, rows: _Rows, hidden: torch.Tensor, labels: torch.Tensor
    ) -> FusedCausalLMOutput:
        """Score each different token once, and lay the scores out as the labels are.

        Args:
            model: Has the unembedding.
            rows: What is scored.
            hidden: [row, token, model]: the states from which the tokens of an answer are predicted.
            labels: Where the scores go.
        """
        places: dict[tuple[int, int], int] = {}
        order = [
            places.setdefault(self._place(rows, row, token), len(places))
            for row, tokens in zip(rows.copies, rows.scored, strict=True)
            for token in tokens
        ]
        device = hidden.device
        at = torch.tensor(list(places), dtype=torch.long, device=device).reshape(-1, 2)
        targets = [rows.answers[row][token] for row, token in places]
        head = model.get_output_embeddings()
        config = model.config.get_text_config()
        scores = token_scores(
            hidden[at[:, 0], at[:, 1]],
            torch.tensor(targets, dtype=torch.long, device=device),
            lambda states: unembed(head, config, states),
            temperature=self.temperature,
            trained=any(parameter.requires_grad for parameter in head.parameters()),
        )
        told = labels[:, 1:] != _IGNORED
        index = torch.tensor(order, dtype=torch.long, device=device)

        def laid(values: torch.Tensor) -> torch.Tensor:
            values = values[index].to(labels.device)
            return values.new_zeros(told.shape).masked_scatter(told, values)

        return FusedCausalLMOutput(
            log_probs=laid(scores.logp),
            entropy=laid(scores.entropy),
            mean_logits=laid(scores.mean_logit),
            is_top1=laid(scores.is_top),
            label_mask=told,
        )

    @staticmethod
    def _place(rows: _Rows, row: int, token: int) -> tuple[int, int]:
        """Where a token is scored: the first one of a prompt's answers once for all that begin with it."""
        if token:
            return row, token
        owner, first = rows.owners[row], rows.answers[row][0]
        for other in range(row + 1):
            if rows.owners[other] == owner and rows.answers[other][:1] == (first,):
                return other, 0
        raise AssertionError


def _shared(model: Any, rows: _Rows, device: torch.device) -> torch.Tensor:
    """States [row, token, model] before each token of an answer, each prompt computed once."""
    body, fill = model.get_decoder(), 0
    window = shortest_window(model.config)
    longest = max(map(len, rows.answers))
    cached = encode_prompts(
        body,
        rows.prompts,
        fill=fill,
        device=device,
        room=0 if weights_are_sharded() else None if window is None else window - longest,
    )
    first = cached.output.last_hidden_state[:, -1]
    owners = torch.tensor(rows.owners, device=first.device)
    states = first.index_select(0, owners)[:, None]
    if longest < 2 and not weights_are_sharded():
        return states
    if not is_plain(cached.cache, cached.mask.shape[1]):
        raise CapabilityError("its cache does not grow by concatenation")
    read = [answer[:-1] or (fill,) for answer in rows.answers]
    ids, mask = pad_rows(read, fill=fill, device=device)
    cached = cached.rows(rows.owners)
    later = body(**cached.following(ids, mask)).last_hidden_state
    return torch.cat([states, later], dim=1)


def _whole(model: Any, rows: _Rows, device: torch.device) -> torch.Tensor:
    """The same with whole rows."""
    whole = [rows.prompts[o] + answer for o, answer in zip(rows.owners, rows.answers, strict=True)]
    ids, mask = pad_rows(whole, fill=0, device=device)
    inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": token_positions(mask)}
    hidden = model.get_decoder()(**inputs, use_cache=False).last_hidden_state
    longest = max(map(len, rows.answers))
    starts = torch.tensor([len(rows.prompts[o]) - 1 for o in rows.owners], device=hidden.device)
    at = (starts[:, None] + torch.arange(max(1, longest), device=hidden.device)).clamp(max=ids.shape[1] - 1)
    return hidden.gather(1, at[:, :, None].expand(-1, -1, hidden.shape[-1]))


def _forbidden(model: Any, rows: _Rows) -> str:
    """Why this batch cannot share prompts, or an empty text."""
    recomputed = any(getattr(module, "gradient_checkpointing", False) for module in model.modules())
    if recomputed and model.training and torch.is_grad_enabled():
        return "activations are recomputed (checkpointing), which switches the cache off"
    chunk = getattr(model.config.get_text_config(), "attention_chunk_size", None)
    longest = max(len(rows.prompts[o]) + len(a) for o, a in zip(rows.owners, rows.answers, strict=True))
    if chunk and longest > chunk:
        return f"a row of {longest} tokens is longer than the {chunk} of chunked attention"
    return ""


def weights_are_sharded() -> bool:
    """Whether processes gather weights together, so all must pass the layers equally often."""
    return PartialState().distributed_type in ("FSDP", "DEEPSPEED")


def _tried(model: Any, scorer: _Scorer) -> str:
    """Score two answers to each of two short prompts both ways; why prompts cannot be shared, or nothing."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    device = base.get_input_embeddings().weight.device
    prompts: Sequence[Tokens] = [(1, 2, 3, 4, 5), (3, 1, 2)]
    rows = [(*prompt, *answer) for prompt in prompts for answer in ((4, 2, 5), (2, 1))]
    ids, mask = pad_rows(rows, fill=0, device=device)
    labels = ids.masked_fill(mask == 0, _IGNORED)
    for number, prompt in enumerate(prompts):
        labels[2 * number : 2 * number + 2, : len(prompt)] = _IGNORED
    was = base.training
    base.eval()
    try:
        with torch.no_grad():
            both = _Rows.of(ids, mask, labels)
            told = [
                scorer._output(base, both, states(base, both, device), labels) for states in (_whole, _shared)
            ]
    except (CapabilityError, TypeError, ValueError, RuntimeError, AttributeError, KeyError):
        return f"the cache of '{base.config.model_type}' cannot be repeated"
    finally:
        base.train(was)
    apart = float((told[0].log_probs - told[1].log_probs).abs().max())
    allowed = _TOLERANCE * (20 if base.dtype in (torch.float16, torch.bfloat16) else 1)
    if not apart <= allowed:
        return (
            f"with a shared cache the log-probabilities of '{base.config.model_type}' differ by {apart:.2g}"
        )
    return ""
