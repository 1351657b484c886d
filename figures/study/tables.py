"""The tables of a study in a terminal: cells and their states, claims and their verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from figures.table import Table, estimate, number

if TYPE_CHECKING:
    from analyses.study.claims import Claim
    from analyses.study.record import Record

__all__ = ["claim_tables", "plan_tables"]

_SHORT = {"done": "done", "interrupted": "part", "failed": "FAILED", "waiting": "-", "untrained": "train"}


def plan_tables(record: Record) -> list[Table]:
    """One row per checkpoint, one column per part of a measure: its state."""
    columns = list(dict.fromkeys((cell.measure, cell.part) for cell in record.cells))
    states = {(cell.checkpoint, cell.measure, cell.part): cell.state for cell in record.cells}
    names = list(dict.fromkeys(cell.checkpoint for cell in record.cells))
    rows = tuple((name, *(_SHORT[states[name, *column]] for column in columns)) for name in names)
    heads = tuple(entry if entry == suffix else f"{entry}\n{suffix}" for entry, suffix in columns)
    note = "done; part: interrupted, will continue; -: waiting; train: its checkpoint is trained first."
    return [Table(f"{record.name}: {len(record.cells)} cells", ("checkpoint", *heads), rows, note)]


def claim_tables(claims: Sequence[Claim]) -> list[Table]:
    """One row per claim: change, interval, corrected p, smallest detectable change, verdict."""
    rows = tuple(
        (
            claim.id,
            claim.effect.member,
            f"{claim.effect.measure}: {claim.effect.quantity}",
            f"{claim.effect.n:,}",
            f"{claim.effect.n_clusters:,}",
            str(claim.effect.n_seeds),
            estimate(claim.effect.change, claim.effect.low, claim.effect.high, signed=True),
            number(claim.effect.noise_floor),
            f"{claim.effect.adjusted_p:.2g}",
            number(claim.mde),
            claim.verdict,
        )
        for claim in claims
    )
    header = (
        "id",
        "member",
        "quantity",
        "n",
        "clusters",
        "seeds",
        "change [95 %]",
        "noise floor",
        "p",
        "MDE",
        "verdict",
    )
    note = (
        "Change from the reference with its 95 % interval over clusters of facts; p by Holm over "
        "everything the study compared; MDE: the smallest change that would have been found in 80 % "
        "at that level."
    )
    return [Table("Claims", header, rows, note, keys=3)]
