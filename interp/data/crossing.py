"""Options that change places between languages, which the names that two languages share give away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from interp.data.equality import plain

__all__ = ["crossed", "misplaced"]


def crossed(options: Mapping[str, Sequence[str]], right: int | None = None) -> str:
    """Return how two languages name the same two options in opposite places, or an empty string.

    One name in two places may be two entities that share it (Guinea); two names exchanged are not. Italian
    and German both have a Roma and a Berlin: where option 1 and 2 are Roma, Berlin in one and Berlin, Roma in
    the other, one of the languages has its options in another order than it says.

    Args:
        options: Per language, the names of the options in the order that is the same by their ids.
        right: Place of the right option, where the places of the others mean nothing.
    """
    if not misplaced(options):
        return ""
    places = {code: {plain(name): at for at, name in enumerate(names)} for code, names in options.items()}
    for one, other in combinations(options, 2):
        moved = {
            (places[one][name], places[other][name]) for name in places[one].keys() & places[other].keys()
        }
        for here, there in sorted(moved):
            if here != there and (there, here) in moved and right in (None, here, there):
                names = f"'{options[one][here]}' and '{options[one][there]}'"
                return f"{names} have changed places between '{one}' and '{other}'"
    return ""


def misplaced(options: Mapping[str, Sequence[str]]) -> str:
    """Return how one name is in different places in two languages, or an empty string."""
    first: dict[str, tuple[str, int]] = {}
    for code, names in options.items():
        for place, name in enumerate(names):
            other, there = first.setdefault(plain(name), (code, place))
            if there != place:
                return f"'{name}' is in place {place} in '{code}' and {there} in '{other}'"
    return ""
