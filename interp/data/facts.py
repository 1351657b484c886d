"""Facts: questions with one right answer among given options, the same in several languages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from interp.characters import visible
from interp.data.hashing import digest_of, hash_sample
from interp.data.languages import added_languages, as_languages, language
from interp.data.schema import SPLITS
from interp.data.wording import StoredWording, Wording
from interp.errors import DataError, nearest

__all__ = ["Fact", "FactSet", "Wording", "fact_columns", "fact_to_row", "row_to_fact"]


@dataclass(frozen=True)
class Fact:
    """One question with its options, by identifiers, and its wording per language.

    Attributes:
        fact_id: Unique in its set.
        relation: Between subject and answer, such as ``capital``.
        subject_id: What the question is about.
        object_id: The right answer; one of ``option_ids``.
        option_ids: The answers to choose from.
        split: ``train``, ``validation`` or ``test``.
        group: Facts of one group must stay together, in a split and in a block of a resampling. The subject
            when empty.
        wording: Language code to wording.
    """

    fact_id: str
    relation: str
    subject_id: str
    object_id: str
    option_ids: tuple[str, ...]
    split: str
    group: str = ""
    wording: Mapping[str, Wording] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.group:
            object.__setattr__(self, "group", self.subject_id)

    @property
    def answer_index(self) -> int:
        """The position of the right answer among the options, from 0."""
        return self.option_ids.index(self.object_id)

    def answer(self, language: str) -> str:
        """Return the right answer in one language."""
        return self.wording[language].options[self.answer_index]


@dataclass(frozen=True)
class FactSet:
    """Facts in an order, and the languages that they are worded in.

    A fact may lack a language; `filter` with that language then refuses, or keeps the common facts when asked
    to.

    Attributes:
        name: What the reader calls it.
        facts: In their order.
        languages: Codes, in their order.
        prompt_format: Words around the question: ``native``, ``english`` or ``none``; at first those of the
            authors.
        aligned: Whether option j of a fact is the same entity in every language. Where only the right answer
            is known to be, consistency is defined for right answers alone.
        note: What is missing or was assumed when it was read, for the reader.
        control: How the texts were transformed, see `interp.data.controls`; empty as they are written.
    """

    name: str
    facts: tuple[Fact, ...]
    languages: tuple[str, ...]
    prompt_format: str = "native"
    aligned: bool = True
    note: str = ""
    control: str = ""

    def __post_init__(self) -> None:
        twice = [
            fact_id for fact_id, count in Counter(fact.fact_id for fact in self.facts).items() if count > 1
        ]
        if twice:
            raise DataError(f"{len(twice)} fact ids appear more than once, first {visible(twice[0])!r}.")

    def __len__(self) -> int:
        return len(self.facts)

    def __iter__(self) -> Iterator[Fact]:
        return iter(self.facts)

    def __repr__(self) -> str:
        splits = Counter(fact.split for fact in self.facts)
        relations = Counter(fact.relation for fact in self.facts)
        return "\n".join(
            [
                f"FactSet '{visible(self.name)}': {len(self)} facts in {len(self.languages)} languages",
                f"  languages  {' '.join(self.languages)}",
                f"  splits     {', '.join(f'{split} {splits[split]}' for split in SPLITS if splits[split])}",
                f"  relations  {', '.join(f'{visible(name)} {count}' for name, count in relations.items())}",
            ]
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of every identifier and text; orders and the name do not count."""
        rows = sorted(
            (fact_to_row(fact, self.languages) for fact in self.facts), key=lambda row: row["fact_id"]
        )
        return digest_of({"languages": sorted(self.languages), "facts": rows})

    def split(self, name: str) -> FactSet:
        """Return the facts of one split."""
        return self.filter(splits=[name])

    def require_options(self) -> FactSet:
        """Return the facts, each of which has two options or more.

        Raises:
            DataError: Some have fewer; counts them, and names the first.
        """
        if few := [fact for fact in self.facts if len(fact.option_ids) < 2]:
            raise DataError(
                f"{len(few)} of {len(self)} facts of '{visible(self.name)}' have no options to choose from, "
                f"first '{visible(few[0].fact_id)}'. Ask them with interp evaluate --mode generate."
            )
        return self

    def answer_key(self) -> dict[str, Any]:
        """Return what a result of answers says of its facts, in their order."""
        return {
            "languages": self.languages,
            "fact_ids": tuple(fact.fact_id for fact in self.facts),
            "relations": tuple(fact.relation for fact in self.facts),
            "groups": tuple(fact.group for fact in self.facts),
            "splits": tuple(fact.split for fact in self.facts),
            "golds": tuple(tuple(fact.answer(code) for code in self.languages) for fact in self.facts),
        }

    def filter(
        self,
        *,
        relations: Collection[str] | None = None,
        splits: Collection[str] | None = None,
        languages: str | Collection[str] | None = None,
        limit: int | None = None,
        allow_missing: bool = False,
    ) -> FactSet:
        """Return the facts that meet every condition given, in this set's order.

        Args:
            relations: Keep these relations.
            splits: Keep these splits.
            languages: Keep these languages (codes, or a text such as ``en,sw``), in this order, and no other.
            limit: Keep this many facts, drawn by the hash of their ids: the same ones whatever the order of
                the file.
            allow_missing: Keep only facts that have all the languages, where the alternative is an error.

        Raises:
            DataError: Nothing is left, a name is unknown, the set lacks a language, or a fact lacks one and
                ``allow_missing`` is not set.
        """
        facts = _having(self.facts, "relation", relations)
        facts = _having(facts, "split", splits)
        codes = self.languages if languages is None else as_languages(languages)
        if languages is not None:
            facts = _worded_in(facts, codes, self, allow_missing)
        if limit is not None:
            if limit < 1:
                raise DataError(f"The limit is {limit} facts; 1 or more are expected.")
            facts = hash_sample(facts, limit, key=lambda fact: fact.fact_id)
        if not facts:
            raise DataError(f"No fact of '{visible(self.name)}' meets all the conditions at once.")
        return replace(self, facts=tuple(_restricted(fact, codes) for fact in facts), languages=codes)

    def with_prompt_format(self, prompt_format: str) -> FactSet:
        """Return the facts with other words around their questions; ``auto``: those of their authors."""
        return self if prompt_format == "auto" else replace(self, prompt_format=prompt_format)

    def labels(self) -> dict[str, dict[str, str]]:
        """Return the name of every subject and option per language: that of the first fact with it."""
        names: dict[str, dict[str, str]] = {}
        for fact in self.facts:
            for code, wording in fact.wording.items():
                names.setdefault(fact.subject_id, {}).setdefault(code, wording.subject)
                for option_id, option in zip(fact.option_ids, wording.options, strict=True):
                    names.setdefault(option_id, {}).setdefault(code, option)
        return names

    def save(self, path: str | Path) -> Path:
        """Write the facts as ``.jsonl`` or ``.parquet`` (see `interp.data.schema`), whole or not at all.

        Languages that users added are described in the file. It does not keep ``name``, ``prompt_format`` and
        ``note``. `interp.load_facts` refuses facts with one option, and questions of more than 2000
        characters.
        """
        from interp.data.files import write_rows

        aligned = {} if self.aligned else {"aligned": False}
        rows = [{**fact_to_row(fact, self.languages), **aligned} for fact in self.facts]
        return write_rows(path, rows, languages=added_languages(self.languages))


