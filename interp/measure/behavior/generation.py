"""Free generation: greedy completions of every question in every language, matched with the answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from interp.data.facts import Fact, FactSet
from interp.data.klar import klar_match
from interp.data.matching import mentions, resolve
from interp.data.normalization import normalize
from interp.data.priors import answers_of
from interp.data.prompts import Prompt, PromptSet
from interp.errors import MeasurementError
from interp.measure.passes import Progress, run_batches
from interp.measure.provenance import Measurement
from interp.model.generation import NotFiniteError, Sampler, complete, newline_ids
from interp.model.loading import LoadedModel
from interp.model.tokens import make_batches, tokenize
from interp.results.base import Provenance
from interp.results.generation import MATCHES, GenerationResult
from interp.results.settings.evaluation import EvaluationSettings

__all__ = ["judge_texts", "measure_generation"]


@dataclass
class _Written:
    """Texts so far, by the position of their prompt."""

    rows: dict[str, Any] = field(default_factory=dict)

    growing = ("rows",)
    """Arrays of the state that are longer the more is done."""

    def state(self) -> dict[str, np.ndarray]:
        return {"rows": np.frombuffer(json.dumps(self.rows).encode(), dtype=np.uint8)}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        self.rows = json.loads(state["rows"].tobytes())


def measure_generation(
    loaded: LoadedModel,
    facts: FactSet,
    prompts: PromptSet,
    settings: EvaluationSettings | None = None,
    *,
    batch_tokens: int = 4096,
    resume: Path | None = None,
    progress: Progress | None = None,
) -> GenerationResult:
    """Let the model continue every prompt, greedily, and match what it writes.

    A text ends at the tokenizer's and the model's end tokens, after ``new_tokens``, and with ``stop`` =
    ``line`` at the first token with a line break in it. The text up to its first line break is matched, see
    `interp.results.generation.MATCHES`; ``anywhere`` looks at all of it.

    Args:
        loaded: The model.
        facts: What is asked, in which languages.
        prompts: One per fact and language, in the order of the facts; see `interp.data.demonstrations`.
        settings: How long a text may be, and where it ends; ``mode`` and what made the prompts do not count.
        batch_tokens: Tokens at once, answers included; halved where memory runs out.
        resume: File in which an interrupted run keeps what is done.
        progress: Called with batches done and batches in all.

    Raises:
        MeasurementError: A prompt leaves no room in the context, or does not fit into memory; logits are not
            finite.
        Interrupted: Ctrl-C or SIGTERM; what is done is kept in ``resume``.
    """
    settings = replace(settings or EvaluationSettings(), mode="generate").resolved()
    assert settings.new_tokens is not None  # resolved
    flat = [prompt for code in facts.languages for prompt in prompts.prompts[code]]
    lengths = [len(text.without_end()) for text in tokenize(loaded.tokenizer, [p.text for p in flat])]
    new_tokens = settings.new_tokens
    _require_room(loaded, flat, lengths, new_tokens)
    batches = make_batches(range(len(flat)), batch_tokens, lambda i: lengths[i] + new_tokens)
    sampler = Sampler(new_tokens=new_tokens, stop_ids=_stop_ids(loaded, settings.stop), batch=len(flat))
    written = _Written()

    def add(numbers: Sequence[int]) -> None:
        try:
            completions = complete(loaded.model, loaded.tokenizer, [flat[i].text for i in numbers], sampler)
        except NotFiniteError as error:
            item = flat[numbers[error.row]]
            raise MeasurementError(
                f"Logits are not finite in item '{item.item_id}' in '{item.language}'. The model runs in "
                f"{str(loaded.model.dtype).removeprefix('torch.')}; try --dtype float32, and check the "
                "weights."
            ) from None
        for i, completion in zip(numbers, completions, strict=True):
            written.rows[str(i)] = [completion.text, completion.n_tokens, completion.ended]

    measurement = Measurement.of(loaded, prompts, settings, facts_digest=facts.digest)
    largest = run_batches(
        loaded,
        batches,
        add,
        written,
        lambda i: f"Item '{flat[i].item_id}' in '{flat[i].language}' ({lengths[i]} tokens)",
        resume=resume,
        key=measurement.key(batch_tokens=batch_tokens),
        progress=progress,
    )
    rows = [written.rows[str(i)] for i in range(len(flat))]
    return judge_texts(facts, rows, measurement.provenance(batch_tokens=batch_tokens, largest_batch=largest))


def judge_texts(facts: FactSet, completions: list[list[Any]], provenance: Provenance) -> GenerationResult:
    """Match texts with the answers.

    Args:
        facts: What was asked.
        completions: Text, tokens and whether it ended, in the order of languages and then facts.
        provenance: Where the texts come from.
    """
    shape = (len(facts), len(facts.languages))
    table = np.array(completions, dtype=object).reshape(shape[1], shape[0], 3).swapaxes(0, 1)
    aligned = facts.aligned and all(len(fact.option_ids) > 1 for fact in facts)
    hits, named = np.zeros((*shape, len(MATCHES)), dtype=bool), np.full(shape, -1)
    empty = np.zeros(shape, dtype=bool)
    for row, fact in enumerate(facts):
        for column, code in enumerate(facts.languages):
            text = table[row, column, 0]
            hits[row, column] = _matches(text, fact, code)
            match = resolve(text, fact.wording[code].options, code)
            named[row, column] = -1 if match.index is None else match.index
            empty[row, column] = match.kind == "empty"
    return GenerationResult(
        **facts.answer_key(),
        answers=answers_of(facts),
        gold=np.array([fact.answer_index for fact in facts]),
        aligned=aligned,
        texts=tuple(tuple(row) for row in table[..., 0]),
        hits=hits,
        named=named,
        n_tokens=table[..., 1].astype(np.int64),
        ended=table[..., 2].astype(bool),
        empty=empty,
        provenance=provenance,
    )


def _matches(text: str, fact: Fact, code: str) -> list[bool]:
    """By each of `MATCHES`; aliases count in ours, not in the published rules."""
    gold, aliases = fact.answer(code), fact.wording[code].aliases
    line = text.partition("\n")[0]
    ours = {
        mode: mentions(text, gold, code, mode=mode, aliases=aliases)
        for mode in ("strict", "boundary", "anywhere")
    }
    prefix = line.strip().startswith(gold) and bool(normalize(gold))
    matches = {**ours, "prefix": prefix, "published": klar_match(line, gold)}
    return [matches[name] for name in MATCHES]


def _stop_ids(loaded: LoadedModel, stop: str) -> tuple[int, ...]:
    declared = getattr(loaded.model.generation_config, "eos_token_id", None)
    ends = declared if isinstance(declared, list) else [declared]
    lines = newline_ids(loaded.tokenizer) if stop == "line" else ()
    return tuple(dict.fromkeys(i for i in (loaded.tokenizer.eos_token_id, *ends, *lines) if i is not None))


def _require_room(loaded: LoadedModel, flat: list[Prompt], lengths: list[int], new_tokens: int) -> None:
    over = [i for i, length in enumerate(lengths) if length + new_tokens > loaded.context]
    if over:
        worst = max(over, key=lengths.__getitem__)
        raise MeasurementError(
            f"Item '{flat[worst].item_id}' in '{flat[worst].language}' has {lengths[worst]} tokens; with "
            f"{new_tokens} new ones that is more than the model's context of {loaded.context} ({len(over)} "
            "such items). Use fewer --shots or --new-tokens, or leave out the facts; nothing is truncated."
        )
