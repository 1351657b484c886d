"""What the lm-evaluation-harness logs of a task of ours: one file of samples, checked line by line."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp.characters import visible
from interp.data.facts import Fact, Wording
from interp.data.files import read_rows
from interp.data.languages import LANGUAGES
from interp.errors import DataError

__all__ = ["Sample", "read_samples"]

_TEXTS = (
    *("fact_id", "relation", "subject_id", "object_id", "split", "group", "language"),
    *("question", "subject", "suffix", "prompt", "facts", "prompt_format"),
)
_LISTS = ("option_ids", "options", "aliases", "languages")
_FIELDS: dict[str, type] = {
    **dict.fromkeys(_TEXTS, str),
    **dict.fromkeys(_LISTS, list),
    "gold": int,
    "aligned": bool,
}


@dataclass(frozen=True)
class Sample:
    """One fact in one language, and what the harness made of it.

    Attributes:
        document: As it was exported.
        context: What the model read; the document's prompt unless the harness put something around it.
        separator: What stood between context and option.
        log_probability: Of each option, in nats.
    """

    document: dict[str, Any]
    context: str
    separator: str
    log_probability: tuple[float, ...]

    @property
    def fact(self) -> Fact:
        """The fact, in this language alone."""
        row = self.document
        wording = Wording(
            row["question"], row["subject"], tuple(row["options"]), row["suffix"], tuple(row["aliases"])
        )
        ids = {key: row[key] for key in ("fact_id", "relation", "subject_id", "object_id", "split", "group")}
        return Fact(**ids, option_ids=tuple(row["option_ids"]), wording={row["language"]: wording})

    @property
    def longest(self) -> int:
        """UTF-8 bytes of context and longest option."""
        return len((self.context + self.separator + max(self.document["options"], key=_bytes)).encode())


def read_samples(path: str | Path) -> dict[str, Sample]:
    """Read one ``samples_*.jsonl`` of a task that `interp.data.lm_eval.write_tasks` wrote.

    Returns:
        Fact id to sample, in the order of the task's documents.

    Raises:
        DataError: There is no such file, it has no samples, a line is damaged or of another task, a fact is
            there twice, or the right option is not the one that the harness counted as right.
    """
    path = Path(path)
    if not os.path.isfile(path) or path.suffix != ".jsonl":
        raise DataError(
            f"{visible(path)} is no file of samples; samples_<task>_<date>.jsonl is expected, which the "
            "harness writes with --log_samples --output_path FOLDER."
        )
    samples: dict[str, tuple[int, Sample]] = {}
    for number, row in read_rows(path):
        try:
            position, sample = _sample(row)
            if sample.document["fact_id"] in samples:
                raise ValueError(f"the fact '{visible(sample.document['fact_id'])}' is there twice")
        except ValueError as problem:
            raise DataError(f"{visible(path)}, line {number}: {visible(problem, 400)}.") from None
        samples[sample.document["fact_id"]] = position, sample
    if not samples:
        raise DataError(f"{visible(path)} has no samples.")
    several = {sample.document["language"] for _, sample in samples.values()}
    if len(several) > 1:
        raise DataError(
            f"{visible(path)} has several languages ({', '.join(sorted(several))}); one is expected."
        )
    # several processes log their shares one after the other
    return {fact_id: sample for fact_id, (_, sample) in sorted(samples.items(), key=lambda item: item[1][0])}


def _sample(row: object) -> tuple[int, Sample]:
    """Return the document's number and the sample of a line; a `ValueError` says what is wrong with it."""
    if isinstance(row, ValueError):
        raise row
    if not isinstance(row, dict) or not isinstance(row.get("doc"), dict):
        raise ValueError("expected an object with a 'doc', as the harness logs it")
    document, number = row["doc"], row.get("doc_id")
    for problem in _problems(document):
        raise ValueError(problem)
    if type(number) is not int:
        raise ValueError(f"doc_id is {number!r}; a number is expected")
    right = document["option_ids"].index(document["object_id"])
    if document["gold"] != right or row.get("target") not in (str(right), right):
        raise ValueError(
            f"the right option is number {right} by its id, {document['gold']} in the document, and "
            f"{row.get('target')!r} for the harness"
        )
    context, separator = _context_and_separator(row.get("arguments"), document["options"])
    return number, Sample(
        document, context, separator, _scores(row.get("filtered_resps"), document["options"])
    )


def _problems(document: dict[str, Any]) -> Iterator[str]:
    lacking = [name for name in _FIELDS if name not in document]
    if lacking:
        yield (
            f"its document has no '{lacking[0]}', so this is no task of `interp export-lm-eval`. Only those "
            "say which documents of different languages are the same fact, and which options the same answer"
        )
        return
    for name, kind in _FIELDS.items():
        value = document[name]
        fits = type(value) is kind
        if not fits or (kind is list and not all(isinstance(each, str) for each in value)):
            yield f"'{name}' of its document is {value!r}"
    ids, options = document["option_ids"], document["options"]
    if document["language"] not in LANGUAGES or document["language"] not in document["languages"]:
        yield f"its document's language is '{document['language']}', which is none of the export's"
    if len(ids) != len(options) or len(set(ids)) < len(ids) or len(ids) < 2 or not all(options):
        yield f"its document has {len(ids)} option_ids and {len(options)} options"
    if document["object_id"] not in ids:
        yield f"the right answer '{document['object_id']}' is not among its option_ids"


def _context_and_separator(arguments: Any, options: list[str]) -> tuple[str, str]:
    """Return the context and what stood between it and every option."""
    try:
        pairs = [
            (each["arg_0"], each["arg_1"])
            for each in (arguments[f"gen_args_{i}"] for i in range(len(options)))
        ]
        context, separator = pairs[0][0], pairs[0][1].removesuffix(options[0])
        expected = [(context, separator + name) for name in options]
    except (TypeError, KeyError, AttributeError):
        raise ValueError("'arguments' has not a context and a continuation per option") from None
    if len(arguments) != len(options) or pairs != expected or not isinstance(context, str):
        raise ValueError(
            "its options were not scored one by one after the same context, in the document's order"
        )
    return context, separator


def _scores(responses: Any, options: list[str]) -> tuple[float, ...]:
    try:
        scores = tuple(float(value) for value, _ in responses)
    except (TypeError, ValueError):
        raise ValueError("'filtered_resps' has not a log-likelihood and a flag per option") from None
    if len(scores) != len(options) or not all(map(math.isfinite, scores)):
        raise ValueError(
            f"{len(options)} finite log-likelihoods are expected, found "
            f"{', '.join(map(str, scores)) or 'none'}"
        )
    return scores


def _bytes(text: str) -> int:
    return len(text.encode())
