"""`interp lens` on tiny checkpoints: what it writes and prints, reuses, continues, compares and refuses."""

from __future__ import annotations

import shlex
import shutil

import numpy as np
import pandas as pd
import pytest

import interp.measure.lens.lens
import interp.model.loading
from interp.measure.lens.lens import LensReader
from interp.results import load_result
from tests.support.command import contents, refused, run, stopping

ASKED = ("--languages", "en,ru,ja", "--limit", 12, "--dtype", "float32")
TUNED = ("--tuned", "--tuned-positions", 400, "--tuned-steps", 3)


def lens(checkpoints, out, *more, names=("llama", "other"), asked=ASKED):
    chosen = [part for name in names for part in ("--ckpt", str(checkpoints[name]))]
    return ["lens", *chosen, *map(str, asked), "--out", str(out), *map(str, more)]


@pytest.fixture(scope="module")
def measured(checkpoints, tmp_path_factory):
    """A finished study of two checkpoints with a tuned lens, and what it printed; to read and to copy."""
    out = tmp_path_factory.mktemp("lens") / "out"
    code, text, _ = run(*lens(checkpoints, out, *TUNED))
    assert code == 0
    return out, text


@pytest.fixture
def copied(measured, tmp_path):
    return shutil.copytree(measured[0], tmp_path / "out")


# what it writes and prints


def test_two_checkpoints_write_results_and_comparisons(measured):
    out, text = measured
    one, other = sorted(p.name.removesuffix(".lens.npz") for p in out.glob("*.lens.npz"))
    assert (one, other) == ("llama", "other")
    pair = f"{one}-to-{other}"
    expected = {f"{stem}.{lens}.npz" for stem in (one, other) for lens in ("lens", "tuned-lens")}
    expected |= {"lens.csv", "mass.lens.csv", "tuned-lens.csv", "mass.tuned-lens.csv"}
    assert set(contents(out)) == expected | {
        f"{name}.{lens}.{kind}"
        for name, kinds in ((pair, ("json", "csv")), ("", ()))
        for lens in ("lens", "tuned-lens")
        for kind in kinds
    }
    for said in (
        "Prompts: facts (12 facts, prompt_format native)",
        "llama: logit lens, pivot en, 3 layers",
        "other: tuned lens, pivot en, 3 layers",
        "llama: KL(output || lens) on held-out text by layer (nats)",
        "takeover layer: first layer from which on",
        "(-1: the embedding)",
        f"{one} -> {other}: change\n",
        "95 % interval, paired over clusters (groups of facts)",
        f"{out / pair}.lens.json",
        "Note: llama: Fewer than 30 facts tell these languages from the pivot: en 12, ru 12, ja 12.",
        "At the output the answer has a probability below 0.01 in every language",
    ):
        assert said in text, said


def test_figures_need_no_model(copied, checkpoints, no_model):
    before = set(contents(copied))
    code, out, _ = run(*lens(checkpoints, copied, "--figure"))
    assert code == 0
    stems = ("lens", "mass.lens", "llama-to-other.lens")
    assert set(contents(copied)) - before == {
        f"{stem}.{kind}" for stem in stems for kind in ("png", "pdf", "svg")
    }
    assert {f"{stem}.csv" for stem in stems} <= before
    assert f"{copied}/mass.lens.png .pdf .svg .csv" in out
    written = pd.read_csv(copied / "lens.csv")
    row = written[(written.quantity == "probability") & (written.prompt == "ja") & (written.answer == "en")]
    saved = load_result(next(copied.glob("llama.lens.npz")))
    assert row.value[:4].tolist() == pytest.approx(saved.curve("ja", "en").mean(axis=0), rel=1e-5)


