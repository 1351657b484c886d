"""Shapes and types are checked while the tests run, nothing reaches the network, and there are checkpoints to
open.

Nothing heavy is imported here: the process that only deals out tests reads this file too.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from jaxtyping import install_import_hook
from threadpoolctl import threadpool_limits

from tests.support import shapes

gc.disable()  # until everything is imported
os.environ["HF_HUB_OFFLINE"] = "1"
# one thread here and in every process that a test starts: on tiny arrays threads only wait for each other
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
threadpool_limits(1)  # of what is loaded already

# not interp.data: it has no shapes, and its hundreds of thousands of small calls would take a minute
_CHECKED = ("cli", "config", "errors", "flags", "measure", "model", "results", "stats")
install_import_hook(
    [f"interp.{part}" for part in _CHECKED] + ["analyses", "figures", "probes"],
    f"{shapes.__name__}.typecheck",
)


def pytest_collection_finish() -> None:
    """Leave all that is imported out of later searches for garbage: trainers collect it, and a search took a
    second."""
    gc.enable()
    gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests with real models, unless ``-m`` names them."""
    if "real" in config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("real")]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory) -> dict[str, Path]:
    """Saved tiny checkpoints to read, never to change: two of one family, and others by family."""
    from tests.support.tiny import save_checkpoint

    root = tmp_path_factory.mktemp("checkpoints")
    saved = {family: save_checkpoint(root / family, family) for family in ("llama", "qwen2", "mixtral")}
    return {**saved, "other": save_checkpoint(root / "other", seed=1)}


@pytest.fixture
def registration() -> Iterator[None]:
    """Languages that the test adds, or takes out, are as before when it ends."""
    from interp.data.languages import LANGUAGES, registry

    before = dict(LANGUAGES)
    yield
    LANGUAGES.clear()
    LANGUAGES.update(before)
    for clear in registry._caches:
        clear()


@pytest.fixture(name="no_model")
def _no_model() -> Iterator[None]:
    """The test fails when it opens a model."""
    from tests.support.command import no_model

    with no_model():
        yield
