"""What `interp patch` replaces where, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from interp.config import option
from interp.errors import ConfigError, nearest
from interp.results.settings import Settings

__all__ = [
    "BETWEEN_LANGUAGES",
    "METRICS",
    "MODES",
    "POSITIONS",
    "SITES",
    "UNIT_OF_SITE",
    "PatchingSettings",
    "PatchingView",
]

METRICS = ("logit_diff", "answer_logprob", "probability", "rescued")
"""What a run is judged by: logit of the answer's first token minus that of a wrong one; log-probability of
the whole answer (nats); probability of its first token; and whether the first of these is above zero."""

MODES = ("across", "within", "concepts", "checkpoints")

BETWEEN_LANGUAGES = ("across", "concepts")

POSITIONS = ("subject_last", "subject_mean", "last", "all", "each")

SITES = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "head", "mlp_neuron")

UNIT_OF_SITE = {"head": "heads", "mlp_neuron": "neurons"}
"""Sites whose units attribution estimates, to what those are called."""


@dataclass(frozen=True)
class PatchingSettings(Settings):
    """What `interp patch` replaces where, and how."""

    mode: str = option(
        "across",
        "Activations come from: the fact in other languages, where the model is right, into one where it "
        "is wrong (across); another fact of the relation, in the same language (within) or another "
        "(concepts); another checkpoint (checkpoints).",
        MODES,
    )
    sources: str = option(
        "", "Languages that give activations, averaged, such as en,fr (default with across and concepts: en)."
    )
    source_ckpt: str = option("", "Checkpoint that gives activations, with --mode checkpoints.")
    site: str = option("resid_post", "What is replaced in each layer.", SITES)
    units: str = option(
        "",
        "Heads or neurons that are patched together, such as 0,3 or 0;1,2 (default: each head alone, all "
        "neurons).",
    )
    positions: str = option(
        "subject_last,last",
        f"Tokens that are patched, one or more of {', '.join(POSITIONS)}: all of them at once, each of them "
        "alone.",
    )
    onward: bool = option(False, "Patch from each layer to the last one, not in one layer alone.")
    attribution: bool = option(
        False, "Estimate every head (--site head) or neuron (--site mlp_neuron) by gradients instead."
    )
    verify: int | None = option(
        None, "With --attribution: verify by patching the N largest and N random cells (default: 20)."
    )

    measure: ClassVar[str] = "patching"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_positions()
        unit_sets = self.unit_sets
        if self.attribution and self.site not in UNIT_OF_SITE:
            raise ConfigError(
                f"--attribution is for --site head or mlp_neuron, not '{self.site}': other sites have few "
                "cells, so patch them."
            )
        if self.attribution and (unit_sets or self.onward):
            raise ConfigError(
                "--attribution takes every unit alone, in one layer; leave out --units and --onward."
            )
        if self.verify is not None and not self.attribution:
            raise ConfigError("--verify is of --attribution; without it every cell is patched.")

    @property
    def source_languages(self) -> tuple[str, ...]:
        """Languages that give activations."""
        if not self.sources:
            return ("en",) if self.mode in BETWEEN_LANGUAGES else ()
        return tuple(part.strip() for part in self.sources.split(",") if part.strip())

    @property
    def position_names(self) -> tuple[str, ...]:
        """Names of the positions, in the order given."""
        return tuple(part.strip() for part in self.positions.split(",") if part.strip())

    @property
    def unit_sets(self) -> tuple[tuple[int, ...], ...]:
        """Sets of units that are patched together: ``0,3`` is one, ``0;1,2`` are two; none by default.

        Raises:
            ConfigError: Something is no number, or is named twice.
        """
        if not self.units.strip():
            return ()
        try:
            sets = tuple(tuple(int(part) for part in units.split(",")) for units in self.units.split(";"))
        except ValueError:
            raise ConfigError(
                f"Units '{self.units}' are not numbers; write 0,3 for two that are patched together, 0;3 for "
                "one after the other."
            ) from None
        if any(len(set(units)) < len(units) for units in sets) or len(set(sets)) < len(sets):
            raise ConfigError(f"Units '{self.units}' name a unit or a set twice.")
        return sets

    @property
    def cells_verified(self) -> int:
        """How many of the largest cells, and as many random ones, attribution patches."""
        return 20 if self.verify is None else self.verify

    def stored(self) -> dict[str, Any]:
        """What decides the numbers; the source checkpoint is in the question by its fingerprint."""
        pairs = {
            "mode": self.mode,
            "sources": list(self.source_languages),
            "positions": list(self.position_names),
        }
        if self.attribution:
            unit = UNIT_OF_SITE[self.site]
            return {"measure": "attribution", **pairs, "unit": unit, "verify": self.cells_verified}
        units = [list(units) for units in self.unit_sets]
        return {"measure": "patching", **pairs, "site": self.site, "units": units, "onward": self.onward}

    def _check_positions(self) -> None:
        names = self.position_names
        for name in names:
            if name not in POSITIONS:
                raise ConfigError(
                    f"No position '{name}'.{nearest(name, POSITIONS)} Choose from: {', '.join(POSITIONS)}."
                )
        if not names or len(set(names)) < len(names):
            raise ConfigError(f"Positions are '{self.positions}'; each of one or more is expected once.")


@dataclass(frozen=True)
class PatchingView:
    """How patched runs are read; another choice needs no model."""

    metric: str = option("logit_diff", "What tables and figures show; changing it needs no model.", METRICS)
