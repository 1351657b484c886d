"""Which facts are patched into which runs: the modes of patching, and the pairs that the answers leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.data.facts import FactSet
from interp.data.hashing import digest_of
from interp.data.prompts import prompts_from_facts
from interp.errors import CapabilityError, ConfigError, MeasurementError
from interp.measure.passes import Progress
from interp.measure.patching.pairs import FactTokenizer, Pair, make_pairs
from interp.measure.patching.positions import Span
from interp.measure.questions import make_questions
from interp.measure.scoring import require_options, score_questions
from interp.model.loading import LoadedModel
from interp.results.consistency import credit
from interp.results.recovery import LEFT_OUT, METRICS
from interp.results.settings.patching import BETWEEN_LANGUAGES, PatchingSettings

__all__ = ["PatchingPairs", "Protocol", "find_pairs", "partial_files", "require_same_shapes"]


@dataclass(frozen=True)
class Protocol:
    """How facts are paired, and where they are patched: `PatchingSettings` for the languages of some facts.

    Modes: ``within`` a language: from the fact into another fact of its relation. ``across`` languages: from
    the source languages, in which the model is right, into one in which it is wrong. ``concepts``: from the
    fact in the source languages into another fact of its relation in a target language, after Dumas et al.
    (2025), who patch translation prompts where we patch questions. ``checkpoints``: from a checkpoint that is
    right into one that is wrong.

    Attributes:
        mode: See above.
        targets: Languages asked.
        sources: Source languages (across, concepts); activations of several are averaged.
        positions: ``subject_last``, ``subject_mean``, ``last``, ``all`` positions at once, or ``each`` alone.
    """

    mode: str
    targets: tuple[str, ...]
    sources: tuple[str, ...] = ()
    positions: tuple[str, ...] = ("subject_last", "last")

    @classmethod
    def of(cls, settings: PatchingSettings, facts: FactSet) -> Protocol:
        """The protocol for the languages of facts: those that give no activations are patched.

        Raises:
            ConfigError: Source languages have no meaning in this mode, are missing, or leave nothing to
                patch.
        """
        sources = settings.source_languages
        targets = tuple(code for code in facts.languages if code not in sources)
        if settings.mode not in BETWEEN_LANGUAGES and sources:
            raise ConfigError(
                f"Source languages ({','.join(sources)}) have no meaning in mode '{settings.mode}'; leave "
                "them out, or patch across languages or concepts."
            )
        missing = [code for code in sources if code not in facts.languages]
        if missing or not targets:
            raise ConfigError(
                f"From languages '{','.join(sources)}' into '{','.join(targets)}': facts in at least one of "
                f"each are needed{'; there are none in ' + ','.join(missing) if missing else ''}."
            )
        return cls(settings.mode, targets, sources, settings.position_names)

    @property
    def languages(self) -> tuple[str, ...]:
        """All languages that facts must have."""
        return (*self.sources, *self.targets)


@dataclass(frozen=True)
class PatchingPairs:
    """The pairs of a protocol, and what there is beside them.

    Attributes:
        pairs: In the order of facts, then languages.
        left_out: Per fact and target language, index into `interp.results.recovery.LEFT_OUT`.
        targets: Languages that are asked.
        spans: What is patched; every position of the longest prompt for ``each``.
        metrics: Names of the metrics that runs are judged by.
    """

    pairs: list[Pair]
    left_out: Int[np.ndarray, "fact language"]
    targets: tuple[str, ...]
    spans: tuple[Span, ...]
    metrics: tuple[str, ...]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the pairs: they follow from measured answers, and a resumed run must have the same."""
        each = [
            [pair.fact, pair.language, list(pair.target.tokens), pair.target.distractor]
            for pair in self.pairs
        ]
        return digest_of({"pairs": each})

    def spread(self, values: Float[np.ndarray, " pair *rest"]) -> Float[np.ndarray, "fact language *rest"]:
        """Values of pairs in their places, NaN elsewhere."""
        table = np.full((*self.left_out.shape, *values.shape[1:]), np.nan, dtype=values.dtype)
        for pair, value in zip(self.pairs, values, strict=True):
            table[pair.fact, pair.language] = value
        return table


