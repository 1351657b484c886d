"""A run of any method: claim the folder, open the start, train with a trainer of the method's own, write the result."""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from transformers import set_seed
from transformers.trainer_callback import PrinterCallback

from interp.config import to_plain
from interp.data.sources import open_facts
from interp.errors import CapabilityError, ConfigError, Interrupted, MeasurementError
from interp.files import require_room
from interp.interruption import stop_signal
from interp.model.checkpoints import resolve_checkpoint
from interp.model.generation import Sampler
from training.config import TrainConfig
from training.examples import ExampleSet, load_examples
from training.files import claim, disk_errors, quiet_transformers
from training.progress import Progress
from training.running.callbacks import MetricsFile, RunCallback
from training.running.evaluation import Answer, ask, summary
from training.running.final import write_final
from training.running.folder import (
    any_process,
    discard,
    last_state,
    require_room_for_states,
    step_of,
    take_up,
)
from training.running.guards import Guards
from training.running.start import Start, open_start, open_world
from training.running.tables import write_table

__all__ = ["Run"]

_log = logging.getLogger(__name__)

_FREE = {
    "out",
    "fresh",
    "report_to",
    "keep",
    "save_every",
    "eval_every",
    "eval_facts",
    "device",
    "pairs",
    "rollouts_every",
    "dead_run_patience",
    "collapse",
}
"""Settings that do not change the weights, and may differ when a run is taken up again."""


