"""A run of any method: claim the folder, open the parent, train with its trainer, write the result."""

from __future__ import annotations

import importlib.util
import logging
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from transformers import set_seed
from transformers.trainer_callback import PrinterCallback

from interp.config import to_plain
from interp.errors import CapabilityError, ConfigError, Interrupted, MeasurementError
from interp.files import disk_errors, require_room
from interp.interruption import stop_signal
from interp.manifest import damage
from interp.model.generation import NotFiniteError
from interp.model.quiet import quiet_transformers
from training.checkpoint.adapter import sort_adapter
from training.checkpoint.card import RunRecord
from training.checkpoint.final import write_final
from training.checkpoint.parent import ParentCheckpoint, open_parent, resolve_parent
from training.config import TrainConfig
from training.data import TrainingData
from training.examples import ExampleSet
from training.files import require_same_recipe, write_recipe
from training.progress import Progress
from training.run.callbacks import RunCallback
from training.run.distributed import init_distributed
from training.run.evaluation import Evaluator
from training.run.folder import (
    holds_work,
    latest_state,
    load_state,
    remove_run,
    require_room_for_states,
    step_of,
)
from training.run.guards import Guards
from training.run.metrics import MetricsFile

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
"""Settings that do not change the weights, and may differ when a run continues."""


