"""Facts as tasks of EleutherAI's lm-evaluation-harness: what it asks there is what `interp evaluate` asks
here.

A folder holds one task per language, a group of all of them, and their documents. Nothing in it names a path,
so it can be moved, and nothing is downloaded. The harness's ``acc``, ``acc_norm`` and ``acc_bytes`` are then
the accuracies of the scorings ``sum``, ``character`` and ``byte``, but for ties: the harness takes the
first of equal options.
"""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import IO, Any

from interp.characters import visible
from interp.data.facts import Fact, FactSet, fact_columns
from interp.data.prompts import Prompt, prompts_from_facts
from interp.errors import DataError
from interp.files import write_atomically

__all__ = ["METRICS", "task_name", "write_tasks"]

METRICS = {"acc": "sum", "acc_norm": "character", "acc_bytes": "byte"}
"""The harness's accuracies, and the scoring that each one's options are compared by."""

# the harness's built-in way to read JSON lines wants an absolute path, and takes a column of texts like
# 1999-12-31 for dates
_LOADER = '''"""The documents of these tasks, which stand beside this file."""

import json
from pathlib import Path

import datasets


def load(documents_file, **_):
    lines = (Path(__file__).parent / documents_file).read_text(encoding="utf-8").split("\\n")
    return {"test": datasets.Dataset.from_list([json.loads(line) for line in lines if line])}
'''


def task_name(facts: str, language: str = "") -> str:
    """Return the harness's name for the task of facts in a language; without one, for the group of all."""
    words = [word for word in re.split(r"[^0-9A-Za-z]+", facts) if word]
    return "_".join(["interp", *(words or ["facts"]), *([language] if language else [])])


def write_tasks(facts: FactSet, folder: str | Path, prompt_format: str = "auto") -> list[Path]:
    """Write tasks that ``lm_eval --include_path FOLDER --tasks interp_<name>`` runs.

    Prompt, options, their order, and what stands between prompt and option are ours exactly. A document is a
    fact in one language with all that is known of it, so that logged samples are enough to tell which answers
    belong together.

    Args:
        facts: The questions, in the languages of the tasks.
        folder: A new folder, or one that holds nothing but tasks of these facts in these languages.
        prompt_format: See `interp.data.prompts.prompts_from_facts`.

    Returns:
        The files, the group's last.

    Raises:
        DataError: A fact lacks a language or has nothing to choose from, a prompt ends in a space, or the
            folder holds other files.
        ConfigError: The prompt_format is unknown.
        WriteError: A file cannot be written.
    """
    folder = Path(folder)
    prompt_format = facts.prompt_format if prompt_format == "auto" else prompt_format
    prompts = prompts_from_facts(facts, prompt_format=prompt_format)
    texts = {"documents.py": _LOADER}
    for code in facts.languages:
        of_language = prompts.prompts[code]
        documents = [_document(facts, *both, prompt_format) for both in zip(facts, of_language, strict=True)]
        name = task_name(facts.name, code)
        texts[f"{name}.jsonl"] = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in documents)
        texts[f"{name}.yaml"] = _task(name, of_language[0].separator)
    texts[f"{task_name(facts.name)}.yaml"] = _group(facts)
    _refuse_others(folder, set(texts))
    for file, text in texts.items():
        write_atomically(folder / file, partial(_write, text=text))
    return [folder / file for file in texts]


def _document(facts: FactSet, fact: Fact, prompt: Prompt, prompt_format: str) -> dict[str, Any]:
    wording = fact.wording[prompt.language]
    where = f"'{visible(fact.fact_id)}' in '{prompt.language}'"
    if len(wording.options) < 2 or not all(wording.options):
        raise DataError(
            f"{where} has {len(list(filter(None, wording.options)))} options that are not empty; multiple "
            "choice needs 2."
        )
    if not prompt.text or prompt.text != prompt.text.rstrip():
        raise DataError(
            f"The prompt of {where} is empty or ends in a space, which the harness would score as part of "
            f"each option: '{visible(prompt.text)}'. Change it, or use another prompt_format."
        )
    return {
        **fact_columns(fact),
        "language": prompt.language,
        "question": wording.question,
        "subject": wording.subject,
        "options": list(wording.options),
        "suffix": wording.suffix,
        "aliases": list(wording.aliases),
        "prompt": prompt.text,
        "gold": fact.answer_index,
        "facts": facts.name,
        "languages": list(facts.languages),
        "aligned": facts.aligned,
        "prompt_format": prompt_format,
    }


def _task(name: str, separator: str) -> str:
    return f"""task: {name}
custom_dataset: !function documents.load
dataset_kwargs:
  documents_file: {name}.jsonl
test_split: test
output_type: multiple_choice
doc_to_text: prompt
doc_to_choice: options
doc_to_target: gold
target_delimiter: "{separator}"
num_fewshot: 0
metric_list:
{_metrics("higher_is_better: true")}
metadata:
  version: 1.0
"""


def _group(facts: FactSet) -> str:
    """All languages; the group's accuracy is their mean, since all have the same facts."""
    members = "\n".join(f"  - {task_name(facts.name, code)}" for code in facts.languages)
    return f"""group: {task_name(facts.name)}
task:
{members}
aggregate_metric_list:
{_metrics("weight_by_size: true")}
metadata:
  version: 1.0
"""


def _metrics(more: str) -> str:
    return "\n".join(f"  - metric: {name}\n    aggregation: mean\n    {more}" for name in METRICS)


def _write(stream: IO[bytes], text: str) -> None:
    stream.write(text.encode())


def _refuse_others(folder: Path, ours: set[str]) -> None:
    if not folder.is_dir():
        return
    others = sorted(file.name for file in folder.iterdir() if file.name not in {*ours, "__pycache__"})
    if others:
        raise DataError(
            f"{visible(folder)} holds {len(others)} files that are not of this export, such as "
            f"'{visible(others[0])}'; the harness would read them as well. Give a new folder."
        )
