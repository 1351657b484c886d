"""`interp patch` on checkpoints with a planted circuit: what it finds, writes, reuses, continues and
refuses."""

from __future__ import annotations

import signal

import numpy as np
import pandas as pd
import pytest

from interp.measure.patching.runs import Runs
from interp.results import load_result
from tests.support.command import contents, no_model, refused, run, stopping
from tests.support.planted.route import HEAD, route_facts, route_model
from tests.support.tiny import byte_tokenizer

SUBJECT, LAST = "subject_last", "last"


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Checkpoints with the circuit, whole and with Chinese letters that say nothing, and the facts they
    know."""
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
            "data": planted / "facts.jsonl",
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


def test_the_head_that_carries_the_fact_is_found_drawn_and_printed(patch, tmp_path):
    code, out, _ = run(*patch("whole", mode="within", site="head", figure=True))
    assert code == 0
    (file,) = (tmp_path / "out").glob("whole.within.head.patching.npz")
    for cell, value in recovered(file).items():
        assert value == pytest.approx(float(cell == (HEAD[0], str(HEAD[1]), LAST)), abs=1e-3)
    assert "whole: head, within, logit_diff" in out
    assert "whole: by language, at layer 1 head 1 last" in out
    assert "32 of 32 fact-language pairs" in out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    for stem in ("within.head.patching", "whole.languages.within.head.patching"):
        assert {f"{stem}.png", f"{stem}.pdf", f"{stem}.csv"} <= names
    table = pd.read_csv(tmp_path / "out" / "within.head.patching.csv")
    assert set(table.checkpoint) == {"whole"}


def test_english_activations_rescue_only_the_checkpoint_that_needs_it(patch, tmp_path):
    """In 'whole' no Chinese fact is wrong, so there is nothing to rescue, and it says why."""
    asked = {"mode": "across", "sources": "ja", "site": "resid_mid"}
    code, out, _ = run(*patch("deaf", **asked))
    assert code == 0
    (file,) = (tmp_path / "out").glob("deaf.across.resid_mid.patching.npz")
    result = load_result(file)
    assert result.languages == ("zh",)
    assert result.at(1, 0, 1, "rescued").patched == 1
    assert "12 of 16 fact-language pairs (left out: 4 target right)" in out
    done = run(*patch("whole", **asked))
    assert done.code == 2
    assert done.last_line.startswith("interp: No pair is left of 16 facts and languages (16 target right)")


def test_another_checkpoint_s_activations(patch, planted, tmp_path):
    asked = {
        "mode": "checkpoints",
        "source_ckpt": planted / "whole",
        "site": "mlp_neuron",
        "units": "0,1,2,3;4,5",
    }
    code, out, _ = run(*patch("deaf", **asked))
    assert code == 0
    (file,) = (tmp_path / "out").glob("deaf.checkpoints.mlp_neuron.patching.npz")
    found = recovered(file)
    assert found[2, "0,1,2,3", LAST] == pytest.approx(1, abs=1e-3)
    assert found[2, "4,5", LAST] == pytest.approx(0, abs=1e-3)
    assert "layer 2 mlp_neuron 0,1,2,3 last" in out


def test_two_checkpoints_are_compared_and_a_rerun_opens_no_model(patch, tmp_path):
    code, out, _ = run(*patch("whole", "deaf", mode="within", languages="ja", positions="last"))
    assert code == 0
    assert "whole -> deaf: change\n" in out
    assert "95 % interval, paired over clusters (groups of facts)" in out
    before = contents(tmp_path / "out")
    assert "whole-to-deaf.within.resid_post.patching.json" in before
    with no_model():
        again = run(*patch("whole", "deaf", mode="within", languages="ja", positions="last"))
    assert again[:2] == (0, out)
    assert contents(tmp_path / "out") == before
    code, out, _ = run(
        *patch("whole", "deaf", mode="within", languages="ja", positions="last", metric="rescued")
    )
    assert "whole: resid_post, within, rescued" in out
    rows = [[cell.strip() for cell in line.split("│")] for line in out.splitlines()]
    row = next(row for row in rows if row[2:3] == ["last"])
    assert row[5:7] == ["1.00", "0.00"]  # clean, corrupt


def test_estimates_are_verified_and_drawn(patch, tmp_path):
    code, _, _ = run(*patch("whole", mode="within", site="head", attribution=True, verify=4, figure=True))
    assert code == 0
    (file,) = (tmp_path / "out").glob("whole.within.head.attribution.npz")
    result = load_result(file)
    layer, unit, position = result.cells[0]
    assert (layer, unit) == HEAD
    assert result.positions[position] == LAST
    assert (tmp_path / "out" / "within.head.attribution.png").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_continues_to_the_same_result(patch, tmp_path, number):
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


def test_other_settings_are_refused_until_fresh(patch):
    asked = {"mode": "within", "positions": "last"}
    assert run(*patch("whole", **asked))[0] == 0
    said = refused(*patch("whole", mode="within", positions="subject_last"))
    assert "answers another question (positions: " in said
    assert "Use --fresh to replace it, or another --out" in said
    assert run(*patch("whole", mode="within", positions="subject_last", fresh=True))[0] == 0


@pytest.mark.parametrize(
    ("said", "options"),
    [
        ("--source-ckpt and --mode checkpoints belong together", {"mode": "checkpoints"}),
        ("--source-ckpt and --mode checkpoints belong together", {"mode": "within", "source_ckpt": "x"}),
        ("is patched into itself", {"mode": "checkpoints", "source_ckpt": "{whole}"}),
        (
            "No position 'subject'. Did you mean 'subject_mean'? Choose from: subject_last, ",
            {"mode": "within", "positions": "subject"},
        ),
        ("Source languages (ja) have no meaning in mode 'within'", {"mode": "within", "sources": "ja"}),
        (
            "From languages 'ja,zh' into '': facts in at least one of each are needed.",
            {"mode": "across", "sources": "ja,zh"},
        ),
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
        (
            "'facts' has no facts in English (en). Choose from: ja, zh.",
            {"mode": "across"},
        ),  # the facts are not asked in English
    ],
)
def test_what_makes_no_sense_is_refused(patch, planted, said, options):
    options = {
        k: str(v).replace("{whole}", str(planted / "whole")) if k == "source_ckpt" else v
        for k, v in options.items()
    }
    assert said in refused(*patch("whole", **options))


def test_its_help_has_an_example():
    code, out, _ = run("patch", "--help")
    assert code == 0
    assert "interp patch --ckpt organism:final" in out
