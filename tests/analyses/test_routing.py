"""`interp routing` from flags to files: reuse, paired changes, what is doubtful, and refusals before a model
is opened."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from analyses.runner import run as measured
from figures.table import estimate
from interp.data.sources.cldr import cldr_facts
from interp.errors import CapabilityError, ConfigError, DataError, ResultError
from interp.measure.routing.routing import measure_routing
from interp.model.checkpoints import resolve_checkpoint
from interp.model.loading import open_checkpoint
from interp.results.routing import RoutingResult
from tests.support.command import no_model, run
from tests.support.runs import comparisons, only

LANGUAGES = ("en", "sw", "ja")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return {
        "ckpt": ("organism:final", "organism:grpo"),
        "languages": ",".join(LANGUAGES),
        "limit": 24,
        "split": "train",
        "out": tmp_path_factory.mktemp("routing"),
    }


@pytest.fixture(scope="module")
def series(config):
    return measured("routing", **config)


def test_the_result_is_that_of_the_measure(config, series):
    facts = cldr_facts().filter(splits=["train"], languages=LANGUAGES, limit=24)
    alone = measure_routing(open_checkpoint(resolve_checkpoint("organism:grpo")), facts)
    saved = RoutingResult.load(series.files[1])
    assert np.array_equal(saved.dots, alone.dots)
    assert saved.provenance.settings == alone.provenance.settings


def test_checkpoints_are_compared_with_the_first_fact_by_fact(series):
    before, after = (result.quantities() for result in only(series))
    table = comparisons(series)[0].to_frame().set_index("quantity")
    for name in ("contrast, logits", "heads: overlap above chance", "neurons: specific to the fact"):
        assert table.change[name] == pytest.approx((after[name] - before[name]).mean())
        assert table.low[name] < table.change[name] < table.high[name]


def test_a_rerun_needs_no_model_and_other_settings_are_refused(config, series, no_model):
    again = measured("routing", **config)
    pd.testing.assert_frame_equal(comparisons(again)[0].to_frame(), comparisons(series)[0].to_frame())
    with pytest.raises(ResultError, match=r"top: 0.01 there, 0.1 asked.* Use --fresh"):
        measured("routing", **{**config, "top": 0.1})
    with pytest.raises(ResultError, match=r"units: .*heads.* there"):
        measured("routing", **{**config, "units": "heads"})
    with pytest.raises(ResultError, match="facts_digest"):
        measured("routing", **{**config, "limit": 23})


def test_every_option_reaches_the_measure_and_fresh_replaces(config, series, tmp_path):
    """A rerun would refuse a result that was measured otherwise."""
    shutil.copytree(config["out"], tmp_path / "copy")
    options = {"units": "neurons", "top": 0.5, "prompt_format": "none", "limit": 20, "batch_tokens": 512}
    other = {**config, "ckpt": ("organism:final",), "out": tmp_path / "copy", **options}
    with pytest.raises(ResultError, match="Use --fresh"):
        measured("routing", **other)
    found = only(measured("routing", **{**other, "fresh": True}))[0]
    assert (found.units, found.top[0, -1]) == (("neurons",), found.top[0, 0] * 4)
    assert found.provenance.run["batch_tokens"] == 512
    with no_model():
        assert np.array_equal(only(measured("routing", **other))[0].dots, found.dots)


def test_what_cannot_be_asked_is_refused_before_a_model_is_opened(config, no_model, tmp_path):
    def refused(kind, match, **changes):
        with pytest.raises(kind, match=match):
            measured("routing", **{**config, "out": tmp_path / "new", **changes})

    refused(ConfigError, r"One language \(en\); an overlap is between at least 2", languages="en")
    refused(ConfigError, "'top' is 1.0; a number above 0 and below 1 is expected", top=1.0)
    refused(ConfigError, "No checkpoint: give --ckpt", ckpt=())
    refused(ConfigError, "the same weights, byte for byte", ckpt=("organism:final", "organism:final"))
    refused(DataError, "No two of 1 facts share a relation", limit=1)
    assert not (tmp_path / "new").exists()


def test_experts_have_no_neurons_to_attribute_and_heads_will_do(checkpoints, tmp_path):
    config = {
        "ckpt": (str(checkpoints["mixtral"]),),
        "languages": "en,de",
        "limit": 8,
        "out": tmp_path / "out",
    }
    with pytest.raises(CapabilityError, match="has no site 'mlp_neuron'"):
        measured("routing", **config)
    assert only(measured("routing", **{**config, "units": "heads"}))[0].units == ("heads",)


def test_few_facts_and_a_model_that_knows_nothing_are_doubted(checkpoints, series, tmp_path):
    assert all(
        "facts in" in diagnostic and "fewer than 20 clusters" in diagnostic
        for diagnostic in series.diagnostics()
    )
    random = {"ckpt": (str(checkpoints["qwen2"]),), "languages": "en,de", "limit": 60, "out": tmp_path}
    diagnostics = measured("routing", **random).diagnostics()
    assert any(
        "Right answers are not above wrong ones (mean contrast" in diagnostic for diagnostic in diagnostics
    )


def test_the_command_writes_results_changes_figures_and_their_data(config, series):
    flags = [
        "--languages",
        config["languages"],
        "--limit",
        "24",
        "--split",
        "train",
        "--out",
        str(config["out"]),
    ]
    checkpoints = [f for c in config["ckpt"] for f in ("--ckpt", c)]
    code, out, _ = run("routing", *checkpoints, *flags, "--figure", "--strict")
    assert code == 0  # few facts are a note
    for said in (
        "organism-final: over all layers",
        "neurons: specific to the fact",
        "organism-final -> organism-grpo: change",
        f"{len(only(series)[0].fact_ids)} facts in",
        "without a partner left out, 3 languages",
        "Note: organism-final: ",
    ):
        assert said in out
    table = only(series)[0].summary().set_index("quantity").loc["heads: overlap"]
    assert estimate(table["mean"], table.low, table.high, signed=True) in out
    layer = only(series)[1].by_layer().iloc[5]
    assert estimate(layer.excess, layer.excess_low, layer.excess_high, signed=True) in out
    written = json.loads((config["out"] / "organism-final-to-organism-grpo.routing.json").read_text())
    assert written["kind"] == "routing"
    data = pd.read_csv(config["out"] / "routing.csv")
    assert len(data) == 2 * 2 * 3 * 4  # checkpoints, kinds of units, quantities, layers
    pairs = pd.read_csv(config["out"] / "organism-grpo.languages.routing.csv")
    expected = only(series)[1].by_language()
    assert pairs["overlap above chance"].to_numpy() == pytest.approx(expected["overlap above chance"])
    for stem in ("routing", "organism-final.languages.routing", "organism-final-to-organism-grpo.routing"):
        assert all((config["out"] / f"{stem}{suffix}").exists() for suffix in (".png", ".pdf", ".csv"))
