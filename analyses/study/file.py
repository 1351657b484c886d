"""The study file: checkpoints or trainings, seeds, data, measures, in TOML; checked before anything runs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from interp.config import option, read_toml
from interp.config.base import load_config
from interp.errors import ConfigError, nearest
from interp.registry import registered_command

__all__ = ["ClaimOptions", "Entry", "Member", "Study", "Training", "read_study", "shipped_studies"]

_SECTIONS = ("name", "out", "checkpoints", "train", "shared", "measures", "claims")
_NAME = re.compile(r"[A-Za-z0-9][\w-]*")


@dataclass(frozen=True)
class ClaimOptions:
    """How changes become sentences; fixed in the file before results are read."""

    alpha: float = option(0.05, "Chance of one false claim in the whole study.", above=0, below=1)
    power: float = option(
        0.8,
        "Power at which the smallest effect that would have been found is given.",
        above=0,
        below=1,
    )
    smallest: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Training:
    """A method that the study trains before it measures.

    Attributes:
        method: Of `training.methods.METHODS`.
        parent: Name of a checkpoint of the study.
        options: Of the method's command, but ``model``, ``out`` and ``seed``.
    """

    method: str
    parent: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Member:
    """What is compared: one checkpoint, or several of one method that differ in their seed.

    Attributes:
        name: In tables and sentences.
        specs: One checkpoint per seed, each named.
        training: How they are made; None where they exist.
        seeds: Of the trainings.
    """

    name: str
    specs: tuple[str, ...]
    training: Training | None = None
    seeds: tuple[int, ...] = ()


@dataclass(frozen=True)
class Entry:
    """One measure of the study with its options.

    Attributes:
        name: In tables; the command's by default.
        command: Of `interp`.
        options: As the command's flags.
    """

    name: str
    command: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Study:
    """Everything that a study file says.

    Attributes:
        name: Of the study.
        file: Where it is written.
        out: Folder of its cells and reports.
        members: The first is what the others are compared with.
        entries: What is measured of each.
        claims: How changes become sentences.
    """

    name: str
    file: Path
    out: Path
    members: tuple[Member, ...]
    entries: tuple[Entry, ...]
    claims: ClaimOptions

    @property
    def reference(self) -> Member:
        """What the others are compared with."""
        return self.members[0]


def shipped_studies() -> dict[str, Path]:
    """The studies that come with the package, by name."""
    folder = Path(str(files("analyses"))) / "studies"
    return {file.stem: file for file in sorted(folder.glob("*.toml"))}


def read_study(file: str | Path, out: Path | None = None) -> Study:
    """Read a study file, or one that comes with the package by its name.

    Args:
        file: Path of a TOML file, or a name of `shipped_studies`.
        out: Folder of the study; by default what the file says, else ``study-NAME`` here.

    Raises:
        ConfigError: There is no such file, or a section, name, command or option in it is not usable.
    """
    path = _path_of(file)
    given = read_toml(path)
    for key in given:
        if key not in _SECTIONS:
            raise ConfigError(
                f"{path}: unknown key '{key}'.{nearest(key, _SECTIONS)} Choose from: {', '.join(_SECTIONS)}."
            )
    name = _text(given.get("name", path.stem), path, "name")
    _require_name(name, f"{path}: the study")
    folder = out or Path(_text(given.get("out", f"study-{name}"), path, "out"))
    members = _members(_table(given, "checkpoints", path), _table(given, "train", path), folder, path)
    return Study(
        name,
        path,
        folder,
        members,
        _entries(_table(given, "measures", path), _table(given, "shared", path), path),
        _claims(_table(given, "claims", path), path),
    )


def _path_of(file: str | Path) -> Path:
    shipped = shipped_studies()
    if str(file) in shipped and not Path(file).exists():
        return shipped[str(file)]
    if not Path(file).is_file():
        raise ConfigError(
            f"No study file '{file}'.{nearest(str(file), shipped)} Give a TOML file, or one that comes with "
            f"the package: {', '.join(shipped)}."
        )
    return Path(file)


def _members(checkpoints: dict[str, Any], train: dict[str, Any], out: Path, path: Path) -> tuple[Member, ...]:
    if not checkpoints:
        raise ConfigError(f'{path}: no [checkpoints]; at least one NAME = "PATH" is expected.')
    twice = checkpoints.keys() & train.keys()
    if twice:
        raise ConfigError(f"{path}: '{min(twice)}' stands in [checkpoints] and in [train]. Keep one.")
    known = [*checkpoints, *train]
    for name in known:
        _require_name(name, f"{path}: a checkpoint")
    members = [_existing(name, value, path) for name, value in checkpoints.items()]
    for number, (name, value) in enumerate(train.items(), len(checkpoints)):
        members.append(_trained(name, value, out, known[:number], path))
    return tuple(members)


def _existing(name: str, value: Any, path: Path) -> Member:
    specs = [value] if isinstance(value, str) else value
    if not isinstance(specs, list) or not specs or not all(isinstance(each, str) and each for each in specs):
        raise ConfigError(
            f"{path}, [checkpoints]: '{name}' is {value!r}; a folder or hub id is expected, or a list with "
            "one per seed."
        )
    return Member(name, _named(name, specs, path.parent))


def _named(name: str, specs: list[str], beside: Path) -> tuple[str, ...]:
    """Each checkpoint under its name; a folder may stand relative to the study file."""
    found = [
        str(beside / spec) if not Path(spec).exists() and (beside / spec).is_dir() else spec for spec in specs
    ]
    if len(found) == 1:
        return (f"{name}={found[0]}",)
    return tuple(f"{name}-{number}={spec}" for number, spec in enumerate(found, 1))


def _trained(name: str, value: Any, out: Path, known: list[str], path: Path) -> Member:
    from training.methods import METHODS

    where = f"{path}, [train.{name}]"
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: {value!r}; a table with 'method', 'parent' and 'seeds' is expected.")
    options = dict(value)
    method = options.pop("method", name)
    if method not in METHODS:
        raise ConfigError(
            f"{where}: unknown method '{method}'.{nearest(str(method), METHODS)} Choose from: "
            f"{', '.join(METHODS)}."
        )
    parent = options.pop("parent", known[0])
    if parent not in known:
        raise ConfigError(
            f"{where}: 'parent' is {parent!r}; a checkpoint that stands before it is expected: "
            f"{', '.join(known)}."
        )
    seeds = options.pop("seeds", [0])
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int and seed >= 0 for seed in seeds):
        raise ConfigError(f"{where}: 'seeds' is {seeds!r}; a list of whole numbers is expected.")
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"{where}: a seed stands twice in {seeds}.")
    for ours in ("model", "out", "seed", "fresh"):
        if ours in options:
            raise ConfigError(f"{where}: '{ours}' is set by the study. Remove it.")
    try:
        load_config(METHODS[method].config, None, options)
    except ConfigError as error:
        raise ConfigError(f"{where}: {str(error).removeprefix('flags: ')}") from None
    folders = [out / "train" / f"{name}-seed{seed}" / "final" for seed in seeds]
    labels = [name] if len(seeds) == 1 else [f"{name}-{seed}" for seed in seeds]
    specs = tuple(f"{label}={folder}" for label, folder in zip(labels, folders, strict=True))
    return Member(name, specs, Training(method, parent, options), tuple(seeds))


def _entries(measures: dict[str, Any], shared: dict[str, Any], path: Path) -> tuple[Entry, ...]:
    if not measures:
        raise ConfigError(
            f"{path}: no [measures.COMMAND]; at least one is expected, such as [measures.evaluate]."
        )
    return tuple(_entry(name, value, shared, path) for name, value in measures.items())


def _entry(name: str, value: Any, shared: dict[str, Any], path: Path) -> Entry:
    if not isinstance(value, dict):
        raise ConfigError(
            f"{path}, [measures.{name}]: {value!r}; a table of options is expected, which may be empty."
        )
    _require_name(name, f"{path}, [measures]: a measure")
    if name == "claims":
        raise ConfigError(
            f"{path}, [measures.claims]: the study's own files are called so. Name it otherwise."
        )
    own = dict(value)
    command = own.pop("command", name)
    try:
        registered_command(command)
    except ConfigError as error:
        raise ConfigError(f"{path}, [measures.{name}]: {error}") from None
    for ours in ("ckpt", "out", "fresh", "figure", "strict"):
        if ours in own or ours in shared:
            raise ConfigError(f"{path}, [measures.{name}]: '{ours}' is set by the study. Remove it.")
    return Entry(name, command, {**shared, **own})


def _claims(given: dict[str, Any], path: Path) -> ClaimOptions:
    smallest = given.pop("smallest", {})
    ok = isinstance(smallest, dict) and all(
        isinstance(each, (int, float)) and not isinstance(each, bool) and 0 < each < math.inf
        for each in smallest.values()
    )
    if not ok:
        raise ConfigError(
            f"{path}, [claims.smallest]: {smallest!r}; 'QUANTITY' = a number above 0 is expected."
        )
    try:
        options = load_config(ClaimOptions, None, given)
    except ConfigError as error:
        raise ConfigError(f"{path}, [claims]: {str(error).removeprefix('flags: ')}") from None
    return ClaimOptions(options.alpha, options.power, smallest)


def _table(given: dict[str, Any], key: str, path: Path) -> dict[str, Any]:
    value = given.get(key, {})
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: '{key}' is {value!r}; a table [{key}] is expected.")
    return dict(value)


def _require_name(name: str, what: str) -> None:
    """Names become parts of files' names."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{what} is named {name!r}; letters, digits, '-' and '_' are expected.")


def _text(value: Any, path: Path, key: str) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{path}: '{key}' is {value!r}; a text is expected.")
    return value
