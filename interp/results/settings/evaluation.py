"""What `interp evaluate` asks: the settings that decide the answers, and the view that only reads them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from interp.config import option
from interp.errors import ConfigError
from interp.results.settings import Settings
from interp.results.settings.scorings import DEFAULT_SCORING, MATCHES, SCORINGS, default_match

__all__ = ["CLUSTERS", "EvaluationSettings", "EvaluationView"]

CLUSTERS = ("group", "fact", "answer")
"""What facts of one cluster may share: see `interp.results.answers.AnswersResult.clusterings`."""

_KLAR_SHOTS, _KLAR_TOKENS, _TOKENS = 3, 10, 16
_OF_GENERATION = {"shots": None, "new_tokens": None, "stop": "auto", "protocol": "interp"}


@dataclass(frozen=True)
class EvaluationSettings(Settings):
    """What `interp evaluate` asks, and how a model answers.

    Raises:
        ConfigError: As of `Settings`; or an option would do nothing.
    """

    mode: str = option("mcq", "Multiple choice by log-likelihood, or greedy generation.", ("mcq", "generate"))
    shots: int | None = option(
        None, "With generate: answered questions before each (default: 3 for klar, else 0)."
    )
    new_tokens: int | None = option(
        None, "With generate: longest answer, in tokens (default: 10 for klar, else 16).", minimum=1
    )
    stop: str = option(
        "auto",
        "With generate: where an answer ends: at its first line break, or only where the model ends it; "
        "auto: line, with a published protocol end",
        ("auto", "line", "end"),
    )
    protocol: str = option(
        "interp",
        "With generate: whose prompts for klar: ours, KLAR-CLC's (upstream) or PolyFact's evaluation's "
        "(published).",
        ("interp", "upstream", "published"),
    )
    template: int = option(0, "Which of klar's question templates, from 0.")
    alignment: Path | None = option(None, "Option alignment (JSON) for polyfact data without option ids.")

    measure: ClassVar[str] = "behavior"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mode == "mcq":
            for name, default in _OF_GENERATION.items():
                if getattr(self, name) != default:
                    raise ConfigError(
                        f"--{name.replace('_', '-')} is of --mode generate; with mcq it would do nothing."
                    )
        if self.protocol != "interp" and (self.shots is not None or self.template or self.stop == "line"):
            raise ConfigError(
                f"--protocol {self.protocol} decides demonstrations, template and stop; leave out --shots, "
                "--template and --stop."
            )

    def resolved(self, data: str = "") -> EvaluationSettings:
        """With what is usual for the data where nothing was chosen.

        Args:
            data: What is asked, such as ``klar:DIR``.
        """
        if self.mode == "mcq":
            return self
        klar = data.startswith("klar:")
        shots = self.shots
        if shots is None and self.protocol == "interp":
            shots = _KLAR_SHOTS if klar else 0
        stop = "line" if self.protocol == "interp" else "end"
        return replace(
            self,
            shots=shots,
            new_tokens=self.new_tokens or (_KLAR_TOKENS if klar else _TOKENS),
            stop=stop if self.stop == "auto" else self.stop,
        )

    def stored(self) -> dict[str, Any]:
        """What decides the answers beside the prompts, which hold demonstrations, template and alignment."""
        if self.mode == "mcq":
            return {"mode": self.mode}
        resolved = self.resolved()
        stored = {"mode": self.mode, "new_tokens": resolved.new_tokens, "stop": resolved.stop}
        return stored if self.protocol == "interp" else {**stored, "protocol": self.protocol}

    def scoring(self, scoring: str = "auto") -> str:
        """A scoring of these answers; for ``auto`` their default.

        Raises:
            ConfigError: It is of the other mode.
        """
        choice = self.mode == "mcq"
        known, default = (SCORINGS, DEFAULT_SCORING) if choice else (MATCHES, default_match(self.protocol))
        if scoring == "auto":
            return default
        if scoring not in known:
            raise ConfigError(
                f"--scoring {scoring} does not apply to --mode {self.mode}. Choose from: {', '.join(known)}."
            )
        return scoring


@dataclass(frozen=True)
class EvaluationView:
    """How answers are scored and compared, and which facts are reported apart; none of it needs a model."""

    scoring: str = option(
        "auto",
        "How an answer is scored: what a log-probability is divided by (sum: nothing), or when a generated "
        "text names the answer; auto: byte, or boundary, or what --protocol uses.",
        ("auto", *SCORINGS, *MATCHES),
    )
    cluster: str = option(
        "group",
        "What facts of one cluster share, for all intervals: their group, answer, or nothing (fact).",
        CLUSTERS,
    )
    contaminated: Path | None = option(
        None, "JSON list of the ids of facts that the training data held; reported apart."
    )