def fact_columns(fact: Fact) -> dict[str, Any]:
    """Return what a fact is in every language, as the plain values of a row."""
    return {
        "fact_id": fact.fact_id,
        "relation": fact.relation,
        "subject_id": fact.subject_id,
        "object_id": fact.object_id,
        "option_ids": list(fact.option_ids),
        "split": fact.split,
        "group": fact.group,
    }


def fact_to_row(fact: Fact, languages: Collection[str]) -> dict[str, Any]:
    """Return a fact as the plain values of one row of a fact file."""
    return {
        **fact_columns(fact),
        "wording": {
            code: {
                "question": fact.wording[code].question,
                "subject": fact.wording[code].subject,
                "options": list(fact.wording[code].options),
                **({"suffix": fact.wording[code].suffix} if fact.wording[code].suffix else {}),
                **({"aliases": list(fact.wording[code].aliases)} if fact.wording[code].aliases else {}),
            }
            for code in languages
            if code in fact.wording
        },
    }


def row_to_fact(row: Mapping[str, Any]) -> Fact:
    """Return the fact of a row that has passed the checks of `interp.data.schema`, whose wording is ready."""
    names = {
        key: row[key] for key in ("fact_id", "relation", "subject_id", "object_id", "split", "option_ids")
    }
    return Fact(**names, group=row.get("group") or "", wording=row["wording"])


def _having(facts: Collection[Fact], attribute: str, names: Collection[str] | None) -> list[Fact]:
    if names is None:
        return list(facts)
    names = [names] if isinstance(names, str) else list(names)
    known = list(dict.fromkeys(getattr(fact, attribute) for fact in facts))
    for name in names:
        if name not in known:
            raise DataError(
                f"No fact has the {attribute} '{visible(name)}'.{nearest(name, known)} "
                f"Choose from: {visible(', '.join(known)) or 'no fact at all'}."
            )
    return [fact for fact in facts if getattr(fact, attribute) in names]


def _worded_in(
    facts: list[Fact], languages: tuple[str, ...], source: FactSet, allow_missing: bool
) -> list[Fact]:
    if absent := [f"{language(code).name} ({code})" for code in languages if code not in source.languages]:
        raise DataError(
            f"'{visible(source.name)}' has no facts in {', '.join(absent)}. Choose from: "
            f"{', '.join(source.languages)}. "
            "For other languages give facts of your own (.jsonl or .parquet) or a folder of text."
        )
    complete = [fact for fact in facts if all(code in fact.wording for code in languages)]
    if len(complete) == len(facts) or (allow_missing and complete):
        return complete
    gaps = {code: [fact.fact_id for fact in facts if code not in fact.wording] for code in languages}
    listed = "; ".join(
        f"'{code}' is missing in {len(missing)} of {len(facts)} facts "
        f"(first {', '.join(visible(fact_id, 60) for fact_id in missing[:3])})"
        for code, missing in gaps.items()
        if missing
    )
    advice = (
        "Add them, drop the language, or allow missing ones to use only the common facts."
        if complete
        else "No fact has all these languages, so there is nothing in common to use. Drop a language."
    )
    raise DataError(
        f"Facts of '{visible(source.name)}' lack a language: {listed}. "
        f"{len(complete)} facts have all of {' '.join(languages)}. {advice}"
    )


def _restricted(fact: Fact, languages: tuple[str, ...]) -> Fact:
    if tuple(fact.wording) == languages:
        return fact
    if isinstance(fact.wording, StoredWording):
        return replace(fact, wording=fact.wording.restricted(languages))
    return replace(fact, wording={code: fact.wording[code] for code in languages if code in fact.wording})
