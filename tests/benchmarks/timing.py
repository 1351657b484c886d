"""Paired, interleaved timing: every repeat runs all candidates in turn, and ratios are taken within a
repeat."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

Seconds = dict[str, list[float]]


def interleave(candidates: Mapping[str, Callable[[], object]], repeats: int) -> tuple[Seconds, Seconds]:
    """Process CPU seconds and wall seconds of each candidate per repeat, after one unmeasured round.

    The order rotates from repeat to repeat.
    """
    names = list(candidates)
    cpu: Seconds = {name: [] for name in names}
    wall: Seconds = {name: [] for name in names}
    for repeat in range(-1, repeats):
        turn = repeat % len(names)
        for name in names[turn:] + names[:turn]:
            began, began_wall = time.process_time(), time.perf_counter()
            candidates[name]()
            if repeat >= 0:
                cpu[name].append(time.process_time() - began)
                wall[name].append(time.perf_counter() - began_wall)
    return cpu, wall


def paired(seconds: Seconds, above: str, below: str) -> dict[str, float]:
    """Median, least and greatest of the ratios within a repeat."""
    ratios = [a / b for a, b in zip(seconds[above], seconds[below], strict=True)]
    return {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}
