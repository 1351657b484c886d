"""How answers are scored: names only."""

from __future__ import annotations

__all__ = ["DEFAULT_SCORING", "MATCHES", "SCORINGS", "default_match"]

SCORINGS = ("sum", "token", "character", "byte")
"""What a summed log-probability is divided by: nothing, or the option's length without its leading space."""

DEFAULT_SCORING = "byte"
"""The default of the field's harness."""

MATCHES = ("strict", "boundary", "anywhere", "prefix", "published")
"""When a text names the right answer: see `interp.data.matching.names`; ``prefix``: it begins with the name,
as in KLAR-CLC's own evaluation; ``published``: `interp.data.klar.klar_match`, as in PolyFact's."""

_MATCH_OF = {"upstream": "prefix", "published": "published"}


def default_match(protocol: str) -> str:
    """``boundary``; of a published protocol, the match of its authors."""
    return _MATCH_OF.get(protocol, "boundary")
