"""Studies: what a file may say, cells that are reused, resumed and noted when they fail, and claims."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from analyses.study import running
from analyses.study.cells import failure_file, plan_study
from analyses.study.claims import claims_of
from analyses.study.effects import Effect, Effects, _family
from analyses.study.file import ClaimOptions, read_study
from analyses.study.record import read_record
from analyses.study.running import run_study
from figures.study.latex import latex_text
from figures.study.writing import write_report
from interp.errors import ConfigError, MeasurementError, ResultError
from interp.results import load_result
from interp.stats import paired_difference
from tests.support.command import models_opened, no_model, refused, run

FILE = """
name = "tiny"
[checkpoints]
base = "{llama}"
other = "{other}"
[shared]
languages = "en,sw,ja"
limit = 24
dtype = "float32"
[measures.evaluate]
[measures.specialization]
units = "neurons"
min_tokens = 100
blocks = 4
"""


@pytest.fixture
def file(checkpoints, tmp_path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(FILE.format(**checkpoints))
    return path


@pytest.fixture(scope="module")
def finished(checkpoints, tmp_path_factory) -> Path:
    """The folder of a study that was run, to read."""
    folder = tmp_path_factory.mktemp("finished")
    path = folder / "tiny.toml"
    path.write_text(FILE.format(**checkpoints))
    code, out, error = run("study", "run", path, "--out", folder / "out")
    assert code == 0, error
    assert "tiny: 4 cells, 4 done" in out
    return folder / "out"


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ('name = "tiny"', 'nam = "tiny"', "unknown key 'nam'. Did you mean 'name'?"),
        ('name = "tiny"', 'name = "../x"', "the study is named '../x'; letters, digits"),
        ("[measures.evaluate]", '[measures.claims]\ncommand = "evaluate"', "the study's own files"),
        ("base = ", '"../x" = ', "a checkpoint is named '../x'"),
        ("[measures.evaluate]", '[measures."../../x"]\ncommand = "evaluate"', "a measure is named '../../x'"),
        ("[measures.evaluate]", "[measures.evalute]", "Did you mean 'evaluate'?"),
        ("limit = 24", "limits = 24", "unknown key 'limits'. Did you mean 'limit'?"),
        ("limit = 24", "limit = -1", "'limit' is -1; a number of at least 0 is expected"),
        ("limit = 24", "ckpt = 'x'", "'ckpt' is set by the study"),
        ("en,sw,ja", "en,swahili", "sw"),
        ("blocks = 4", "blocks = 2", "[measures.specialization]: 'blocks' is 2"),
        ('other = "', 'other = "nowhere/', "nowhere"),
        ('other = "', 'other = ["", "x"]\nthird = "', "a list with one per seed"),
        ("[shared]", "[train.x]\nmethod = 'srt'\n[shared]", "Did you mean 'sft'?"),
        ("[shared]", "[train.x]\nmethod = 'sft'\nparent = 'y'\n[shared]", "stands before it"),
        ("[shared]", "[train.x]\nmethod = 'sft'\nseeds = [1, 1]\n[shared]", "a seed stands twice"),
        ("[shared]", "[train.x]\nmethod = 'sft'\nlr = 'much'\n[shared]", "'lr' is 'much'"),
        ("[shared]", "[claims]\nalpha = 2\n[shared]", "'alpha' is 2"),
        ("[shared]", "[claims.smallest]\naccuracy = -1\n[shared]", "a number above 0"),
    ],
)
def test_what_a_file_may_not_say(file, tmp_path, old, new, text):
    content = file.read_text()
    assert old in content
    file.write_text(content.replace(old, new))
    with no_model():
        message = refused("study", "plan", file, "--out", tmp_path / "out")
    assert text in message
    assert not (tmp_path / "out").exists()


def test_no_file(tmp_path):
    assert "No study file 'dem'. Did you mean 'demo'?" in refused("study", "run", "dem")
    assert "No study in" in refused("study", "report", tmp_path)


def written(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def test_a_second_run_opens_no_model_and_writes_the_same_bytes(finished):
    before = written(finished)
    with no_model():
        code, out, _ = run("study", "run", finished.parent / "tiny.toml", "--out", finished)
    assert code == 0
    assert "4 done" in out
    assert written(finished) == before


def test_each_model_is_opened_once(file, tmp_path):
    with models_opened() as names:
        run_study(read_study(file, tmp_path / "out"))
    assert len(names) == 2


def test_a_checkpoint_may_stand_beside_the_study_file(checkpoints, tmp_path):
    (tmp_path / "model").symlink_to(checkpoints["llama"])
    file = tmp_path / "beside.toml"
    file.write_text('[checkpoints]\nbase = "model"\n[measures.evaluate]\n')
    (member,) = read_study(file).members
    assert member.specs == (f"base={tmp_path / 'model'}",)


def test_changed_settings_are_other_cells(finished, tmp_path):
    file = finished.parent / "changed.toml"
    text = (finished.parent / "tiny.toml").read_text()
    file.write_text(text.replace("blocks = 4", "blocks = 6"))
    states = plan_study(read_study(file, finished)).record().counts()
    assert states == {"done": 2, "waiting": 2}  # evaluate is not asked anew


def test_a_failed_cell_is_noted_and_tried_again_when_asked(file, tmp_path, monkeypatch):
    study, run_cell, broken = read_study(file, tmp_path / "out"), running.run_cell, [True]

    def failing(cell, *rest):
        if broken[0] and cell.part.suffix == "neurons" and cell.checkpoint.name == "other":
            raise MeasurementError("no such luck")
        return run_cell(cell, *rest)

    monkeypatch.setattr(running, "run_cell", failing)
    record = run_study(study)
    assert record.counts() == {"done": 3, "failed": 1}
    (failed,) = [cell for cell in record.cells if cell.state == "failed"]
    assert (failed.label, failed.reason) == ("other: specialization (neurons)", "no such luck")
    _, claims = write_report(record, study.out)
    assert {claim.effect.measure for claim in claims} == {"evaluate"}
    assert "not done: other: specialization (neurons)" in (study.out / "report.html").read_text()
    broken[0] = False
    assert run_study(study).counts() == {"done": 3, "failed": 1}  # not unless asked
    record = run_study(study, retry=True)
    assert record.counts() == {"done": 4}
    assert not failure_file(study.out / failed.file).exists()


def test_every_number_of_a_claim_is_in_a_file_whose_digest_it_names(finished):
    with (finished / "claims.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 4  # accuracy, right in all languages, RankC, neurons
    for row in rows:
        files = [finished / name for name in row["files"].split()]
        assert [hashlib.sha256(f.read_bytes()).hexdigest() for f in files] == row["digests"].split()
        before, after = map(load_result, files)
        if row["measure"] == "evaluate":
            values = [r.quantities(scoring="auto")[row["quantity"]] for r in (before, after)]
            found = paired_difference(
                values[1], values[0], before.clusters("group"), share=before.is_share(row["quantity"])
            )
            assert float(row["change"]) == pytest.approx(found.estimate)
            assert float(row["low"]) == pytest.approx(found.low)
        else:
            change = after.overall - before.overall
            assert float(row["change"]) == pytest.approx(float(change.value))
            assert float(row["low"]) == pytest.approx(float(change.interval()[0]))


def test_the_correction_is_over_everything_that_was_compared(finished):
    with (finished / "effects.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    headlines = [row for row in rows if row["headline"]]
    details = [row for row in rows if not row["headline"]]
    assert len(headlines) == 4
    assert len(details) > 5  # quantities of languages, and layers
    sides = [(2 * len(side) * float(row["p"]), row) for side in (headlines, details) for row in side]
    expected, least = min(sides, key=lambda pair: pair[0])  # each side has one half of the error rate
    assert float(least["adjusted_p"]) == pytest.approx(min(1.0, expected))


class _Reader(HTMLParser):
    """Scripts, addresses and ids of a page."""

    def __init__(self):
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        given = dict(attrs)
        self.ids += [given["id"]] if "id" in given else []
        self.addresses += [given[key] for key in ("src", "href", "xlink:href") if given.get(key)]


def test_the_report_is_one_file_that_asks_for_nothing(finished):
    text = (finished / "report.html").read_text()
    page = _Reader()
    page.feed(text)
    assert len(text) < 3_000_000
    assert all(address.startswith(("#", "data:")) for address in page.addresses)
    assert {a[1:] for a in page.addresses if a.startswith("#s-")} <= set(page.ids)
    assert page.tags.count("svg") == page.tags.count("figure") >= 3


def test_texts_from_data_stay_text(finished):
    record = read_record(finished)
    name = "<script>alert(1)</script>"
    saved = json.loads((finished / "study.json").read_text())
    saved["name"] = name
    folder = finished.parent / "copy"
    folder.mkdir()
    shutil.copytree(finished / "cells", folder / "cells")
    (folder / "study.json").write_text(json.dumps(saved))
    write_report(read_record(folder), folder)
    assert name not in (folder / "report.html").read_text()
    assert "&lt;script&gt;" in (folder / "report.html").read_text()
    assert record.name == "tiny"


def test_a_damaged_record_is_refused(tmp_path):
    for text in ("{", "[]", '{"schema": 2}', '{"schema": 1, "name": 3}'):
        (tmp_path / "study.json").write_text(text)
        with pytest.raises(ResultError, match=r"study\.json"):
            read_record(tmp_path)


def test_a_record_reads_no_file_outside_of_its_folder(finished, tmp_path):
    saved = json.loads((finished / "study.json").read_text())
    saved["cells"][0]["file"] = "../../secret.npz"
    (tmp_path / "study.json").write_text(json.dumps(saved))
    with pytest.raises(ResultError, match=r"'\.\./\.\./secret\.npz', outside the study's folder"):
        read_record(tmp_path)


def test_the_report_needs_no_torch(finished):
    code = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('torch', 'transformers'): raise ImportError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from pathlib import Path\nfrom analyses.study.record import read_record\n"
        "from figures.study import write_report\n"
        f"out = Path({str(finished)!r})\nwrite_report(read_record(out), out)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr


def test_special_characters_of_latex():
    assert latex_text("50 % of a_b & c#{x} ~ ^ \\") == (
        r"50 \% of a\_b \& c\#\{x\} \textasciitilde{} \textasciicircum{} \textbackslash{}"
    )


def test_tables_of_latex_are_balanced(finished):
    for file in (finished / "tables").glob("*.tex"):
        text = file.read_text()
        columns = text[text.index(r"\begin{tabular}{") :].split("{")[2].split("}")[0]
        body = text[text.index(r"\toprule") : text.index(r"\bottomrule")].splitlines()
        rows = [line for line in body if line.endswith(r"\\")]
        assert rows, file
        assert {row.replace(r"\&", "").count("&") + 1 for row in rows} == {len(columns)}, file


def effect(change=0.1, error=0.01, p=1e-6, seeds=(np.nan, np.nan), n_seeds=1, floor=np.nan) -> Effect:
    return Effect(
        "evaluate",
        "behavior",
        "grpo",
        "accuracy",
        "accuracy",
        100,
        50,
        n_seeds,
        0.5,
        0.5 + change,
        change,
        change - 2 * error,
        change + 2 * error,
        *seeds,
        floor,
        p,
        error,
        49.0,
        ("a", "b"),
        p,
    )


@pytest.mark.parametrize(
    ("given", "smallest", "verdict", "word"),
    [
        ({}, None, "supported", "The checkpoint grpo raised accuracy by 0.1"),
        ({"change": -0.1}, None, "supported", "lowered"),
        ({"p": 0.06}, None, "undecided", "is not shown"),
        ({"floor": 0.2}, None, "undecided", "is not shown"),
        ({"p": float("nan")}, None, "undecided", "is not shown"),
        ({"n_seeds": 3, "seeds": (0.05, 0.2)}, None, "supported", "grpo raised accuracy by 0.1 over 3 seeds"),
        ({"n_seeds": 3, "seeds": (-0.05, 0.2)}, None, "undecided", "is not shown"),
        ({"n_seeds": 2, "seeds": (-0.5, 0.7)}, None, "supported", "The checkpoints grpo raised"),
        ({"change": 0.001, "p": 0.9}, 0.05, "not supported", "smaller than the smallest of interest"),
        ({"change": 0.04, "p": 0.9}, 0.05, "undecided", "is not shown"),
    ],
)
def test_a_sentence_says_no_more_than_its_evidence(given, smallest, verdict, word):
    effects = Effects((effect(**given),), "1 change", 1, 0.05, {"a": "1", "b": "2"}, ())
    options = ClaimOptions(smallest={} if smallest is None else {"accuracy": smallest})
    (claim,) = claims_of(effects, options)
    assert claim.verdict == verdict
    assert word in claim.sentence
    assert claim.digests == ("1", "2")


def test_false_claims_of_null_studies_and_planted_effects():
    """200 studies of 4 members x 12 headlines: nothing planted, or an effect as large as the printed MDE."""
    rng = np.random.default_rng(0)
    false = found = 0
    for _ in range(200):
        values = rng.normal(size=(2, 5, 120, 12)) + rng.normal(size=(2, 5, 24, 12)).repeat(5, axis=2)
        clusters = (np.arange(120) // 5).tolist()
        effects = [_of(paired_difference(values[1, m], values[0, m], clusters), m) for m in range(4)]
        claims = _claims(effects)
        false += any(claim.verdict == "supported" for claim in claims)
        least = claims[0].mde
        shifted = paired_difference(values[1, 4] + least, values[0, 4], clusters)
        found += _claims([_of(shifted, 0), *effects[1:]])[0].verdict == "supported"
    assert false <= 0.05 * 200 + 3 * np.sqrt(200 * 0.05 * 0.95)
    assert found >= 0.8 * 200 - 3 * np.sqrt(200 * 0.8 * 0.2)


def _of(estimates, member: int) -> list[Effect]:
    parts = (estimates.estimate, estimates.low, estimates.high, estimates.p, estimates.standard_error)
    return [
        replace(
            effect(change, error, p),
            member=f"member{member}",
            quantity=f"q{i}",
            low=low,
            high=high,
            df=float(estimates.df[i]),
            files=(),
        )
        for i, (change, low, high, p, error) in enumerate(zip(*parts, strict=True))
    ]


def _claims(groups: list[list[Effect]]):
    flat = [each for group in groups for each in group]
    family = _family(flat, "all")
    corrected = [replace(e, adjusted_p=float(family.adjusted[str(i)][0])) for i, e in enumerate(flat)]
    level = float(family.levels["0"])
    return claims_of(Effects(tuple(corrected), "all", len(flat), level, {}, ()), ClaimOptions())


def test_seeds_are_averaged_and_their_spread_is_an_interval(checkpoints, tmp_path, save_seeds):
    file = tmp_path / "seeds.toml"
    listed = ", ".join(f'"{path}"' for path in save_seeds)
    text = FILE.format(**checkpoints).replace(f'other = "{checkpoints["other"]}"', f"other = [{listed}]")
    file.write_text(text)
    study = read_study(file, tmp_path / "out")
    record = run_study(study)
    assert record.members[1].checkpoints == ("other-1", "other-2", "other-3")
    _, claims = write_report(record, study.out)
    for claim in claims:
        each = claim.effect
        assert each.n_seeds == 3
        assert each.seeds_low < each.change < each.seeds_high
        assert len(each.files) == 4
    (neurons,) = [c.effect for c in claims if c.effect.part == "neurons"]
    base, *seeds = (load_result(study.out / name) for name in neurons.files)
    changes = [float((seed.overall - base.overall).value) for seed in seeds]
    assert neurons.change == pytest.approx(np.mean(changes))


@pytest.fixture
def save_seeds(tmp_path) -> list[Path]:
    from tests.support.tiny import save_checkpoint

    return [save_checkpoint(tmp_path / f"seed{seed}", seed=seed) for seed in (2, 3, 4)]


def _killed_worker(parent: int) -> bool:
    """Whether a worker was there to kill: a child of Parsl's pool of processes."""
    import psutil

    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(parent).children(recursive=True):
            if "process_worker_pool" in " ".join(child.cmdline()):
                for worker in child.children():
                    worker.send_signal(signal.SIGKILL)
                    return True
    return False


