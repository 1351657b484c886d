"""`interp patch` on checkpoints with a planted circuit: what it finds, writes, reuses, continues and refuses."""

from __future__ import annotations

import signal

import numpy as np
import pandas as pd
import pytest

import interp.model.loading
from interp.measure.patching.runs import Runs
from interp.results import load_result
from tests.planted_route import HEAD, route_facts, route_model
from tests.test_cli import contents, refused, run, stopping
from tests.tiny import byte_tokenizer

__all__ = ["refused", "run"]  # fixtures

SUBJECT, LAST = "subject_last", "last"


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Checkpoints with the circuit, whole and with Chinese letters that say nothing, and the facts they know."""
    root = tmp_path_factory.mktemp("planted")
    for name, deaf in (("whole", ""), ("deaf", "zh")):
        route_model("llama", deaf=deaf).model.save_pretrained(root / name)
        byte_tokenizer().save_pretrained(root / name)
    route_facts().save(root / "facts.jsonl")
    return root


@pytest.fixture
def patch(planted, tmp_path):
    """Arguments of the command on some of the checkpoints."""

    def arguments(*names: str, **options: object) -> list[object]:
        chosen = [part for name in names for part in ("--ckpt", planted / name)]
        asked = {
            "facts": planted / "facts.jsonl",
            "languages": "ja,zh",
            "prompt_format": "none",
            "dtype": "float32",
        }
        flags = {**asked, "out": tmp_path / "out", **options}
        given: list[object] = ["patch", *chosen]
        for name, value in flags.items():
            flag = f"--{name.replace('_', '-')}"
            given += [flag] if value is True else [flag, value]
        return given

    return arguments


def recovered(file) -> dict[tuple, float]:
    table = load_result(file).recovery()
    return {(row.layer, row.unit, row.position): row.recovery for row in table.itertuples()}


def test_the_head_that_carries_the_fact_is_found_drawn_and_printed(run, patch, tmp_path):
    code, out, _ = run(*patch("whole", mode="within", site="head", figure=True))
    assert code == 0
    (file,) = (tmp_path / "out").glob("planted0-whole-*.within.head.patching.npz")
    for cell, value in recovered(file).items():
        assert value == pytest.approx(float(cell == (HEAD[0], str(HEAD[1]), LAST)), abs=1e-3)
    assert "planted0-whole: head, within, " in out
    assert "by language, at layer 1 head 1 last" in out
    assert "32 of 32 facts and languages used" in out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    for stem in ("within.head.patching", "planted0-whole.within.head.patching.languages"):
        assert {f"{stem}.png", f"{stem}.pdf", f"{stem}.csv"} <= names
    table = pd.read_csv(tmp_path / "out" / "within.head.patching.csv")
    assert set(table.checkpoint) == {"planted0-whole"}


def test_english_activations_rescue_only_the_checkpoint_that_needs_it(run, patch, tmp_path):
    """In 'whole' no Chinese fact is wrong, so there is nothing to rescue, and it says why."""
    asked = {"mode": "across", "sources": "ja", "site": "resid_mid"}
    code, out, _ = run(*patch("deaf", **asked))
    assert code == 0
    (file,) = (tmp_path / "out").glob("planted0-deaf-*.across.resid_mid.patching.npz")
    result = load_result(file)
    assert result.languages == ("zh",)
    assert result.at(1, 0, 1, "rescued").patched == 1
    assert "12 of 16 facts and languages used; 4 target right" in out
    code, _, err = run(*patch("whole", **asked))
    assert (code, err.count("\n")) == (2, 1)
    assert "No pair is left of 16 facts and languages (16 target right)" in err


def test_another_checkpoint_s_activations(run, patch, planted, tmp_path):
    asked = {
        "mode": "checkpoints",
        "source_ckpt": planted / "whole",
        "site": "mlp_neuron",
        "units": "0,1,2,3;4,5",
    }
    code, out, _ = run(*patch("deaf", **asked))
    assert code == 0
    (file,) = (tmp_path / "out").glob("planted0-deaf-*.checkpoints.mlp_neuron.patching.npz")
    found = recovered(file)
    assert found[2, "0,1,2,3", LAST] == pytest.approx(1, abs=1e-3)
    assert found[2, "4,5", LAST] == pytest.approx(0, abs=1e-3)
    assert "layer 2 mlp_neuron 0,1,2,3 last" in out


def test_two_checkpoints_are_compared_and_a_rerun_opens_no_model(run, patch, tmp_path, monkeypatch):
    code, out, _ = run(*patch("whole", "deaf", mode="within", languages="ja", spans="last"))
    assert code == 0
    assert "planted0-whole -> planted0-deaf: change, 95 % over clusters of facts" in out
    before = contents(tmp_path / "out")
    assert "planted0-whole-to-planted0-deaf.within.resid_post.patching.json" in before
    monkeypatch.setattr(
        interp.model.loading, "open_checkpoint", lambda *a, **k: pytest.fail("a model was opened")
    )
    again = run(*patch("whole", "deaf", mode="within", languages="ja", spans="last"))
    assert again[:2] == (0, out)
    assert contents(tmp_path / "out") == before
    code, out, _ = run(*patch("whole", "deaf", mode="within", languages="ja", spans="last", metric="rescued"))
    assert "rescued: clean 1.00, corrupt 0.00" in out


def test_estimates_are_verified_and_drawn(run, patch, tmp_path):
    code, _, _ = run(*patch("whole", mode="within", site="head", attribution=True, verify=4, figure=True))
    assert code == 0
    (file,) = (tmp_path / "out").glob("planted0-whole-*.within.head.attribution.npz")
    result = load_result(file)
    layer, unit, position = result.cells[0]
    assert (layer, unit) == HEAD
    assert result.positions[position] == LAST
    assert (tmp_path / "out" / "within.head.attribution.png").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_continues_to_the_same_result(run, patch, tmp_path, number):
    asked = {"mode": "within", "batch_tokens": 16, "site": "head"}
    assert run(*patch("whole", **asked, out=tmp_path / "whole"))[0] == 0
    with stopping(Runs, 5, number):
        code, _, err = run(*patch("whole", **asked))
    assert code == 130
    assert "Resume with: interp patch" in err
    assert list((tmp_path / "out").glob("*.partial"))
    assert run(*patch("whole", **asked))[0] == 0
    assert not list((tmp_path / "out").glob("*.partial*"))
    one, other = (load_result(next((tmp_path / out).glob("*.npz"))) for out in ("whole", "out"))
    for name in ("clean", "corrupt", "patched", "control"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_other_settings_are_refused_until_fresh(run, refused, patch):
    asked = {"mode": "within", "spans": "last"}
    assert run(*patch("whole", **asked))[0] == 0
    said = refused(*patch("whole", mode="within", spans="subject_last"))
    assert "answers another question (positions: " in said
    assert "Use --fresh to replace it, or another --out" in said
    assert run(*patch("whole", mode="within", spans="subject_last", fresh=True))[0] == 0


@pytest.mark.parametrize(
    ("said", "options"),
    [
        ("--source-ckpt and --mode checkpoints belong together", {"mode": "checkpoints"}),
        ("--source-ckpt and --mode checkpoints belong together", {"mode": "within", "source_ckpt": "x"}),
        ("is patched into itself", {"mode": "checkpoints", "source_ckpt": "{whole}"}),
        ("No span 'subject'; one of subject_last, ", {"mode": "within", "spans": "subject"}),
        ("Source languages (ja) have no meaning in mode 'within'", {"mode": "within", "sources": "ja"}),
        ("at least one of each is needed", {"mode": "across", "sources": "ja,zh"}),
        ("Units 'a' are not numbers; write 0,3", {"mode": "within", "site": "head", "units": "a"}),
        ("Units '1,1' name a unit or a set twice", {"mode": "within", "site": "head", "units": "1,1"}),
        ("No head 4: a layer of this 'llama' has 0 to 3", {"mode": "within", "site": "head", "units": "4"}),
        ("Site 'resid_post' has no units", {"mode": "within", "units": "1"}),
        (
            "--attribution is for --site head or mlp_neuron, not 'resid_post'",
            {"mode": "within", "attribution": True},
        ),
        (
            "leave out --units and --onward",
            {"mode": "within", "site": "head", "attribution": True, "onward": True},
        ),
        ("'site' is 'resid_mi'", {"mode": "within", "site": "resid_mi"}),
        ("lack", {"mode": "across"}),  # the facts are not asked in English
    ],
)
def test_what_makes_no_sense_is_refused(refused, patch, planted, said, options):
    options = {
        k: str(v).replace("{whole}", str(planted / "whole")) if k == "source_ckpt" else v
        for k, v in options.items()
    }
    assert said in refused(*patch("whole", **options))


def test_its_help_has_an_example(run):
    code, out, _ = run("patch", "--help")
    assert code == 0
    assert "interp patch --ckpt organism:final" in out
