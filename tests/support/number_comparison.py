"""What two runs of one command saved, compared bit by bit."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

from tests.support.number_cases import DECIDED
from tests.support.number_files import Numbers, numbers_of, pairs_of_files

__all__ = ["CaseComparison", "compare_case"]


@dataclass
class CaseComparison:
    """One command.

    Attributes:
        name: Of the command.
        compared: Arrays and values compared.
        largest: Largest absolute difference; infinite where NaN, shape, type or text differ.
        differing: How many differ, less those decided on.
        notes: What differs, what is gone, what was decided.
    """

    name: str
    compared: int = 0
    largest: float = 0.0
    differing: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def same(self) -> bool:
        """Whether something was compared and nothing differs."""
        return self.compared > 0 and not self.differing

    @property
    def verdict(self) -> str:
        """In words."""
        return "same" if self.same else f"{self.differing} differ" if self.compared else "nothing to compare"

    def differ(self, name: str, what: str) -> None:
        """Count a difference, unless it was decided on."""
        for (cases, names), reason in DECIDED.items():
            if fnmatch(self.name, cases) and fnmatch(name, names):
                self.notes.append(f"{name}: {what}; decided: {reason}")
                return
        self.differing += 1
        self.notes.append(f"{name}: {what}")


def compare_case(name: str, before: Path, after: Path) -> CaseComparison:
    """Compare the folders of one command."""
    case = CaseComparison(name)
    for side in (before, after):
        if not (side / "done").exists():
            case.differ(str(side), "the command failed or did not run; see its log")
            return case
    pairs, gone = pairs_of_files(before / "files", after / "files")
    for path in gone:
        case.differ(path.name, "no counterpart after")
    for old, new in pairs:
        _compare_files(case, old, new)
    return case


def _compare_files(case: CaseComparison, old: Path, new: Path) -> None:
    mine, theirs = numbers_of(old), numbers_of(new)
    if old.suffix == ".csv":
        mine, theirs = _rows_aligned(mine, theirs)
    for name, value in mine.items():
        if name.startswith("provenance.settings") and name not in theirs:
            continue  # a setting may move; what is asked by both is compared
        case.compared += 1
        if name not in theirs:
            case.differ(f"{old.name}:{name}", "no counterpart after")
            continue
        size = difference(value, theirs[name], exact_type=old.suffix in (".npz", ".safetensors"))
        if size:
            case.largest = max(case.largest, size)
            case.differ(f"{old.name}:{name}", f"differs by {size:.3g}")


def difference(before: np.ndarray, after: np.ndarray, *, exact_type: bool) -> float:
    """Largest absolute difference; 0 only for the same bits, infinite where shape, type or text differ."""
    before, after = np.asarray(before), np.asarray(after)
    words = {before.dtype.kind, after.dtype.kind} & set("USO")
    if before.shape != after.shape or (exact_type and not words and before.dtype != after.dtype):
        return float("inf")
    if words:
        return 0.0 if np.array_equal(before.astype(str), after.astype(str)) else float("inf")
    common = np.result_type(before, after)
    if before.astype(common).tobytes() == after.astype(common).tobytes():
        return 0.0
    a, b = before.astype(float), after.astype(float)
    if not np.array_equal(np.isnan(a), np.isnan(b)):
        return float("inf")
    with np.errstate(invalid="ignore"):  # infinities
        apart = np.abs(np.where(a == b, 0.0, a - b))
    return float(np.nanmax(apart, initial=np.nextafter(0.0, 1.0)))


def _rows_aligned(before: Numbers, after: Numbers) -> tuple[Numbers, Numbers]:
    """The numbers of two tables, rows in the order of the first where their labels name them."""
    labels = [n for n in before if n in after and {before[n].dtype.kind, after[n].dtype.kind} & set("USO")]
    numbers = {n: v for n, v in before.items() if n not in labels and v.dtype.kind not in "USO"}
    rows = [list(zip(*(map(str, table[n]) for n in labels), strict=True)) for table in (before, after)]
    if rows[0] and len(set(rows[0])) == len(rows[0]) and set(rows[0]) <= set(rows[1]):
        order = [rows[1].index(row) for row in rows[0]]
        after = {name: values[order] for name, values in after.items()}
    return numbers, after