@dataclass
class Run:
    """A run of a method.

    Attributes:
        method: Its name on the command line.
        config: Settings as given.
        recipe: Everything that decides the weights.
        train: Examples to learn from, none longer than the context.
        parent: The checkpoint it starts from.
        evaluator: Evaluates the model at a step.
        callback: What happens between the steps.
        progress: Called with a label, steps done and steps in all.
        data: Facts, languages and counts for the card; the method adds its own.
        restore_generation: Generation settings of the parent that were changed, and are put back in the
            result.
    """

    method: str
    config: TrainConfig
    recipe: dict[str, Any]
    train: ExampleSet
    parent: ParentCheckpoint
    evaluator: Evaluator
    callback: RunCallback
    progress: Progress | None
    data: dict[str, Any]
    restore_generation: dict[str, Any] = field(default_factory=dict)

    @property
    def out(self) -> Path:
        """Folder of the run."""
        return self.config.out

    @property
    def processes(self) -> int:
        """Number of processes."""
        return PartialState().num_processes

    @property
    def is_main(self) -> bool:
        """Whether this process writes."""
        return PartialState().is_main_process

    @classmethod
    def begin(
        cls,
        method: str,
        config: TrainConfig,
        data: TrainingData,
        progress: Progress | None = None,
        *,
        guards: Guards | None = None,
        random: bool = False,
        recipe: dict[str, Any] | None = None,
    ) -> Run | None:
        """Check the settings and the folder, and open the parent; None when the run is finished.

        The folder is reserved for the settings by `commit`, when there is work that others would mix with.

        Args:
            method: Its name on the command line.
            config: Settings.
            data: Facts of the run.
            progress: Called with a label, steps done and steps in all.
            guards: What ends a run that cannot succeed.
            random: Whether to start from random weights.
            recipe: What decides the weights beside settings, parent, facts and number of processes.

        Raises:
            ConfigError: A setting cannot work.
            DataError: No prompt is short enough.
            CheckpointError: The parent cannot be opened, or the folder holds another run.
            NoSpaceError: The disk has no room for the run.
        """
        _check(config)
        process = init_distributed(config.device)
        whole = {
            "method": method,
            **{key: value for key, value in to_plain(config).items() if key not in _FREE},
            "parent_fingerprint": resolve_parent(config.model).fingerprint,
            "facts_digest": data.facts.digest,
            "processes": process.num_processes,
            **(recipe or {}),
        }
        with process.main_process_first():
            if process.is_main_process:
                if config.fresh or not holds_work(config.out):
                    remove_run(config.out)
                _remove_damaged(config.out / "final")
            require_room(config.out)
            require_same_recipe(config.out, whole, "a run")
        if (config.out / "final").is_dir():
            return None
        parent = open_parent(config, random=random)
        set_seed(config.seed)  # before an adapter is made
        require_room_for_states(
            config.out, config.keep, parent.model.num_parameters(), full=not config.lora_rank
        )
        new_tokens = getattr(config, "new_tokens", 0)
        longest = min(config.max_prompt_tokens, parent.context - new_tokens)
        train = data.train.fitting(parent.n_tokens, longest)
        validation = data.validation.fitting(parent.n_tokens, longest, may_be_empty=True)
        samples = {
            "validation": validation.sample(config.eval_facts),
            "train": train.sample(config.eval_facts),
        }
        evaluator = Evaluator(
            parent,
            {split: examples for split, examples in samples.items() if len(examples)},
            config.out,
            new_tokens or 48,
            getattr(config, "minimum_coverage", 0.5),
        )
        metrics = MetricsFile(config.out / "metrics.jsonl") if process.is_main_process else None
        callback = RunCallback(metrics, evaluator, config.eval_every, guards or Guards(), progress)
        described = {
            "facts": config.data,
            "facts_digest": data.facts.digest,
            "languages": list(train.languages),
            "n_facts": len(train),
            "dropped_too_long": train.dropped,
        }
        return cls(method, config, whole, train, parent, evaluator, callback, progress, described)

    def commit(self) -> None:
        """Reserve the folder for the settings of this run."""
        if self.is_main:
            write_recipe(self.out, self.recipe)

    def finish(self, trainer: Any) -> Path:
        """Train from the last complete state, or the parent, and write ``final`` with its card.

        Raises:
            Interrupted: Ctrl-C or SIGTERM; the state is saved.
            MeasurementError: A guard ended the run, or memory ran out.
            NoSpaceError: The disk is full; the last complete state stays.
        """
        self.commit()
        self.evaluator.trainer = trainer
        sort_adapter(trainer.model)
        trainer.remove_callback(PrinterCallback)
        trainer.create_model_card = lambda *_, **__: None  # ours has the numbers
        last = latest_state(self.out)
        if self.is_main:
            MetricsFile(self.out / "metrics.jsonl").truncate(step_of(last) if last else -1)
        if last:
            self.callback.restore(last)
        PartialState().wait_for_everyone()
        self._train(trainer, last)
        generation = trainer.accelerator.unwrap_model(trainer.model_wrapped).generation_config
        for name, value in self.restore_generation.items():
            setattr(generation, name, value)
        write_final(self.out, trainer, self.parent, self._record(trainer))
        PartialState().wait_for_everyone()  # a process that leaves early takes down the others' connections
        return self.out / "final"

    def _train(self, trainer: Any, last: Path | None) -> None:
        try:
            with stop_signal() as stopped, disk_errors(self.out), quiet_transformers():
                self.callback.stopped = stopped
                if last and step_of(last) >= trainer.args.max_steps:
                    load_state(trainer, last)  # the run was killed between its last step and its result
                else:
                    trainer.train(resume_from_checkpoint=str(last) if last else None)
                if self.callback.interrupted:
                    state = trainer.state
                    raise Interrupted(
                        f"Stopped after {state.global_step} of {state.max_steps} steps; they are saved."
                    )
        except NotFiniteError as error:
            raise MeasurementError(f"Stopped at step {trainer.state.global_step + 1}: {error}") from None
        except torch.OutOfMemoryError:
            size = trainer.args.per_device_train_batch_size
            raise MeasurementError(
                f"Out of memory with micro_batch {size}. Set --micro-batch {max(1, size // 2)}, with "
                "--fresh or another --out."
            ) from None

    def _record(self, trainer: Any) -> RunRecord:
        """What the card says of the run, once it is trained."""
        arguments, model = trainer.args, trainer.accelerator.unwrap_model(trainer.model_wrapped)
        parameters = list(model.parameters())
        return RunRecord(
            method=self.method,
            parent=self.parent.checkpoint,
            config=self.config,
            resolved={
                "steps": trainer.state.max_steps,
                "micro_batch": arguments.per_device_train_batch_size,
                "accumulation": arguments.gradient_accumulation_steps,
                "processes": arguments.world_size,
                "warmup_steps": arguments.warmup_steps,
                "bf16_arithmetic": arguments.bf16,
                "training_dtype": str(parameters[0].dtype).removeprefix("torch."),
            },
            data=self.data,
            parameters=sum(p.numel() for p in parameters),
            trained_parameters=sum(p.numel() for p in parameters if p.requires_grad),
            cost=self.callback.cost(trainer.state),
            device=f"cpu, {torch.get_num_threads()} threads"
            if arguments.use_cpu
            else torch.cuda.get_device_name(),
            evaluations=[
                record
                for record in MetricsFile(self.out / "metrics.jsonl").records()
                if record["event"] == "evaluation"
            ],
        )


def _remove_damaged(final: Path) -> None:
    """Name a result that is not as it was written, and remove it: the last state gives it again."""
    if final.is_dir() and (reason := damage(final)):
        _log.warning("%s is damaged (%s); it is written again.", final, reason)
        shutil.rmtree(final)


def _check(config: TrainConfig) -> None:
    """Refuse settings that no method can work with."""
    if not config.model:
        raise ConfigError("No --model to start from; for example --model organism:final.")
    if not (config.steps or config.epochs):
        raise ConfigError("steps and epochs are both 0, so there is nothing to do. Set one of them.")
    if config.report_to != "none" and importlib.util.find_spec(config.report_to) is None:
        raise CapabilityError(
            f"report_to is {config.report_to}, which is not installed: pip install {config.report_to}."
        )
