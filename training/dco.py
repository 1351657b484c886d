"""Direct Consistency Optimization: two languages learn each other's odds between two entities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from jaxtyping import Float
from transformers import PreTrainedTokenizerBase, Trainer, TrainingArguments

from interp.errors import ConfigError, DataError
from training.checkpoint.adapter import with_adapter
from training.data import load_data
from training.examples import Example, ExampleSet
from training.methods import DcoConfig
from training.plan.batches import MICRO_BATCH_ROWS, plan_batches
from training.progress import Progress
from training.rows import labeled_rows, sum_logps
from training.run.arguments import trainer_arguments
from training.run.folder import one_writer
from training.run.loop import Run
from training.run.sampler import WholeSteps
from training.shared_prompts import share_prompts

__all__ = [
    "DcoTrainer",
    "Instance",
    "InstanceCollator",
    "dco_loss",
    "draw_instances",
    "train_dco",
]

_ROWS = 4  # of an instance: two languages, two candidates


@one_writer
def train_dco(config: DcoConfig, progress: Progress | None = None) -> Path:
    """Train two random languages at a time to agree (`dco_loss`) and return the folder of the result.

    No right answer is used. Log-probabilities are sums over the tokens of separator and option, without an
    end token, so the odds of languages with more tokens per name are larger. **The unit of a step is the
    instance**: ``instances_per_step`` instances make an optimizer step, ``micro_batch`` instances a forward
    and backward pass.

    Raises:
        ConfigError: There are fewer than two languages, or a setting is out of range.
        InterpError: See `training.run.loop.Run.begin` and `finish`.
    """
    if config.instances < max(1, config.instances_per_step):
        raise ConfigError(
            f"instances is {config.instances}, fewer than the {config.instances_per_step} of one step. "
            "Raise it, or lower instances_per_step."
        )
    data = load_data(config)
    if len(data.languages) < 2:
        raise ConfigError(f"dco compares two languages; the only one is {data.languages[0]}. Add another.")
    run = Run.begin("dco", config, data, progress)
    if run is None:
        return config.out / "final"
    instances = draw_instances(run.train, config.instances, config.seed)
    plan = plan_batches(
        len(instances),
        config.instances_per_step,
        processes=run.processes,
        micro_batch=config.micro_batch,
        unit="instances",
        largest=MICRO_BATCH_ROWS // _ROWS,
    )
    run.data |= {"instances": len(instances), "dropped_instances_per_epoch": plan.dropped}
    trainer = DcoTrainer(
        beta=config.beta,
        per_step=config.instances_per_step,
        model=with_adapter(run.parent.model, config),
        args=trainer_arguments(config, TrainingArguments, plan, include_num_input_tokens_seen="non_padding"),
        train_dataset=instances,
        data_collator=InstanceCollator(run.parent.tokenizer, run.parent.context),
        processing_class=run.parent.tokenizer,
        callbacks=[run.callback],
    )
    trainer.add_reference(progress)
    return run.finish(trainer)


def dco_loss(
    policy: Float[torch.Tensor, "instance language candidate"],
    reference: Float[torch.Tensor, "instance language candidate"],
    beta: float = 1.0,
) -> torch.Tensor:
    """Return the mean over instances of ``|D_1 - o_2 / beta| + |D_2 - beta * o_1|``, in nats.

    ``o_i = log ref_i(c) - log ref_i(r)`` are the log odds of the first candidate in language ``i`` before
    training, and ``D_i`` is by how much training changed them:
    ``(log p_i(c) - log ref_i(c)) - (log p_i(r) - log ref_i(r))``. The loss at the start is
    ``|o_2| / beta + beta * |o_1|``, and not 0 even where the languages agree.

    At zero loss and ``beta`` 1 both languages have log odds ``o_1 + o_2``: a product of experts. It makes
    languages agree **and** sharper, since evidence is added and not averaged; a gain on multiple choice can
    come from that alone.

    Args:
        policy: Log-probabilities of two candidates in two languages, in nats.
        reference: The same before training.
        beta: Above 0; see the formula.
    """
    odds, before = policy[..., 0] - policy[..., 1], reference[..., 0] - reference[..., 1]
    change = odds - before
    first = (change[:, 0] - before[:, 1] / beta).abs()
    second = (change[:, 1] - beta * before[:, 0]).abs()
    return (first + second).mean()


@dataclass
class Instance:
    """One fact in two languages, and two of its entities.

    Attributes:
        examples: The fact in either language.
        entities: Numbers of the two entities among the fact's option ids.
        reference: Log-probabilities [language, candidate] before training; set by `DcoTrainer.add_reference`.
    """

    examples: tuple[Example, Example]
    entities: tuple[int, int]
    reference: list[list[float]] | None = None


def draw_instances(examples: ExampleSet, size: int, seed: int) -> list[Instance]:
    """Draw instances: a fact, two different languages and two different entities, uniformly.

    Raises:
        DataError: A fact has fewer than two options.
    """
    generator = np.random.default_rng(seed)
    drawn = []
    for _ in range(size):
        fact = examples.facts[generator.integers(len(examples))]
        if len(fact[0].options) < 2:
            raise DataError(f"Fact '{fact[0].fact_id}' has one option; dco compares two.")
        first, second = generator.choice(len(fact), 2, replace=False).tolist()
        entities = generator.choice(len(fact[0].options), 2, replace=False).tolist()
        drawn.append(Instance((fact[first], fact[second]), (entities[0], entities[1])))
    return drawn


class InstanceCollator:
    """Instances -> padded rows in the order [instance, language, candidate]."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, context: int):
        self.tokenizer, self.context = tokenizer, context

    def __call__(self, instances: Sequence[Instance]) -> dict[str, torch.Tensor]:
        """Return ids, mask, labels, and the reference if the instances have one.

        Raises:
            DataError: A prompt with its answer is longer than the model's context.
        """
        rows = [self._row(example, n) for i in instances for example in i.examples for n in i.entities]
        pad: Any = self.tokenizer.pad_token_id
        batch: dict[str, Any] = labeled_rows(rows, pad, self.context)
        if instances[0].reference is not None:
            batch["reference"] = [instance.reference for instance in instances]
        return {name: torch.tensor(value) for name, value in batch.items()}

    def _row(self, example: Example, entity: int) -> tuple[list[int], list[int]]:
        answer = example.separator + example.options[example.entities.index(entity)]
        return (
            self.tokenizer(example.prompt)["input_ids"],
            self.tokenizer(answer, add_special_tokens=False)["input_ids"],
        )


