"""`interp probe` and `interp align` on tiny checkpoints: what they write and print, reuse, continue, compare
and refuse."""

from __future__ import annotations

import json
import shlex
import shutil

import numpy as np
import pandas as pd
import pytest

from figures.table import estimate
from interp.results import load_result
from interp.results.base import Note
from probes.alignment_results import AlignmentResult
from probes.collect import Collector
from probes.results import ProbeResult
from tests.support.command import contents, refused, run, stopping
from tests.support.tiny import save_checkpoint

PROBE = (
    "probe",
    "--languages",
    "en,sw",
    "--limit",
    24,
    "--folds",
    3,
    "--layers",
    "embedding,1",
    "--dtype",
    "float32",
)
ALIGN = ("align", "--languages", "en,sw,de", "--limit", 24, "--dtype", "float32")


def asked(command, checkpoints, out, *more, names=("llama", "other")):
    chosen = [part for name in names for part in ("--ckpt", str(checkpoints[name]))]
    return [*map(str, command), *chosen, "--out", str(out), *map(str, more)]


@pytest.fixture(scope="module", params=["probe", "align"])
def command(request):
    return {"probe": PROBE, "align": ALIGN}[request.param]


@pytest.fixture(scope="module")
def measured(command, checkpoints, tmp_path_factory):
    """A finished study of two checkpoints with figures, and what it printed; to read and to copy."""
    out = tmp_path_factory.mktemp("probes") / "out"
    code, text, _ = run(*asked(command, checkpoints, out, "--figure"))
    assert code == 0
    return out, text


@pytest.fixture
def copied(measured, tmp_path):
    return shutil.copytree(measured[0], tmp_path / "out")


def kind_of(command) -> str:
    return {"probe": "language.probe", "align": "alignment"}[command[0]]


def test_files_and_the_list_of_them(command, measured):
    out, text = measured
    kind = kind_of(command)
    one, other = (p.name.removesuffix(f".{kind}.npz") for p in sorted(out.glob("*.npz")))
    assert (one, other) == ("llama", "other")
    stems = {kind, f"{one}.languages.{kind}", f"{other}.languages.{kind}", f"{one}-to-{other}.{kind}"}
    expected = {f"{stem}.{suffix}" for stem in stems for suffix in ("png", "pdf", "svg", "csv")}
    expected |= {f"{one}.{kind}.npz", f"{other}.{kind}.npz", f"{one}-to-{other}.{kind}.json"}
    assert set(contents(out)) == expected
    assert f"  {out / one}-to-{other}.{kind}.json .png .pdf .svg .csv\n" in text
    assert f"  {out / one}.{kind}.npz\n" in text


def test_what_is_printed_is_what_is_saved(command, measured):
    out, text = measured
    results = [load_result(p) for p in sorted(out.glob("*.npz"))]
    assert all(type(r) is {"probe": ProbeResult, "align": AlignmentResult}[command[0]] for r in results)
    for result in results:
        for row in result.by_layer().itertuples():
            if row.curve != "control":
                assert estimate(row.mean, row.low, row.high) in text
    assert "SANITY CHECK FAILED" not in text  # a note does not make the result doubtful
    assert f"Note: llama: Few {'facts' if command[0] == 'probe' else 'prompts'}: 24" in text
    csv = pd.read_csv(out / f"{kind_of(command)}.csv")
    means = results[0].by_layer().set_index(["curve", "layer"])["mean"]
    name = next(iter(csv.checkpoint))
    shown = csv[csv.checkpoint == name].set_index(["curve", "layer"])["mean"]
    for key, value in means.items():
        assert shown[key] == pytest.approx(value)


def test_a_rerun_opens_no_model_and_changes_no_file(command, measured, checkpoints, no_model):
    out, text = measured
    before = contents(out)
    code, again, _ = run(*asked(command, checkpoints, out))
    assert code == 0
    assert text.startswith(again.split("Written or reused:")[0])
    assert contents(out) == before


def test_compare_says_what_the_study_says(command, measured, no_model, tmp_path):
    out, _ = measured
    files = sorted(out.glob("*.npz"))
    code, text, _ = run("compare", *files, "--out", tmp_path / "both")
    assert code == 0
    assert "mean over layers" in text
    one = json.loads(next(out.glob("*-to-*.json")).read_text())
    both = json.loads((tmp_path / "both.json").read_text())
    assert both["quantities"] == one["quantities"]


def test_other_settings_are_refused_and_fresh_replaces(command, copied, checkpoints):
    before = contents(copied)
    text = refused(*asked(command, checkpoints, copied, "--layers", "2"))
    assert "answers another question (layers: " in text
    assert "Use --fresh to replace it, or another --out." in text
    assert contents(copied) == before
    assert run(*asked(command, checkpoints, copied, "--layers", "2", "--fresh"))[0] == 0
    assert all(load_result(p).layers == (2,) for p in copied.glob("*.npz"))


