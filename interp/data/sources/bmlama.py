"""BMLAMA: cloze sentences with a pool of candidates, the same in up to 53 languages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from itertools import chain
from typing import Any

from interp.characters import visible
from interp.data.crossing import crossed
from interp.data.equality import equal_pairs, plain
from interp.data.facts import Fact, FactSet, Wording
from interp.data.sources.configs import open_configs
from interp.data.sources.rows import Row, known_languages, listed, refuse, text
from interp.errors import DataError

__all__ = ["bmlama_facts"]

_COLUMNS = ("Prompt", "Ans", "Candidate Ans", "Subject")


def bmlama_facts(source: str, *, languages: Collection[str] | None = None) -> FactSet:
    """Return the rows that can be used in every language, as sentences that end at their mask.

    Row i of every language is one fact, with the id ``bmlama53_i`` (from 0) that published lists of BMLAMA-53
    use. Candidate j is taken for the same answer in every language, as its authors do; there are no entity
    ids. A row is used if it has, in every language, a subject, a ``<mask>``, two candidates or more with the
    answer among them, as many candidates as the other languages, and the answer in the same place. The
    relation is the sentence with ``[X]`` for the subject in English, or in the first language where there is
    no English; the group is the subject there.

    Source: BMLAMA, https://github.com/Betswish/Cross-Lingual-Consistency. Its authors score the whole
        sentence; here the
    question ends at the mask and the rest is the suffix.

    Args:
        source: Folder with ``<language>.tsv``, or a hub id.
        languages: The languages to read; all known ones when None. Fewer languages leave more rows.

    Raises:
        DataError: Rows cannot be read, a language is missing, or no row is left.
        CapabilityError: The source needs a package that is not installed.
    """
    configs = open_configs(source)
    codes, note = known_languages(configs, languages, source)
    rows = {code: list(configs[code]()) for code in codes}
    _refuse_bad(source, rows)
    n_rows = max(map(len, rows.values()))
    unusable, facts = defaultdict(list), []
    for i in range(n_rows):
        row_of = {code: column[i].values for code, column in rows.items() if i < len(column)}
        reason = _unusable(row_of, codes)
        if reason:
            unusable[reason].append(f"bmlama53_{i}")
        else:
            facts.append(_fact(f"bmlama53_{i}", row_of))
    reasons = [listed(f"rows with {reason}", ids) for reason, ids in unusable.items()]
    if not facts:
        raise DataError(
            f"No row of '{visible(source)}' can be used in all of {' '.join(codes)}: {', '.join(reasons)}."
        )
    notes = [f"left out of {n_rows}: {', '.join(reasons)}" if reasons else "", *_warnings(facts), note]
    return FactSet("bmlama", tuple(facts), codes, prompt_format="none", note="; ".join(filter(None, notes)))


def _refuse_bad(source: str, rows: Mapping[str, list[Row]]) -> None:
    problems = []
    for row in chain.from_iterable(rows.values()):
        missing = [name for name in _COLUMNS if name not in row.values]
        if row.error or missing:
            problems.append((row.where, row.error or f"no column {', '.join(missing)}"))
    refuse(source, problems, sum(map(len, rows.values())))


def _unusable(row_of: Mapping[str, Mapping[str, Any]], codes: Collection[str]) -> str:
    """Return why a row cannot be used, or an empty string."""
    if len(row_of) < len(codes):
        return "a language that ends before"
    pools = {code: _pool(row) for code, row in row_of.items()}
    if any("<mask>" not in text(row, "Prompt") for row in row_of.values()):
        return "no <mask>"
    if not all(text(row, "Subject") for row in row_of.values()):
        return "no subject"
    if any(len(pool) < 2 for pool in pools.values()):
        return "fewer than two candidates"
    if any(text(row, "Ans") not in pools[code] for code, row in row_of.items()):
        return "an answer that is no candidate"
    if len({len(pool) for pool in pools.values()}) > 1:
        return "pools of different sizes"
    return "" if _slots(row_of) else "the answer in different places"


def _fact(fact_id: str, row_of: Mapping[str, Mapping[str, Any]]) -> Fact:
    first = next(iter(row_of.values()))
    slot, size = min(_slots(row_of)), len(_pool(first))
    subject = text(first, "Subject")
    row = fact_id.rpartition("_")[2]
    return Fact(
        fact_id=fact_id,
        relation=text(first, "Prompt").replace(subject, "[X]"),
        subject_id=subject,
        object_id=f"{row}:{slot}",
        option_ids=tuple(f"{row}:{position}" for position in range(size)),
        split="test",
        wording={code: _wording(row) for code, row in row_of.items()},
    )


def _wording(row: Mapping[str, Any]) -> Wording:
    before, _, after = text(row, "Prompt").partition("<mask>")
    return Wording(before.rstrip(), text(row, "Subject"), _pool(row), after.rstrip())


def _pool(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(name.strip() for name in text(row, "Candidate Ans").split(", ") if name.strip())


def _slots(row_of: Mapping[str, Mapping[str, Any]]) -> set[int]:
    """Return where the answer stands in every language; more than one place if its name is also another's."""
    return set.intersection(
        *(
            {slot for slot, name in enumerate(_pool(row)) if name == text(row, "Ans")}
            for row in row_of.values()
        )
    )


def _warnings(facts: list[Fact]) -> list[str]:
    """Return notes of facts that stay although they are doubtful."""
    twins, crossing, repeated, answers = [], [], [], defaultdict(set)
    seen: set[tuple[str, str, str]] = set()
    for fact in facts:
        first = next(iter(fact.wording))
        answers[fact.relation, fact.subject_id].add(fact.answer(first))
        if any([*equal_pairs(each.options)] for each in fact.wording.values()):
            twins.append(fact.fact_id)
        elif crossed({code: each.options for code, each in fact.wording.items()}):
            crossing.append(fact.fact_id)
        if (key := (fact.relation, fact.subject_id, plain(fact.answer(first)))) in seen:
            repeated.append(fact.fact_id)
        seen.add(key)
    several = [
        fact.fact_id
        for fact in facts
        for first in [fact.wording[next(iter(fact.wording))]]
        if answers[fact.relation, fact.subject_id] & {*first.options} - {first.options[fact.answer_index]}
    ]
    return [
        listed("rows have two candidates with one name in a language", twins),
        listed("rows have candidates that change places between languages", crossing),
        listed("rows ask and answer what a row before them does", repeated),
        listed("rows have another right answer among the candidates", several),
    ]
