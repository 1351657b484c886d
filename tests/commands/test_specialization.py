"""Whole commands on tiny checkpoints: what they write and print, reuse, refuse and resume."""

from __future__ import annotations

import os
import shlex
import signal
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

import interp.measure.specialization.heads
import interp.measure.specialization.neurons
import interp.model.loading
from analyses.specialization import MEASURE
from figures.table import estimate
from interp.files import temporary_name
from interp.measure.specialization.activations import NeuronCounter
from interp.measure.specialization.heads import FrozenHeads, TrainedHeads
from interp.results import load_result
from tests.support.command import contents, models_opened, refused, run, run_process, stopping
from tests.support.tiny import save_checkpoint

COMMON = (
    "--languages",
    "en,sw,ja",
    "--limit",
    "24",
    "--head-items",
    "16",
    "--min-tokens",
    "100",
    "--blocks",
    "4",
    "--dtype",
    "float32",
)


@pytest.fixture(scope="module")
def measured(checkpoints, tmp_path_factory):
    """A finished study of two checkpoints, to read and to copy."""
    out = tmp_path_factory.mktemp("study") / "out"
    done = run_process("-m", "interp", *study(checkpoints, out, "--figure"), warnings="default")
    assert done.code == 0, done.stderr
    return out, done


def study(checkpoints, out, *more: object, names=("llama", "other")) -> list[str]:
    chosen = [part for name in names for part in ("--ckpt", str(checkpoints[name]))]
    return ["specialization", *chosen, *COMMON, "--out", str(out), *map(str, more)]


def arrays(folder: Path, unit: str) -> list[dict[str, np.ndarray]]:
    return [load_result(p)._arrays() for p in sorted(folder.glob(f"*.{unit}.npz"))]


def same(one: list[dict[str, np.ndarray]], other: list[dict[str, np.ndarray]]) -> bool:
    return len(one) == len(other) > 0 and all(
        a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) and a[k].dtype == b[k].dtype for k in a)
        for a, b in zip(one, other, strict=True)
    )


# a real process, from the shell


def test_two_checkpoints_write_results_comparison_and_figures(measured):
    out, done = measured
    first, second = (p.name.split(".")[0] for p in sorted(out.glob("*.neurons.npz")))
    assert (first, second) == ("llama", "other")
    pair = f"{first}-to-{second}"
    expected = {f"{stem}.{unit}.npz" for stem in (first, second) for unit in ("neurons", "heads")}
    expected |= {
        f"{pair}.{unit}.{kind}"
        for unit in ("neurons", "heads")
        for kind in ("json", "png", "pdf", "svg", "csv")
    }
    expected |= {f"{unit}.{kind}" for unit in ("neurons", "heads") for kind in ("png", "pdf", "svg", "csv")}
    assert set(contents(out)) == expected
    for line in (
        f"{out / first}.neurons.npz",
        f"{out / pair}.heads.json .png .pdf .svg .csv",
        f"{out}/heads.png .pdf .svg .csv",
    ):
        assert f"  {line}\n" in done.stdout


def test_the_table_is_readable_and_stderr_is_quiet(measured):
    out, done = measured
    text = done.stdout
    for said in (
        "MLP neurons per language",
        "attention heads per language",
        "per layer (neurons, nats)",
        "LAPE",
    ):
        assert said in text
    for code in ("en", "sw", "ja"):
        assert f"│ {code} " in text
    result = load_result(next(out.glob("llama.neurons.npz")))
    assert f"{result.tokens[0].sum():,}" in text
    assert "Mean specialization of MLP neurons, all layers (nats)" in text
    low, high = result.overall.interval()
    assert estimate(float(result.overall.value), float(low), float(high), 4) in text
    assert "Warning" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_result_says_where_it_comes_from(measured, checkpoints):
    out, _ = measured
    provenance = load_result(next(out.glob("llama.heads.npz"))).provenance
    assert provenance.checkpoint == "llama"
    assert provenance.run["spec"] == str(checkpoints["llama"])
    assert len(provenance.fingerprint) == 64
    assert provenance.settings == {
        "languages": ["en", "sw", "ja"],
        "dtype": "float32",
        "attention": "auto",
        "measure": "heads",
        "blocks": 4,
        "site": "head",
        "mask": "frozen",
    }
    assert provenance.run["attention"] == "sdpa"
    assert provenance.run["batch_tokens"] == 4096
    assert provenance.run["largest_batch"] > 1
    assert set(provenance.run["versions"]) >= {"python", "torch", "transformers", "numpy"}


