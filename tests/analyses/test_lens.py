"""Studies of lenses: checked before a model is opened, reused piece by piece, compared with the first,
doubted aloud."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analyses.comparison import compare
from analyses.plan import Plan
from analyses.runner import Run
from analyses.runner import run as measured
from interp.errors import ConfigError, DataError, ResultError
from interp.results.lens import LensResult
from tests.support.command import models_opened
from tests.support.results.lens import lens_result, random_lens_result
from tests.support.runs import comparisons, only
from tests.support.tiny import save_checkpoint


@pytest.fixture
def config(checkpoints, tmp_path):
    return {
        "ckpt": (str(checkpoints["llama"]), str(checkpoints["other"])),
        "languages": "en,ru,ja",
        "limit": 6,
        "dtype": "float32",
        "out": tmp_path / "out",
    }


@pytest.fixture
def opened():
    """What is opened from now on."""
    with models_opened() as specs:
        yield specs


def test_each_later_checkpoint_is_compared_with_the_first(config, opened, tmp_path):
    third = str(save_checkpoint(tmp_path / "third", seed=2))
    study = measured("lens", **config)
    assert opened == list(config["ckpt"])
    more = measured("lens", **{**config, "ckpt": (*config["ckpt"], third)})
    assert opened == [*config["ckpt"], third]  # the others were there
    assert [len(only(more)), len(comparisons(more))] == [3, 2]
    first, _, last = only(more)
    expected = compare(first, last).to_frame()
    assert comparisons(more)[1].to_frame().equals(expected)
    assert comparisons(more)[1].names == (more.names[0], more.names[2])
    assert np.array_equal(only(study)[1].probability, only(more)[1].probability)
    assert not list(config["out"].glob("*.partial"))


def test_a_tuned_lens_joins_a_finished_plain_one(config, opened):
    one = {**config, "ckpt": config["ckpt"][:1]}
    measured("lens", **one)
    kept = {file: file.read_bytes() for file in config["out"].iterdir()}
    study = measured("lens", **{**one, "tuned": True, "tuned_positions": 300, "tuned_steps": 2})
    assert opened == [config["ckpt"][0]] * 2
    assert all(file.read_bytes() == content for file, content in kept.items())
    assert list(study.results) == ["lens", "tuned-lens"]
    tuned = study.results["tuned-lens"][0].provenance
    assert tuned.settings["tuned_on"] == tuned.prompts_digest
    assert tuned.run["tuned_positions_used"].keys() == {"fit", "choose", "report"}


def test_the_text_of_the_tuned_lens_is_the_users(config, tmp_path):
    folder = tmp_path / "text"
    folder.mkdir()
    for code in ("en", "ru", "ja"):
        lines = [f"{code} {i} {'abc' * (i % 5)}" for i in range(12)]
        (folder / f"{code}.txt").write_text("\n".join(lines))
    options = {"tuned": True, "tuned_positions": 300, "tuned_steps": 1}
    chosen = {**config, "ckpt": config["ckpt"][:1], "tuned_text": str(folder), **options}
    tuned = measured("lens", **chosen).results["tuned-lens"][0].provenance
    assert tuned.settings["tuned_on"] != tuned.prompts_digest
    with pytest.raises(ResultError, match="tuned_on: "):
        measured("lens", **{**chosen, "tuned_text": ""})


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"ckpt": ()}, ConfigError, "No checkpoint: give --ckpt once or more"),
        ({"languages": "ja"}, ConfigError, r"One language \(ja\); a lens compares"),
        ({"pivot": "sw"}, ConfigError, "The pivot 'sw' is not one of the languages en ru ja"),
        ({"shots": -1}, ConfigError, "'shots' is -1"),
        ({"source": "ja"}, ConfigError, "only a translation has one"),
        ({"tuned_text": "x"}, ConfigError, "no tuned lens is asked for"),
        (
            {"tuned": True, "tuned_positions": 0},
            ConfigError,
            "'tuned_positions' is 0; a number of at least 1 is expected",
        ),
        ({"tuned": True, "tuned_text": "nowhere"}, DataError, "'nowhere'"),
        ({"data": "nothing"}, DataError, "'nothing'"),
        ({"split": "tset"}, ConfigError, "'split' is 'tset'. Did you mean 'test'"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_everything_cheap_is_checked_before_a_checkpoint_is_looked_for(config, changes, error, text):
    wanted = {**config, "ckpt": ("nowhere/at-all",), **changes}
    with pytest.raises(error, match=text):
        measured("lens", **wanted)
    assert not config["out"].exists()


def _run(*results: LensResult) -> Run:
    return Run(("a", "b")[: len(results)], Plan(()), {"lens": list(results)})


def test_what_is_doubtful():
    sound = random_lens_result(40)
    assert _run(sound, sound).diagnostics() == []
    overlap = sound.overlap.copy()
    overlap[:11, [0, 1], [1, 0]] = True
    assert _run(replace(sound, overlap=overlap)).diagnostics() == [
        "a: Fewer than 30 facts tell these languages from the pivot: sw 29."
    ]
    partly = sound.probability.copy()
    partly[:, 1:, -1] = 0.001
    assert _run(replace(sound, probability=partly)).diagnostics() == []  # one language is enough
    silent = lens_result(np.full((40, 3, 4, 3), 0.004))
    (diagnostic,) = _run(sound, silent).diagnostics()
    assert diagnostic.startswith(
        "b: At the output the answer has a probability below 0.01 in every language, at most 0.0040."
    )
