"""Published LAPE and LAHIS outputs load into our types and aggregate to the stated values.

The files are not part of the project; set INTERP_VERIFY to their folder, or keep it at ../shared/verify.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from interp.results.heads import pairwise_overlap, top_heads
from interp.results.lape import NeuronSelection

VERIFY = Path(os.environ.get("INTERP_VERIFY", Path(__file__).resolve().parents[3] / "shared" / "verify"))
LANGUAGES = ("en", "de", "id", "pt", "ar", "bn", "sw", "es", "ru", "fr", "ja", "zh")

pytestmark = pytest.mark.skipif(not VERIFY.is_dir(), reason=f"published outputs are not at {VERIFY}")


def selection(name: str) -> tuple[NeuronSelection, dict]:
    meta = json.loads((VERIFY / "lape" / f"{name}.meta.json").read_text())
    shape = (meta["num_layers"], meta["intermediate_size"])
    return NeuronSelection.load_polyfact(VERIFY / "lape" / f"{name}.neurons.json", LANGUAGES, shape), meta


def test_lape_of_olmo_base():
    found, _ = selection("olmo-base")
    assert found.mask[0].size == 352_256
    assert found.n_neurons == found.mask.sum() == 3522  # int(0.01 * 352,256), one language each
    expected = (1762, 184, 141, 117, 66, 363, 328, 116, 55, 157, 152, 81)
    assert found.counts == dict(zip(LANGUAGES, expected, strict=True))


def test_lape_of_qwen_base():
    found, meta = selection("qwen-base")
    assert found.n_neurons == meta["n_selected"] == 5304
    assert (found.counts["zh"], found.counts["en"], found.counts["sw"]) == (1595, 235, 649)


@pytest.mark.parametrize(("name", "percent"), [("olmo-base", 57.95), ("olmo-sft-10k", 53.94)])
def test_lahis_overlap_of_top_20_heads(name, percent):
    with np.load(VERIFY / "lahis" / f"{name}.npz") as archive:
        importance = np.stack([archive[code] for code in LANGUAGES])
    assert importance.shape == (12, 32, 32)
    overlap = pairwise_overlap(top_heads(importance, 20))
    off_diagonal = overlap[~np.eye(12, dtype=bool)]
    assert 100 * off_diagonal.mean() == pytest.approx(percent, abs=0.005)