# reuse


@pytest.fixture
def no_measuring(monkeypatch):
    def fail(*arguments, **options):
        raise AssertionError("measured again")

    monkeypatch.setattr(interp.measure.specialization.heads, "measure_heads", fail)
    monkeypatch.setattr(interp.measure.specialization.neurons, "measure_specialization", fail)


def test_a_rerun_measures_nothing_and_says_the_same(measured, checkpoints, no_measuring):
    out, done = measured
    before = contents(out)
    code, text, _ = run(*study(checkpoints, out))
    assert code == 0
    assert done.stdout.startswith(text.split("Written or reused:")[0])
    after = contents(out)
    assert {n for n in before if before[n] != after[n]} == set()


def test_changed_settings_are_refused_by_name(measured, checkpoints, no_measuring):
    out, _ = measured
    before = contents(out)
    for changed, said in [
        (("--blocks", 5), "blocks: 4 there, 5 asked"),
        (("--languages", "en,sw"), "languages: en,sw,ja there, en,sw asked"),
        (("--dtype", "auto"), "dtype: float32 there, auto asked"),
        (("--limit", 25), "prompts: "),
        (("--prompt-format", "english"), "prompts: "),
        (("--mask", "trained"), "mask: frozen there, trained asked"),
    ]:
        text = refused(*study(checkpoints, out, *changed))
        assert "answers another question (" in text
        assert said in text
        assert "Use --fresh to replace it, or another --out." in text
    assert contents(out) == before


def test_settings_that_change_no_number_are_not_asked_about(measured, checkpoints, no_measuring):
    out, _ = measured
    assert run(*study(checkpoints, out, "--batch-tokens", 100))[0] == 0


def test_fresh_measures_again(measured, checkpoints, tmp_path):
    options = ("--units", "neurons")
    assert run(*study(checkpoints, tmp_path, *options))[0] == 0
    assert same(
        arrays(tmp_path, "neurons"), arrays(measured[0], "neurons")
    )  # in another process, the same bits
    assert run(*study(checkpoints, tmp_path, *options, "--blocks", 6, "--fresh", names=("llama",)))[0] == 0
    assert [load_result(p).n_blocks for p in sorted(tmp_path.glob("*.npz"))] == [6, 4]


