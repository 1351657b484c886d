"""Kill, stop and fill the disk of every command at many moments, and compare what the next run makes of it.

Opt in: ``python -m tests.faults.campaign --kills 200``. Each trial runs a command, ends it (SIGKILL,
SIGTERM or SIGINT) at a random time or at its n-th write, sync or rename, and runs it again until it is
done. Then the folder must hold what an undisturbed run holds, to the bit, and no leftover; what a killed
process left must have been counted; a stopped one must have ended with one line, the command that resumes
it, and exit code 130. Counts are printed; any failure is exit code 1.

Commands run in forks of one process that has imported everything, so that a trial costs a second or two. A
share of the trials starts Python anew, so that imports are hit as well.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

FACTS = ("--languages", "en,sw", "--limit", "24")
MEASURES: dict[str, tuple[str, ...]] = {
    "specialization": (*FACTS, "--min-tokens", "10", "--blocks", "4", "--figure"),
    "evaluate": (*FACTS,),
    "generate": (*FACTS, "--mode", "generate", "--new-tokens", "4"),
    "patch": ("--languages", "en,sw", "--limit", "8", "--batch-tokens", "400"),
    "routing": (*FACTS,),
    "lens": (*FACTS,),
    "probe": (*FACTS, "--folds", "3", "--task", "language"),
    "align": (*FACTS,),
}
TRAINED = (
    "--languages",
    "en,de,sw",
    "--steps",
    "4",
    "--save-every",
    "2",
    "--eval-facts",
    "1",
    "--device",
    "cpu",
)
METHODS: dict[str, tuple[str, ...]] = {
    "sft": ("--facts-per-step", "2", "--lora-rank", "2"),
    "grpo": ("--facts-per-step", "2", "--generations", "2", "--new-tokens", "4"),
    "calm": ("--pairs-per-step", "2", "--generations", "4", "--new-tokens", "8", "--sample-batch", "12"),
    "dco": ("--instances-per-step", "2", "--instances", "8"),
    "cpt": ("--rows-per-step", "2", "--block-tokens", "64"),
}
STOPS = {signal.SIGINT, signal.SIGTERM}
IMPORTED = (
    "interp.__main__",
    *(
        "matplotlib.backends.backend_agg",
        "matplotlib.backends.backend_pdf",
        "pandas",
        "peft",
        "pyarrow.parquet",
    ),
    *("rich.progress", "scipy.stats", "sklearn.linear_model", "transformers.models.qwen2.modeling_qwen2"),
    *("analyses.runner", "figures", "figures.style", "figures.table", "interp.cli", "interp.model.loading"),
    *(
        f"analyses.{name}"
        for name in ("ablation", "alignment", "behavior", "lens", "patching", "probing", "routing")
    ),
    *("probes.sweep", "training.cpt", "training.dco", "training.grpo", "training.preference", "training.sft"),
)
CHANGES = ("wall_seconds", "device_hours", "date", "seconds", "commit", "dirty", "out")
"""What two undisturbed runs do not share either."""


@dataclass
class Case:
    """A command and what it gives when nothing happens."""

    name: str
    command: tuple[str, ...]
    expected: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    writes: int = 1
    size: int = 0


@dataclass
class Ended:
    """How a process ended."""

    code: int
    stderr: str


def cases(place: Path) -> list[Case]:
    """Every command that writes into a folder, on tiny checkpoints."""
    model, parent, facts = place / "model", place / "parent", place / "facts.jsonl"
    if (child := os.fork()) == 0:  # torch starts threads when it trains, which no fork survives
        from tests.support.tiny import save_checkpoint
        from tests.support.training_runs import little_facts, save_taught

        save_checkpoint(model, "qwen2")
        save_taught(parent)
        little_facts().save(facts)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    measured = [
        Case(
            name,
            (
                "evaluate" if name == "generate" else name,
                *(
                    "--ckpt",
                    "organism:final" if name == "patch" else str(model),
                ),  # where there are right answers
                *flags,
            ),
        )
        for name, flags in MEASURES.items()
    ]
    given = ("--model", str(parent), "--data", str(facts), *TRAINED)
    return measured + [Case(name, ("train", name, *given, *flags)) for name, flags in METHODS.items()]


def contents(out: Path) -> dict[str, str]:
    """Digest of what must be the same in every run: arrays and weights to the bit, texts without times."""
    found = {}
    for file in sorted(out.rglob("*")):
        name = file.relative_to(out).as_posix()
        if file.is_file() and not name.startswith("checkpoint-"):
            found[name] = _digest(file)
    return found


def _digest(file: Path) -> str:
    if file.suffix == ".npz":
        with np.load(file) as archive:
            parts = [(n, archive[n].tobytes()) for n in sorted(archive.files) if n != "meta"]
            parts.append(("meta", _plain(json.loads(archive["meta"].tobytes())).encode()))
        return hashlib.sha256(repr(parts).encode()).hexdigest()
    if file.suffix in (".json", ".jsonl"):
        lines = file.read_text().splitlines() if file.suffix == ".jsonl" else [file.read_text()]
        return hashlib.sha256("\n".join(_plain(json.loads(line)) for line in lines).encode()).hexdigest()
    content = file.read_bytes()
    if file.suffix == ".md":
        content = re.sub(rb"[\d.]+ (s of wall time|device-hours)", rb"", content)
    return hashlib.sha256(content).hexdigest()


def _plain(value: Any) -> str:
    def without(node: Any) -> Any:
        if isinstance(node, dict):
            sealed = {"card.json", "README.md", "merged.json"}
            return {k: without(v) for k, v in sorted(node.items()) if k not in CHANGES and k not in sealed}
        return [without(each) for each in node] if isinstance(node, list) else node

    return json.dumps(without(value))


def fork(
    command: tuple[str, ...],
    out: Path,
    act: Callable[[], None] | None = None,
    at: float = 0,
    number: int = 0,
    log: Path | None = None,
) -> Ended:
    """Run a command in a fork of this process, after ``act``; send it a signal after ``at`` seconds."""
    log = log or Path(f"{out}.stderr")
    signal.pthread_sigmask(
        signal.SIG_BLOCK, STOPS
    )  # until the command listens: Python's own start is not ours
    child = os.fork()
    if child == 0:
        _become(command, out, log, act)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    if number:
        time.sleep(at)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)
    return Ended(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), log.read_text(errors="replace"))


def _become(command: tuple[str, ...], out: Path, log: Path, act: Callable[[], None] | None) -> None:
    code = 70
    try:
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.argv = ["interp", *command, "--out", str(out)]
        if act:
            act()
        import interp.__main__ as start

        listen = start.end_at_once
        start.end_at_once = lambda line: (listen(line), signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS))
        start.main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def anew(command: tuple[str, ...], out: Path, at: float, number: int) -> Ended:
    """The same in a Python of its own, which imports everything."""
    with Path(f"{out}.stderr").open("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "interp", *command, "--out", str(out)],
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
        try:
            process.wait(at)
        except subprocess.TimeoutExpired:
            process.send_signal(number)
        code = process.wait()
        log.seek(0)
        return Ended(code, log.read())


def at_write(n: int, number: int, tally: Path | None = None) -> Callable[[], None]:
    """Send the process a signal right before its n-th sync, rename, link, removal or saved tensor file."""

    def arm() -> None:
        import safetensors.torch
        import torch

        left = [n]
        counting = os.open(tally, os.O_WRONLY | os.O_CREAT) if tally else 0

        def watched(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **options: Any) -> Any:
                left[0] -= 1
                if tally:
                    os.write(counting, b".")
                if left[0] == 0:
                    os.kill(os.getpid(), number)
                return real(*arguments, **options)

            return call

        for module, names in (
            (os, ("fsync", "replace", "rename", "link", "unlink")),
            (torch, ("save",)),
            (safetensors.torch, ("save_file",)),
            (shutil, ("rmtree",)),
        ):
            for name in names:
                setattr(module, name, watched(getattr(module, name)))

    return arm


def reference(case: Case, place: Path) -> None:
    """What an undisturbed run gives, and how long it takes."""
    for name in ("a", "b"):
        out = place / f"{case.name}-{name}"
        began = time.monotonic()
        ended = fork(case.command, out, at_write(0, 0, tally := place / f"{case.name}.writes"))
        case.seconds, case.writes = time.monotonic() - began, tally.stat().st_size
        tally.unlink()
        case.size = sum(file.stat().st_size for file in out.rglob("*"))
        assert ended.code == 0, (case.name, ended)
        case.expected = contents(out)
        if name == "a":
            first = case.expected
    assert first == case.expected, (case.name, _differing(first, case.expected))


def _differing(one: dict[str, str], other: dict[str, str]) -> list[str]:
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def leftovers(out: Path) -> list[str]:
    """What only an unfinished run has."""
    return sorted(
        file.relative_to(out).as_posix()
        for file in out.rglob("*")
        if file.name.endswith((".tmp", ".owner", ".partial")) or file.name in (".owner", "samples")
    )


def trial(
    case: Case, out: Path, chance: random.Random, numbers: list[int], fresh_python: float
) -> tuple[str, list[str]]:
    """End a command up to three times, then let it end; returns what was done, and what was wrong."""
    wrong: list[str] = []
    done = []
    for _ in range(chance.randint(1, 3)):
        number = chance.choice(numbers)
        if chance.random() < fresh_python:
            how, ended = "anew", anew(case.command, out, 0.15 + chance.random() * 6, number)
        elif chance.random() < 0.5:
            n = chance.randint(1, case.writes)
            how, ended = f"write {n}", fork(case.command, out, at_write(n, number))
        else:
            how, ended = (
                "time",
                fork(case.command, out, at=chance.random() * 0.8 * case.seconds, number=number),
            )
        done.append(f"{signal.Signals(number).name} at {how}: {ended.code}")
        wrong += _ending(ended, number)
    before = [name for name in leftovers(out) if name.endswith(".tmp")] if out.exists() else []
    ended = fork(case.command, out)
    if ended.code:
        wrong.append(f"the next run ended with {ended.code}: {ended.stderr[-400:]}")
    elif differing := _differing(contents(out), case.expected):
        wrong.append(f"other contents: {differing}")
    if left := leftovers(out):
        wrong.append(f"left: {left}")
    counted = sum(map(int, re.findall(r"Removed (\d+) unfinished", ended.stderr)))
    top = [name for name in before if not name.startswith("checkpoint-") and name.count("/") < 2]
    if counted < len({name.split("/")[0] if "/" in name and ".tmp/" in name else name for name in top}):
        wrong.append(f"{counted} leftovers counted of {before}")
    return "; ".join(done), wrong


def together(case: Case, out: Path) -> list[str]:
    """Run a command twice at the same time in one folder."""
    logs = [Path(f"{out}.{n}.stderr") for n in range(2)]
    children = []
    for log in logs:
        if (child := os.fork()) == 0:
            _become(case.command, out, log, None)
        children.append(child)
    codes = sorted(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)
    told = [log.read_text(errors="replace") for log in logs]
    wrong = []
    if codes not in ([[0, 0], [0, 2]] if case.command[0] == "train" else [[0, 0]]):
        wrong.append(f"exit codes {codes}: {told}")
    if codes == [0, 2] and sum("is being written by process" in text for text in told) != 1:
        wrong.append(f"refused with {told}")
    if differing := _differing(contents(out), case.expected):
        wrong.append(f"other contents: {differing}")
    if leftovers(out) or any("Traceback" in text for text in told):
        wrong.append(f"left {leftovers(out)}; {told}")
    return wrong


def full_disk(case: Case, disk: Path, room: int) -> list[str]:
    """Run a command on a file system of so many bytes, then again with enough of them."""
    disk.mkdir(exist_ok=True)
    mount = ("mount", "-t", "tmpfs", "tmpfs", str(disk), "-o")
    subprocess.run([*mount, f"size={room}"], check=True)
    try:
        small = fork(case.command, disk / "out", log=Path(f"{disk}.stderr"))
        subprocess.run([*mount, "remount,size=256m"], check=True)
        enough = fork(case.command, disk / "out", log=Path(f"{disk}.stderr"))
        lines = [line for line in small.stderr.splitlines() if line.startswith("interp: ")]
        wrong = []
        if small.code not in (0, 74) or "Traceback" in small.stderr or len(lines) != (small.code == 74):
            wrong.append(f"exit code {small.code}: {small.stderr[-400:]}")
        if enough.code or _differing(contents(disk / "out"), case.expected) or leftovers(disk / "out"):
            wrong.append(f"then {enough.code}: {enough.stderr[-200:]} {leftovers(disk / 'out')}")
        return wrong or ["full" if small.code else "fits"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def _ending(ended: Ended, number: int) -> list[str]:
    """What is wrong with how a process ended that was sent a signal, unless it was done before."""
    lines = ended.stderr.strip().splitlines()
    if "Traceback" in ended.stderr:
        return [f"traceback: {ended.stderr[-600:]}"]
    if ended.code == 0 or (number == signal.SIGKILL and ended.code == -signal.SIGKILL):
        return []
    if ended.code != 130:
        return [f"exit code {ended.code}: {lines[-1:]}"]
    told = [line for line in lines if line.startswith("interp: ")]
    return (
        []
        if len(told) == 1 and lines[-1] == told[0] and "Resume with: interp " in told[0]
        else [f"told: {lines[-3:]}"]
    )


def campaign(
    place: Path, kills: int, pairs: int, disks: int, seed: int, only: list[str], fresh_python: float
) -> int:
    """Run trials until enough kills and stops were sent, pairs run, disks filled; returns how many failed."""
    preload()
    every = [case for case in cases(place) if not only or case.name in only]
    for case in every:
        reference(case, place)
        print(
            f"{case.name}: {case.seconds:.1f} s, {case.writes} writes, {len(case.expected)} files",
            flush=True,
        )
    chance, counts, failed, sent, number = random.Random(seed), Counter[str](), 0, 0, 0
    while sent < kills:
        case = every[number % len(every)]
        number += 1
        out = place / f"trial-{number}"
        signals = [signal.SIGKILL] if number % 2 else [signal.SIGTERM, signal.SIGINT]
        done, wrong = trial(case, out, chance, list(map(int, signals)), fresh_python)
        sent += done.count("SIG")
        for each in done.split("; "):
            counts[re.sub(r"write \d+", "write", each)] += 1
        if wrong:
            failed += 1
            print(f"FAILED {case.name} ({done}): {'; '.join(wrong)}", flush=True)
        else:
            shutil.rmtree(out)
    for n in range(pairs):
        case = every[n % len(every)]
        if wrong := together(case, place / f"pair-{n}"):
            failed += 1
            print(f"FAILED two at once of {case.name}: {'; '.join(wrong)}", flush=True)
        counts["two at once"] += 1
    for _ in range(disks):
        case = every[number % len(every)]
        number += 1
        room = int(chance.uniform(0.02, 1.1) * case.size)
        outcome = full_disk(case, place / "disk", room)
        counts["disk " + (outcome[0] if outcome[0] in ("full", "fits") else "FAILED")] += 1
        if outcome[0] not in ("full", "fits"):
            failed += 1
            print(f"FAILED {case.name} on a disk of {room} bytes: {'; '.join(outcome)}", flush=True)
    print(f"{sent} kills and stops in {number} trials over {len(every)} commands, {failed} failed")
    for what, n in sorted(counts.items()):
        print(f"  {n:4d} {what}")
    return failed


def preload() -> None:
    """Import what commands import, so that forks do not."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    import torch

    torch.set_num_threads(1)
    for name in IMPORTED:
        importlib.import_module(name)


def main() -> None:
    """Run the campaign as the flags say."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--kills", type=int, default=200)
    flags.add_argument("--pairs", type=int, default=13, help="pairs of the same command at once")
    flags.add_argument("--disks", type=int, default=0, help="full disks to try, as tmpfs; needs root")
    flags.add_argument("--seed", type=int, default=0)
    flags.add_argument("--only", default="", help="names of commands, separated by commas")
    flags.add_argument(
        "--fresh-python", type=float, default=0.1, help="share of trials that import everything anew"
    )
    chosen = flags.parse_args()
    with tempfile.TemporaryDirectory() as place:
        only = [name for name in chosen.only.split(",") if name]
        sys.exit(
            bool(
                campaign(
                    Path(place),
                    chosen.kills,
                    chosen.pairs,
                    chosen.disks,
                    chosen.seed,
                    only,
                    chosen.fresh_python,
                )
            )
        )


if __name__ == "__main__":
    main()
