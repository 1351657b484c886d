"""Digests, and samples by hash: the same on every machine and in every version of Python."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


def digest_of(value: object) -> str:
    """Return the SHA-256 (hex) of a value as canonical JSON: sorted keys, ASCII, no spaces."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def hash_key(*parts: str) -> bytes:
    """Return the SHA-256 of some strings, as a sorting key that looks random and never changes."""
    return hashlib.sha256("|".join(parts).encode("utf-8", "surrogatepass")).digest()


def hash_uniform(*parts: str) -> float:
    """Return a number in (0, 1) that depends on nothing but the strings."""
    return (int.from_bytes(hash_key(*parts)[:6], "big") + 0.5) / 2**48


@dataclass(frozen=True)
class Sample:
    """A few facts of a source.

    Attributes:
        limit: How many.
        split: Of which split, or ``all``.
    """

    limit: int
    split: str = "all"


def sample_key(name: str) -> bytes:
    """Return what the items of a sample are the smallest by."""
    return hash_key("sample", name)


def hash_sample(items: Iterable[T], size: int, key: Callable[[T], str]) -> list[T]:
    """Return ``size`` items, the same ones whatever their order, in the order in which they came.

    A smaller sample is part of every larger one.
    """
    items = list(items)
    sampled = {key(item) for item in sorted(items, key=lambda item: sample_key(key(item)))[:size]}
    return [item for item in items if key(item) in sampled]
