"""Global-MMLU and its Lite version: translated exam questions that are answered with a letter."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

from interp.characters import visible
from interp.data.crossing import crossed
from interp.data.equality import equal_pairs, plain
from interp.data.facts import Fact, FactSet, Wording
from interp.data.sources.configs import open_configs
from interp.data.sources.rows import Row, known_languages, listed, refuse, text, text_problems
from interp.data.text_rules import id_problems
from interp.errors import DataError

__all__ = ["LETTERS", "global_mmlu_facts"]

LETTERS = ("A", "B", "C", "D")
_OPTIONS = tuple(f"option_{letter.lower()}" for letter in LETTERS)


def global_mmlu_facts(source: str, *, languages: Collection[str] | None = None) -> FactSet:
    """Return the samples, joined on ``sample_id``; question and four options are the prompt, the options are
    letters.

    A sample whose right letter differs between languages is not parallel and is left out. One that some
    language lacks is there; `FactSet.filter` decides about it. The relation is the exam subject; every sample
    is a group of its own. The ``dev`` part is the validation split.

    Source: Global-MMLU, https://arxiv.org/abs/2412.03304.

    Args:
        source: Folder with a file or folder per language, or a hub id.
        languages: The languages to read; all known ones when None.

    Raises:
        DataError: Rows are malformed; the first 20 are listed. Or a language is missing.
        CapabilityError: The source needs a package that is not installed.
    """
    configs = open_configs(source)
    codes, note = known_languages(configs, languages, source)
    rows = [row for code in codes for row in configs[code]()]
    refuse(source, _problems(rows), len(rows))
    samples: dict[str, dict[str, Row]] = defaultdict(dict)
    for row in rows:
        samples[text(row.values, "sample_id")][row.config] = row
    letters = {
        key: {text(row.values, "answer") for row in row_of.values()} for key, row_of in samples.items()
    }
    differing = [key for key, right in letters.items() if len(right) > 1]
    usable = {key: row_of for key, row_of in samples.items() if len(letters[key]) == 1}
    if not usable:
        raise DataError(f"The right letter of every sample of '{visible(source)}' differs between languages.")
    refuse(source, _disagreements(usable), len(rows))
    notes = [
        listed("samples left out, whose right letter differs between languages", differing),
        listed(
            "samples that some language lacks",
            [key for key, row_of in usable.items() if len(row_of) < len(codes)],
        ),
        listed("samples with two equal options in a language", _with_twins(usable)),
        listed("samples whose options change places between languages", _with_crossings(usable)),
        listed("samples with question and options of one before them", _repeated(usable)),
        listed(
            "rows whose part has no name were taken for test", [row.where for row in rows if not row.split]
        ),
        note,
    ]
    facts = tuple(_fact(key, row_of) for key, row_of in usable.items())
    return FactSet("global-mmlu", facts, codes, prompt_format="none", note="; ".join(filter(None, notes)))


def _fact(sample_id: str, row_of: Mapping[str, Row]) -> Fact:
    first = next(iter(row_of.values()))
    return Fact(
        fact_id=sample_id,
        relation=text(first.values, "subject"),
        subject_id=sample_id,
        object_id=text(first.values, "answer"),
        option_ids=LETTERS,
        split=first.split or "test",
        wording={
            code: Wording(_prompt(row), text(row.values, "subject"), LETTERS) for code, row in row_of.items()
        },
    )


def _prompt(row: Row) -> str:
    options = (f"{letter}. {text(row.values, key)}" for letter, key in zip(LETTERS, _OPTIONS, strict=True))
    return "\n".join([f"Question: {text(row.values, 'question')}", *options, "Answer:"])


def _names(row: Row) -> list[str]:
    return [text(row.values, name) for name in _OPTIONS]


def _with_twins(samples: Mapping[str, Mapping[str, Row]]) -> list[str]:
    return [
        key for key, row_of in samples.items() if any([*equal_pairs(_names(row))] for row in row_of.values())
    ]


def _with_crossings(samples: Mapping[str, Mapping[str, Row]]) -> list[str]:
    """Samples of which two options stand in each other's place in some language."""
    return [
        key for key, row_of in samples.items() if crossed({code: _names(row) for code, row in row_of.items()})
    ]


def _repeated(samples: Mapping[str, Mapping[str, Row]]) -> list[str]:
    """Samples with question and options of one before them in their first language."""
    seen: set[tuple[str, str, frozenset[str]]] = set()
    repeated = []
    for key, row_of in samples.items():
        code, row = next(iter(row_of.items()))
        question = (code, plain(text(row.values, "question")), frozenset(map(plain, _names(row))))
        if question in seen:
            repeated.append(key)
        seen.add(question)
    return repeated


def _disagreements(samples: Mapping[str, Mapping[str, Row]]) -> Iterator[tuple[str, str]]:
    """Find samples that are in another part or about another exam subject in some language."""
    for row_of in samples.values():
        first = next(iter(row_of.values()))
        for row in row_of.values():
            if row.split != first.split:
                yield row.where, f"the part is '{row.split}', and '{first.split}' in '{first.config}'"
            here, there = text(row.values, "subject"), text(first.values, "subject")
            if here != there:
                yield (
                    row.where,
                    f"subject is '{visible(here, 60)}', and '{visible(there, 60)}' in '{first.config}'",
                )


def _problems(rows: list[Row]) -> Iterator[tuple[str, str]]:
    first: dict[tuple[str, str], Row] = {}
    for row in rows:
        if row.error:
            yield row.where, row.error
            continue
        for message in text_problems(row.values, ("sample_id", "subject", "question", *_OPTIONS, "answer")):
            yield row.where, message
        for message in id_problems("sample_id", text(row.values, "sample_id") or "x"):
            yield row.where, message
        answer, key = text(row.values, "answer"), (row.config, text(row.values, "sample_id"))
        if answer and answer not in LETTERS:
            yield row.where, f"answer is '{visible(answer, 40)}', expected A, B, C or D"
        other = first.setdefault(key, row)
        if key[1] and other is not row:
            yield row.where, f"sample_id '{visible(key[1], 60)}' is also that of {other.where}"
