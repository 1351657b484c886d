"""The only file that touches Babel: names per language, and facts that need no language."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from types import ModuleType
from typing import Any

from interp.errors import DataError

LANGUAGE_SHARE_TRUE = 10.0
"""From this percentage of speakers on, a language is no wrong answer for the language of a country."""


def babel_core() -> ModuleType:
    """Return ``babel.core``.

    Raises:
        DataError: Babel is not installed.
    """
    try:
        import babel.core
    except ImportError as error:
        raise DataError(
            "Building the CLDR facts needs babel: pip install 'interp[data]'. Using the built ones does not."
        ) from error
    return babel.core


def cldr_version() -> str:
    """Return the version of CLDR inside the installed Babel, and Babel's own."""
    import babel

    return f"CLDR {babel_core().get_cldr_version()} via Babel {'.'.join(babel.__version__.split('.')[:2])}"


@cache
def names(language: str, kind: str) -> dict[str, Any]:
    """Return Babel's names of a kind (``territories``, ``languages``, ``currency_names``, ``time_zones``)."""
    return dict(babel_core().Locale.parse(language)._data[kind])


@cache
def _older_zone_ids() -> dict[str, list[str]]:
    """Return zone id to its aliases: territories have today's ids, names of cities stand under older ones."""
    older = defaultdict(list)
    for alias, zone in babel_core().get_global("zone_aliases").items():
        older[zone].append(alias)
    return older


def zone_city(language: str, zone: str) -> str | None:
    """Return CLDR's name of the city of a time zone, under any of the zone's ids."""
    known = names(language, "time_zones")
    ids = [zone, *sorted(_older_zone_ids().get(zone, []))]
    return next((known[each]["city"] for each in ids if known.get(each, {}).get("city")), None)


def zones_of(country: str) -> list[str]:
    """Return the time zones of a country."""
    return list(babel_core().get_global("territory_zones").get(country, []))


def current_currencies(country: str) -> dict[str, int]:
    """Return the currencies that are legal tender in a country today, with the year in which each began."""
    rows = babel_core().get_global("territory_currencies").get(country, [])
    return {code: (start[0] if start else 0) for code, start, end, tender in rows if end is None and tender}


def official_languages(country: str) -> list[str]:
    """Return the official and de facto official languages of a whole country."""
    rows = _languages_of(country).items()
    return [code for code, row in rows if row["official_status"] in ("official", "de_facto_official")]


def spoken_languages(country: str) -> frozenset[str]:
    """Return the languages with any official status or many speakers: none is a safe wrong answer."""
    rows = _languages_of(country).items()
    return frozenset(
        code.split("_")[0]
        for code, row in rows
        if row["official_status"] or (row["population_percent"] or 0) >= LANGUAGE_SHARE_TRUE
    )


def _languages_of(country: str) -> dict[str, dict[str, Any]]:
    return babel_core().get_global("territory_languages").get(country, {})
