"""What holds for the code as a whole: import levels, lazy imports, no pickle, no remote code, short files."""

from __future__ import annotations

import ast
import inspect
import json
import re
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
from threadpoolctl import threadpool_info

import interp
from interp.stats import entropy
from tests.support.command import run_process

ROOT = Path(__file__).parents[1]
PACKAGES = ("interp", "probes", "training", "analyses", "figures")
FILES = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
HEAVY = ("torch", "transformers", "pandas", "scipy", "matplotlib", "peft")


def modules_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after running the code."""
    tail = (
        "; import sys, json; sys.stdout.flush(); print('\\n' + json.dumps(sorted({m.split('.')[0] for m in "
        "sys.modules})))"
    )
    done = run_process("-c", code + tail, cwd=ROOT, warnings="default")
    assert done.code == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_interp_loads_nothing_heavy():
    assert not modules_after("import interp; dir(interp); interp.__version__").intersection((*HEAVY, "numpy"))


@pytest.mark.parametrize(
    "arguments", [["--help"], ["specialization", "--help"], ["specialization", "--langauges", "en"]]
)
def test_the_command_line_imports_nothing_heavy_before_it_works(arguments):
    code = (
        f"import sys; sys.argv[1:] = {arguments!r}\nfrom interp.cli import app\ntry: app()\nexcept "
        "SystemExit: pass\nimport os"
    )
    assert not modules_after(code).intersection((*HEAVY, "numpy"))


def test_results_scores_and_figures_work_without_torch():
    code = "import analyses.comparison, figures, figures.terminal, interp.results, interp.data.sources"
    assert not modules_after(code).intersection(("torch", "transformers"))


def test_the_demo_needs_no_extra():
    """What a plain install runs, with the packages of the extras out of reach."""
    absent = ("trl", "peft", "datasets", "pyarrow", "babel", "transformer_lens", "nnsight")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({absent!r}))\n"
        "import figures.study, interp.commands.demo\n"
        "from analyses.study.cells import plan_study\nfrom analyses.study.file import read_study\n"
    )
    asked = (
        "from analyses.runner import Models\n"
        "cell = plan_study(read_study('demo')).cells[0]\n"
        "Models().open(cell.checkpoint, cell.planned.numerics)\n"
    )
    more = "import interp.measure.behavior.choice, interp.measure.specialization.heads; x = 1"
    assert "torch" in modules_after(code + asked + more)


@pytest.mark.parametrize("name", interp.__all__)
def test_public_names_resolve(name):
    assert getattr(interp, name) is not None


@pytest.mark.parametrize("name", [name for name in interp.__all__ if name.startswith("measure_")])
def test_the_settings_that_a_public_measure_takes_are_public(name):
    """Nobody who may call it has to look for the module of its settings."""
    code = inspect.signature(inspect.unwrap(getattr(interp, name))).parameters
    settings = code["settings"].annotation if "settings" in code else ""
    assert set(re.findall(r"\w+Settings", str(settings))) <= set(interp.__all__)


def test_a_name_that_is_not_public():
    with pytest.raises(AttributeError, match="module 'interp' has no attribute 'measure_everything'"):
        interp.measure_everything  # noqa: B018
    assert set(dir(interp)) == set(interp.__all__)


def test_import_contracts():
    pytest.importorskip("importlinter", reason="import-linter comes with the dev extra")
    from importlinter.api import read_configuration

    contracts = read_configuration(str(ROOT / "pyproject.toml"))["contracts_options"]
    assert len(contracts) >= 3
    code = (  # in its own process, since it turns off the loggers of this one
        "import sys; from importlinter.cli import lint_imports; "
        f"file = {str(ROOT / 'pyproject.toml')!r}; "
        "sys.exit(lint_imports(config_filename=file, no_logo=True, cache_dir=None))"
    )
    assert run_process("-c", code).code == 0


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_file_is_short_and_says_what_it_is(file):
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= (600 if file.name == "sites.py" else 350), "one idea per file"
    assert ast.get_docstring(ast.parse(text)), "the first line says it"


FORBIDDEN = re.compile(
    r"trust_remote_code\s*=\s*True|allow_pickle\s*=\s*True|weights_only\s*=\s*False|\btorch\.(load|save)\("
    r"|^\s*(import|from)\s+(pickle|dill|cloudpickle|joblib|shelve|marshal)\b|(?<![\w.])(eval|exec)\(|shell\s*=\s*True",
    re.MULTILINE,
)


def test_nothing_runs_code_from_a_file():
    found = {
        str(file): match.group()
        for file in FILES
        if (match := FORBIDDEN.search(file.read_text(encoding="utf-8")))
    }
    assert not found


@pytest.mark.parametrize(
    "bad",
    [
        "import pickle",
        "f(trust_remote_code = True)",
        "np.load(x, allow_pickle=True)",
        "torch.load(f)",
        "x = eval(y)",
    ],
)
def test_that_search_finds_what_it_looks_for(bad):
    assert FORBIDDEN.search(bad)


def test_one_thread_in_this_run():
    """Two threads on tiny arrays wait for each other, and share out sums differently."""
    import torch

    assert torch.get_num_threads() == 1
    assert {library["num_threads"] for library in threadpool_info()} == {1}


def test_shapes_are_checked_in_this_run():
    with pytest.raises(jaxtyping.TypeCheckError):
        entropy(np.array([1, 2, 3]))  # integers, where Float is declared
