"""What happens beside the steps of a run: metrics, evaluation, guards, cost, a stop that loses nothing."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from interp.errors import MeasurementError
from interp.files import write_atomically
from training.files import write_json
from training.progress import Progress
from training.running.guards import Guards

__all__ = ["COMPLETE", "MetricsFile", "RunCallback"]

COMPLETE = "complete.json"
"""A saved state counts only when it holds this file, which is written last."""

_REPLACED = ("num_input_tokens_seen", "num_tokens", "train_runtime", "train_tokens_per_second", "step_time")

Evaluate = Callable[[int], None]


class MetricsFile:
    """One JSON object per line: what was logged, by step. Lines after the step of a resumed state are cut."""

    def __init__(self, file: Path):
        self.file = file

    def add(self, record: dict[str, Any]) -> None:
        """Append a record; numbers that are not finite become null, as JSON has none."""
        clean = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(clean, ensure_ascii=False) + "\n")

    def records(self) -> list[dict[str, Any]]:
        """Return all whole records; a line that a killed run left half written is none."""
        if not self.file.exists():
            return []
        found = []
        for line in self.file.read_text(encoding="utf-8").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found

    def cut(self, step: int) -> None:
        """Forget what was logged after a step."""
        kept = [record for record in self.records() if record["step"] <= step]
        text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in kept)
        if self.file.exists():
            write_atomically(self.file, lambda stream: stream.write(text.encode()))


class RunCallback(TrainerCallback):
    """Records a run, evaluates it, and stops it for a reason.

    Args:
        metrics: Where numbers go; None on processes that do not write.
        evaluate: Called with the step at which to evaluate; all processes call it together.
        eval_every: Steps between two evaluations; 0 for both ends.
        guards: What ends a run that leads nowhere.
        stopped: Whether the user or the scheduler asked to stop.
        agree: Makes all processes stop when one was asked to.
        processes: How many there are.
        progress: Called with a label, steps done and steps in all.
    """

    def __init__(
        self,
        metrics: MetricsFile | None,
        evaluate: Evaluate,
        eval_every: int,
        guards: Guards,
        stopped: Callable[[], bool],
        agree: Callable[[bool], bool],
        processes: int = 1,
        progress: Progress | None = None,
    ):
        self.metrics, self.evaluate, self.eval_every, self.guards = metrics, evaluate, eval_every, guards
        self.stopped, self.agree, self.processes, self.progress = stopped, agree, processes, progress
        self.seconds, self.interrupted, self._since = 0.0, False, time.monotonic()
        self.prepared_tokens = 0

    def restore(self, folder: Path) -> None:
        """Take up the totals and guards of a saved state."""
        saved = json.loads((folder / COMPLETE).read_text(encoding="utf-8"))
        self.seconds, self._since = saved["cost"]["wall_seconds"], time.monotonic()
        self.prepared_tokens = saved["prepared_tokens"]
        self.guards.restore(saved["guards"])

    def cost(self, state: TrainerState) -> dict[str, float]:
        """Return tokens, wall time in seconds and device-hours of the whole run.

        Resumed parts, evaluations and what came before the first step are included, evaluations not in the tokens.
        """
        seconds = self.seconds + time.monotonic() - self._since
        return {
            "tokens": int(state.num_input_tokens_seen) + self.prepared_tokens,
            "wall_seconds": round(seconds, 2),
            "device_hours": round(seconds * self.processes / 3600, 5),
        }

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measure where the run starts."""
        if state.global_step == 0:
            self.evaluate(0)

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Tell the sampler the epoch; accelerate does not reach it in a resumed epoch of several processes."""
        layer: Any = getattr(kwargs.get("train_dataloader"), "batch_sampler", None)
        while hasattr(layer, "batch_sampler"):
            layer = layer.batch_sampler
        sampler: Any = getattr(layer, "sampler", None)
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(int(state.epoch or 0))

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Evaluate when it is time, show progress, and save before an early end."""
        last = state.global_step >= state.max_steps
        if last or (self.eval_every and state.global_step % self.eval_every == 0):
            self.evaluate(state.global_step)
        if self.progress:
            self.progress("training steps", state.global_step, state.max_steps)
        if self.agree(self.stopped()) and not last:
            self.interrupted = True
            control.should_save = control.should_training_stop = True
        return control

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write what was logged, then look whether the run still makes sense."""
        if not logs or "train_loss" in logs:  # the trainer's farewell
            return
        own = {name: value for name, value in logs.items() if name not in _REPLACED}
        record = {"event": "step", "step": state.global_step, **own, **self.cost(state)}
        if self.metrics:
            self.metrics.add(record)
        if reason := self.guards.reason(logs):
            raise MeasurementError(f"Stopped at step {state.global_step}: {reason}")

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Mark the saved state as whole, once every process has written its part."""
        PartialState().wait_for_everyone()
        if state.is_world_process_zero:
            folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
            write_json(
                folder / COMPLETE,
                {
                    "cost": self.cost(state),
                    "prepared_tokens": self.prepared_tokens,
                    "guards": self.guards.state(),
                },
            )
