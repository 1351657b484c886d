"""Made-up facts in any number, as rows of a facts file: 20 relations, 12 languages, two of a subject."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from interp.data.hashing import hash_uniform
from interp.data.languages import POLYFACT_LANGUAGES

RELATIONS, ANSWERS, OPTIONS = 20, 200, 4
_LETTERS = {
    "ar": "ابتثجحخدذر",
    "bn": "কখগঘচছজঝটঠ",
    "ru": "абвгдежзик",
    "ja": "アイウエオカキクケコ",
    "zh": "天地人山水火木金土日",
}


def many_rows(n_facts: int) -> Iterator[dict]:
    """Yield rows of a facts file; the same ones every time."""
    for number in range(n_facts):
        subject, relation = number // 2, number % RELATIONS
        right = int(hash_uniform("right", str(number)) * ANSWERS)
        answers = [(right + step * 37) % ANSWERS for step in range(OPTIONS)]
        turn = number % OPTIONS
        answers = answers[turn:] + answers[:turn]
        yield {
            "fact_id": f"Q{subject}|P{relation}|A{relation}-{right}",
            "relation": f"relation {relation}",
            "subject_id": f"Q{subject}",
            "object_id": f"A{relation}-{right}",
            "option_ids": [f"A{relation}-{answer}" for answer in answers],
            "split": ("train", "test")[subject % 2],
            "wording": {code: _wording(code, subject, relation, answers) for code in POLYFACT_LANGUAGES},
        }


def _wording(code: str, subject: int, relation: int, answers: list[int]) -> dict:
    name = _name(code, subject)
    return {
        "question": f"{_name(code, relation)} {relation}: {name} {_name(code, relation + 7)}?",
        "subject": name,
        "options": [_name(code, 1000 * relation + answer) for answer in answers],
    }


def _name(code: str, number: int) -> str:
    letters = _LETTERS.get(code, "abcdefghij")
    return f"{code} " + "".join(letters[int(digit)] for digit in f"{number:06d}")


def write_many(path: Path, n_facts: int) -> Path:
    """Write a facts file."""
    with path.open("w", encoding="utf-8") as stream:
        for row in many_rows(n_facts):
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    return path


def write_polyfact(folder: Path, n_facts: int) -> Path:
    """Write the same facts as PolyFact has them: a file per language, a question per row."""
    folder.mkdir()
    with ExitStack() as stack:
        files = {
            code: stack.enter_context((folder / f"{code}.jsonl").open("w", encoding="utf-8"))
            for code in POLYFACT_LANGUAGES
        }
        for row in many_rows(n_facts):
            gold = row["option_ids"].index(row["object_id"])
            names = {"subject": row["wording"]["en"]["subject"], "answer_index": gold}
            keys = ("fact_id", "relation", "subject_id", "object_id", "option_ids", "split")
            shared = {**{key: row[key] for key in keys}, **names}
            for code, wording in row["wording"].items():
                options = {
                    f"option_{letter}": name for letter, name in zip("abcd", wording["options"], strict=True)
                }
                flat = {**shared, "language": code, "question": wording["question"], **options}
                files[code].write(json.dumps(flat, ensure_ascii=False) + "\n")
    return folder
