"""`interp experts` from flags to files: results, figure, paired changes, reuse, controls and refusals."""

from __future__ import annotations

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest

from analyses.runner import run as measured
from figures import plot, tables
from figures.experts import experts_data
from interp.results import load_result
from tests.support.command import contents, no_model, refused, run
from tests.support.tiny import save_checkpoint

ASK = {"languages": "en,sw,ja", "limit": 24, "blocks": 4, "min_tokens": 100, "dtype": "float32"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("experts")
    for seed, name in enumerate(("base", "tuned")):
        save_checkpoint(made / name, "glm4_moe", seed)
    return made


@pytest.fixture(scope="module")
def command(folder):
    asked = [word for name, value in ASK.items() for word in (f"--{name.replace('_', '-')}", value)]
    checkpoints = [word for name in ("base", "tuned") for word in ("--ckpt", folder / name)]
    return ["experts", *checkpoints, *asked, "--out", folder / "out"]


def test_two_checkpoints_write_results_comparison_and_figures(command, folder):
    code, out, _ = run(*command, "--figure")
    assert code == 0
    kinds = ("json", "png", "pdf", "svg", "csv")
    expected = {"base.experts.npz", "tuned.experts.npz", *(f"experts.{kind}" for kind in kinds[1:])}
    assert set(contents(folder / "out")) == expected | {f"base-to-tuned.experts.{kind}" for kind in kinds}
    for text in ("routing per layer, 2 of 4 experts", "routing per language", "own experts", "noise floor"):
        assert text in out
    written = json.loads((folder / "out" / "base-to-tuned.experts.json").read_text())
    assert (written["unit"], written["layers"]["layer"]) == ("expert", [1, 2])
    before = contents(folder / "out")
    with no_model():
        assert run(*command).code == 0
    results = [load_result(folder / "out" / f"{name}.experts.npz") for name in ("base", "tuned")]
    assert results[0].provenance.settings["measure"] == "experts"
    assert contents(folder / "out")["base.experts.npz"] == before["base.experts.npz"]

    frame = results[0].to_frame()
    assert len(frame) == 2 * 4
    row = frame.query("layer == 2 and expert == 3")
    assert row.usage_sw.item() == pytest.approx(results[0].usage[1, 1, 3])
    assert row.probability_ja.item() == pytest.approx(results[0].distribution[2, 1, 3])

    data = experts_data(results, ("base", "tuned"))
    figure = plot(results, ("base", "tuned"))
    left = figure.axes[0].get_lines()
    assert np.array_equal(left[0].get_xdata(), [1, 2])
    shown = data[(data.quantity == "divergence from en (0 to 1)") & (data.checkpoint == "base")]
    assert left[0].get_ydata() == pytest.approx(results[0].divergence_per_layer.value)
    assert left[1].get_ydata() == pytest.approx(shown.floor)
    assert shown.floor.tolist() == pytest.approx(results[0].divergence_floor)
    plt.close(figure)
    assert "Jensen-Shannon" in tables(results[0])[0].note


def test_it_is_measured_under_controls(folder):
    options = {**ASK, "ckpt": (str(folder / "base"),), "out": folder / "controls"}
    found = measured("experts", **options, control="shuffled")
    (survived,) = found.survival["experts.shuffled"]
    assert "mean specialization of experts, layer 1" in set(survived.to_frame().quantity)


def test_what_cannot_be_measured_is_refused(folder):
    save_checkpoint(folder / "dense")
    text = refused(
        "experts", "--ckpt", folder / "dense", "--languages", "en,sw", "--limit", 24, "--out", folder / "no"
    )
    assert text.startswith("'llama' has no router: none of its 3 layers routes tokens to experts.")
    with no_model():
        few = ("experts", "--ckpt", folder / "base", "--limit", 24, "--out", folder / "no")
        assert "a noise floor needs at least 4" in refused(*few, "--languages", "en,sw", "--blocks", 3)
        assert "compares at least 2" in refused(*few, "--languages", "en")
