"""Cells of a study on several workers: an existing engine (Parsl) runs them, one task per checkpoint.

A cell is a file whose name says what it answers, so a task that runs twice is harmless, and one that is
lost is sent again. Only the study file goes to a worker; results come back through the folder that all share.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from analyses.plan import Progress
from analyses.study.cells import StudyPlan
from analyses.study.running import by_checkpoint
from interp.config import read_toml
from interp.errors import CapabilityError, ConfigError, InterpError

__all__ = ["on_workers", "run_checkpoint"]

_RETRIES = 2
_KEYS = {
    "provider": str,
    "workers": int,
    "accelerators": int,
    "blocks": int,
    "walltime": str,
    "options": dict,
    "setup": str,
}
_PROVIDERS = {
    "local": "LocalProvider",
    "slurm": "SlurmProvider",
    "pbs": "PBSProProvider",
    "kubernetes": "KubernetesProvider",
}


def on_workers(on: str) -> Callable[[StudyPlan, Progress | None, bool], None]:
    """What runs the cells of a study on workers, for `analyses.study.running.run_study`.

    Args:
        on: ``local:N`` for N processes of this machine, or a TOML file with ``provider`` (local, slurm, pbs,
            kubernetes), ``workers`` per node, ``accelerators`` per node, ``blocks`` (jobs), ``walltime``,
            ``setup`` (shell lines), and ``options`` of the provider.

    Raises:
        CapabilityError: Parsl is not installed.
        ConfigError: ``on`` is not usable.
    """
    if find_spec("parsl") is None:
        raise CapabilityError("--on needs parsl: pip install 'interp[cluster]'. Without it cells run here.")
    asked = _local(on) if on.startswith("local:") else _cluster(Path(on))
    return lambda plan, progress, retry: _run(plan, asked, progress, retry=retry)


def _run(plan: StudyPlan, asked: dict[str, Any], progress: Progress | None, *, retry: bool) -> None:
    """Send a task per checkpoint that has cells to do, and wait for all.

    Raises:
        InterpError: A task was lost more often than it is sent again.
    """
    groups = {
        name: cells
        for name, cells in by_checkpoint(plan.cells).items()
        if any(cell.state != "done" for cell in cells)
    }
    if not groups:
        return
    import parsl

    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    study = plan.study
    with parsl.load(_config(asked, study.out)) as kernel:
        submit: Callable[..., Future[None]] = parsl.python_app(run_checkpoint, data_flow_kernel=kernel)
        file, out, place = study.file.resolve(), study.out.resolve(), Path.cwd()
        tasks = {submit(str(file), str(out), str(place), name, retry): name for name in groups}
        _wait(tasks, progress)


def run_checkpoint(file: str, out: str, place: str, name: str, retry: bool) -> None:
    """What a worker does: every cell of one checkpoint that is not done, with its model opened once.

    ``place`` is where the user stands: paths of checkpoints and data may be relative to it.
    """
    import os
    from pathlib import Path

    from analyses.study.cells import plan_study
    from analyses.study.file import read_study
    from analyses.study.running import by_checkpoint, run_cells_of

    os.chdir(place)
    plan = plan_study(read_study(file, Path(out)))
    run_cells_of(plan, by_checkpoint(plan.cells)[name], retry=retry)


def _wait(tasks: Mapping[Future[None], str], progress: Progress | None) -> None:
    waiting, lost = set(tasks), []
    while waiting:
        done, waiting = wait(waiting, timeout=30, return_when=FIRST_COMPLETED)
        for task in done:
            if error := task.exception():
                lost.append(f"{tasks[task]}: {error}")
        if progress:
            progress("checkpoints", len(tasks) - len(waiting), len(tasks))
    if lost:
        raise InterpError(
            f"{len(lost)} of {len(tasks)} tasks did not finish ({'; '.join(lost)[:500]}). Finished cells are "
            "kept; run the same command again."
        )


def _config(asked: Mapping[str, Any], out: Path) -> Any:
    from parsl.config import Config
    from parsl.executors import HighThroughputExecutor

    executor = HighThroughputExecutor(
        label="study",
        max_workers_per_node=asked.get("workers", 1),
        available_accelerators=asked.get("accelerators", 0) or [],
        provider=_provider(asked),
        cores_per_worker=1e-6,
        encrypted=False,
        heartbeat_period=5,
        heartbeat_threshold=20,
    )
    folder = str(out / "parsl")
    return Config([executor], run_dir=folder, retries=_RETRIES, strategy="none", usage_tracking=0)


def _local(on: str) -> dict[str, Any]:
    number = on.removeprefix("local:")
    if not number.isdigit() or not 1 <= int(number) <= 1024:
        raise ConfigError(f"--on {on}: local:N with N from 1 to 1024 is expected, or a TOML file.")
    return {"provider": "local", "workers": int(number)}


def _cluster(file: Path) -> dict[str, Any]:
    given = read_toml(file)
    for key, value in given.items():
        if key not in _KEYS:
            raise ConfigError(f"{file}: unknown key '{key}'. Choose from: {', '.join(_KEYS)}.")
        if type(value) is not _KEYS[key]:
            raise ConfigError(
                f"{file}: '{key}' is {value!r}; a value of type {_KEYS[key].__name__} is expected."
            )
    if given.get("provider", "local") not in _PROVIDERS:
        raise ConfigError(
            f"{file}: 'provider' is '{given['provider']}'. Choose from: {', '.join(_PROVIDERS)}."
        )
    return given


def _provider(asked: Mapping[str, Any]) -> Any:
    import parsl.providers

    kind = asked.get("provider", "local")
    options = {"init_blocks": asked.get("blocks", 1), "max_blocks": asked.get("blocks", 1)}
    options |= {"worker_init": asked.get("setup", "")}
    if kind in ("slurm", "pbs"):
        options["walltime"] = asked.get("walltime", "01:00:00")
    try:
        return getattr(parsl.providers, _PROVIDERS[kind])(**options, **asked.get("options", {}))
    except TypeError as error:
        raise ConfigError(f"--on: the options do not suit provider '{kind}': {error}.") from None
