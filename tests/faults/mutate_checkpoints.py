"""Mutated checkpoints, adapters, GGUF files and facts: each opens, or is refused with one line; never a
traceback.

By hand, not in CI: ``python -m tests.faults.mutate_checkpoints --mutants 300 --seed 0``. A seeded handful
is in the suite.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from interp.errors import DataError, InterpError

_ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2, 10**9, 10**30, 0.5, -1e300, float("nan"), "", 
    "x", "\u202e\n", [], {}, [[1]], {"a": 1},
)  # fmt: skip


def campaign(mutants: int, seed: int, scratch: Path) -> tuple[Counter[str], list[str]]:
    """Make and open so many mutants.

    Returns:
        How often each kind ended how, and a description of every mutant that raised something else than ours.
    """
    generator = random.Random(seed)
    originals = _originals(scratch)
    counts: Counter[str] = Counter()
    failures = []
    for number in range(mutants):
        kind = sorted(originals)[number % len(originals)]
        folder = scratch / "mutant"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(originals[kind], folder)
        what = _mutate(folder, generator)
        started = time.monotonic()
        try:
            _open(kind, folder)
            end = "opened"
        except InterpError as error:
            end = "refused"
            if "\n" in str(error):
                failures.append(f"{number} {kind} {what}: more than one line: {error}")
        except Exception:
            end = "traceback"
            failures.append(f"{number} {kind} {what}: {traceback.format_exc()}")
        if time.monotonic() - started > 60:
            failures.append(f"{number} {kind} {what}: took {time.monotonic() - started:.0f} s")
        counts[f"{kind}: {end}"] += 1
    return counts, failures


def _originals(scratch: Path) -> dict[str, Path]:
    from peft import LoraConfig, get_peft_model

    from tests.support.gguf_files import write_gguf
    from tests.support.tiny import save_checkpoint, tiny_model

    base = save_checkpoint(scratch / "base")
    adapted = get_peft_model(
        tiny_model(), LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    )
    adapted.peft_config["default"].base_model_name_or_path = str(base)
    adapted.save_pretrained(scratch / "adapter")
    for name in ("gguf", "facts"):
        (scratch / name).mkdir()
    write_gguf(scratch / "gguf" / "model.gguf")
    _write_facts(scratch / "facts" / "facts.jsonl")
    return {kind: scratch / kind for kind in ("base", "adapter", "gguf", "facts")}


def _write_facts(file: Path) -> None:
    facts = [
        {
            "fact_id": f"f:{i}", "relation": "capital", "subject_id": f"s{i}", "object_id": f"o{i}",
            "option_ids": [f"o{i}", f"o{(i + 1) % 6}"], "split": "test",
            "wording": {
                code: {"question": f"Q{i} {code}?", "subject": f"S{i}",
                       "options": [f"A{i}", f"A{(i + 1) % 6}"],
                       }
                for code in ("en", "sw")
            },
        }
        for i in range(6)
    ]  # fmt: skip
    file.write_text("".join(json.dumps(fact) + "\n" for fact in facts))


def _mutate(folder: Path, generator: random.Random) -> str:
    files = sorted(f for f in folder.iterdir() if f.suffix in (".json", ".safetensors", ".gguf", ".jsonl"))
    file = generator.choice(files)
    ways: list[Callable[[Path, random.Random], str]] = [_flip, _cut, _insert]
    if file.suffix in (".json", ".jsonl"):
        ways += [_edit] * 5
    if file.suffix == ".safetensors":
        ways += [_tensors] * 5
    way = generator.choice(ways)
    return f"{file.name} {way(file, generator)}"


def _flip(file: Path, generator: random.Random) -> str:
    content = bytearray(file.read_bytes())
    end = len(content) if generator.random() < 0.5 else min(len(content), 400)  # half of them in the header
    at = generator.randrange(end)
    content[at] ^= 1 << generator.randrange(8)
    file.write_bytes(content)
    return f"bit flipped at {at}"


def _cut(file: Path, generator: random.Random) -> str:
    content = file.read_bytes()
    at = generator.randrange(len(content))
    file.write_bytes(content[:at])
    return f"cut at {at}"


def _insert(file: Path, generator: random.Random) -> str:
    content = file.read_bytes()
    at = generator.randrange(len(content))
    file.write_bytes(content[:at] + generator.randbytes(generator.randrange(1, 40)) + content[at:])
    return f"bytes inserted at {at}"


def _edit(file: Path, generator: random.Random) -> str:
    lines = file.read_text().splitlines() if file.suffix == ".jsonl" else [file.read_text()]
    row = generator.randrange(len(lines))
    value = json.loads(lines[row])
    place: Any = value
    path = []
    while isinstance(place, (dict, list)) and place:
        key = generator.choice(sorted(place) if isinstance(place, dict) else range(len(place)))
        path.append(key)
        if generator.random() < 0.6 or not isinstance(place[key], (dict, list)) or not place[key]:
            odd = generator.choice(_ODD)
            if generator.random() < 0.2:
                del place[key]
            else:
                place[key] = odd
            break
        place = place[key]
    lines[row] = json.dumps(value)
    file.write_text("\n".join(lines) + "\n")
    return f"edited at {path}"


def _tensors(file: Path, generator: random.Random) -> str:
    tensors = {name: value.clone() for name, value in load_file(file).items()}
    name = generator.choice(sorted(tensors))
    way = generator.choice(["drop", "rename", "shape", "type", "add", "empty", "nan"])
    if way in ("drop", "rename"):
        value = tensors.pop(name)
        if way == "rename":
            tensors[f"{name}\u202e\n"] = value
    elif way == "shape":
        tensors[name] = tensors[name].flatten()[: generator.randrange(1, 9)].clone()
    elif way == "type":
        tensors[name] = tensors[name].to(generator.choice([torch.int8, torch.float16, torch.float8_e4m3fn]))
    elif way == "add":
        tensors[f"{name}.more"] = torch.ones(2)
    elif way == "empty":
        tensors[name] = torch.ones(0, 3)
    else:
        tensors[name] = torch.full_like(tensors[name], float("nan"))
    save_file(tensors, file, metadata={"format": "pt"})
    return f"{way} {name}"


def _open(kind: str, folder: Path) -> None:
    if kind == "facts":
        from interp.data.check import check_facts
        from interp.data.sources import open_facts

        report = check_facts(str(folder / "facts.jsonl"))
        if report.violations:
            raise DataError(str(report.violations[0]).splitlines()[0])
        open_facts(str(folder / "facts.jsonl"))
        return
    from interp.model.checkpoints import resolve_checkpoint
    from interp.model.loading import open_checkpoint

    checkpoint = resolve_checkpoint(str(folder), cache=folder / "cache")
    _ = checkpoint.fingerprint
    open_checkpoint(checkpoint, device="cpu")


def main() -> None:
    """Run a campaign and print its counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        counts, failures = campaign(options.mutants, options.seed, Path(scratch))
    for name, count in sorted(counts.items()):
        print(f"{count:5d}  {name}")
    print(f"{len(failures)} of {options.mutants} failed")
    print("\n".join(failures))
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
