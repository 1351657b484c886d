"""KLAR-CLC: cloze questions about 20 relations in 17 languages, made for free generation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

from interp.data.facts import Fact, FactSet, Wording
from interp.data.sources.klar_files import Klar, KlarSample, read_klar
from interp.data.sources.rows import known_languages, listed
from interp.errors import DataError

__all__ = ["cut_at_mask", "klar_facts"]


def klar_facts(folder: str | Path, *, template: int = 0, languages: Collection[str] | None = None) -> FactSet:
    """Return the rows that every language of the folder has, as sentences that end where the answer stands.

    A fact has one option, the right answer: the candidates of the data are no translations of each other
    everywhere (not for ``capital`` in ar, ca, el, fa and ja, nor for ``place_of_death`` in el), and in 96 to
    99 rows per language one of the wrong ones is right too. Other answers to the same question, which are as
    right, are aliases. The subject's English name is the group.

    Source: KLAR-CLC, https://github.com/cisnlp/KLAR-CLC.

    Args:
        folder: Holds ``<language>/<relation>.json``.
        template: Which of the templates of every relation, from 0.
        languages: The languages to read; all that are there when None. The facts are the same in any case.

    Raises:
        DataError: A file is missing or damaged, rows are malformed, or a language has too few templates.
    """
    everything, note = read_klar(folder)
    codes, _ = known_languages(everything, languages, str(folder))
    _require_template({code: everything[code] for code in codes}, template)
    shared, left_out = _shared(everything)
    facts = []
    for relation, indices in shared.items():
        rows = {
            code: {
                sample.index: sample
                for sample in everything[code][relation].samples
                if sample.index in indices
            }
            for code in everything
        }
        answers = {code: _answers(rows[code].values()) for code in codes}
        for index in indices:
            name, answer = _english({code: rows[code][index] for code in everything})
            wording = {
                code: _wording(
                    everything[code][relation].templates[template], rows[code][index], answers[code]
                )
                for code in codes
            }
            facts.append(
                Fact(f"{relation}/{index}", relation, name, answer, (answer,), "test", wording=wording)
            )
    twice = listed("rows ask and answer what a row before them does", _repeated(facts))
    notes = [f"template {template}", "a fact has only its right answer as option", twice, left_out, note]
    return FactSet(
        "klar", tuple(facts), codes, prompt_format="none", aligned=False, note="; ".join(filter(None, notes))
    )


def _repeated(facts: Collection[Fact]) -> list[str]:
    """Return the facts that have relation, subject and answer of one before them, by their English names."""
    seen: set[tuple[str, str, str]] = set()
    repeated = []
    for fact in facts:
        if (key := (fact.relation, fact.subject_id, fact.object_id)) in seen:
            repeated.append(fact.fact_id)
        seen.add(key)
    return repeated


def cut_at_mask(template: str, subject: str) -> tuple[str, str]:
    """Return a filled template up to its mask, without white space at the end, and what follows the mask."""
    before, _, after = template.partition("<mask>")
    return before.replace("<subject>", subject).rstrip(), after.rstrip()


def _wording(template: str, sample: KlarSample, answers: dict[str, set[str]]) -> Wording:
    question, suffix = cut_at_mask(template, sample.subject)
    others = tuple(sorted(answers[sample.subject] - {sample.object}))
    return Wording(question, sample.subject, (sample.object,), suffix, others)


def _answers(samples: Collection[KlarSample]) -> dict[str, set[str]]:
    answers = defaultdict(set)
    for sample in samples:
        answers[sample.subject].add(sample.object)
    return answers


def _english(samples: dict[str, KlarSample]) -> tuple[str, str]:
    """Return the English names of subject and answer, or else those of the first language."""
    first = next((sample for sample in samples.values() if sample.subject_en), next(iter(samples.values())))
    return first.subject_en or first.subject, first.object_en or first.object


def _shared(opened: Klar) -> tuple[dict[str, list[int]], str]:
    """Return the row numbers that every language has, per relation, and a note of the others."""
    shared: dict[str, list[int]] = {}
    extra: dict[str, list[str]] = defaultdict(list)
    for relation in next(iter(opened.values())):
        indices_of = {code: [sample.index for sample in opened[code][relation].samples] for code in opened}
        common = set.intersection(*map(set, indices_of.values()))
        shared[relation] = sorted(common)
        for code, indices in indices_of.items():
            extra[code] += [f"{relation}/{index}" for index in indices if index not in common]
    notes = [listed(f"rows of {code}", names) for code, names in extra.items() if names]
    return (
        shared,
        f"left out, since not all {len(opened)} languages have them: {', '.join(notes)}" if notes else "",
    )


def _require_template(opened: Klar, template: int) -> None:
    few = [
        f"{code}/{name} ({len(relation.templates)})"
        for code, relations in opened.items()
        for name, relation in relations.items()
        if not 0 <= template < len(relation.templates)
    ]
    if few:
        raise DataError(
            f"There is no template {template} (they count from 0) in {listed('files', few)}. "
            "Choose another, or leave out the language."
        )
