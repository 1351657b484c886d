"""Exposure: which facts a controlled organism reads in which language, and the texts it reads.

English reads every fact of the train and validation splits; each other language reads a random share of them.
The facts of the test split are read in no language. A lexicon of aligned names reads every entity in every
pair of languages, so the organism can name in Swahili what it only knows in English.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

from interp.characters import visible
from interp.data.facts import FactSet
from interp.data.hashing import hash_uniform
from interp.data.languages import language
from interp.data.prompts import prompts_from_facts
from interp.errors import DataError
from training.organism.recipe import OrganismConfig

__all__ = [
    "HELD_OUT",
    "SEEN",
    "UNSEEN",
    "Exposure",
    "OrganismTexts",
    "exposure",
    "lexicon_text",
    "organism_texts",
]

SEEN, UNSEEN, HELD_OUT = "seen", "unseen", "held_out"


@dataclass(frozen=True)
class Exposure:
    """Which facts are read in which language.

    Attributes:
        anchor: The language that reads all facts that are read at all.
        seen: Language to the ids of the facts that are read in it.
        held_out: Ids of the facts that are read in no language.
    """

    anchor: str
    seen: Mapping[str, frozenset[str]]
    held_out: frozenset[str]

    def condition(self, fact_id: str, language: str) -> str:
        """Return ``seen`` (read in this language), ``unseen`` (read in others only) or ``held_out``."""
        if fact_id in self.held_out:
            return HELD_OUT
        return SEEN if fact_id in self.seen[language] else UNSEEN

    def conditions(self, facts: FactSet) -> Shaped[np.ndarray, "fact language"]:
        """Return the `condition` of every fact in every language of a set."""
        return np.array([[self.condition(fact.fact_id, code) for code in facts.languages] for fact in facts])


@dataclass(frozen=True)
class OrganismTexts:
    """Everything an organism reads.

    Attributes:
        facts: Questions with their answers, one text per fact and language that reads it.
        names: Per entity, its name in each language; a lexicon text aligns two of them.
    """

    facts: tuple[str, ...]
    names: tuple[Mapping[str, str], ...]

    def name_lines(self) -> list[str]:
        """Return every name after its language's label: one side of each possible lexicon text."""
        return [f"{language(code).endonym}: {name}" for names in self.names for code, name in names.items()]


def exposure(facts: FactSet, config: OrganismConfig) -> Exposure:
    """Decide which facts are read in which language.

    Whether a language reads a fact depends on the two names and ``exposure_seed`` alone, never on order or on
    the other facts; a larger ``share_seen`` reads a superset.

    Raises:
        DataError: No fact would be read.
    """
    held_out = frozenset(fact.fact_id for fact in facts if fact.split == config.held_out_split)
    readable = [fact.fact_id for fact in facts if fact.fact_id not in held_out]
    if not readable:
        raise DataError(
            f"All {len(facts)} facts of '{visible(facts.name)}' are in the split '{config.held_out_split}', "
            "which is held out, so there is nothing to read. Add facts of another split."
        )
    seen = {
        code: frozenset(fact_id for fact_id in readable if _reads(code, fact_id, config))
        for code in config.languages
    }
    return Exposure(config.anchor, seen, held_out)


def organism_texts(facts: FactSet, config: OrganismConfig) -> OrganismTexts:
    """Return the texts that an organism of this recipe reads, in the order of languages and facts.

    Raises:
        DataError: A fact lacks one of the languages, or no fact would be read.
    """
    facts = facts.filter(languages=config.languages)
    seen = exposure(facts, config).seen
    prompts = prompts_from_facts(facts).prompts
    read = [p.full_text for code in config.languages for p in prompts[code] if p.item_id in seen[code]]
    return OrganismTexts(tuple(read), tuple(facts.labels().values()))


def lexicon_text(names: Mapping[str, str], first: str, second: str) -> str:
    r"""Return the names of one entity in two languages, such as ``"English: Japan\nDeutsch: Japan"``."""
    return f"{language(first).endonym}: {names[first]}\n{language(second).endonym}: {names[second]}"


def _reads(code: str, fact_id: str, config: OrganismConfig) -> bool:
    if code == config.anchor:
        return True
    return hash_uniform("organism", str(config.exposure_seed), code, fact_id) < config.share_seen
