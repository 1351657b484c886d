"""Small made-up folders in the schemas of the benchmarks."""

from __future__ import annotations

import json

LETTERS = "ABCD"


def write_klar(folder, languages=("en", "de"), extra=(), templates=2):
    """Two relations of three rows, the first two of `capital` alike; `extra` languages have a row more."""
    for code in languages:
        for relation, start in (("capital", 10), ("continent", 20)):
            rows = [
                klar_row(code, relation, index, f"{relation} {max(index, start + 1)}", f"answer {index}")
                for index in range(start, start + 3 + (code in extra))
            ]
            said = [f"{code} {relation} {n} of <subject>? It is: <mask>{'.' * n}" for n in range(templates)]
            write_json(folder / code / f"{relation}.json", klar_file(relation, said, rows))
    return folder


def klar_file(relation, templates, rows):
    return {"name": relation, "prompt_templates": templates, "samples": rows, "relation_id": "P1"}


def klar_row(code, relation, index, subject, answer):
    row = {"subject": f"{code} {subject}", "object": f"{code} {answer}", "index": index}
    row["object_candidates"] = f"{code} wrong, {code} {answer}"
    if code != "en":
        row |= {"subject_en": f"en {subject}", "object_en": f"en {answer}"}
    return row


def change_json(path, change):
    """Rewrite a JSON file after a change in place."""
    values = json.loads(path.read_text(encoding="utf-8"))
    change(values)
    write_json(path, values)


def write_json(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values), encoding="utf-8")


def write_lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def write_tsv(path, rows):
    lines = [("Prompt", "Ans", "Candidate Ans", "Subject"), *rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")


def mmlu_row(number, code, answer="B", part="test"):
    """A sample of one language, as Global-MMLU has it, with a column that nobody reads."""
    options = {f"option_{letter.lower()}": f"{code} option {letter} {number}" for letter in LETTERS}
    return {
        "sample_id": f"virology/{part}/{number}",
        "subject": "virology",
        "question": f"{code} question {number}?",
        **options,
        "answer": answer,
        "is_annotated": True,
    }


def polyfact_said(number, code, turn, ids=True):
    """The part of a language: option k is entity k, entity 0 is right, and the order is turned by `turn`."""
    order = [(position + turn) % 4 for position in range(4)]
    options = {
        f"option_{letter.lower()}": f"{code} name {number} {k}"
        for letter, k in zip(LETTERS, order, strict=True)
    }
    said = {
        "question": f"{code} question {number}?",
        **options,
        "answer_text": f"{code} name {number} 0",
        "answer_index": order.index(0),
    }
    return said | ({"option_ids": [entity(number, k) for k in order]} if ids else {})


def entity(number, k):
    return f"Q{100 * number + k}"


def polyfact_shared(number):
    return {
        "fact_id": f"Q{number}|P36|{entity(number, 0)}",
        "subject": f"subject {number}",
        "relation": "capital",
    }


def flat_row(number, code, turn=0, ids=True):
    return {
        **polyfact_shared(number),
        "language": code,
        "object": "x",
        **polyfact_said(number, code, turn, ids),
    }


def parallel_row(number, turns, ids=True):
    said = {code: polyfact_said(number, code, turn, ids) for code, turn in turns.items()}
    return {
        **polyfact_shared(number),
        "subject_id": f"Q{number}",
        "object_id": entity(number, 0),
        "n_langs_verified": 2,
        "translations": said,
    }


def wikifact_row(number, turns):
    blocks = {}
    for code, turn in turns.items():
        said = polyfact_said(number, code, turn)
        options = [said[f"option_{letter.lower()}"] for letter in LETTERS]
        blocks[code] = {"question": said["question"], "options": options, "answer_text": said["answer_text"]}
    return {**polyfact_shared(number), "langs": blocks}
