"""Saved results of earlier schemas under today's names; no number is touched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["SCHEMA", "current"]

SCHEMA = 2
"""2: American spelling, and the words of the field (`prompt_format`)."""

_KINDS = {"behaviour": "behavior"}
_SETTINGS = {"scaffold": "prompt_format", "position": "positions", "span": "positions"}
_VALUES = {"rule": {"specialised": "specialized"}}
_FIELDS = {
    "ablation": {"rule": {"specialised": "specialized"}},
    "probe": {"offsets": {"centred": "centered"}},
}


def current(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return a description as this version would write it; one of this version is returned as it is.

    Args:
        meta: With a valid schema, and a text as kind; nothing else of it is known.
    """
    if meta.get("schema") != 1:
        return dict(meta)
    kind = _KINDS.get(meta["kind"], meta["kind"])
    values = _FIELDS.get(str(kind), {})
    fields = {name: _translated(values, name, value) for name, value in meta.items()}
    provenance = meta.get("provenance")
    if isinstance(provenance, Mapping) and isinstance(provenance.get("settings"), Mapping):
        fields["provenance"] = {**provenance, "settings": _settings(provenance["settings"])}
    return {**fields, "kind": kind, "schema": SCHEMA}


def _settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {_SETTINGS.get(name, name): _translated(_VALUES, name, value) for name, value in settings.items()}


def _translated(tables: Mapping[str, Mapping[str, str]], name: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_translated(tables, name, each) for each in value]
    return tables.get(name, {}).get(value, value) if isinstance(value, str) else value
