"""Read damaged and hostile results as the commands do, and count how each ends; none may end in a traceback.

Run by hand: ``python -m tests.faults.mutate_results [COUNT] [SEED]``. A few of them run in
``tests/faults/test_mutated_results.py``.
"""

from __future__ import annotations

import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import figures
from analyses.comparison import compare
from interp.characters import visible
from interp.errors import InterpError
from interp.registry import MEASURES
from interp.results import load_result
from tests.faults.mutations import mutated
from tests.support.command import run
from tests.support.golden import FOLDER

__all__ = ["Outcome", "campaign", "samples"]


class Outcome(NamedTuple):
    """How the reading of a damaged file ended."""

    sample: str
    seed: int
    damage: str
    end: str  # refused, read, or traceback
    text: str


def samples(folder: Path) -> list[Path]:
    """A saved result of every registered kind, of the first schema and of today's."""
    found = []
    for file in sorted(FOLDER.glob("*.npz")):
        (folder / file.name).write_bytes(file.read_bytes())
        found += [folder / file.name, load_result(file).save(folder / f"{file.stem}-again.npz")]
    kinds = {load_result(file).kind for file in found}
    assert kinds == {kind for measure in MEASURES for kind in measure.kinds}
    return found


def campaign(folder: Path, count: int, seed: int = 0) -> Iterator[Outcome]:
    """Damage samples in turn and read them."""
    files = samples(folder)
    for number in range(count):
        sample = files[number % len(files)]
        damage, content = mutated(sample.read_bytes(), seed + number)
        file = folder / "mutated.npz"
        file.write_bytes(content)
        yield Outcome(sample.name, seed + number, damage, *_read(file, sample))


def _read(file: Path, original: Path) -> tuple[str, str]:
    """What comes of a file: shown by itself, and compared with the undamaged one by the command."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            refused = _show(file, original)
            if refused and ("\n" in refused or file.name not in refused):
                return "traceback", f"not one line that names the file: {refused!r}"
            for pair in ((file, original), (original, file)):
                finished = run("compare", *pair)
                said = finished.stdout + finished.stderr
                if finished.code not in (0, 2):
                    return "traceback", f"exit code {finished.code}"
                if finished.code == 2 and len(finished.stderr.splitlines()) != 1:
                    return "traceback", f"not one line: {finished.stderr!r}"
                if hidden := [c for c in said if c != "\n" and visible(c) != c]:
                    return "traceback", f"characters that cannot be seen: {hidden!r}"
                if refused and finished.code == 0:
                    return "traceback", "the command shows what is refused in Python"
    except Exception:
        return "traceback", traceback.format_exc()
    return ("refused", refused) if refused else ("read", "")


def _show(file: Path, original: Path) -> str:
    """The refusal; empty if the result can be read and shown, if not compared with the other."""
    try:
        result = load_result(file)
    except InterpError as error:
        return str(error)
    try:
        repr(result), result.summary(), result.to_frame(), result.diagnostics(), result._repr_html_()
        list(figures.tables([result], ["a"]))
        figures.drawings([result], ["a"])
        compare(result, load_result(original), names=("a", "b"))
    except InterpError as error:
        _require_one_line(error)
    return ""


def _require_one_line(error: InterpError) -> None:
    if "\n" in str(error):
        raise AssertionError(f"more than one line: {error}")


def main(count: int = 1000, seed: int = 0) -> None:
    """Print every traceback, and how many files ended in which way."""
    ends: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for outcome in campaign(Path(folder), count, seed):
            ends[outcome.damage, outcome.end] += 1
            if outcome.end == "traceback":
                print(f"{outcome.sample}, seed {outcome.seed}, {outcome.damage}:\n{outcome.text}")
    for damage in sorted({damage for damage, _ in ends}):
        print(f"{damage:22}", *(f"{end} {ends[damage, end]:5}" for end in ("refused", "read", "traceback")))
    total = Counter({end: sum(n for (_, e), n in ends.items() if e == end) for _, end in ends})
    print(f"{'in all':22}", *(f"{end} {total[end]:5}" for end in ("refused", "read", "traceback")))
    sys.exit(total["traceback"] > 0)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
