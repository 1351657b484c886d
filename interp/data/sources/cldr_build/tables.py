"""The hand-written tables of public facts (``resources/cldr_tables.toml``)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True)
class Tables:
    """What CLDR does not hold, and what is left out.

    Attributes:
        subregion: Country to UN M49 sub-region; its keys are the members of the United Nations.
        continent: Country to continent, without those on two.
        capital: Country to the time zone that its capital names.
        also_in: Country to sub-regions that are no wrong answers for it.
        unnamed: Countries whose CLDR name cannot be used in a question.
        not_cities: Last parts of time zones that do not name one well-known city.
        not_on_continent: Last parts of time zones of cities that are not on their country's continent.
        no_official_language: Countries whose official language CLDR 47 does not settle.
        no_currency: Countries whose currency changed after CLDR 47.
        recent_currency: A currency that began in this year or later is left out.
        labels: Entity to language to the label that replaces CLDR's.
    """

    subregion: dict[str, str]
    continent: dict[str, str]
    capital: dict[str, str]
    also_in: dict[str, frozenset[str]]
    unnamed: frozenset[str]
    not_cities: frozenset[str]
    not_on_continent: frozenset[str]
    no_official_language: frozenset[str]
    no_currency: frozenset[str]
    recent_currency: int
    labels: dict[str, dict[str, str]]

    @property
    def countries(self) -> tuple[str, ...]:
        """The members of the United Nations, in alphabetical order."""
        return tuple(sorted(self.subregion))


def load_tables() -> Tables:
    """Read the tables."""
    file = resources.files("interp.data") / "resources" / "cldr_tables.toml"
    raw = tomllib.loads(file.read_text(encoding="utf-8"))
    excluded = raw["excluded"]
    subregion = _inverted(raw["subregions"])
    continent_of = _inverted(raw["continents"])
    on_two = set(excluded["transcontinental"].split())
    return Tables(
        subregion=subregion,
        continent={c: continent_of[region] for c, region in subregion.items() if c not in on_two},
        capital=raw["capitals"],
        also_in={
            c: frozenset(r for r, members in raw["also_in"].items() if c in members.split())
            for c in subregion
        },
        unnamed=frozenset(excluded["territories"].split()),
        not_cities=frozenset(name for names in raw["not_cities"].values() for name in names.split()),
        not_on_continent=frozenset(excluded["city_continent"].split()),
        no_official_language=frozenset(excluded["official_language"].split()),
        no_currency=frozenset(excluded["currency"].split()),
        recent_currency=excluded["recent_currency"],
        labels=raw["labels"],
    )


def _inverted(table: dict[str, str]) -> dict[str, str]:
    """Return word to key, of a table of keys to words."""
    return {word: key for key, words in table.items() for word in words.split()}