def test_one_more_checkpoint_joins_a_folder(measured, checkpoints, tmp_path):
    for file in measured[0].glob("*.npz"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with models_opened() as opened:
        assert run(*study(checkpoints, tmp_path, names=("llama", "other", "qwen2"))).code == 0
    assert opened == [str(checkpoints["qwen2"])]


def test_what_killed_runs_left_is_removed_and_counted(checkpoints, measured, tmp_path, caplog):
    """An old half file, a state whose result is there, an owner that is gone; not what is being written."""
    caplog.set_level("WARNING")  # whatever other tests have set
    for file in measured[0].glob("*.npz"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    left = [
        tmp_path / name for name in (".llama.neurons.npz.x1.tmp", "llama.neurons.partial", ".x.npz.owner")
    ]
    for file in left:
        file.write_bytes(b"half")
    os.utime(left[0], (0, 0))
    own, recent = tmp_path / f"{temporary_name('r.npz')}x.tmp", tmp_path / ".r.npz.x2.tmp"
    for file in (own, recent):
        file.write_bytes(b"half")
    assert run(*study(checkpoints, tmp_path)).code == 0
    assert [file for file in left if file.exists()] == []
    assert (own.exists(), recent.exists()) == (True, True)
    assert [text for text in caplog.messages if "Removed" in text] == [
        f"Removed 3 unfinished files of killed runs, such as {left[2]}."
    ]


def test_the_file_that_a_damaged_result_is_in_is_named(checkpoints, measured, tmp_path):
    for file in measured[0].glob("*.npz"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    broken = next(tmp_path.glob("*other*.heads.npz"))
    broken.write_bytes(broken.read_bytes()[:300])
    assert f"{broken} is not a result of interp, or is damaged" in refused(*study(checkpoints, tmp_path))


# interruption


def largest(folder: Path) -> list[int]:
    return [load_result(p).provenance.run["largest_batch"] for p in sorted(folder.glob("*.npz"))]


CASES = {
    "neurons": (NeuronCounter, ("--units", "neurons"), 3, signal.SIGINT),
    "heads": (FrozenHeads, ("--units", "heads"), 2, signal.SIGTERM),
    "trained": (TrainedHeads, ("--units", "heads", "--mask", "trained"), 7, signal.SIGINT),
}


@pytest.mark.parametrize(("kind", "options", "k", "number"), CASES.values(), ids=CASES)
def test_an_interrupted_run_continues_to_the_same_bits(checkpoints, tmp_path, kind, options, k, number):
    options, names = (*options, "--batch-tokens", 1000), ("llama",)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert run(*study(checkpoints, whole, *options, names=names))[0] == 0
    with stopping(kind, k, number):
        code, out, err = run(*study(checkpoints, cut, *options, names=names))
    line = err.splitlines()[-1]
    assert (code, out) == (130, "")
    assert line.startswith(f"interp: Stopped after {k} of ")
    assert [p.suffix for p in cut.iterdir()] == [".partial"]
    command = shlex.split(line.split("Resume with: ")[1])
    assert command == ["interp", *study(checkpoints, cut, *options, names=names)]
    with stopping(kind, 10**6):  # nothing is left of the first interruption
        assert run(*command[1:])[0] == 0
    assert same(arrays(cut, options[1]), arrays(whole, options[1]))
    assert largest(cut) == largest(whole)
    assert not list(cut.glob("*.partial"))


def test_an_interruption_after_the_last_batch_is_not_swallowed(checkpoints, tmp_path):
    options = ("--units", "neurons", "--batch-tokens", 10**6)  # one batch per pass
    with stopping(NeuronCounter, 1):
        code, _, err = run(*study(checkpoints, tmp_path, *options))
    assert code == 130
    assert "Stopped after 1 of 1 batches. Resume with: " in err
    with stopping(NeuronCounter, 1):  # the first is restored whole, so this is the second checkpoint's
        assert run(*study(checkpoints, tmp_path, *options))[0] == 130
    assert [p.name.split(".")[1:] for p in sorted(tmp_path.iterdir())] == [
        ["neurons", "npz"],
        ["neurons", "partial"],
    ]


def test_ctrl_c_between_two_passes(checkpoints, tmp_path, monkeypatch):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(interp.model.loading, "open_checkpoint", stop)
    code, _, err = run(*study(checkpoints, tmp_path))
    assert code == 130
    assert err.splitlines()[-1].startswith("interp: Stopped. Resume with: interp specialization --ckpt ")


def test_the_resume_command_never_discards_what_is_to_be_resumed(checkpoints, tmp_path):
    (tmp_path / "run.toml").write_text("fresh = true\n")
    out = tmp_path / "out"
    options = ("--units", "neurons", "--batch-tokens", 1000, "--fresh", "--config", tmp_path / "run.toml")
    with stopping(NeuronCounter, 3):
        code, _, err = run(*study(checkpoints, out, *options))
    assert code == 130
    command = shlex.split(err.splitlines()[-1].split("Resume with: ")[1])
    assert "--fresh" not in command
    with stopping(NeuronCounter, 1):  # had it started again, this would be batch 1 of the first checkpoint
        _, _, err = run(*command[1:])
    assert "Stopped after 4 of " in err


def test_a_partial_of_other_settings_is_refused(checkpoints, tmp_path):
    options = ("--units", "neurons", "--batch-tokens", 1000)
    with stopping(NeuronCounter, 2):
        assert run(*study(checkpoints, tmp_path, *options))[0] == 130
    before = contents(tmp_path)
    for changed, said in [
        (("--blocks", 5), "blocks: 4 there, 5 asked"),
        (("--batch-tokens", 900), "batch_tokens: 1000 there, 900 asked"),
        (("--dtype", "bfloat16"), "resolved dtype: float32 there, bfloat16 asked"),
        (("--attention", "eager"), "resolved attention: sdpa there, eager asked"),
    ]:
        text = refused(*study(checkpoints, tmp_path, *options, *changed))
        assert ".neurons.partial is of another run (" in text
        assert said in text
        assert "Use --fresh to discard it." in text
    assert contents(tmp_path) == before
    assert run(*study(checkpoints, tmp_path, *options, "--blocks", 5, "--fresh"))[0] == 0


def test_a_file_in_the_place_of_a_partial(checkpoints, measured, tmp_path):
    with stopping(NeuronCounter, 2):
        run(*study(checkpoints, tmp_path, "--batch-tokens", 1000))
    (partial,) = tmp_path.iterdir()
    partial.write_bytes(next(measured[0].glob("*.neurons.npz")).read_bytes())
    text = refused(*study(checkpoints, tmp_path, "--batch-tokens", 1000))
    assert f"{partial} is not the state of an interrupted run. Use --fresh to discard it." in text


# other refusals of a study


def test_no_checkpoint_and_the_same_twice(checkpoints, tmp_path):
    assert "No checkpoint: give --ckpt" in refused("specialization", "--out", tmp_path)
    again = save_checkpoint(tmp_path / "again")
    text = refused(*study(checkpoints, tmp_path / "out"), "--ckpt", again)
    assert text == f"'{again}' and '{checkpoints['llama']}' are the same weights, byte for byte."
    assert not (tmp_path / "out").exists()


def test_a_mixture_of_experts_has_heads_and_neurons_of_its_experts(checkpoints, tmp_path):
    assert run(*study(checkpoints, tmp_path, "--units", "all", names=("mixtral",)))[0] == 0


def test_checkpoints_of_different_shapes_keep_their_results(checkpoints, tmp_path):
    save_checkpoint(tmp_path / "deep", num_hidden_layers=2)
    command = study(checkpoints, tmp_path / "out", "--units", "neurons", names=("llama",))
    text = refused(*command, "--ckpt", tmp_path / "deep")
    assert "has 3 layers x 48 neurons, " in text
    assert "2 x 48: only checkpoints of one model family can be compared" in text
    assert len(list((tmp_path / "out").glob("*.npz"))) == 2


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--languages", "en,xx"), "Unknown language 'xx'"),
        (("--languages", "en,en"), "named more than once"),
        (("--data", "cldrr"), "No data named 'cldrr'"),
        (("--data", "/no/such/folder"), "No data named '/no/such/folder'"),
        (("--blocks", "3"), "'blocks' is 3; a noise floor needs at least 4"),
        (("--blocks", "500"), "500 blocks were asked of 'cldr', which has"),
        (("--limit", "-3"), "'limit' is -3; a number of at least 0 is expected"),
        (
            ("--units", "head"),
            "'units' is 'head'. Did you mean 'heads'? Choose from: neurons, heads, all.",
        ),
        (("--config", "/no/such.toml"), "No configuration file at /no/such.toml"),
        (("--device", "gpu"), "No device 'gpu'"),
        (
            ("--min-tokens", "100000"),
            "prompts; 100000 are needed, because the standard error of a rate is up to 0.0",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(checkpoints, tmp_path, options, text):
    assert text in refused(*study(checkpoints, tmp_path / "out", *options))
    assert not list((tmp_path / "out").glob("*"))


def test_odd_names_write_inside_the_folder_only(tmp_path, monkeypatch):
    home = tmp_path / "home"
    out = home / "out"
    odd = home / "a b;rm -rf"
    save_checkpoint(odd / "..hidden\u202ename")
    monkeypatch.chdir(odd)
    command = (
        "specialization",
        "--ckpt",
        "../a b;rm -rf/..hidden\u202ename",
        *COMMON,
        "--units",
        "heads",
        "--out",
        out,
    )
    assert run(*command)[0] == 0
    assert {p.name for p in home.iterdir()} == {"out", "a b;rm -rf"}
    assert all(p.name.isascii() and p.is_file() for p in out.iterdir())
    assert {p.name for p in out.iterdir()} == {"hidden-name.heads.npz", "heads.csv"}


def test_a_message_stays_one_line_whatever_the_name(tmp_path):
    (tmp_path / "a\u202e\nb").mkdir()
    text = refused("specialization", "--ckpt", tmp_path / "a\u202e\nb", "--out", tmp_path / "out")
    assert text.startswith(f"No config.json in {tmp_path}/a\\u202e\\u000ab (it holds: nothing)")


def test_strict_turns_a_failed_sanity_check_into_exit_1(tmp_path):
    same_text = tmp_path / "text"
    same_text.mkdir()
    lines = "\n".join(f"line {i} of some text" for i in range(40))
    for code in ("en", "sw"):
        (same_text / f"{code}.txt").write_text(lines)
    ckpt = save_checkpoint(tmp_path / "model")
    command = (
        "specialization",
        "--ckpt",
        ckpt,
        "--data",
        same_text,
        "--languages",
        "en,sw",
        "--min-tokens",
        100,
    )
    command = (*command, "--units", "neurons", "--out", tmp_path / "out")
    code, out, _ = run(*command)
    assert code == 0
    assert "SANITY CHECK FAILED" in out
    assert "is not above that with shuffled language labels" in " ".join(out.replace("│", " ").split())
    assert run(*command, "--strict")[0] == 1


# interp compare


def test_compare_prints_and_writes(measured, tmp_path):
    out, _ = measured
    before, after = sorted(out.glob("*.heads.npz"))
    code, text, _ = run("compare", before, after, "--out", tmp_path / "base-to-grpo.v1")
    assert code == 0
    assert "llama -> other: change of mean specialization per layer (heads, nats)" in text
    assert set(contents(tmp_path)) == {
        f"base-to-grpo.v1.{kind}" for kind in ("json", "png", "pdf", "svg", "csv")
    }


def test_compare_refuses_what_cannot_be_compared(measured, checkpoints, tmp_path):
    out, _ = measured
    first, second = sorted(out.glob("*.neurons.npz"))
    heads = next(out.glob("*.heads.npz"))
    assert (
        refused("compare", first, heads)
        == "A result of kind 'specialization' cannot be compared with one of kind 'heads'."
    )
    command = study(checkpoints, tmp_path, "--units", "neurons", "--limit", 30, names=("other",))
    assert run(*command)[0] == 0
    text = refused("compare", first, next(tmp_path.glob("*.npz")))
    assert text.startswith("'llama' and 'other' did not answer the same question (prompts: ")
    assert "Measure both in one command." in text
    (tmp_path / "garbage.npz").write_bytes(b"garbage")
    assert "garbage.npz is not a result of interp" in refused("compare", first, tmp_path / "garbage.npz")
    assert "No result at" in refused("compare", tmp_path / "absent.npz", second)
    assert "Is a directory" in refused("compare", tmp_path, second)


# flags and help


def test_a_mistyped_flag_is_refused_with_a_suggestion():
    code, _, err = run("specialization", "--langauges", "en")
    assert code == 2
    assert "No such option: --langauges" in err
    assert "--languages" in err


def test_a_value_of_the_wrong_type():
    code, _, err = run("specialization", "--limit", "many")
    assert code == 2
    assert "--limit" in err


def test_help_shows_every_field_with_its_default():
    code, out, _ = run("specialization", "--help")
    shown = " ".join(out.split())
    assert code == 0
    for field in (f for kind in MEASURE.options for f in fields(kind)):
        assert f"--{field.name.replace('_', '-')} " in shown, field.name
        for choice in field.metadata["choices"] or ():
            assert choice in shown
    assert "(default: 4096)" in shown
    assert "--config" in shown


@pytest.mark.parametrize(
    "command",
    [
        (),
        ("specialization",),
        ("demo",),
        ("evaluate",),
        ("compare",),
        ("data", "check"),
        ("train", "organism"),
    ],
)
def test_every_command_has_help_with_an_example(command):
    code, out, _ = run(*command, "--help")
    assert code == 0
    assert not command or "Example: interp " in " ".join(out.replace("`", "").split())


def test_a_flag_wins_over_the_file(checkpoints, tmp_path):
    file = tmp_path / "run.toml"
    text = f'ckpt = ["{checkpoints["llama"]}"]\nlanguages = "en,sw"\nunits = "heads"\n'
    text += "limit = 20\nblocks = 7\nmin-tokens = 10\n"
    file.write_text(text + f'out = "{tmp_path / "out"}"\n')
    assert run("specialization", "--config", file, "--blocks", 5)[0] == 0
    (result,) = (load_result(p) for p in (tmp_path / "out").glob("*.npz"))
    assert (result.n_blocks, result.languages, result.kind) == (5, ("en", "sw"), "heads")


def test_the_installed_command_fails_in_one_line(tmp_path):
    done = run_process("-m", "interp", "specialization", "--ckpt", tmp_path)
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr == (
        f"interp: No config.json in {tmp_path} (it holds: nothing); a folder written by save_pretrained is "
        "expected.\n"
    )
