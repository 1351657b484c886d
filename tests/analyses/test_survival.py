"""What survives a control: planted by script and by language, every command, and the numbers themselves."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import interp
import probes.collect
from analyses.comparison import survival
from analyses.runner import run as measured
from figures import tables
from interp.errors import ResultError
from interp.results import SpecializationResult, load_result
from interp.results.base import Provenance
from interp.stats import ratio_of_means
from tests.support.command import no_model, refused, run
from tests.support.planted.script import BY_LETTERS, BY_SCRIPT, save_script_checkpoint, write_texts
from tests.support.tiny import save_checkpoint

UNITS = {"units": "neurons", "blocks": 4, "min_tokens": 100, "dtype": "float32"}
ASK = {"languages": "en,ru", "limit": 16, "dtype": "float32", "control": "romanized,shuffled"}


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    return write_texts(tmp_path_factory.mktemp("texts") / "texts")


def surviving(run, name: str) -> dict[str, tuple[float, float, float]]:
    (found,) = run.survival[name]
    table = found.to_frame().set_index("quantity")
    return {row: tuple(table.loc[row, ["survives", "low", "high"]]) for row in table.index}


@pytest.mark.parametrize(("marked", "share"), [(BY_SCRIPT, 0.0), (BY_LETTERS, 1.0)])
def test_a_neuron_of_a_script_is_told_from_one_of_a_language(marked, share, texts, tmp_path):
    model = save_script_checkpoint(tmp_path / "planted", marked)
    options = {**UNITS, "ckpt": (str(model),), "data": str(texts), "out": tmp_path / "out"}
    romanized = surviving(measured("specialization", **options, control="romanized"), "neurons.romanized")
    for row in ("language differences of the same neurons", "mean specialization of neurons"):
        assert romanized[f"{row}, all layers"] == pytest.approx((share,) * 3, abs=1e-9)
        assert romanized[f"{row}, layer 1"] == pytest.approx((share,) * 3, abs=1e-9)
        assert np.isnan(romanized[f"{row}, layer 0"]).all()  # nothing is there that could survive


def test_a_neuron_of_letters_sees_no_order(tmp_path):
    model = save_script_checkpoint(tmp_path / "planted", BY_LETTERS)
    texts = write_texts(tmp_path / "texts", n_words=4)
    options = {**UNITS, "ckpt": (str(model),), "data": str(texts), "out": tmp_path / "out"}
    found = surviving(measured("specialization", **options, control="shuffled"), "neurons.shuffled")
    assert found["mean specialization of neurons, layer 1"] == pytest.approx((1.0, 1.0, 1.0), abs=1e-9)


def test_nothing_changes_where_nothing_is_romanized(tmp_path):
    texts = write_texts(tmp_path / "texts")
    (texts / "sw.txt").write_text((texts / "ru.txt").read_text().translate(str.maketrans("опрст", "vwxyz")))
    (texts / "ru.txt").unlink()
    model = save_checkpoint(tmp_path / "tiny")
    options = {**UNITS, "ckpt": (str(model),), "data": str(texts), "out": tmp_path / "out"}
    found = surviving(measured("specialization", **options, control="romanized"), "neurons.romanized")
    assert len(found) == 8
    assert all(share == pytest.approx((1.0, 1.0, 1.0), abs=1e-9) for share in found.values())


COMMANDS = {
    "specialization": {"units": "heads", "head_items": 16, "blocks": 4, "min_tokens": 100},
    "evaluate": {},
    "patch": {"mode": "across", "sources": "en", "site": "resid_post"},
    "routing": {},
    "ablate": {"read": 16, "min_tokens": 100, "units": "neurons", "draws": 2},
    "lens": {"positions": "subject_last"},
    "probe": {"task": "language", "positions": "subject_last"},
    "align": {},
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_measure_has_both_controls(command, tmp_path):
    options = {**ASK, **COMMANDS[command], "ckpt": ("organism:final",), "out": tmp_path}
    found = measured(command, **options)
    plain = [part.name for part in found.plan.parts if not part.control]
    assert set(found.survival) == {
        f"{name}.{control}" for name in plain for control in ("romanized", "shuffled")
    }
    for name, (survived,) in found.survival.items():
        control = name.rpartition(".")[2]
        (result,) = found.results[name]
        assert survived.names == ("organism-final", control)
        assert result.provenance.settings["control"] == control
        assert load_result(tmp_path / f"organism-final.{name}.npz").provenance == result.provenance
        digests = [
            found.results[each][0].provenance.prompts_digest
            for each in (name.removesuffix(f".{control}"), name)
        ]
        assert digests[0] != digests[1]
        assert "survives" in tables(survived)[0].header
    with no_model():
        alone = measured(command, **{**options, "control": ""})
    assert (list(alone.results), alone.survival) == (plain, {})


def test_values_are_counted_from_chance_and_paired_by_fact(tmp_path):
    options = {"ckpt": ("organism:final",), "out": tmp_path, "languages": "en,ru", "limit": 60}
    found = measured("evaluate", **options, control="romanized")
    (plain,), (under,) = found.results["behavior"], found.results["behavior.romanized"]
    row = found.survival["behavior.romanized"][0].to_frame().set_index("quantity").loc["accuracy en"]
    before, after = (r.quantities()["accuracy en"] - 0.25 for r in (plain, under))
    expected = ratio_of_means(after, before, plain.groups)
    assert (row.as_written, row.control) == pytest.approx((before.mean(), after.mean()))
    assert (row.survives, row.low, row.high) == pytest.approx(
        (expected.estimate, expected.low, expected.high)
    )
    fewer = replace(
        under,
        fact_ids=under.fact_ids[5:],
        groups=under.groups[5:],
        gold=under.gold[5:],
        **{name: getattr(under, name)[5:] for name in under._arrays() if name not in ("gold",)},
    )
    turned = interp.survival(plain, fewer).to_frame().set_index("quantity").loc["accuracy en"]
    assert turned.n == 55
    assert turned.as_written == pytest.approx(before[5:].mean())


def test_results_that_are_no_control_of_each_other_are_refused(texts, tmp_path):
    model = save_script_checkpoint(tmp_path / "planted", BY_SCRIPT)
    options = {**UNITS, "ckpt": (str(model),), "data": str(texts)}
    found = measured("specialization", **options, out=tmp_path / "out", control="shuffled")
    (plain,), (under,) = found.results["neurons"], found.results["neurons.shuffled"]
    with pytest.raises(ResultError, match="these are under 'none' and 'none'"):
        survival(plain, plain)
    with pytest.raises(ResultError, match="these are under 'shuffled' and 'shuffled'"):
        survival(under, under)
    other = replace(under, provenance=replace(under.provenance, fingerprint="other"))
    with pytest.raises(ResultError, match="of another measurement \\(weights"):
        survival(plain, other)
    settings = {**under.provenance.settings, "blocks": 5}
    with pytest.raises(ResultError, match="of another measurement \\(blocks: 4 and 5"):
        survival(plain, replace(under, provenance=replace(under.provenance, settings=settings)))
    with pytest.raises(ResultError, match="did not answer the same question"):
        interp.compare(plain, under)


def test_the_command_prints_what_survives_and_refuses_what_it_cannot_do(texts, tmp_path):
    model = save_script_checkpoint(tmp_path / "planted", BY_SCRIPT)
    flags = ["--ckpt", model, "--data", texts, "--blocks", 4, "--min-tokens", 100, "--units", "neurons"]
    done = run("specialization", *flags, "--out", tmp_path / "out", "--control", "romanized")
    assert done.code == 0, done.stderr
    assert "planted, romanized: what survives" in done.stdout
    assert (tmp_path / "out" / "planted.neurons.romanized.json").exists()
    assert "Did you mean 'shuffled'" in refused("align", "--ckpt", model, "--control", "shufled")
    line = refused("evaluate", "--ckpt", model, "--mode", "generate", "--control", "romanized")
    assert "--mode mcq" in line
    line = refused(
        "lens", "--ckpt", model, "--task", "translation", "--languages", "en,sw,ja", "--control", "shuffled"
    )
    assert "no words to shuffle" in line


def test_activations_on_disk_are_not_shared_between_controls(tmp_path, monkeypatch):
    options = {**ASK, "ckpt": ("organism:final",), "positions": "last"}
    there = measured("align", **options, out=tmp_path / "memory")
    monkeypatch.setattr(probes.collect, "collect", partial(probes.collect.collect, in_memory=0))
    found = measured("align", **options, out=tmp_path / "disk")
    for name, (result,) in found.results.items():
        assert np.array_equal(result.retrieved, there.results[name][0].retrieved)
    assert {file.name for file in (tmp_path / "disk").glob("*.npy")} == {
        f"organism-final.{control}last.activations.npy" for control in ("", "romanized.", "shuffled.")
    }
    measured("align", **options, out=tmp_path / "disk", fresh=True)  # all of it was discarded


def units(counts: np.ndarray, control: str = "") -> SpecializationResult:
    """Counts of 100 tokens per language and block."""
    tokens = np.full(counts.shape[:2], 100)
    settings = {"control": control} if control else {}
    return SpecializationResult(
        ("en", "sw"), tokens, tokens // 10, Provenance(settings=settings), counts=counts
    )


def test_differences_in_other_units_do_not_survive_though_their_mean_does():
    counts = np.full((2, 6, 1, 4), 10) + np.random.default_rng(0).integers(0, 5, (2, 6, 1, 4))
    counts[0, :, 0, 0] += 60  # English alone
    moved = counts[..., [1, 0, 2, 3]]
    found = survival(units(counts), units(moved, "shuffled")).to_frame().set_index("quantity")
    same = found.loc["language differences of the same neurons, all layers"]
    assert same.survives == pytest.approx(0, abs=0.02)
    assert found.loc["mean specialization of neurons, all layers"].survives == pytest.approx(1)
    turned = survival(units(counts), units(counts[::-1], "shuffled")).to_frame().survives[0]
    assert turned == pytest.approx(-1)  # the same neuron, of the other language


def test_differences_of_units_by_loops():
    rng = np.random.default_rng(1)
    one, other = (rng.integers(10, 90, (2, 5, 3, 4)) for _ in range(2))

    def product(a: np.ndarray, b: np.ndarray, blocks: list[int]) -> float:
        total = 0.0
        for layer in range(3):
            for unit in range(4):
                rates = [
                    [sum(c[lang, k, layer, unit] for k in blocks) / (100 * len(blocks)) for lang in range(2)]
                    for c in (a, b)
                ]
                means = [sum(rate) / 2 for rate in rates]
                total += sum((rates[0][lang] - means[0]) * (rates[1][lang] - means[1]) for lang in range(2))
        return total / 12

    row = survival(units(one), units(other, "shuffled")).to_frame().iloc[0]
    for pair, value in (((one, one), row.as_written), ((one, other), row.control)):
        without = [product(*pair, [k for k in range(5) if k != b]) for b in range(5)]
        assert value == pytest.approx(5 * product(*pair, [*range(5)]) - 4 * np.mean(without))
