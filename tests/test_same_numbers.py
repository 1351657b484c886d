"""The script that compares all numbers of two checkouts sees one that differs, wherever it stands."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from tests.support import number_comparison
from tests.support.number_comparison import CaseComparison, compare_case
from tests.support.results import neurons

RATES = np.full((2, 3, 5), 0.25)
TABLE = pd.DataFrame({"quantity": ["accuracy en", "accuracy sw"], "n": [24, 24], "change": [0.125, np.nan]})


def write(folder: Path, *, bump: str = "") -> Path:
    """What a command leaves, with one number moved."""
    files = folder / "files"
    (files / "final").mkdir(parents=True)
    (folder / "done").touch()
    rates = RATES * (1 - 0.5 * (bump == "npz") * np.eye(5)[0])
    neurons(rates, seed=None).save(files / "organism-final-abc307b9.neurons.npz")
    TABLE.assign(n=[24, 24 + (bump == "csv")]).to_csv(files / "a-to-b.csv", index=False)
    (files / "a-to-b.json").write_text(
        json.dumps({"rows": [{"low": 0.1 + 1e-16 * (bump == "json")}, {"low": 1}]})
    )
    lines = [{"event": "step", "loss": 1.5}, {"event": "step", "loss": 2.5 + (bump == "jsonl")}]
    (files / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    pd.DataFrame({"completion": ["Nairobi", "Dodoma" + "!" * (bump == "parquet")]}).to_parquet(
        files / "e.parquet"
    )
    weight = np.ones(8, dtype=np.float32)
    weight[3] = np.nextafter(np.float32(1), np.float32(2)) if bump == "safetensors" else 1
    save_file({"lm_head": weight}, files / "final" / "model.safetensors")
    return folder


def compared(tmp_path: Path, **bump: str) -> CaseComparison:
    return compare_case("case", write(tmp_path / "before"), write(tmp_path / "after", **bump))


def test_the_same_is_the_same(tmp_path):
    case = compared(tmp_path)
    assert case.same
    assert case.largest == 0
    assert case.compared > 10
    assert case.notes == []


@pytest.mark.parametrize("kind", ["npz", "csv", "json", "jsonl", "parquet", "safetensors"])
def test_one_number_that_moved_is_named(tmp_path, kind):
    case = compared(tmp_path, bump=kind)
    assert not case.same
    assert case.largest > 0
    assert all(f".{kind}:" in note for note in case.notes)
    assert len(case.notes) == case.differing > 0


def test_a_file_that_is_gone_and_a_command_that_failed(tmp_path):
    before, after = write(tmp_path / "before"), write(tmp_path / "after")
    (after / "files" / "metrics.jsonl").unlink()
    assert compare_case("case", before, after).notes == ["metrics.jsonl: no counterpart after"]
    (after / "done").unlink()
    assert not compare_case("case", before, after).same


def test_new_words_and_another_order_of_rows_are_no_difference(tmp_path):
    before, after = write(tmp_path / "before"), write(tmp_path / "after")
    for folder, word in ((before, "behaviour"), (after, "behavior")):
        TABLE.rename(columns={"change": f"{word}_change"}).to_csv(
            folder / "files" / f"{word}.csv", index=False
        )
    shutil.move(
        after / "files" / "organism-final-abc307b9.neurons.npz", after / "files" / "final.neurons.npz"
    )
    table = pd.read_csv(after / "files" / "behavior.csv")[::-1].assign(added=1)
    table.to_csv(after / "files" / "behavior.csv", index=False)
    assert compare_case("case", before, after).same


def test_a_difference_that_was_decided_on_is_named_and_does_not_count(tmp_path, monkeypatch):
    monkeypatch.setattr(number_comparison, "DECIDED", {("ca*", "a-to-b.csv:n"): "counts its own facts"})
    case = compared(tmp_path, bump="csv")
    assert case.same
    assert case.notes == ["a-to-b.csv:n: differs by 1; decided: counts its own facts"]