def find_pairs(
    loaded: LoadedModel,
    facts: FactSet,
    protocol: Protocol,
    source: LoadedModel | None,
    batch_tokens: int,
    resume: Path | None,
    progress: Progress | None,
) -> PatchingPairs:
    """Ask the facts, and pair those that the source answers rightly.

    An answer is right when the right option alone has the highest summed log-probability.

    Raises:
        MeasurementError: No pair is left; says why.
        CapabilityError: The two checkpoints differ in shape or tokens.
        ConfigError: The options of the facts are not the same in all languages.
    """
    if protocol.sources and not facts.aligned:
        raise ConfigError(
            f"The options of '{facts.name}' are not aligned between languages; patch within languages."
        )
    if (protocol.mode == "checkpoints") != (source is not None):
        raise ConfigError(
            f"Mode '{protocol.mode}' {'without' if source is None else 'with'} a source checkpoint; one "
            "belongs to mode 'checkpoints' and to no other."
        )
    if source is not None:
        require_same_shapes(source, loaded)
    facts = facts.filter(languages=protocol.languages)
    require_options(facts)
    prompts = prompts_from_facts(facts)

    def answers(
        model: LoadedModel, name: str
    ) -> tuple[Bool[np.ndarray, "fact language"], Int[np.ndarray, "fact language"]]:
        scores, _ = score_questions(
            model,
            facts,
            make_questions(model, facts, prompts),
            batch_tokens=batch_tokens,
            resume=_partial(resume, name),
            key={
                "checkpoint": model.checkpoint.fingerprint if model.checkpoint else "",
                "prompts": prompts.digest,
                "languages": list(facts.languages),
                "facts_digest": facts.digest,
                "batch_tokens": batch_tokens,
            },
            progress=progress,
        )
        gold = np.array([fact.answer_index for fact in facts])
        right = credit(scores, gold) == 1
        np.put_along_axis(scores, gold[:, None, None], -np.inf, axis=2)
        return right, np.where(right, -1, np.nanargmax(scores, axis=2))

    right, wrong = answers(loaded, "answers")
    source_right = right
    first = len(protocol.sources)
    if first:
        source_right = np.repeat(right[:, :first].all(axis=1, keepdims=True), len(protocol.targets), axis=1)
    elif source is not None:
        source_right = answers(source, "source-answers")[0]
    tokenizer = FactTokenizer(loaded, facts, prompts)
    spans: tuple[Span, ...] = tuple(0 if name == "each" else name for name in protocol.positions)
    pairs, left_out = make_pairs(
        tokenizer, protocol.mode, protocol.targets, protocol.sources, spans, source_right, wrong[:, first:]
    )
    if not pairs:
        raise MeasurementError(_why_none(left_out))
    if "each" in protocol.positions:
        longest = max(len(pair.target.ids) for pair in pairs)
        spans = (*(span for span in spans if span != 0), *range(longest))
    metrics = (*METRICS[:3], *(f"probability {code}" for code in facts.languages))
    return PatchingPairs(pairs, left_out, protocol.targets, spans, metrics)


def require_same_shapes(source: LoadedModel, target: LoadedModel) -> None:
    """Refuse two checkpoints whose activations have no common places.

    Raises:
        CapabilityError: They differ in shape or in tokens.
    """
    for name in ("family", "n_layers", "n_heads", "d_head", "n_neurons"):
        a, b = (getattr(model.architecture, name) for model in (source, target))
        if a != b:
            raise CapabilityError(
                f"Activations cannot be patched between these checkpoints: {name} is {a} in the source and "
                f"{b} in the target. Give two checkpoints of one family and size."
            )
    if source.tokenizer.get_vocab() != target.tokenizer.get_vocab():
        raise CapabilityError(
            "Activations cannot be patched between these checkpoints: their tokenizers differ, so their "
            "prompts would not have the same tokens."
        )


def partial_files(resume: Path) -> list[Path]:
    """Every file in which an interrupted run keeps something."""
    return [
        resume,
        *(resume.with_name(f"{resume.name}.{name}") for name in ("answers", "source-answers", "verify")),
    ]


def _partial(resume: Path | None, name: str) -> Path | None:
    return None if resume is None else resume.with_name(f"{resume.name}.{name}")


def _why_none(left_out: Int[np.ndarray, "fact language"]) -> str:
    counts: Sequence[int] = np.bincount(left_out.ravel(), minlength=len(LEFT_OUT)).tolist()
    listed = ", ".join(f"{count} {name}" for name, count in zip(LEFT_OUT, counts, strict=True) if count)
    return (
        f"No pair is left of {left_out.size} facts and languages ({listed}). Ask facts and languages that "
        "the source knows, or patch spans that need no equal lengths."
    )