class DcoTrainer(WholeSteps, Trainer):
    """A Trainer of `dco_loss` on instances that hold their reference.

    Args:
        beta: See `dco_loss`.
        per_step: Instances per optimizer step, over all processes.
        options: Arguments of Trainer.
    """

    def __init__(self, *, beta: float, per_step: int, **options: Any):
        self.beta, self.per_step = beta, per_step
        super().__init__(**options)
        share_prompts(self.model)
        self.model_accepts_loss_kwargs = (
            False  # the loss is a mean over instances: average over micro-batches
        )

    def add_reference(self, progress: Progress | None = None) -> None:
        """Add the log-probabilities of the model as it is now to every instance; processes share the work."""
        process = PartialState()
        model: Any = self.model
        size, computed = self.args.per_device_train_batch_size, []
        instances = self.train_dataset
        training = model.training
        model.eval()
        for start in range(0, len(instances), size):
            if start // size % process.num_processes == process.process_index:
                batch = self._prepare_inputs(self.data_collator(instances[start : start + size]))
                with torch.no_grad(), self.compute_loss_context_manager():
                    logps = self._candidates(model, batch).tolist()
                computed += list(enumerate(logps, start))
            if progress:
                progress("reference", min(start + size, len(instances)), len(instances))
        model.train(training)
        for number, reference in gather_object(computed):
            instances[number].reference = reference

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the loss of a micro-batch."""
        policy = self._candidates(model, inputs)
        loss = dco_loss(policy, inputs["reference"], self.beta)
        return (loss, {"policy": policy}) if return_outputs else loss

    def _candidates(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        """Log-probabilities [instance, language, candidate]."""
        return sum_logps(model, inputs)[0].reshape(-1, 2, 2)
