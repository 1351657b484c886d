"""How time and memory grow from 1,000 to 100,000 facts: check, sample, evaluation, pairs, demonstrations.

``python -m tests.benchmarks.bench_facts [--repeats 3]``
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.many_facts import write_many, write_polyfact

HERE = Path(__file__).parent
SIZES = (1_000, 10_000, 100_000)
LIMIT = 16
MOST_MB, STEEPEST = 500, 1.1


def check(path: Path) -> None:
    """`interp data check`."""
    from interp.data.check import check_facts

    if not check_facts(path).ok:
        raise SystemExit("the file is not sound")


def sample(path: Path | str) -> None:
    """What a measure with `--limit 16` reads."""
    from interp.data.languages import POLYFACT_LANGUAGES
    from interp.data.sources import open_prompts

    prompts = open_prompts(path, POLYFACT_LANGUAGES, split="test", limit=LIMIT)
    if prompts.n_items != LIMIT:
        raise SystemExit(f"{prompts.n_items} items")


def evaluation(path: Path) -> None:
    """What `interp evaluate --limit 16` reads: the sample, and the prior of all facts."""
    from interp.data.baselines import rule_baselines
    from interp.data.languages import POLYFACT_LANGUAGES
    from interp.data.sources import open_facts

    known = open_facts(path, sample=True)
    rule_baselines(known.filter(splits=["test"], languages=POLYFACT_LANGUAGES, limit=LIMIT), known)


def partners(path: Path) -> None:
    """Partners for all facts, once they are read."""
    from interp.data.partners import pair_facts
    from interp.data.sources import load_facts

    facts = load_facts(path)
    began = time.process_time()
    pair_facts(facts)
    raise SystemExit(_report(began))


def pairs(path: Path) -> None:
    """What patching draws for all facts, once they are read: partners and the first unrelated facts."""
    from interp.data.priors import answers_of
    from interp.data.sources import load_facts
    from interp.measure.patching.pairs import Unrelated, partners_of

    facts = load_facts(path)
    began = time.process_time()
    answers = answers_of(facts)
    found, unrelated = partners_of(facts, answers), Unrelated(facts, answers)
    for row, partner in enumerate(found):
        avoid = {facts.facts[each].object_id for each in (row, partner) if each is not None}
        if next(unrelated.of(row, avoid), None) is None:
            raise SystemExit("no unrelated fact")
    raise SystemExit(_report(began))


def shown(path: Path) -> None:
    """English prompts after two demonstrations for all facts, once they are read."""
    from interp.data.demonstrations import prompts_with_demonstrations
    from interp.data.sources import load_facts

    facts = load_facts(path).filter(languages="en")
    for fact in facts:
        fact.wording["en"]  # read, so that no file is timed
    began = time.process_time()
    prompts_with_demonstrations(facts, shots=2)
    raise SystemExit(_report(began))


def polyfact(path: Path) -> None:
    """What a measure with `--limit 16` reads of a PolyFact folder."""
    sample(f"polyfact:{path.with_suffix('')}")


TASKS: dict[str, Callable[[Path], None]] = {
    "data check": check,
    f"limit of {LIMIT}": sample,
    f"evaluation, limit of {LIMIT}": evaluation,
    "partners": partners,
    "pairs for patching": pairs,
    "demonstrations": shown,
    f"PolyFact folder, limit of {LIMIT}": polyfact,
}


HELD = ("pairs for patching", "demonstrations")
"""What has all texts, or torch, in memory by design: no target for memory."""


def main() -> None:
    """Run it and write results/facts.json and facts.md; with ``--task``, one task in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--task", choices=TASKS)
    parser.add_argument("--file", type=Path)
    options = parser.parse_args()
    if options.task:
        from interp.data import facts, partners, sources  # noqa: F401  # not a part of what is timed

        began = time.process_time()
        TASKS[options.task](options.file)
        raise SystemExit(_report(began))
    loads = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory() as folder:
        files = {size: write_many(Path(folder) / f"{size}.jsonl", size) for size in SIZES}
        for size in SIZES:
            write_polyfact(Path(folder) / str(size), size)
        megabytes = {str(size): file.stat().st_size / 1e6 for size, file in files.items()}
        tasks = {task: _measured(task, files, options.repeats) for task in TASKS}
    loads.append(os.getloadavg()[0])
    results = {"machine": _machine(loads), "repeats": options.repeats, "file_mb": megabytes, "tasks": tasks}
    (HERE / "results" / "facts.json").write_text(json.dumps(results, indent=2) + "\n")
    (HERE / "facts.md").write_text(as_markdown(results))
    print(as_markdown(results))


