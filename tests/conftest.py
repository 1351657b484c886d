"""Shapes and types are checked while the tests run, nothing reaches the network, and there are checkpoints to open."""

from __future__ import annotations

import os
import typing
from pathlib import Path
from typing import Any

import pytest
import torch
from beartype import BeartypeConf, FrozenDict, beartype
from jaxtyping import install_import_hook

os.environ["HF_HUB_OFFLINE"] = "1"
torch.set_num_threads(1)  # tiny tensors: threads would only wait for each other

typecheck = beartype(conf=BeartypeConf(is_pep484_tower=True, hint_overrides=FrozenDict({typing.Self: Any})))
# not interp.data: it has no shapes, and its hundreds of thousands of small calls would take a minute
_CHECKED = ("cli", "config", "errors", "flags", "measure", "model", "results", "stats")
install_import_hook(
    [f"interp.{part}" for part in _CHECKED] + ["analyses", "figures"], "tests.conftest.typecheck"
)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory) -> dict[str, Path]:
    """Saved tiny checkpoints to read, never to change: two of one family, and others by family."""
    from tests.support.tiny import save_checkpoint

    root = tmp_path_factory.mktemp("checkpoints")
    saved = {family: save_checkpoint(root / family, family) for family in ("llama", "qwen2", "mixtral")}
    return {**saved, "other": save_checkpoint(root / "other", seed=1)}
