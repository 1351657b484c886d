"""What a study may say: a sentence only where estimate, intervals, noise floor and correction carry it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analyses.study.effects import Effect, Effects
from analyses.study.file import ClaimOptions
from interp.stats import ALPHA

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["VERDICTS", "Claim", "agreement", "claims_frame", "claims_of"]

VERDICTS = ("supported", "not supported", "undecided")
FEWEST_SEEDS = 3
"""Checkpoints of a method below which a claim speaks of these checkpoints, not of the method."""


@dataclass(frozen=True)
class Claim:
    """One sentence and what carries it.

    Attributes:
        id: Number in the study.
        sentence: In words; it states a change only where the verdict is 'supported'.
        verdict: One of `VERDICTS`: 'not supported' where the 95 % interval leaves out every change of the
            smallest size of interest that the study file gives; 'undecided' where it does not.
        why: What the verdict rests on.
        mde: Smallest change that would have been found at the study's power, at its corrected level.
        effect: The change itself.
        digests: SHA-256 of the results it stands on.
    """

    id: str
    sentence: str
    verdict: str
    why: str
    mde: float
    effect: Effect
    digests: tuple[str, ...]


def claims_of(effects: Effects, options: ClaimOptions) -> list[Claim]:
    """A claim for each headline of each measure and member, corrected over everything that was looked at."""
    level = effects.level * options.alpha / ALPHA
    claims = []
    for number, effect in enumerate((each for each in effects.all if each.headline), 1):
        smallest = options.smallest.get(effect.quantity, math.nan)
        verdict, why = _verdict(effect, options.alpha, float(smallest))
        least = effect.mde(options.power, level)
        digests = tuple(effects.digests[file] for file in effect.files)
        sentence = _sentence(effect, verdict, least, options.power)
        claims.append(Claim(f"C{number}", sentence, verdict, why, least, effect, digests))
    return claims


def claims_frame(claims: list[Claim]) -> pd.DataFrame:
    """One row per claim, as in ``claims.csv``."""
    import pandas as pd

    shown = [
        "measure",
        "part",
        "member",
        "quantity",
        "n",
        "n_clusters",
        "n_seeds",
        "before",
        "after",
        "change",
        "low",
        "high",
        "seeds_low",
        "seeds_high",
        "noise_floor",
        "p",
        "adjusted_p",
    ]
    rows = [
        {
            "id": claim.id,
            "verdict": claim.verdict,
            "sentence": claim.sentence,
            **{name: getattr(claim.effect, name) for name in shown},
            "mde": claim.mde,
            "why": claim.why,
            "files": " ".join(claim.effect.files),
            "digests": " ".join(claim.digests),
        }
        for claim in claims
    ]
    return pd.DataFrame(rows, columns=["id", "verdict", "sentence", *shown, "mde", "why", "files", "digests"])


def agreement(effects: Effects) -> pd.DataFrame:
    """Do the measures tell the same story? One row per headline and member: its change and interval."""
    import pandas as pd

    rows = [
        {
            "measure": each.measure,
            "quantity": each.headline,
            "member": each.member,
            "before": each.before,
            "change": each.change,
            "low": each.low,
            "high": each.high,
            "noise_floor": each.noise_floor,
            "adjusted_p": each.adjusted_p,
        }
        for each in effects.all
        if each.headline
    ]
    columns = [
        "measure",
        "quantity",
        "member",
        "before",
        "change",
        "low",
        "high",
        "noise_floor",
        "adjusted_p",
    ]
    return pd.DataFrame(rows, columns=columns)


def _verdict(effect: Effect, alpha: float, smallest: float) -> tuple[str, str]:
    """The verdict, and in words what decided it."""
    against = []
    if math.isnan(effect.adjusted_p):
        against.append("no interval can be given")
    elif effect.adjusted_p >= alpha:
        against.append(f"corrected p {effect.adjusted_p:.2g}")
    if not math.isnan(effect.noise_floor) and abs(effect.change) <= effect.noise_floor:
        against.append(f"within the noise floor ({effect.noise_floor:.2g})")
    if effect.n_seeds >= FEWEST_SEEDS and not _same_side(effect):
        against.append(f"seeds disagree ([{effect.seeds_low:.2g}, {effect.seeds_high:.2g}])")
    if not against:
        return "supported", f"corrected p {effect.adjusted_p:.2g}"
    if not math.isnan(smallest) and -smallest < effect.low and effect.high < smallest:
        return "not supported", f"every change of {smallest:g} or more is left out by the 95 % interval"
    return "undecided", "; ".join(against)


def _same_side(effect: Effect) -> bool:
    return (effect.seeds_low > 0) == (effect.seeds_high > 0) == (effect.change > 0)


def _sentence(effect: Effect, verdict: str, least: float, power: float) -> str:
    seeds = effect.n_seeds
    interval = f"[{effect.low:+.3g}, {effect.high:+.3g}]"
    if verdict == "supported":
        verb = "raised" if effect.change > 0 else "lowered"
        who = effect.member if seeds >= FEWEST_SEEDS else f"the checkpoint{'s' * (seeds > 1)} {effect.member}"
        over = f" over {seeds} seeds" if seeds > 1 else ""
        return (
            f"{_capital(who)} {verb} {effect.headline} by {abs(effect.change):.3g}{over}, from "
            f"{effect.before:.3g} to {effect.after:.3g} (change {interval} 95 %)."
        )
    found = (
        "" if math.isnan(least) else f"; a change of {least:.2g} would have been found in {power * 100:g} %"
    )
    shown = "is smaller than the smallest of interest" if verdict == "not supported" else "is not shown"
    size = f"{effect.change:+.3g} {interval} 95 %{found}"
    return f"A change of {effect.headline} in {effect.member} {shown} ({size})."


def _capital(text: str) -> str:
    return text[0].upper() + text[1:] if text.startswith("the ") else text
