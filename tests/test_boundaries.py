"""No circle of imports inside a package, and names of the modules of architectures in one file only."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("interp", "probes", "training", "analyses", "figures")
FILES = {
    file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8")
    for package in PACKAGES
    for file in sorted((ROOT / package).rglob("*.py"))
}

KNOWS_ARCHITECTURES = "interp/model/sites.py"
MODULE_NAME = re.compile(
    r"\b(?:(?:[qkvo]|qkv|gate|up|down|gate_up)_proj|self_attn|act_fn|activation_fn|\w+_layernorm)\b"
    r"|\b(?:lm_head|embed_tokens)\b"
    r"|\bmlp\.(?!hook_)"  # not the hooks of TransformerLens
    r"|\.mlp\b(?!\()"  # not Architecture.mlp
)


def imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Module and name of every import, within functions too; not those that only a type checker sees."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            yield from ((str(node.module), alias.name) for alias in node.names)
        yield from imported(node)


def import_graph(files: dict[str, str]) -> dict[str, set[str]]:
    """Which modules each module imports, by name."""
    sources = {
        path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): files[path] for path in files
    }
    return {
        name: {
            inner if (inner := f"{module}.{attribute}") in sources else module
            for module, attribute in imported(ast.parse(source))
        }
        & sources.keys()
        for name, source in sources.items()
    }


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Sets of modules that import one another, directly or through others."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            new = graph[waiting.pop()] - seen
            seen |= new
            waiting += new
        return seen

    after = {name: reached(name) for name in graph}
    each = {frozenset(n for n in after[name] if name in after[n]) for name in graph if name in after[name]}
    return sorted(map(set, each), key=min)


def test_no_modules_import_one_another():
    assert circles(import_graph(FILES)) == []


@pytest.mark.parametrize(
    ("third", "expected"),
    [
        ("import a.one", [{"a.one", "a.two", "a.three"}]),
        ("def late():\n    from a import one", [{"a.one", "a.two", "a.three"}]),
        ("if TYPE_CHECKING:\n    from a.one import x", []),
        ("from a.four import x", []),
    ],
)
def test_a_circle_is_found_wherever_the_import_stands(third, expected):
    files = {
        "a/__init__.py": "",
        "a/one.py": "from a.two import x",
        "a/two.py": "from a import three",
        "a/three.py": third,
        "a/four.py": "import numpy",
    }
    assert circles(import_graph(files)) == expected


def test_only_sites_knows_the_modules_of_architectures():
    assert [path for path, text in FILES.items() if MODULE_NAME.search(text)] == [KNOWS_ARCHITECTURES]


@pytest.mark.parametrize(
    "name", ["layer.mlp", "'mlp.act_fn'", "x.self_attn", "post_attention_layernorm", "k_proj"]
)
def test_the_search_finds_a_module_name(name):
    assert MODULE_NAME.search(name)


@pytest.mark.parametrize("name", ["architecture.mlp(0)", "mlp.hook_pre", "mlp_neuron", "attn_out"])
def test_the_search_leaves_other_names_alone(name):
    assert not MODULE_NAME.search(name)
