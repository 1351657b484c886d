"""The errors a user can act on.

Every one says what was found, what was expected and what to do, with the values. On the command line each is
one line on stderr and the exit code of its class; in Python they are ordinary exceptions.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping


class InterpError(Exception):
    """Base of all errors that a user can act on."""

    exit_code = 2


class ConfigError(InterpError):
    """A flag, key or value of a configuration is not usable."""


class DataError(InterpError):
    """Facts, prompts or text are missing, malformed or not parallel."""


class CheckpointError(InterpError):
    """A checkpoint cannot be found, is damaged, or is not what it says it is."""


class CapabilityError(InterpError):
    """The architecture lacks what a measure needs."""


class MeasurementError(InterpError):
    """A pass over the prompts cannot give a number that could be trusted."""


class ResultError(InterpError):
    """A saved result cannot be read, reused or compared."""


class WriteError(InterpError):
    """A file cannot be written."""


class NoSpaceError(WriteError):
    """The disk is full, over quota or read-only (exit code 74, as sysexits.h EX_IOERR)."""

    exit_code = 74


class Interrupted(InterpError):
    """The user or the scheduler stopped the run; what is done is kept (exit code 130)."""

    exit_code = 130


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the closest known word, or an empty string."""
    names = list(known)
    longer = [name for name in names if len(word) > 2 and name.startswith(word)]
    match = longer if len(longer) == 1 else difflib.get_close_matches(word, names, n=1)
    return f" Did you mean '{match[0]}'?" if match else ""


def short(value: object, limit: int = 40) -> str:
    """A value for a message: lists joined, long ones (a digest, a path) cut."""
    text = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def unequal(saved: Mapping[str, object], requested: Mapping[str, object], limit: int = 40) -> str:
    """Where what is saved is not what is requested, for a message; empty if it is."""
    return "; ".join(
        f"{name}: {short(saved.get(name), limit)} there, {short(value, limit)} asked"
        for name, value in requested.items()
        if saved.get(name) != value
    )
