"""Run every command on the organism in two checkouts, and compare all they save, number by number.

    python tests/support/same_numbers.py BEFORE AFTER --out FOLDER

Each command of `number_cases.CASES` runs in both checkouts with the same settings, on one thread of the
CPU; flags that were renamed are translated for the one that does not know them. Results are read by AFTER's
`load_result`, so that names which changed between two schemas meet. Bits must agree: arrays and values of
results, tables (CSV, JSON, JSONL, Parquet), and the final weights of trainings. Runs that are done are
repeated only when the code has changed.

Exits with 1 if a command failed or any number differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support.number_cases import CASES, SPELLINGS, translated

PACKAGES = ("interp", "probes", "training", "analyses", "figures")

FLAGS = """
import json, typer
from interp.cli import app
def flags(command, name):
    for part, inner in getattr(command, "commands", {}).items():
        yield from flags(inner, f"{name} {part}".strip())
    yield name, {option: str(getattr(p, "help", "")) for p in command.params for option in p.opts}
print(json.dumps(dict(flags(typer.main.get_command(app), ""))))
"""

KINDS = """
import sys
from interp.results import load_result
print(*(load_result(file).kind for file in sys.argv[1:]))
"""


def main() -> None:
    """Run what is missing, compare, print, and exit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", type=Path, help="Checkout whose numbers are right.")
    parser.add_argument("after", type=Path, help="Checkout that must give the same.")
    parser.add_argument(
        "--out", type=Path, required=True, help="Folder for the outputs of both, and their logs."
    )
    parser.add_argument(
        "--only", nargs="+", default=["*"], metavar="NAME", help="Commands, such as 'patch-*'."
    )
    parser.add_argument("--run", choices=("before", "after"), help="Only run this side; compare nothing.")
    parser.add_argument("--python", default=sys.executable, help="Interpreter for both (default: this one).")
    options = parser.parse_args()
    names = [name for name in CASES if any(fnmatch(name, pattern) for pattern in options.only)]
    for side in ("before", "after"):
        if options.run in (None, side):
            Side(getattr(options, side).resolve(), (options.out / side).resolve(), options.python).run(names)
    if options.run is None:
        sys.exit(report(options, names))


def report(options: argparse.Namespace, names: list[str]) -> int:
    """Print the table and what differs; the exit code."""
    sys.path.insert(0, str(options.after.resolve()))  # whose load_result reads both
    from tests.support.number_comparison import compare_case

    print(f"{'command':30} {'compared':>8} {'largest difference':>18}  verdict")
    found = [
        compare_case(name, options.out / "before" / name, options.out / "after" / name) for name in names
    ]
    for case in found:
        print(f"{case.name:30} {case.compared:8} {case.largest:18.3g}  {case.verdict}")
    for case in found:
        for line in case.notes:
            print(f"{case.name}: {line}")
    same = sum(case.same for case in found)
    print(
        f"{same} of {len(found)} commands the same; {sum(case.compared for case in found)} arrays and values."
    )
    return 0 if same == len(found) else 1


class Side:
    """One checkout, and the folder with what its commands wrote."""

    def __init__(self, checkout: Path, out: Path, python: str) -> None:
        self.checkout, self.out, self.python = checkout, out, python
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        self.environment = {**os.environ, **threads, "PYTHONPATH": str(checkout), "PYTHONSAFEPATH": "1"}
        self.flags = json.loads(self._python("-c", FLAGS).stdout)

    def run(self, names: list[str]) -> None:
        """Run the commands that have no output of this state of the checkout."""
        state = self._state()
        for name in names:
            done = self.out / name / "done"
            arguments = self._arguments(name)
            stamp = "\n".join([state, shlex.join(arguments)])
            if done.exists() and done.read_text(encoding="utf-8") == stamp:
                continue
            shutil.rmtree(done.parent, ignore_errors=True)
            done.parent.mkdir(parents=True)
            ended = self._python("-m", "interp", *arguments, check=False)
            (done.parent / "log").write_text(f"{ended.stdout}\n{ended.stderr}", encoding="utf-8")
            print(f"{self.checkout.name}: {name}: {'ran' if ended.returncode == 0 else 'FAILED'}", flush=True)
            if ended.returncode == 0:
                done.write_text(stamp, encoding="utf-8")

    def _arguments(self, name: str) -> list[str]:
        """The command in the words of this checkout."""
        words = shlex.split(CASES[name])
        size = 2 if " ".join(words[:2]) in self.flags else 1
        known = self.flags[" ".join(words[:size])]
        arguments = words[:size]
        for word in words[size:]:
            if word.startswith("{"):
                arguments += self._results(*word.strip("{}").split(":"))
            elif word.startswith("--"):
                arguments.append(_spelled(word, known, f"{name}: {self.checkout}"))
            else:
                arguments.append(_choice(word, known.get(arguments[-1], "")))
        stem = "result" if words[0] in ("compare", "rescore") else ""
        return [*arguments, "--out", str(self.out / name / "files" / stem)]

    def _results(self, case: str, kind: str) -> list[str]:
        """Saved results of an earlier case, of a kind in the words of today."""
        folder = self.out / case / "files"
        files = sorted(map(str, folder.glob("*.npz")))
        kinds = self._python("-c", KINDS, *files).stdout.split()
        return [file for file, found in zip(files, kinds, strict=True) if translated(found) == kind]

    def _state(self) -> str:
        """A digest of the code and the checkpoints that the commands run with."""
        listing = ["git", "-C", str(self.checkout), "ls-files", "-z", "-co", "--exclude-standard", *PACKAGES]
        digest = hashlib.sha256()
        for name in sorted(
            set(subprocess.run(listing, capture_output=True, check=True).stdout.split(b"\0")[:-1])
        ):
            file = self.checkout / os.fsdecode(name)
            digest.update(name + (file.read_bytes() if file.exists() else b"deleted"))
        return digest.hexdigest()

    def _python(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.python, *arguments],
            cwd=self.out.parent,
            env=self.environment,
            capture_output=True,
            text=True,
            check=check,
        )


def _spelled(flag: str, known: dict[str, str], where: str) -> str:
    for spelling in (flag, *SPELLINGS.get(flag, ())):
        if spelling in known:
            return spelling
    sys.exit(f"{where} has no {flag}; add its name there to SPELLINGS. Choose from: {', '.join(known)}.")


def _choice(word: str, shown: str) -> str:
    """A choice as the help of its flag spells it."""
    return next((s for s in (word, *SPELLINGS.get(word, ())) if s in shown), word)


if __name__ == "__main__":
    main()
