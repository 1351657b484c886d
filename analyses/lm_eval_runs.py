"""What the lm-evaluation-harness says of the run that its samples are of, and what that run leaves open."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from interp.characters import visible
from interp.errors import ResultError

__all__ = ["describe_run"]

_DATE = re.compile(r"_(\d{4}-\d\d-\d\dT[0-9.\-]+)\.jsonl$")
_NOT_BYTES = 8  # BOS, EOS, a space that a tokenizer puts in front: tokens that are no byte of the text


def describe_run(files: Sequence[Path], longest: int) -> dict[str, Any]:
    """Describe the run of one model, from the ``results_<date>.json`` beside the harness's samples.

    Args:
        files: Samples.
        longest: UTF-8 bytes of the longest prompt with its option. No token is shorter than a byte, so a
            context of more tokens than that has truncated nothing.

    Returns:
        ``model``; ``dtype`` and the harness's version where they are known; ``notes``, what the run leaves
        open, in words.

    Raises:
        ResultError: The files are of different models or settings, or what stands beside them is no JSON.
    """
    runs = {file: _run(file) for file in files}
    first = runs[files[0]]
    for file, run in runs.items():
        for key in ("model", "model_args", "dtype"):
            if run[key] != first[key]:
                raise ResultError(
                    f"The samples are of different models: {key} is {run[key]} for {visible(file)}, "
                    f"{first[key]} for {visible(files[0])}. Give the samples of one model."
                )
    notes = []
    context = min(run["context"] for run in runs.values())
    if not context or longest + _NOT_BYTES > context:
        known = (
            f"of {context} tokens" if context else "that is not known (no results_*.json beside the samples)"
        )
        notes.append(
            f"Prompt and option have up to {longest} bytes, for a context {known}. The harness cuts what is "
            "too long on the left, with a warning in its own output only: look for 'Truncating' there."
        )
    if first["dtype"] not in ("", "float32") and "softmax_dtype" not in first["model_args"]:
        notes.append(
            f"The harness took its log-softmax in {first['dtype']}, in which options can tie or change "
            "places. Give it softmax_dtype=float32 in --model_args."
        )
    described = {key: first[key] for key in ("model", "model_args", "dtype") if first[key]}
    return {
        "by": f"lm-evaluation-harness {first['version']}".rstrip(),
        **described,
        "context": context or None,
        "files": [file.name for file in files],
        "notes": notes,
    }


def _run(file: Path) -> dict[str, Any]:
    """What is known of one file's run; the folder's name stands for the model where nothing is."""
    run = {"model": file.absolute().parent.name, "model_args": "", "dtype": "", "version": "", "context": 0}
    dated = _DATE.search(file.name)
    beside = file.with_name(f"results_{dated[1]}.json") if dated else None
    if beside is None or not beside.is_file():
        return run
    try:
        results = json.loads(beside.read_text(encoding="utf-8"))
        config = results["config"]
        arguments = config.get("model_args") or ""
        if isinstance(arguments, dict):
            arguments = ",".join(f"{key}={value}" for key, value in arguments.items())
        context = results.get("max_length")
        return {
            "model": str(results.get("model_name") or run["model"]),
            "model_args": str(arguments),
            "dtype": str(config.get("model_dtype") or "").removeprefix("torch."),
            "version": str(results.get("lm_eval_version") or ""),
            "context": context if isinstance(context, int) else 0,
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResultError(
            f"{visible(beside)} is no results file of the harness ({visible(error)})."
        ) from None
