"""Facts without words: relation, subject, object and the country that decides the split."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from interp.data.sources.cldr_build import babel_data
from interp.data.sources.cldr_build.tables import Tables


@dataclass(frozen=True)
class Triple:
    """One fact by identifiers.

    Attributes:
        relation: Which relation.
        subject: Entity identifier such as ``territory:AF``.
        object: Entity identifier of the right answer.
        country: ISO 3166 code of the country that the fact is about.
        also_true: Entities that must not be offered as wrong answers.
    """

    relation: str
    subject: str
    object: str
    country: str
    also_true: frozenset[str] = frozenset()

    @property
    def fact_id(self) -> str:
        """Identifier of the fact, such as ``cldr:capital:AF``."""
        return f"cldr:{self.relation}:{self.subject.split(':', 1)[-1]}"


def all_triples(tables: Tables) -> list[Triple]:
    """Return every raw fact, by relation and then in alphabetical order of the subjects."""
    cities = city_countries(tables)
    makers = (_capitals, _continents, _subregions, _currencies, _languages, _domains)
    triples = [triple for make in makers for triple in make(tables)]
    triples += _city_countries(cities)
    on_continent = {z: c for z, c in cities.items() if z.split("/")[-1] not in tables.not_on_continent}
    triples += _through_country("city_continent", on_continent, _continents(tables))
    for relation, of_country in (
        ("city_currency", _currencies(tables)),
        ("city_language", _languages(tables)),
    ):
        triples += _through_country(relation, cities, of_country)
    unnamed = {f"territory:{country}" for country in tables.unnamed}
    triples = [triple for triple in triples if not {triple.subject, triple.object} & unnamed]
    return sorted(triples, key=lambda triple: (triple.relation, triple.subject))


def city_countries(tables: Tables) -> dict[str, str]:
    """Return time zone to country, for the zones that name one well-known city."""
    return {
        zone: country
        for country in tables.countries
        for zone in babel_data.zones_of(country)
        if "/" in zone and zone.split("/")[-1] not in tables.not_cities
    }


def _capitals(tables: Tables) -> Iterator[Triple]:
    for country, zone in tables.capital.items():
        yield Triple("capital", f"territory:{country}", f"city:{zone}", country)


def _continents(tables: Tables) -> Iterator[Triple]:
    for country, continent in tables.continent.items():
        yield Triple("country_continent", f"territory:{country}", f"region:{continent}", country)


def _subregions(tables: Tables) -> Iterator[Triple]:
    for country, region in tables.subregion.items():
        also_in = frozenset(f"region:{other}" for other in tables.also_in[country])
        yield Triple("country_subregion", f"territory:{country}", f"region:{region}", country, also_in)


def _currencies(tables: Tables) -> Iterator[Triple]:
    for country in tables.countries:
        current = babel_data.current_currencies(country)
        settled = len(current) == 1 and max(current.values()) < tables.recent_currency
        if settled and country not in tables.no_currency:
            yield Triple(
                "country_currency", f"territory:{country}", f"currency:{next(iter(current))}", country
            )


def _languages(tables: Tables) -> Iterator[Triple]:
    for country in tables.countries:
        official = babel_data.official_languages(country)
        if len(official) != 1 or "_" in official[0] or country in tables.no_official_language:
            continue
        spoken = frozenset(f"language:{code}" for code in babel_data.spoken_languages(country))
        yield Triple("country_language", f"territory:{country}", f"language:{official[0]}", country, spoken)


def _domains(tables: Tables) -> Iterator[Triple]:
    for country in tables.countries:
        domain = "uk" if country == "GB" else country.lower()
        yield Triple("tld_country", f"tld:.{domain}", f"territory:{country}", country)


def _city_countries(cities: dict[str, str]) -> Iterator[Triple]:
    for zone, country in cities.items():
        yield Triple("city_country", f"city:{zone}", f"territory:{country}", country)


def _through_country(relation: str, cities: dict[str, str], triples: Iterator[Triple]) -> Iterator[Triple]:
    """Ask of a city what is known of its country."""
    by_country = {triple.country: triple for triple in triples}
    for zone, country in cities.items():
        if country in by_country:
            known = by_country[country]
            yield Triple(relation, f"city:{zone}", known.object, country, known.also_true)
