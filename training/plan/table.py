"""The plan of a GRPO run as a table: possible batches, and the memory that each needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from interp.errors import ConfigError
from interp.model.sites import linear_layers
from interp.model.weights import load_tokenizer
from interp.model.widths import model_widths
from training.checkpoint.parent import resolve_parent
from training.data import load_data
from training.methods import PlanConfig
from training.plan.batches import BatchPlan, plan_batches
from training.plan.memory import Memory, expected_memory

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["plan_table", "possible_plans"]

_FACTS_PER_STEP = (1, 2, 4, 8, 16)


def possible_plans(config: PlanConfig) -> list[tuple[BatchPlan, Memory]]:
    """Return the plan of a configuration, then those for other numbers of facts per step, with their memory.

    Prompts are tokenized to find the longest; the model is built without weights to count its parameters.

    Raises:
        ConfigError: No model is named, or the configuration's rows cannot be divided evenly.
    """
    if not config.model:
        raise ConfigError("No --model to plan for; for example --model organism:final.")
    checkpoint = resolve_parent(config.model)
    tokenizer = load_tokenizer(checkpoint)

    def n_tokens(text: str) -> int:
        return len(tokenizer(text)["input_ids"])

    train = load_data(config).train.fitting(n_tokens, config.max_prompt_tokens)
    longest = max(n_tokens(example.prompt) for fact in train.facts for example in fact)
    shape = AutoConfig.from_pretrained(checkpoint.path, local_files_only=True, trust_remote_code=False)
    parameters, trained = _parameters(shape, config)
    rows = len(train.languages) * config.generations
    plans = [plan_batches(len(train), config.facts_per_step, rows, config.processes, config.micro_batch)]
    for number in _FACTS_PER_STEP:
        if number == config.facts_per_step:
            continue
        try:
            plans.append(plan_batches(len(train), number, rows, config.processes))
        except ConfigError:
            continue  # cannot be divided among so many processes

    def memory(plan: BatchPlan) -> Memory:
        return expected_memory(
            model_widths(shape),
            parameters,
            trained,
            weight_bytes=2 if config.lora_rank and config.dtype != "float32" else 4,
            rows=plan.rows_per_process,
            micro_batch=plan.micro_batch,
            prompt_tokens=longest,
            new_tokens=config.new_tokens,
            generations=config.generations,
            checkpointing=config.checkpointing,
        )

    return [(plan, memory(plan)) for plan in plans]


def plan_table(config: PlanConfig) -> Table:
    """Return the plans as a table for the terminal, the configuration's own first."""
    from rich.table import Table

    plans = possible_plans(config)
    first = plans[0][0]
    table = Table(
        title=f"{first.units} facts, {first.rows_per_unit} rows each, {config.processes} processes, "
        f"{config.memory:g} GB per device",
        caption="The first row is the plan of these settings. Memory is an estimate for a device with the "
        "whole model (DDP), each prompt computed once per micro-batch; FSDP and DeepSpeed divide weights "
        "and optimizer among the processes.",
    )
    names = (
        "facts/step",
        "rows/process",
        "micro batch",
        "accumulation",
        "steps/epoch",
        "dropped",
        "memory",
        "fits",
    )
    for name in names:
        table.add_column(name, justify="right")
    for plan, memory in plans:
        numbers = (
            plan.units_per_step,
            plan.rows_per_process,
            plan.micro_batch,
            plan.accumulation,
            plan.steps_per_epoch,
            plan.dropped,
        )
        fits = "yes" if memory.total < config.memory * 1e9 else "no"
        table.add_row(*map(str, numbers), f"{memory.total / 1e9:.2f} GB", fits)
    return table


def _parameters(shape: Any, config: PlanConfig) -> tuple[int, int]:
    """Parameters of the model, and those that are trained."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(shape)
    parameters = model.num_parameters()
    if not config.lora_rank:
        return parameters, parameters
    layers = linear_layers(model, attention_only=config.lora_targets == "attention")
    return parameters, sum(config.lora_rank * (m.in_features + m.out_features) for m in layers.values())