def test_what_is_written_is_what_is_measured(measured, checkpoints):
    out, _ = measured
    from interp.data.tasks import open_task
    from interp.measure.lens.lens import measure_lens
    from interp.model.checkpoints import resolve_checkpoint

    checkpoint = resolve_checkpoint(str(checkpoints["llama"]))
    loaded = interp.model.loading.open_checkpoint(checkpoint, dtype="float32", device="cpu")
    prompts = open_task("facts", ("en", "ru", "ja"), pivot="en", limit=12).prompts
    direct = measure_lens(loaded, prompts, pivot="en")
    saved = load_result(next(out.glob("llama.lens.npz")))
    for name, array in direct._arrays().items():
        assert np.array_equal(getattr(saved, name), array, equal_nan=array.dtype.kind == "f"), name
    assert saved.provenance.checkpoint == "llama"
    assert saved.provenance.run["spec"] == str(checkpoints["llama"])
    assert saved.provenance.settings | {"dtype": 0} == direct.provenance.settings | {"dtype": 0}
    tuned = load_result(next(out.glob("llama.tuned-lens.npz")))
    assert tuned.provenance.settings["lens"] == "tuned"
    kept = tuned.provenance.run["held_out_kl"]
    assert all(t <= p for t, p in zip(kept["tuned"], kept["plain"], strict=True))
    np.testing.assert_allclose(tuned.probability[:, :, -1], saved.probability[:, :, -1], rtol=1e-5)


@pytest.mark.parametrize("task", ["translation", "repetition", "cloze"])
def test_every_task_from_the_command(checkpoints, tmp_path, task):
    shots = 0 if task == "cloze" else 1  # bytes of Russian are many, and the context is 512
    options = ("--task", task, "--shots", shots, *(("--source", "ja") if task == "translation" else ()))
    code, out, _ = run(*lens(checkpoints, tmp_path, *options, names=("llama",)))
    assert code == 0
    assert f"Prompts: {task} (" in out
    result = load_result(next(tmp_path.glob("*.npz")))
    assert result.provenance.prompts == task
    assert f"{shots} demonstrations" in out or not shots
    if task == "translation":
        assert "ja to en, ja to ru, ru to ja" in out  # never from the pivot


@pytest.mark.parametrize(
    "changed",
    [
        ("--positions", "subject_last"),
        ("--tokens", "first"),
        ("--prompt-format", "none"),
        ("--split", "train"),
        ("--limit", "11"),
        ("--pivot", "ru"),
    ],
)
def test_every_flag_changes_the_numbers(measured, checkpoints, tmp_path, changed):
    assert run(*lens(checkpoints, tmp_path, *changed, names=("llama",)))[0] == 0
    other, one = (load_result(next(f.glob("*llama*.lens.npz"))) for f in (tmp_path, measured[0]))
    same = other.probability.shape == one.probability.shape and np.array_equal(
        other.probability, one.probability
    )
    if changed[0] == "--pivot":
        assert same
        assert other.pivot == "ru"
    elif changed[0] == "--tokens":  # byte tokens: the first is the only one that begins a word
        assert same
        assert other.provenance.settings["tokens"] == "first"
    else:
        assert not same


# reuse and interruption


def test_a_rerun_opens_no_model_and_says_the_same(measured, checkpoints, no_model):
    out, text = measured
    before = contents(out)
    code, again, _ = run(*lens(checkpoints, out, *TUNED))
    assert (code, again.split("Written or reused:")[0]) == (0, text.split("Written or reused:")[0])
    after = contents(out)
    assert {name for name in before if before[name] != after[name]} == set()


def test_another_pivot_opens_no_model(copied, checkpoints, no_model):
    code, out, _ = run(*lens(checkpoints, copied, "--pivot", "ja"))
    assert code == 0
    assert "logit lens, pivot ja" in out
    assert {load_result(p).pivot for p in copied.glob("*.lens.npz")} == {"ja"}
    assert {load_result(p).pivot for p in copied.glob("*.tuned-lens.npz")} == {"en"}  # it was not asked for


