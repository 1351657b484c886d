"""What happens between the steps of a run: metrics, evaluation, guards, cost, and stopping without loss."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import TrainerCallback, TrainerControl, TrainerState

from interp.errors import MeasurementError
from training.files import write_json
from training.progress import Progress
from training.run.distributed import any_process
from training.run.folder import COMPLETE
from training.run.guards import Guards
from training.run.metrics import MetricsFile

__all__ = ["RunCallback"]

_REPLACED = ("num_input_tokens_seen", "num_tokens", "train_runtime", "train_tokens_per_second", "step_time")


class RunCallback(TrainerCallback):
    """Records the metrics of a run, evaluates it, and ends it early for a reason.

    Args:
        metrics: Where numbers are written; None in processes that do not write.
        evaluate: Called with the step at which to evaluate, by all processes together.
        eval_every: Steps between evaluations; 0 for the first and the last step.
        guards: What ends a run that cannot succeed.
        progress: Called with a label, steps done and steps in all.

    Attributes:
        stopped: Whether the user or the scheduler has sent a signal to stop; set when training begins.
        interrupted: Whether the run ended because of one.
        prepared_tokens: Tokens that were read and sampled before the first step.
    """

    def __init__(
        self,
        metrics: MetricsFile | None,
        evaluate: Callable[[int], None],
        eval_every: int,
        guards: Guards,
        progress: Progress | None = None,
    ):
        self.metrics, self.evaluate, self.eval_every = metrics, evaluate, eval_every
        self.guards, self.progress = guards, progress
        self.stopped: Callable[[], bool] = lambda: False
        self.interrupted, self.prepared_tokens = False, 0
        self._seconds, self._since = 0.0, time.monotonic()

    def restore(self, folder: Path) -> None:
        """Continue with the totals and guards of a saved state."""
        saved = json.loads((folder / COMPLETE).read_text(encoding="utf-8"))
        self._seconds, self._since = saved["cost"]["wall_seconds"], time.monotonic()
        self.prepared_tokens = saved["prepared_tokens"]
        self.guards.restore(saved["guards"])

    def cost(self, state: TrainerState) -> dict[str, float]:
        """Return tokens, wall time in seconds and device-hours of the whole run.

        Time includes earlier parts of a resumed run, evaluations and preparation; tokens leave evaluations
        out.
        """
        seconds = self._seconds + time.monotonic() - self._since
        return {
            "tokens": int(state.num_input_tokens_seen) + self.prepared_tokens,
            "wall_seconds": round(seconds, 2),
            "device_hours": round(seconds * PartialState().num_processes / 3600, 5),
        }

    def on_train_begin(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Evaluate the parent."""
        if state.global_step == 0:
            self.evaluate(0)

    def on_epoch_begin(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Set the sampler's epoch; accelerate does not reach it in a resumed epoch of several processes."""
        layer: Any = getattr(kwargs.get("train_dataloader"), "batch_sampler", None)
        while hasattr(layer, "batch_sampler"):
            layer = layer.batch_sampler
        sampler: Any = getattr(layer, "sampler", None)
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(int(state.epoch or 0))

    def on_step_end(
        self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Evaluate on schedule, show progress, and save before an early end."""
        last = state.global_step >= state.max_steps
        if last or (self.eval_every and state.global_step % self.eval_every == 0):
            self.evaluate(state.global_step)
        if self.progress:
            self.progress("training steps", state.global_step, state.max_steps)
        if any_process(self.stopped()) and not last:
            self.interrupted = True
            control.should_save = control.should_training_stop = True
        return control

    def on_log(self, args: Any, state: TrainerState, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Write what was logged, then let the guards look at it."""
        if not logs or "train_loss" in logs:  # the trainer's own summary at the end
            return
        logged = {name: value for name, value in logs.items() if name not in _REPLACED}
        record = {"event": "step", "step": state.global_step, **logged, **self.cost(state)}
        if self.metrics:
            self.metrics.add(record)
        if reason := self.guards.reason(logs):
            raise MeasurementError(f"Stopped at step {state.global_step}: {reason}")

    def on_save(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Mark the saved state as complete, once every process has written its part."""
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
