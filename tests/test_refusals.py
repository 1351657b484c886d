"""Refusals found in review: one language, a block without items, a model in memory resumed as another, odd
names."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from analyses.comparison import compare
from analyses.runner import run as measured
from figures import plot
from figures.style import save_figure
from interp.errors import CapabilityError, ConfigError, MeasurementError
from interp.measure.blocks import require_full_blocks
from interp.measure.passes import _weights_digest
from interp.model import loading, weights
from interp.model.checkpoints import Checkpoint
from interp.model.tokens import encode
from tests.support.benchmark_files import write_klar
from tests.support.command import no_model, refused, run
from tests.support.planted.language import planted_prompts
from tests.support.results import neurons
from tests.support.tiny import byte_tokenizer, opened, save_checkpoint


def test_one_language_is_refused_before_a_model_is_looked_for():
    with pytest.raises(ConfigError, match=r"One language \(en\); specialization compares at least 2"):
        measured("specialization", ckpt=("nowhere/at-all",), languages="en")


def test_a_block_without_items_is_named():
    encoded = encode(planted_prompts(8), byte_tokenizer(), n_blocks=2, context=99)
    require_full_blocks(encoded)
    kept = tuple(i for i in encoded.items if (i.language, i.block) != (1, 1))
    with pytest.raises(MeasurementError, match="Block 1 has no items in language 'sw'"):
        require_full_blocks(dataclasses.replace(encoded, items=kept))


def test_models_in_memory_are_told_apart():
    one, same, other = (opened(seed=seed) for seed in (0, 0, 1))
    assert _weights_digest(one) == _weights_digest(same) != _weights_digest(other)


def test_a_wider_dtype_needs_more_room(tmp_path):
    checkpoint = Checkpoint("x", save_checkpoint(tmp_path))
    saved = checkpoint.weight_bytes
    assert loading._bytes_needed(checkpoint, "auto") == saved
    assert loading._bytes_needed(checkpoint, "bfloat16") == saved // 2  # saved in float32


def test_layers_left_on_the_cpu_are_refused(tmp_path):
    checkpoint = Checkpoint("x", save_checkpoint(tmp_path))
    weights._require_on_gpus(checkpoint, SimpleNamespace(hf_device_map={"a": 0, "b": 1}))
    with pytest.raises(CapabilityError, match="does not fit on the accelerators"):
        weights._require_on_gpus(checkpoint, SimpleNamespace(hf_device_map={"a": 0, "b": "disk"}))


def test_dollar_signs_in_a_name_are_drawn_as_they_are(tmp_path):
    result = neurons(np.random.default_rng(0).random((3, 2, 50)))
    comparison = compare(result, result, names=("x$a_{$b", "y"))
    assert save_figure(plot(comparison), tmp_path / "c", comparison.to_frame())[0].stat().st_size > 0


@pytest.mark.parametrize(
    "command",
    [
        ("evaluate", "--mode", "mcq"),
        ("patch", "--mode", "within"),
        ("routing",),
        ("ablate",),
        ("probe", "--task", "right", "--folds", "2"),
    ],
    ids=" ".join,
)
def test_facts_without_options_are_refused_before_a_model_is_opened(command, tmp_path):
    """KLAR's facts have an answer and no others: only generation asks them."""
    data = ("--data", f"klar:{write_klar(tmp_path / 'klar')}", "--split", "all")
    with no_model():
        text = refused(*command, "--ckpt", "organism:final", *data, "--out", tmp_path / "out")
    assert "have no options to choose from" in text


def test_violations_of_a_file_stand_in_lines_of_their_own(tmp_path):
    (tmp_path / "facts.jsonl").write_text('{"fact_id": 1}\n{"fact_id": 2}\n', encoding="utf-8")
    done = run("evaluate", "--ckpt", "organism:final", "--data", tmp_path / "facts.jsonl", "--out", tmp_path)
    assert done.code == 2
    assert [line for line in done.stderr.splitlines() if line.startswith("  row 2")]
    assert "\\u000a" not in done.stderr
