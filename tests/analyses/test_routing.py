"""`interp routing` from flags to files: reuse, paired changes, what is doubtful, and refusals before a model is opened."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import interp.model.loading
from analyses.routing import run_routing
from interp import cli
from interp.config import RoutingConfig
from interp.data.sources.cldr import cldr_facts
from interp.errors import CapabilityError, ConfigError, DataError, ResultError
from interp.measure.routing.routing import measure_routing
from interp.model.checkpoints import resolve_checkpoint
from interp.model.loading import open_checkpoint
from interp.results.routing import RoutingResult

LANGUAGES = ("en", "sw", "ja")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return RoutingConfig(
        ckpt=("organism:final", "organism:grpo"),
        languages=",".join(LANGUAGES),
        limit=24,
        split="train",
        out=tmp_path_factory.mktemp("routing"),
    )


@pytest.fixture(scope="module")
def series(config):
    return run_routing(config)


@pytest.fixture
def no_model(monkeypatch):
    monkeypatch.setattr(
        interp.model.loading, "open_checkpoint", lambda *a, **k: pytest.fail("a model was opened")
    )


def test_the_result_is_that_of_the_measure(config, series):
    facts = cldr_facts().filter(splits=["train"], languages=LANGUAGES, limit=24)
    alone = measure_routing(open_checkpoint(resolve_checkpoint("organism:grpo")), facts)
    saved = RoutingResult.load(series.files[1])
    assert np.array_equal(saved.dots, alone.dots)
    assert saved.provenance.settings == alone.provenance.settings


def test_checkpoints_are_compared_with_the_first_fact_by_fact(series):
    before, after = (result.quantities() for result in series.results)
    table = series.comparisons[0].table.set_index("quantity")
    for name in ("contrast, logits", "heads: overlap above chance", "neurons: specific to the fact"):
        assert table.change[name] == pytest.approx((after[name] - before[name]).mean())
        assert table.low[name] < table.change[name] < table.high[name]


def test_a_rerun_needs_no_model_and_other_settings_are_refused(config, series, no_model):
    again = run_routing(config)
    pd.testing.assert_frame_equal(again.comparisons[0].table, series.comparisons[0].table)
    with pytest.raises(ResultError, match=r"top: 0.01 there, 0.1 asked.* Use --fresh"):
        run_routing(replace(config, top=0.1))
    with pytest.raises(ResultError, match=r"units: .*heads.* there"):
        run_routing(replace(config, units="heads"))
    with pytest.raises(ResultError, match="facts_digest"):
        run_routing(replace(config, limit=23))


def test_every_option_reaches_the_measure_and_fresh_replaces(config, series, tmp_path, monkeypatch):
    """A rerun would refuse a result that was measured otherwise."""
    shutil.copytree(config.out, tmp_path / "copy")
    options = {"units": "neurons", "top": 0.5, "prompt_format": "none", "limit": 20, "batch_tokens": 512}
    other = replace(config, ckpt=("organism:final",), out=tmp_path / "copy", **options)
    with pytest.raises(ResultError, match="Use --fresh"):
        run_routing(other)
    found = run_routing(replace(other, fresh=True)).results[0]
    assert (found.units, found.top[0, -1]) == (("neurons",), found.top[0, 0] * 4)
    assert found.provenance.run["batch_tokens"] == 512
    monkeypatch.setattr(
        interp.model.loading, "open_checkpoint", lambda *a, **k: pytest.fail("a model was opened")
    )
    assert np.array_equal(run_routing(other).results[0].dots, found.dots)


def test_what_cannot_be_asked_is_refused_before_a_model_is_opened(config, no_model, tmp_path):
    def refused(kind, match, **changes):
        with pytest.raises(kind, match=match):
            run_routing(replace(config, out=tmp_path / "new", **changes))

    refused(ConfigError, r"One language \(en\); an overlap is between at least 2", languages="en")
    refused(ConfigError, "'top' is 1.0; a share of the units above 0 and below 1", top=1.0)
    refused(ConfigError, "No checkpoint: give --ckpt", ckpt=())
    refused(ConfigError, "the same weights, byte for byte", ckpt=("organism:final", "organism:final"))
    refused(DataError, "No two of 1 facts share a relation", limit=1)
    assert not (tmp_path / "new").exists()


def test_experts_have_no_neurons_to_attribute_and_heads_will_do(checkpoints, tmp_path):
    config = RoutingConfig(
        ckpt=(str(checkpoints["mixtral"]),), languages="en,de", limit=8, out=tmp_path / "out"
    )
    with pytest.raises(CapabilityError, match="has no site 'mlp_neuron'"):
        run_routing(config)
    assert run_routing(replace(config, units="heads")).results[0].units == ("heads",)


def test_few_facts_and_a_model_that_knows_nothing_are_doubted(checkpoints, series, tmp_path):
    assert all(
        "facts in" in diagnostic and "fewer than 20 clusters" in diagnostic
        for diagnostic in series.diagnostics()
    )
    random = RoutingConfig(ckpt=(str(checkpoints["qwen2"]),), languages="en,de", limit=60, out=tmp_path)
    diagnostics = run_routing(random).diagnostics()
    assert any(
        "Right answers are not above wrong ones (mean contrast" in diagnostic for diagnostic in diagnostics
    )


def test_the_command_writes_results_changes_figures_and_their_data(config, series, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    flags = ["--languages", config.languages, "--limit", "24", "--split", "train", "--out", str(config.out)]
    checkpoints = [f for c in config.ckpt for f in ("--ckpt", c)]
    monkeypatch.setattr(sys, "argv", ["interp", "routing", *checkpoints, *flags, "--figure", "--strict"])
    with pytest.raises(SystemExit, match="1"):  # few facts
        cli.main()
    out = capsys.readouterr().out
    for said in (
        "organism-final: over all layers",
        "neurons: specific to the fact",
        "organism-final -> organism-grpo: change, 95 % over clusters of facts",
        f"{len(series.results[0].fact_ids)} facts in",
        "without a partner left out, 3 languages",
        "SANITY CHECK FAILED",
    ):
        assert said in out
    table = series.results[0].summary().set_index("quantity").loc["heads: overlap"]
    assert f"{table['mean']:+.3f} │ [{table.low:+.3f}, {table.high:+.3f}]" in out
    layer = series.results[1].by_layer().iloc[5]
    assert f"{layer.excess:+.3f} [{layer.excess_low:+.3f}, {layer.excess_high:+.3f}]" in out
    written = json.loads((config.out / "organism-final-to-organism-grpo.routing.json").read_text())
    assert written["kind"] == "routing"
    data = pd.read_csv(config.out / "routing.csv")
    assert len(data) == 2 * 2 * 3 * 4  # checkpoints, kinds of units, quantities, layers
    pairs = pd.read_csv(config.out / "organism-grpo.routing.languages.csv")
    expected = series.results[1].by_language()
    assert pairs["overlap above chance"].to_numpy() == pytest.approx(expected["overlap above chance"])
    for stem in ("routing", "organism-final.routing.languages", "organism-final-to-organism-grpo.routing"):
        assert all((config.out / f"{stem}{suffix}").exists() for suffix in (".png", ".pdf", ".csv"))