def test_strict_exits_with_1_when_something_is_doubtful(command, copied, checkpoints, monkeypatch):
    assert run(*asked(command, checkpoints, copied, "--strict"))[0] == 0  # few facts are a note
    kind = {"probe": ProbeResult, "align": AlignmentResult}[command[0]]
    monkeypatch.setattr(kind, "diagnostics", lambda self: ["Nothing is read.", Note("Few facts: 24.")])
    done = run(*asked(command, checkpoints, copied, "--strict"))
    assert done.code == 1
    assert "SANITY CHECK FAILED" in done.stdout
    assert "llama: Nothing is read." in done.stdout
    assert "Note: llama: Few facts: 24." in done.stdout
    assert run(*asked(command, checkpoints, copied))[0] == 0


def test_an_interrupted_run_continues_to_the_same_bits(command, measured, checkpoints, tmp_path):
    options = ("--batch-tokens", 1000)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert run(*asked(command, checkpoints, whole, *options, names=("llama",)))[0] == 0
    with stopping(Collector, 2):
        code, out, err = run(*asked(command, checkpoints, cut, *options, names=("llama",)))
    assert (code, out) == (130, "")
    assert [p.suffix for p in cut.iterdir()] == [".partial"]
    line = err.splitlines()[-1]
    assert line.startswith("interp: Stopped after 2 of ")
    resumed = shlex.split(line.split("Resume with: ")[1])
    assert run(*resumed[1:])[0] == 0
    results = [load_result(next(folder.glob("*.npz"))) for folder in (whole, cut)]
    arrays = [r._arrays() for r in results]
    assert all(np.array_equal(arrays[0][k], arrays[1][k]) for k in arrays[0])
    assert not list(cut.glob("*.partial"))


def test_layers_and_sites_that_the_model_lacks(command, checkpoints, tmp_path):
    text = refused(*asked(command, checkpoints, tmp_path, "--layers", "0,3", names=("llama",)))
    assert text == "No layer 3: 'llama' has layers 0 to 2."
    if command[0] == "probe":
        text = refused(*asked(command, checkpoints, tmp_path, "--site", "mlp_out", names=("llama",)))
        assert text == "The embedding has no site 'mlp_out'. Leave 'embedding' out, or use --site resid_post."


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            ("--folds", 24),
            "24 facts in 20 groups for 24 folds; a group cannot be divided. Use fewer folds, or more facts.",
        ),
        (("--folds", 1), "'folds' is 1; a number of at least 2 is expected."),
        (("--languages", "en"), "One language (en); a probe for the language needs at least 2."),
        (
            ("--task", "answer"),
            "No relation has two answers that facts of 3 groups share, one for each fold; ",
        ),
        (
            ("--layers", "first"),
            "'layers' is 'first'; all, or numbers from 0 such as 0,3,7 are expected, or 'embedding'.",
        ),
        (("--l2", -1), "'l2' is -1.0; a number of at least 0 is expected."),
        (("--site", "head"), "'site' is 'head'. Choose from: resid_post, attn_out, mlp_out."),
        (("--task", "languages"), "language, answer, right"),
    ],
)
def test_what_probe_refuses(flags, said, checkpoints, tmp_path, no_model):
    assert said in refused(*asked(PROBE, checkpoints, tmp_path / "out", *flags))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--languages", "sw"), "One language (sw); alignment compares at least 2. Add --languages."),
        (
            ("--limit", 1),
            "One prompt in each language (1 facts, prompt_format native, split all, limit 1); retrieval "
            "among",
        ),
        (("--layers", "0,0"), "'layers' is '0,0', which names a layer more than once."),
        (("--positions", "mean"), "'positions' is 'mean'. Choose from: weighted, last."),
    ],
)
def test_what_align_refuses(flags, said, checkpoints, tmp_path, no_model):
    assert said in refused(*asked(ALIGN, checkpoints, tmp_path / "out", *flags))
    assert not (tmp_path / "out").exists()


def test_a_model_that_is_never_right(checkpoints, tmp_path, monkeypatch):
    """Or always: nothing tells the two apart."""
    from interp.results.behavior import BehaviorResult

    monkeypatch.setattr(BehaviorResult, "credit", lambda self, *a: np.zeros(self.log_probability.shape[:2]))
    text = refused(*asked(PROBE, checkpoints, tmp_path, "--task", "right", names=("llama",)))
    assert text == (
        "No language has right and wrong answers in 3 groups of facts each (en, where the model is right in "
        "0.0% of 24 facts; sw, where the model is right in 0.0% of 24 facts). Use fewer folds, or more "
        "facts."
    )


def test_checkpoints_of_different_depth_are_compared_where_both_have_a_layer(checkpoints, tmp_path):
    save_checkpoint(tmp_path / "shallow", num_hidden_layers=2)
    command = asked(ALIGN, checkpoints, tmp_path / "out", "--ckpt", tmp_path / "shallow", names=("llama",))
    assert run(*command)[0] == 0
    table = json.loads(next((tmp_path / "out").glob("*-to-*.json")).read_text())["quantities"]
    names = {row["quantity"] for row in table}
    assert "mutual raw en-x layer 1" in names
    assert not any(name.endswith("layer 2") for name in names)