def _machine(loads: list[float]) -> dict[str, object]:
    """Where the numbers were made; no library is timed but ours."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    changed = " + changes" if _git("status", "--porcelain", "interp") else ""
    return {
        "date": datetime.date.today().isoformat(),
        "commit": _git("rev-parse", "--short=12", "HEAD") + changed,
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load_before_and_after": loads,
    }


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], capture_output=True, text=True, cwd=HERE.parent.parent, check=False
    )
    return done.stdout.strip()


def _report(began: float) -> int:
    """Print CPU seconds since a moment, and the peak resident size of this process in MB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM:"))
    print(json.dumps({"seconds": time.process_time() - began, "mb": peak}))
    return 0


def _measured(task: str, files: dict[int, Path], repeats: int) -> dict:
    """Medians per size, each run in a process of its own."""
    found: dict[str, dict[str, float]] = {}
    for size, file in files.items():
        command = [sys.executable, "-m", "tests.benchmarks.bench_facts", "--task", task, "--file", str(file)]
        runs = [
            json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            for _ in range(repeats)
        ]
        found[str(size)] = {key: statistics.median(run[key] for run in runs) for key in ("seconds", "mb")}
    return {"sizes": found, "slope": _slope(found)}


def _slope(found: dict[str, dict[str, float]]) -> float:
    """Slope of log seconds on log facts, by least squares."""
    points = [(math.log(int(size)), math.log(values["seconds"])) for size, values in found.items()]
    return statistics.linear_regression(*zip(*points, strict=True)).slope


def as_markdown(results: dict) -> str:
    """The page beside the numbers."""
    machine, sizes = results["machine"], [str(size) for size in SIZES]
    loads = machine["load_before_and_after"]
    megabytes = [f"{results['file_mb'][size]:.0f}" for size in sizes]
    rows = []
    for task, measured in results["tasks"].items():
        values = [measured["sizes"][size] for size in sizes]
        cells = [f"{value['seconds']:.2f} s, {value['mb']:.0f} MB" for value in values]
        met = measured["slope"] <= STEEPEST and (task in HELD or values[-1]["mb"] < MOST_MB)
        rows.append(f"| {task} | {' | '.join(cells)} | {measured['slope']:.2f} | {'yes' if met else 'no'} |")
    return "\n".join(
        [
            "# Growth with the number of facts",
            "",
            f"    python -m tests.benchmarks.bench_facts --repeats {results['repeats']}",
            "",
            "Written by that command from `results/facts.json`; do not edit. Made-up facts of 20",
            f"relations in 12 languages, two of a subject, four options: files of {', '.join(megabytes)} MB. "
            "Process CPU seconds without imports and peak resident",
            f"size, medians of {results['repeats']} fresh processes. Targets: slope of log seconds on log "
            f"facts at most {STEEPEST}, under {MOST_MB} MB at 100,000 facts.",
            "Partners, pairs, demonstrations: without the time of reading; the last two have texts or torch "
            "in memory, and no target for it.",
            "",
            f"{machine['date']}, commit {machine['commit']}. {machine['cpu']}, {machine['cores']} cores, "
            f"Python {machine['python']}; load average before and after: {loads[0]:.1f} and {loads[1]:.1f}.",
            "",
            "| | 1,000 facts | 10,000 | 100,000 | slope | met |",
            "|---|---:|---:|---:|---:|---|",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    main()