@pytest.mark.skipif(find_spec("parsl") is None, reason="needs parsl")
@pytest.mark.slow
def test_two_workers_one_killed_lose_nothing(finished, tmp_path):
    command = [sys.executable, "-m", "interp", "study", "run", str(finished.parent / "tiny.toml")]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path / "out"), "--on", "local:2"], stdout=subprocess.PIPE, text=True
    )
    while process.poll() is None and not _killed_worker(process.pid):
        time.sleep(0.2)
    out, _ = process.communicate(timeout=900)
    assert process.returncode == 0, out
    assert "4 done" in out

    def cells(folder: Path) -> dict[str, list[np.ndarray]]:
        files = sorted((folder / "cells").rglob("*.npz"))
        return {str(f.relative_to(folder)): list(load_result(f)._arrays().values()) for f in files}

    here, there = cells(finished), cells(tmp_path / "out")
    assert here.keys() == there.keys()
    for name in here:
        assert all(np.array_equal(a, b) for a, b in zip(here[name], there[name], strict=True))


@pytest.mark.parametrize("on", ["local:0", "local:x", "nowhere.toml"])
def test_where_cells_may_run(file, tmp_path, on):
    if find_spec("parsl") is None:
        pytest.skip("needs parsl")
    message = refused("study", "run", file, "--out", tmp_path / "out", "--on", on)
    assert on in message


def test_no_parsl(file, tmp_path, monkeypatch):
    monkeypatch.setattr("analyses.study.workers.find_spec", lambda name: None)
    message = refused("study", "run", file, "--out", tmp_path / "out", "--on", "local:2")
    assert "pip install 'interp[cluster]'" in message


def test_unknown_shared_options_are_refused(file):
    study = read_study(file)
    assert [entry.name for entry in study.entries] == ["evaluate", "specialization"]
    with pytest.raises(ConfigError, match="No study file"):
        read_study("nothing")