@dataclass
class Run:
    """One run of one method.

    Attributes:
        method: Its name on the command line.
        config: What it was told.
        recipe: Everything that decides the weights.
        train: What it learns from.
        evaluated: Split to the facts that it is evaluated on.
        start: Its parent.
        progress: Called with a label, steps done and steps in all.
        callback: What happens beside the steps.
        data: What the method says of its data, for the card.
        restore_generation: What of the model's generation settings was changed, and is put back in the result.
    """

    method: str
    config: Any
    recipe: dict[str, Any]
    train: ExampleSet
    evaluated: dict[str, ExampleSet]
    start: Start
    progress: Progress | None
    callback: RunCallback
    data: dict[str, Any] = field(default_factory=dict)
    restore_generation: dict[str, Any] = field(default_factory=dict)
    _stopped: Callable[[], bool] = lambda: False
    _trainer: Any = None

    @property
    def out(self) -> Path:
        """Folder of the run."""
        return self.config.out

    @property
    def metrics(self) -> MetricsFile:
        """Everything that was logged."""
        return MetricsFile(self.out / "metrics.jsonl")

    @property
    def is_main(self) -> bool:
        """Whether this process writes."""
        return PartialState().is_main_process

    @classmethod
    def begin(
        cls,
        method: str,
        config: TrainConfig,
        progress: Progress | None = None,
        *,
        guards: Guards | None = None,
        instructions: bool = True,
        random: bool = False,
        recipe: dict[str, Any] | None = None,
    ) -> Run | None:
        """Check everything that can be known, claim the folder and open the parent; None when the run is finished.

        Raises:
            ConfigError: A setting cannot work.
            DataError: The facts lack what is asked.
            CheckpointError: The parent cannot be opened, or the folder holds another run.
            NoSpaceError: The disk has no room for the run.
        """
        if config.keep < 2:
            raise ConfigError(
                f"keep is {config.keep}; with fewer than 2 saved states a kill while saving loses all."
            )
        if not config.model:
            raise ConfigError("No --model to start from; for example --model organism:final.")
        if not (config.steps or config.epochs):
            raise ConfigError("steps and epochs are both 0, so there is nothing to do. Set one of them.")
        if config.report_to != "none" and importlib.util.find_spec(config.report_to) is None:
            raise CapabilityError(
                f"report_to is {config.report_to}, which is not installed: pip install {config.report_to}."
            )
        train = load_examples(config, "train", instructions=instructions)
        if not len(train):
            raise ConfigError(
                f"'{config.facts}' has no fact of the split 'train', so there is nothing to learn from."
            )
        validation = load_examples(config, "validation", instructions=instructions)
        checkpoint = resolve_checkpoint(config.model)
        state = open_world(config.device)
        whole = {
            "method": method,
            **{key: value for key, value in to_plain(config).items() if key not in _FREE},
            "parent_fingerprint": checkpoint.fingerprint,
            "facts_digest": open_facts(config.facts).digest,
            "processes": state.num_processes,
            **(recipe or {}),
        }
        with state.main_process_first():
            if config.fresh and state.is_main_process:
                discard(config.out)
            require_room(config.out)
            claim(config.out, whole, "a run")
        if (config.out / "final").is_dir():
            return None
        start = open_start(config, config.out, random=random)
        set_seed(config.seed)  # before an adapter is made
        require_room_for_states(
            config.out, config.keep, start.model.num_parameters(), full=not config.lora_rank
        )
        longest = min(config.max_prompt_tokens, start.context - getattr(config, "new_tokens", 0))
        kept = train.fitting(start.n_tokens, longest)
        validation = validation.fitting(start.n_tokens, longest, may_be_empty=True)
        asked = {"validation": validation.sample(config.eval_facts), "train": kept.sample(config.eval_facts)}
        run = cls(
            method,
            config,
            whole,
            kept,
            {k: v for k, v in asked.items() if len(v)},
            start,
            progress,
            None,  # type: ignore[arg-type]
        )
        run.callback = RunCallback(
            run.metrics if state.is_main_process else None,
            run.evaluate,
            config.eval_every,
            guards or Guards(),
            lambda: run._stopped(),
            any_process,
            state.num_processes,
            progress,
        )
        return run

    @property
    def sampler(self) -> Sampler:
        """How the model answers when it is evaluated: greedily."""
        eos = self.start.model.generation_config.eos_token_id
        stops = eos if isinstance(eos, list) else [eos] if eos is not None else []
        ids = tuple(dict.fromkeys([self.start.tokenizer.eos_token_id, *stops]))
        return Sampler(new_tokens=getattr(self.config, "new_tokens", 48), stop_ids=ids)

    def finish(self, trainer: Any) -> Path:
        """Train from the last whole saved state, or the start, and write ``final`` with its card.

        Raises:
            Interrupted: Ctrl-C or SIGTERM; the state is saved.
            MeasurementError: A guard ended the run, or memory ran out.
            NoSpaceError: The disk is full; the last whole saved state stays.
        """
        self._trainer = trainer
        trainer.remove_callback(PrinterCallback)
        trainer.create_model_card = lambda *_, **__: None  # ours has the numbers
        last = last_state(self.out)
        if self.is_main:
            self.metrics.cut(step_of(last) if last else -1)
        if last:
            self.callback.restore(last)
        PartialState().wait_for_everyone()
        try:
            with stop_signal() as self._stopped, disk_errors(self.out), quiet_transformers():
                if last and step_of(last) >= trainer.args.max_steps:
                    take_up(trainer, last)  # it was killed between the last step and the result
                else:
                    trainer.train(resume_from_checkpoint=str(last) if last else None)
        except torch.OutOfMemoryError:
            size = trainer.args.per_device_train_batch_size
            raise MeasurementError(
                f"Memory ran out with micro_batch {size}. Set --micro-batch {max(1, size // 2)}, with --fresh or another --out."
            ) from None
        if self.callback.interrupted:
            state = trainer.state
            raise Interrupted(
                f"Stopped after {state.global_step} of {state.max_steps} steps; they are saved."
            )
        write_final(self, trainer)
        PartialState().wait_for_everyone()  # a process that leaves early takes down the others' connections
        return self.out / "final"

    def evaluate(self, step: int) -> None:
        """Ask the evaluation facts, write every answer, and log the summary."""
        state, trainer = PartialState(), self._trainer
        model = trainer.accelerator.unwrap_model(trainer.model_wrapped)
        said, coverage = [], getattr(self.config, "minimum_coverage", 0.5)
        for split, examples in self.evaluated.items():
            share = (state.process_index, state.num_processes)
            own = ask(
                model,
                self.start.tokenizer,
                examples,
                split,
                self.sampler,
                share=share,
                minimum_coverage=coverage,
            )
            answers: list[Answer] = gather_object(own) if state.num_processes > 1 else own
            if self.is_main:
                rows = [
                    dataclasses.asdict(answer)
                    for answer in sorted(answers, key=lambda a: (a.fact_id, a.language))
                ]
                write_table(self.out / "evaluations" / f"{split}-{step:06d}.parquet", rows)
                found = summary(answers)
                self.metrics.add({"event": "evaluation", "step": step, "split": split, **found})
                said.append(f"{split} {found['accuracy']:.3f} right, {found['resolved']:.3f} resolved")
                shown = {f"{split}/{k}": v for k, v in found.items() if isinstance(v, float)}
                for tracker in trainer.callback_handler.callbacks:
                    if tracker is not self.callback and hasattr(tracker, "on_log"):
                        tracker.on_log(trainer.args, trainer.state, trainer.control, logs=shown, model=model)
        if said:
            _log.info("step %d of %d: %s", step, trainer.state.max_steps, "; ".join(said))
