"""`interp ablate` from flags to files: it selects its units itself, reuses what is done, and refuses before
it works."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

import interp.measure.specialization.neurons
import interp.model.loading
from analyses.runner import run as measured
from figures.table import estimate
from interp.data.sources import open_prompts
from interp.data.sources.cldr import cldr_facts
from interp.errors import ConfigError, Interrupted, MeasurementError, ResultError
from interp.measure.ablation import ablation
from interp.model.checkpoints import resolve_checkpoint
from interp.model.loading import open_checkpoint
from interp.results.specialization import SpecializationResult
from tests.support.command import no_model, run
from tests.support.measuring import measure_ablation, measure_specialization
from tests.support.runs import comparisons, only

LANGUAGES = ("en", "sw", "ja")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return {
        "ckpt": ("organism:final", "organism:grpo"),
        "languages": ",".join(LANGUAGES),
        "limit": 12,
        "read": 80,
        "draws": 1,
        "out": tmp_path_factory.mktemp("ablation"),
    }


@pytest.fixture(scope="module")
def series(config):
    return measured("ablate", **config)


def test_units_are_selected_in_each_checkpoint_on_the_facts_that_are_read(config, series):
    facts = cldr_facts().filter(languages=LANGUAGES, limit=12)
    read = open_prompts("cldr", LANGUAGES, limit=80)
    loaded = open_checkpoint(resolve_checkpoint("organism:grpo"))
    selection = measure_specialization(loaded, read)
    alone = measure_ablation(loaded, facts, selection, read, draws=1)
    found = only(series)[1]
    assert np.array_equal(found.removed, alone.removed)
    assert np.array_equal(found.loss, alone.loss)
    assert found.provenance.settings == alone.provenance.settings
    assert not np.array_equal(found.removed, only(series)[0].removed)
    saved = SpecializationResult.load(next(config["out"].glob("organism-grpo*.neurons.npz")))
    assert np.array_equal(saved.counts, selection.counts)


def test_a_rerun_needs_no_model_and_other_settings_are_refused(config, series, no_model):
    again = measured("ablate", **config)
    pd.testing.assert_frame_equal(comparisons(again)[0].to_frame(), comparisons(series)[0].to_frame())
    table = comparisons(series)[0].to_frame().set_index("quantity")
    before, after = (result.quantities()["nats lost: own above other"] for result in only(series))
    assert table.change["nats lost: own above other"] == pytest.approx((after - before).mean())
    for change, said in (
        ({"mode": "mean"}, "mode: zero there, mean asked"),
        ({"count": 3}, "count: default there, 3 asked"),
        ({"draws": 2}, "draws: 1 there, 2 asked"),
        ({"seed": 1}, "seed: 0 there, 1 asked"),
        ({"limit": 11}, "facts_digest"),
        ({"read": 81}, "selected_on"),
    ):
        with pytest.raises(ResultError, match=rf"{said}.* Use --fresh"):
            measured("ablate", **{**config, **change})


def test_every_option_reaches_the_measure(config, tmp_path):
    """A rerun would refuse a result that was measured otherwise."""
    options = {"mode": "mean", "count": 2, "draws": 2, "seed": 3, "prompt_format": "none", "split": "train"}
    other = {**config, "ckpt": ("organism:final",), "languages": "en,de", "limit": 3, "out": tmp_path}
    other = {**other, "read": 150, "min_tokens": 10, "batch_tokens": 512, **options}
    found = only(measured("ablate", **other))[0]
    assert found.removed.shape == (2, 3, 2, 2)
    assert found.provenance.run["batch_tokens"] == 512
    with no_model():
        assert np.array_equal(only(measured("ablate", **other))[0].loss, found.loss)


def test_units_that_were_measured_before_are_reused(config, series, tmp_path, monkeypatch):
    """By this command, or by `interp specialization` in the same folder with the same facts."""
    one = {**config, "ckpt": ("organism:final",), "out": tmp_path}
    measured(
        "specialization",
        ckpt=one["ckpt"],
        languages=config["languages"],
        units="neurons",
        limit=80,
        out=tmp_path,
    )
    with monkeypatch.context() as patched:
        patched.setattr(
            interp.measure.specialization.neurons,
            "measure_specialization",
            lambda *a, **k: pytest.fail("measured again"),
        )
        found = only(measured("ablate", **one))[0]
    assert np.array_equal(found.loss, only(series)[0].loss)
    for file in tmp_path.glob("*.ablation.npz"):
        file.unlink()
    with (
        no_model(),
        pytest.raises(ResultError, match=r"neurons.npz answers another question \(prompts: .*80 facts"),
    ):
        measured("ablate", **{**one, "read": 81})


def test_fresh_discards_the_units_too(config, series, tmp_path):
    shutil.copytree(config["out"], tmp_path / "copy")
    one = {**config, "ckpt": ("organism:final",), "out": tmp_path / "copy", "read": 81, "limit": 2}
    with pytest.raises(ResultError, match="Use --fresh"):
        measured("ablate", **one)
    assert len(only(measured("ablate", **{**one, "fresh": True}))[0].fact_ids) == 2
    kept = SpecializationResult.load(next(one["out"].glob("organism-final.neurons.npz")))
    assert kept.items.sum() == 3 * 81


def test_an_interrupted_run_goes_on(config, series, tmp_path, monkeypatch):
    one = {**config, "ckpt": ("organism:final",), "out": tmp_path}
    original, calls = ablation.encode_questions, []

    def stopping(*arguments):
        calls.append(1)
        if len(calls) == 3:
            import signal

            signal.raise_signal(signal.SIGINT)
        return original(*arguments)

    monkeypatch.setattr(ablation, "encode_questions", stopping)
    with pytest.raises(Interrupted, match="Stopped after 3 of"):
        measured("ablate", **one)
    assert list(tmp_path.glob("*.neurons.ablation.partial"))
    found = only(measured("ablate", **one))[0]
    assert np.array_equal(found.loss, only(series)[0].loss)
    assert not list(tmp_path.glob("*.partial"))


def test_what_cannot_be_asked_is_refused_before_a_model_is_opened(config, no_model, tmp_path):
    def refused(kind, match, **changes):
        with pytest.raises(kind, match=match):
            measured("ablate", **{**config, "out": tmp_path / "new", **changes})

    refused(
        ConfigError, r"One language \(en\); a language's own units are told from another's", languages="en"
    )
    refused(ConfigError, "'draws' is 0; a number of at least 1 is expected", draws=0)
    refused(ConfigError, "No checkpoint: give --ckpt", ckpt=())
    refused(ConfigError, "the same weights, byte for byte", ckpt=("organism:final", "organism:final"))
    refused(ConfigError, "--rule important is of heads", rule="important")
    refused(MeasurementError, "Language 'en' has 15 prompts; 16 are needed", units="heads", read=15)
    assert not (tmp_path / "new").exists()


def test_heads_are_removed_by_either_rule_and_many_units_are_refused(config, tmp_path):
    one = {
        **config,
        "ckpt": ("organism:sft",),
        "units": "heads",
        "out": tmp_path,
        "limit": 4,
        "languages": "en,de",
    }
    found = only(measured("ablate", **one))[0]
    assert (found.unit, found.shared_units()) == ("heads", 0)
    assert list(tmp_path.glob("organism-sft.heads.ablation.npz"))
    with pytest.raises(ResultError, match="rule: specialized there, important asked"):
        measured("ablate", **{**one, "rule": "important"})
    everyones = {**one, "rule": "important", "out": tmp_path / "important"}
    shutil.copytree(tmp_path, everyones["out"], ignore=shutil.ignore_patterns("*.ablation.npz", "important"))
    assert only(measured("ablate", **everyones))[0].shared_units() == 0.5
    with pytest.raises(
        ResultError, match=r"heads that are more important in it than on average; 16 are asked"
    ):
        measured("ablate", **{**one, "count": 16, "fresh": True})


def test_few_facts_and_a_model_that_knows_nothing_are_doubted(checkpoints, series, tmp_path):
    assert all(
        "12 facts in" in diagnostic and "fewer than 20 clusters" in diagnostic
        for diagnostic in series.diagnostics()
    )
    random = {
        "ckpt": (str(checkpoints["qwen2"]),),
        "languages": "en,de",
        "limit": 40,
        "read": 80,
        "draws": 1,
        "out": tmp_path,
    }
    assert any(
        "The intact model is not above chance (" in diagnostic
        for diagnostic in measured("ablate", **random).diagnostics()
    )


def test_the_command_writes_the_matrix_and_says_whether_its_diagonal_dominates(config, series):
    asked = ["--languages", config["languages"], "--limit", "12", "--read", "80", "--draws", "1"]
    checkpoints = [f for c in config["ckpt"] for f in ("--ckpt", c)]
    flags = [*checkpoints, *asked, "--out", str(config["out"]), "--figure"]
    code, out, _ = run("ablate", *flags)
    assert code == 0
    first = only(series)[0]
    test = first.dominance()
    for said in (
        "organism-final: nats per token lost",
        "organism-final: does a language's own diagonal dominate?",
        estimate(test.value, test.low, test.high, 4, signed=True),
        f"{test.p:.2g}",
        "0.17",
        "14 neurons per language set to zero, 12 facts in",
        "organism-final -> organism-grpo: change",
    ):
        assert said in out
    data = pd.read_csv(config["out"] / "neurons.ablation.csv").set_index(
        ["checkpoint", "harm", "units_of", "language"]
    )
    row = data.loc["organism-final", "loss", "sw", "ja"]
    assert row.beyond_random == pytest.approx(first.matrix()[1, 2])
    for stem in ("neurons.ablation", "organism-final-to-organism-grpo.neurons.ablation"):
        assert all((config["out"] / f"{stem}{suffix}").exists() for suffix in (".png", ".pdf", ".csv"))