def test_changed_settings_are_refused_by_name(copied, checkpoints, no_model):
    before = contents(copied)
    for changed, said in [
        (("--languages", "en,ru"), "languages: en,ru,ja there, en,ru asked"),
        (("--limit", 11), "prompts: 12 facts, prompt_format native; 12 items there, 11 facts"),
        (("--positions", "subject_last"), "positions: last there, subject_last asked"),
        (("--tokens", "first"), "tokens: prefix there, first asked"),
        (("--dtype", "auto"), "dtype: float32 there, auto asked"),
        ((*TUNED, "--tuned-steps", 4), "tuned_steps: 3 there, 4 asked"),
        ((*TUNED, "--tuned-positions", 500), "tuned_positions: 400 there, 500 asked"),
        ((*TUNED, "--tuned-text", "cldr"), "tuned_on: "),
    ]:
        text = refused(*lens(checkpoints, copied, *changed))
        assert "answers another question (" in text
        assert said in text
        assert "Use --fresh to replace it, or another --out." in text
    assert contents(copied) == before
    assert contents(copied).keys()


def test_fresh_measures_again(copied, checkpoints):
    kept = next(copied.glob("*other*.lens.npz")).read_bytes()
    code, _, _ = run(*lens(checkpoints, copied, "--tokens", "first", "--fresh", names=("llama",)))
    assert code == 0
    assert load_result(next(copied.glob("llama.lens.npz"))).provenance.settings["tokens"] == "first"
    assert next(copied.glob("*other*.lens.npz")).read_bytes() == kept


def test_an_interrupted_run_continues_to_the_same_bits(measured, checkpoints, tmp_path):
    options = ("--batch-tokens", 400)
    with stopping(LensReader, 2):
        code, out, err = run(*lens(checkpoints, tmp_path, *options, names=("llama",)))
    line = err.splitlines()[-1]
    assert (code, out) == (130, "")
    assert line.startswith("interp: Stopped after 2 of ")
    (partial,) = tmp_path.iterdir()
    assert partial.name.endswith(".lens.partial")
    whole = tmp_path / "whole"
    assert run(*lens(checkpoints, whole, *options, names=("llama",)))[0] == 0
    assert run(*shlex.split(line.split("Resume with: interp ")[1]))[0] == 0
    assert not partial.exists()
    one, other = (load_result(next(f.glob("*.npz"))) for f in (whole, tmp_path))
    for name, array in one._arrays().items():
        assert np.array_equal(getattr(other, name), array, equal_nan=array.dtype.kind == "f"), name


