"""Results of patching that recover what we say."""

from __future__ import annotations

import numpy as np

from interp.results.base import Provenance
from interp.results.patching import PatchingResult
from interp.results.recovery import LEFT_OUT

N = 40


def patching_result(
    recovered: float = 0.5, floor: float = 0.1, *, n: int = N, noise: float = 0.0, seed: int = 0, **changes
) -> PatchingResult:
    """Clean 4, corrupt -2 in both languages; layer 1 recovers, layer 0 does not; the last fact has no pair in
    'sw'."""
    rng = np.random.default_rng(seed)
    shape = (n, 2, 3, 2, 1, 1)
    clean, corrupt = np.full((n, 2, 3), 4.0), np.full((n, 2, 3), -2.0)
    patched, control = np.full(shape, -2.0), np.full(shape, -2.0)
    patched[:, :, :, 1] += 6 * recovered
    control[:, :, :, 1] += 6 * floor
    patched += noise * rng.normal(size=shape)
    left_out = np.zeros((n, 2), dtype=np.int64)
    left_out[-1, 1] = LEFT_OUT.index("target right")
    for values in (clean, corrupt, patched, control):
        values[-1, 1] = np.nan
    values = {
        "languages": ("ja", "sw"),
        "fact_ids": tuple(f"fact-{i}" for i in range(n)),
        "groups": tuple(f"group-{i // 2}" for i in range(n)),
        "mode": "across",
        "sources": ("en",),
        "site": "resid_pre",
        "units": ("all",),
        "positions": ("last",),
        "onward": False,
        "metrics": ("logit_diff", "answer_logprob", "probability"),
        "left_out": left_out,
        "clean": clean,
        "corrupt": corrupt,
        "patched": patched,
        "control": control,
        "provenance": Provenance(checkpoint="a", prompts="p", prompts_digest="d"),
    }
    return PatchingResult(**{**values, **changes})
