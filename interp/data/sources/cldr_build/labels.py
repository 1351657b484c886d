"""The name of an entity in each language, as CLDR has it, cleaned."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from interp.characters import is_control
from interp.data.languages import EMBEDDED_LANGUAGES, language
from interp.data.sources.cldr_build import babel_data
from interp.data.sources.cldr_build.tables import Tables

_KINDS = {
    "territory": "territories",
    "region": "territories",
    "language": "languages",
    "currency": "currency_names",
}
_PARENTHESIS = re.compile(r"\s*[(（\[].*?[)）\]]")


@dataclass(frozen=True)
class Labels:
    """The names of one entity.

    Attributes:
        text: Language to name; a language without one is absent.
        by_rule: Languages in which the name of a city is not in CLDR but follows its rule for Latin scripts:
            the English spelling.
    """

    text: dict[str, str]
    by_rule: tuple[str, ...] = ()


def entity_labels(entities: Iterable[str], tables: Tables) -> dict[str, Labels]:
    """Return the labels of entities such as ``territory:AF`` or ``city:Asia/Kabul``."""
    return {entity: _labels(entity, tables.labels.get(entity, {})) for entity in sorted(set(entities))}


def _labels(entity: str, overrides: dict[str, str]) -> Labels:
    kind, key = entity.split(":", 1)
    if kind == "tld":
        return Labels(dict.fromkeys(EMBEDDED_LANGUAGES, key))
    if kind == "city":
        return _city_labels(key, overrides)
    raw = {code: babel_data.names(code, _KINDS[kind]).get(key) for code in EMBEDDED_LANGUAGES}
    raw.update(overrides)
    # The francs of BCEAO and BEAC differ only in the parenthesis.
    keep_parenthesis = kind == "currency"
    return Labels({code: clean(name, keep_parenthesis) for code, name in raw.items() if name})


def _city_labels(zone: str, overrides: dict[str, str]) -> Labels:
    names = {code: overrides.get(code) or babel_data.zone_city(code, zone) for code in EMBEDDED_LANGUAGES}
    rule = names["en"] or zone.split("/")[-1].replace("_", " ")
    by_rule = tuple(code for code, name in names.items() if not name and language(code).script == "Latn")
    names.update(dict.fromkeys(by_rule, rule))
    return Labels({code: clean(name) for code, name in names.items() if name}, by_rule)


def clean(name: str, keep_parenthesis: bool = False) -> str:
    """Return a name in NFC, without controls and, by default, without parentheses: "Myanmar (Burma)"."""
    name = "".join(character for character in unicodedata.normalize("NFC", name) if not is_control(character))
    if not keep_parenthesis:
        name = _PARENTHESIS.sub("", name)
    return " ".join(name.split())
