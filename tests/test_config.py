"""Default < TOML < flag, and every way in which a configuration is refused."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from types import SimpleNamespace

import pytest

from interp.config import (
    CheckpointOptions,
    DataOptions,
    NumericOptions,
    OutputOptions,
    load_config,
    load_options,
    option,
    to_plain,
)
from interp.errors import ConfigError
from interp.results.settings.specialization import SpecializationSettings


@pytest.fixture
def toml(tmp_path):
    def write(text: str) -> Path:
        (tmp_path / "run.toml").write_text(text)
        return tmp_path / "run.toml"

    return write


KINDS = (CheckpointOptions, DataOptions, SpecializationSettings, NumericOptions, OutputOptions)


def load(toml=None, **flags) -> SimpleNamespace:
    """All options of a command, side by side."""
    return SimpleNamespace(
        **{k: v for each in load_options(KINDS, toml, flags) for k, v in vars(each).items()}
    )


def test_a_flag_wins_over_the_file_and_the_file_over_the_default(toml):
    file = toml('blocks = 6\nlimit = 10\nckpt = ["a", "b"]\nhead-items = 3\nfigure = true\nout = "there"')
    config = load(file, limit=20, units=None, figure=False)
    assert (config.blocks, config.limit, config.min_tokens) == (6, 20, 1000)
    assert (config.ckpt, config.head_items, config.figure, config.out) == (
        ("a", "b"),
        3,
        False,
        Path("there"),
    )
    assert config.units == "all"


def test_one_checkpoint_needs_no_list(toml):
    assert load(toml('ckpt = "a"')).ckpt == ("a",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("langauges = 'en'", "unknown key 'langauges'. Did you mean 'languages'\\? Choose from: ckpt, data,"),
        ("blocks = '8'", "'blocks' is '8'; a value of type int is expected"),
        ("blocks = 8.0", "'blocks' is 8.0; a value of type int is expected"),
        ("blocks = true", "'blocks' is True; a value of type int is expected"),
        ("figure = 1", "'figure' is 1; a value of type bool is expected"),
        ("languages = ['en']", r"'languages' is \['en'\]; a value of type str is expected"),
        ("ckpt = [1]", r"'ckpt' is \(1,\); a value of type tuple is expected"),
        ("out = 3", "'out' is 3; a value of type Path is expected"),
        ("limit = -1", "'limit' is -1; a number of at least 0 is expected"),
        (
            "units = 'neuron'",
            r"'units' is 'neuron'. Did you mean 'neurons'\? Choose from: neurons, heads, all",
        ),
        ("dtype = 'int4'", "'dtype' is 'int4'. Choose from: auto, float32, bfloat16, float16"),
        ("[table]\nblocks = 8", "unknown key 'table'"),
        ("blocks = ", "is not valid TOML"),
    ],
)
def test_a_file_is_refused_with_the_reason(toml, text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        load(toml(text))
    assert "run.toml" in str(caught.value)


def test_flags_are_checked_as_the_file_is():
    with pytest.raises(ConfigError, match=r"flags: 'mask' is 'soft'. Choose from: frozen, trained"):
        load(mask="soft")


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match=f"No configuration file at {tmp_path / 'none.toml'}"):
        load(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        load(tmp_path / "binary.toml")


def test_plain_values_go_back_in():
    config = load_options(KINDS, None, {"ckpt": ("a",), "out": Path("x"), "figure": True})
    plain = {name: value for each in config for name, value in to_plain(each).items()}
    assert (plain["ckpt"], plain["out"], plain["figure"]) == (["a"], "x", True)
    assert load_options(KINDS, None, plain) == config


def test_every_field_says_what_it_does():
    for field in (field for kind in KINDS for field in fields(kind)):
        assert len(field.metadata["help"]) > 10, field.name


def test_other_kinds_of_values():
    @dataclass(frozen=True)
    class Other:
        rate: float = option(0.5, "A rate.")
        note: str | None = option(None, "A note.")
        steps: tuple[int, ...] = option((1, 2), "Steps.")

    Other.__annotations__ = {"rate": float, "note": str | None, "steps": tuple[int, ...]}
    assert load_config(Other, None, {"rate": 2, "steps": [3]}) == Other(2.0, None, (3,))
    assert load_config(Other, None, {"note": "x"}).note == "x"
    with pytest.raises(ConfigError, match=r"'note' is 3; a value of type str \| None is expected"):
        load_config(Other, None, {"note": 3})


def test_a_key_in_two_spellings_is_refused(toml):
    with pytest.raises(ConfigError, match="'head_items' is given twice, as 'head_items' and 'head-items'"):
        load(toml("head_items = 3\nhead-items = 4"))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), -1e-9, 1.0, 0.0, 1e30])
def test_numbers_out_of_range_are_refused(value):
    @dataclass(frozen=True)
    class Other:
        share: float = option(0.5, "A share.", maximum=1, exclusive=True)

    Other.__annotations__ = {"share": float}
    with pytest.raises(ConfigError, match=r"'share' is .*; a number above 0 and below 1 is expected"):
        load_config(Other, None, {"share": value})


def test_settings_are_checked_however_they_are_made():
    with pytest.raises(ConfigError, match="'blocks' is 1; a number of at least 2"):
        SpecializationSettings(blocks=1)
