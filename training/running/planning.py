"""The plan of a GRPO run as a table: which batches are possible, and what each needs of memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from interp.errors import ConfigError
from interp.model.checkpoints import resolve_checkpoint
from interp.model.weights import load_tokenizer
from training.config import PlanConfig
from training.examples import load_examples
from training.running.plan import BatchPlan, Memory, expected_memory, plan_batches

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["plan_table", "possible_plans"]

_FACTS_PER_STEP = (1, 2, 4, 8, 16)


def possible_plans(config: PlanConfig) -> list[tuple[BatchPlan, Memory]]:
    """Return the plans for the number of facts per step that is asked and for others, with their memory.

    Prompts are tokenized to find the longest; the model is built without weights to count its parameters.

    Raises:
        ConfigError: No model is named, or what is asked cannot be dealt evenly.
    """
    if not config.model:
        raise ConfigError("No --model to plan for; for example --model organism:final.")
    checkpoint = resolve_checkpoint(config.model)
    tokenizer = load_tokenizer(checkpoint)

    def n_tokens(text: str) -> int:
        return len(tokenizer(text)["input_ids"])

    train = load_examples(config, "train").fitting(n_tokens, config.max_prompt_tokens)
    longest = max(n_tokens(example.prompt) for fact in train.facts for example in fact)
    shape = AutoConfig.from_pretrained(checkpoint.path, local_files_only=True, trust_remote_code=False)
    parameters, trained = _parameters(shape, config)
    rows = len(train.languages) * config.generations
    asked = plan_batches(len(train), config.facts_per_step, rows, config.processes, config.micro_batch)
    others = [n for n in _FACTS_PER_STEP if n != config.facts_per_step]
    plans = [asked]
    for number in others:
        try:
            plans.append(plan_batches(len(train), number, rows, config.processes))
        except ConfigError:
            continue  # cannot be dealt evenly to so many processes

    def memory(plan: BatchPlan) -> Memory:
        return expected_memory(
            shape,
            parameters,
            trained,
            weight_bytes=2 if config.lora_rank and config.dtype != "float32" else 4,
            rows=plan.rows_per_step // plan.processes,
            micro_batch=plan.micro_batch,
            tokens=longest + config.new_tokens,
            checkpointing=config.checkpointing,
        )

    return [(plan, memory(plan)) for plan in plans]


def plan_table(config: PlanConfig) -> Table:
    """Return the plans as a table for the terminal; the first row is what was asked."""
    from rich.table import Table

    plans = possible_plans(config)
    first = plans[0][0]
    table = Table(
        title=f"{first.facts} facts, {first.rows_per_fact} rows each, {config.processes} processes, {config.memory:g} GB",
        caption="Memory is an estimate for one device that holds the whole model (DDP); FSDP and DeepSpeed divide "
        "weights and optimizer by the processes. The first row is what was asked.",
    )
    for name in (
        "facts/step",
        "rows/process",
        "micro batch",
        "accumulation",
        "steps/epoch",
        "dropped",
        "memory",
        "fits",
    ):
        table.add_column(name, justify="right")
    for plan, memory in plans:
        table.add_row(
            str(plan.facts_per_step),
            str(plan.rows_per_step // plan.processes),
            str(plan.micro_batch),
            str(plan.accumulation),
            str(plan.steps_per_epoch),
            str(plan.dropped_facts),
            f"{memory.total / 1e9:.2f} GB",
            "yes" if memory.total < config.memory * 1e9 else "no",
        )
    return table


def _parameters(shape: Any, config: PlanConfig) -> tuple[int, int]:
    """Parameters of the model, and those that are trained."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(shape)
    parameters = model.num_parameters()
    if not config.lora_rank:
        return parameters, parameters
    head = model.get_output_embeddings()
    linear = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not head]
    if config.lora_targets == "attention":
        inside = {
            id(m) for n, m in model.named_modules() if n.endswith(("q_proj", "k_proj", "v_proj", "o_proj"))
        }
        linear = [m for m in linear if id(m) in inside]
    return parameters, sum(config.lora_rank * (m.in_features + m.out_features) for m in linear)
