"""Classes of languages that accuracies are averaged over."""

from __future__ import annotations

from collections.abc import Sequence

from interp.data.languages.registry import LANGUAGES, POLYFACT_LANGUAGES

__all__ = ["language_classes"]


def language_classes(languages: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return name of a class to its languages among these; a class without one is absent."""
    known = {code: LANGUAGES[code] for code in languages if code in LANGUAGES}
    classes = {
        "high-resource": [code for code, record in known.items() if record.resource == "high"],
        "low-resource": [code for code, record in known.items() if record.resource == "low"],
        "PolyFact's": [code for code in known if code in POLYFACT_LANGUAGES],
        "not PolyFact's": [code for code in known if code not in POLYFACT_LANGUAGES],
    }
    return {name: tuple(codes) for name, codes in classes.items() if codes}