def test_ctrl_c_while_the_tuned_lens_is_fitted(checkpoints, tmp_path, monkeypatch):
    import interp.measure.lens.tuned

    def stop(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(interp.measure.lens.tuned, "fit_tuned_lens", stop)
    code, _, err = run(*lens(checkpoints, tmp_path, *TUNED, names=("llama",)))
    assert code == 130
    assert err.splitlines()[-1].startswith("interp: Stopped. Resume with: interp lens --ckpt ")
    assert [p.name.split(".", 1)[1] for p in tmp_path.iterdir()] == ["lens.npz"]  # the plain one is done


def test_compare_needs_no_model(measured, no_model, tmp_path):
    files = sorted(measured[0].glob("*.lens.npz"))
    code, out, _ = run("compare", *files, "--out", tmp_path / "both")
    assert code == 0
    assert "pivot area ja" in out
    assert {file.suffix for file in tmp_path.glob("both*")} == {".json", ".png", ".pdf", ".svg", ".csv"}


def test_strict_ends_with_1_when_a_check_fails(measured, checkpoints, no_model):
    code, out, _ = run(*lens(checkpoints, measured[0], "--strict"))
    assert code == 1
    assert "SANITY CHECK FAILED" in out


# refusals


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--pivot", "de"), "The pivot 'de' is not one of the languages en ru ja."),
        (("--pivot", "jaa"), "is not one of the languages en ru ja. Did you mean 'ja' (Japanese)?"),
        (("--pivot", "english"), "Did you mean 'en' (English)?"),
        (
            ("--languages", "en"),
            "One language (en); a lens compares the pivot with at least one other language, so it needs at "
            "least 2.",
        ),
        (("--languages", "en,xx"), "Unknown language 'xx'"),
        (
            ("--task", "translatio"),
            "'task' is 'translatio'. Did you mean 'translation'? Choose from: facts, translation, ",
        ),
        (("--task", "translation", "--languages", "en,ru"), "needs a language to translate from, beside"),
        (("--source", "ja"), "'source' is 'ja', but only a translation has one; the task is 'facts'."),
        (("--task", "translation", "--source", "xx"), "Unknown language 'xx'"),
        (("--shots", "-1"), "'shots' is -1; a number of at least 0 is expected."),
        (("--limit", "-1"), "'limit' is -1"),
        (
            ("--positions", "subject"),
            "'positions' is 'subject'. Did you mean 'subject_last'? Choose from: last, subject_last.",
        ),
        (("--tokens", "all"), "'tokens' is 'all'. Choose from: prefix, first."),
        (
            ("--split", "tests"),
            "'split' is 'tests'. Did you mean 'test'? Choose from: all, train, validation, test.",
        ),
        (("--tuned-text", "cldr"), "'tuned_text' is 'cldr', but no tuned lens is asked for; add --tuned."),
        (("--tuned", "--tuned-steps", "0"), "'tuned_steps' is 0; a number of at least 1 is expected."),
        (
            ("--tuned", "--tuned-positions", "0"),
            "'tuned_positions' is 0; a number of at least 1 is expected.",
        ),
        (
            ("--task", "cloze", "--data", "klar:x"),
            "--task cloze asks of the embedded names; leave out --data",
        ),
        (("--tuned", "--tuned-text", "nowhere"), "'nowhere'"),
        (("--device", "gpu"), "No device 'gpu'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_refused_with_its_reason(checkpoints, tmp_path, options, text):
    assert text in refused(*lens(checkpoints, tmp_path / "out", *options, names=("llama",)))
    assert not list(tmp_path.rglob("*.npz"))


def test_no_checkpoint_and_the_same_twice(checkpoints, tmp_path):
    assert "No checkpoint: give --ckpt once or more" in refused("lens", "--out", tmp_path)
    text = refused(*lens(checkpoints, tmp_path, names=("llama", "llama")))
    assert text.endswith("are the same weights, byte for byte.")


def test_answers_that_no_token_set_separates(checkpoints, tmp_path):
    """Bytes of one script begin many words alike: of these facts, none tells Spanish from Portuguese."""
    names = ("--languages", "es,pt", "--pivot", "es", "--limit", 3, "--task", "repetition")
    text = refused(*lens(checkpoints, tmp_path, *names, names=("llama",)))
    assert text.startswith(
        "No token set separates 'pt' from 'es' in any of 3 items: the answers in 'pt' and 'es' "
    )
    assert text.endswith(
        "Leave out the language, or take other prompts or a narrower rule for tokens ('first')."
    )


def test_too_few_texts_for_a_tuned_lens(checkpoints, tmp_path):
    text = refused(*lens(checkpoints, tmp_path, *TUNED, "--limit", 2, names=("llama",)))
    assert (
        "are of 2 groups; 3 are needed, to fit on, to choose by and to report. Add texts, or positions."
        in text
    )


def test_a_question_that_is_longer_than_the_context(checkpoints, tmp_path):
    text = refused(*lens(checkpoints, tmp_path, "--shots", 12, names=("llama",)))
    assert "tokens, but the model's context is 512" in text


def test_a_damaged_result_is_named(copied, checkpoints, no_model):
    broken = next(copied.glob("*other*.lens.npz"))
    broken.write_bytes(broken.read_bytes()[:300])
    assert f"{broken} is not a result of interp, or is damaged" in refused(*lens(checkpoints, copied))


def test_help_explains_every_flag():
    code, out, _ = run("lens", "--help")
    assert code == 0
    for flag in ("--pivot", "--data", "--task", "--positions", "--tokens", "--tuned-text", "--strict"):
        assert flag in out
