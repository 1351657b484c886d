"""A measure's settings: one frozen object that a command builds, a measure takes and its result stores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from interp.config import check_options, to_plain

__all__ = ["Settings", "question"]


@dataclass(frozen=True)
class Settings:
    """What a user can choose of a measure, and what decides its numbers.

    A subclass declares its fields with `interp.config.option`: each is a flag of the command, a key of its
    TOML file, an argument of the measure, an entry of the result's provenance, and part of what two results
    must have in common. What changes no number (how a result is read, drawn or batched) does not belong here.

    Attributes:
        measure: Name of the measure, as in its results.

    Raises:
        ConfigError: A value is of the wrong kind, none of its choices, or out of range.
    """

    measure: ClassVar[str]

    def __post_init__(self) -> None:
        check_options(self)

    def stored(self) -> dict[str, Any]:
        """What provenance keeps: plain values of all fields, and the measure's name."""
        return {"measure": self.measure, **to_plain(self)}


def question(
    languages: tuple[str, ...], numerics: Mapping[str, str], settings: Mapping[str, Any], **context: Any
) -> dict[str, Any]:
    """Everything beside the prompts that decides the numbers of a measurement.

    Args:
        languages: In the order of the result's language axis.
        numerics: dtype and attention, as requested.
        settings: What `Settings.stored` gives.
        context: What comes from data, such as a digest of the facts.
    """
    return {"languages": list(languages), **numerics, **settings, **context}
