"""The LoRA adapter of a run."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedModel

from interp.model.fit import require_peft
from interp.model.sites import linear_layers
from training.config import TrainConfig

__all__ = ["lora_config", "require_peft", "sort_adapter", "with_adapter"]


def lora_config(config: TrainConfig, model: PreTrainedModel) -> Any:
    """Return the adapter that a configuration describes, as a ``peft.LoraConfig``, or None.

    Raises:
        CapabilityError: peft is not installed, or the model has no linear layers where the adapter goes.
    """
    if not config.lora_rank:
        return None
    targets: Any = "all-linear"
    if config.lora_targets == "attention":
        targets = sorted({name.rpartition(".")[2] for name in linear_layers(model, attention_only=True)})
    return require_peft().LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha or 2 * config.lora_rank,
        lora_dropout=0.0,  # rollouts are sampled in training mode, from the policy that is scored
        target_modules=targets,
        task_type="CAUSAL_LM",
    )


def with_adapter(model: PreTrainedModel, config: TrainConfig) -> Any:
    """Return the model under the adapter that a configuration describes, or as it is."""
    adapter = lora_config(config, model)
    return model if adapter is None else require_peft().get_peft_model(model, adapter)


def sort_adapter(model: Any) -> None:
    """Give the sets of an adapter's configuration an order, so that it is written alike in every run."""
    for adapter in getattr(model, "peft_config", {}).values():
        for name, value in vars(adapter).items():
            if isinstance(value, set):
                setattr(adapter, name, sorted(value))
