"""Published LAPE and LAHIS outputs load into our types and aggregate to the stated values; excerpts are what
they quote."""

from __future__ import annotations

import json

import numpy as np
import pytest

from interp.results.heads import pairwise_overlap, top_heads
from interp.results.lape import NeuronSelection
from tests.support.published import full, needs_full_files, read_excerpt, read_full
from tests.truth.excerpts import excerpts
from tests.truth.lite import SOURCES

LANGUAGES = ("en", "de", "id", "pt", "ar", "bn", "sw", "es", "ru", "fr", "ja", "zh")


@needs_full_files
def test_the_excerpts_are_what_the_full_files_say():
    for name, content in excerpts().items():
        assert read_excerpt(name) == json.loads(json.dumps(content)), name


def test_layers_of_a_published_selection_are_counted_from_1(tmp_path):
    """Every neuron of the excerpt is where its file says, and nothing else is."""
    quoted = read_excerpt("lape/olmo-base.json")
    (tmp_path / "x.neurons.json").write_text(json.dumps(quoted["neurons"]))
    found = NeuronSelection.load_polyfact(tmp_path / "x.neurons.json", LANGUAGES, tuple(quoted["shape"]))
    listed = {
        (LANGUAGES.index(code), int(layer) - 1, neuron)
        for layer, by_language in quoted["neurons"].items()
        for code, neurons in by_language.items()
        for neuron in neurons
    }
    assert set(zip(*(axis.tolist() for axis in found.mask.nonzero()), strict=True)) == listed
    assert len(listed) == found.n_neurons > 100


def selection(name: str) -> tuple[NeuronSelection, dict]:
    meta = read_full(f"lape/{name}.meta.json")
    shape = (meta["num_layers"], meta["intermediate_size"])
    return NeuronSelection.load_polyfact(full(f"lape/{name}.neurons.json"), LANGUAGES, shape), meta


@needs_full_files
def test_lape_of_olmo_base():
    found, _ = selection("olmo-base")
    assert found.mask[0].size == 352_256
    assert found.n_neurons == found.mask.sum() == 3522  # int(0.01 * 352,256), one language each
    expected = (1762, 184, 141, 117, 66, 363, 328, 116, 55, 157, 152, 81)
    assert found.counts == dict(zip(LANGUAGES, expected, strict=True))


@needs_full_files
def test_lape_of_qwen_base():
    found, meta = selection("qwen-base")
    assert found.n_neurons == meta["n_selected"] == 5304
    assert (found.counts["zh"], found.counts["en"], found.counts["sw"]) == (1595, 235, 649)


def head_importance(name: str, source: str) -> np.ndarray:
    """Importance [language, layer, head]; in an excerpt all but the largest are 0."""
    if source == "full":
        with np.load(full(f"lahis/{name}.npz")) as archive:
            return np.stack([archive[code] for code in LANGUAGES])
    quoted = read_excerpt(f"lahis/{name}.json")
    importance = np.zeros((len(LANGUAGES), *quoted["shape"]), dtype=np.float32)
    for i, code in enumerate(LANGUAGES):
        for layer, head, value in quoted["largest"][code]:
            importance[i, layer, head] = value
    return importance


@SOURCES
@pytest.mark.parametrize(("name", "percent"), [("olmo-base", 57.95), ("olmo-sft-10k", 53.94)])
def test_lahis_overlap_of_top_20_heads(name, percent, source):
    importance = head_importance(name, source)
    assert importance.shape == (12, 32, 32)
    overlap = pairwise_overlap(top_heads(importance, 20))
    off_diagonal = overlap[~np.eye(12, dtype=bool)]
    assert 100 * off_diagonal.mean() == pytest.approx(percent, abs=0.005)
