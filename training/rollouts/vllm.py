"""Generation with vLLM in the same process, and refusals of settings that silently go wrong there."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

from interp.errors import CapabilityError, ConfigError
from training.methods import GrpoConfig

__all__ = ["vllm_settings"]


def vllm_settings(config: GrpoConfig, stops: Sequence[int]) -> dict[str, Any]:
    """Return the arguments of TRL for vLLM.

    Importance sampling compares vLLM's probabilities, which are those of the sampler with its top-p and
    penalty, with the trainer's, which are not; it would weight every token near 0, so it is on only without
    top-p and penalty.

    Raises:
        ConfigError: A LoRA adapter on a bfloat16 base, which drifts: the adapter is merged and unmerged at
            every step.
        CapabilityError: vLLM is not installed.
    """
    if config.lora_rank and config.dtype != "float32":
        raise ConfigError(
            "vllm with lora_rank needs dtype float32: the adapter is merged and unmerged at every step, "
            "and a bfloat16 base drifts (12 % of the mean weight in 500 steps)."
        )
    if importlib.util.find_spec("vllm") is None:
        raise CapabilityError(
            "vllm is not installed: pip install 'interp[train-vllm]' on a machine with a GPU."
        )
    plain = config.top_p == 1 and config.repetition_penalty == 1 and not config.score_at_one
    settings: dict[str, Any] = {
        "use_vllm": True,
        "vllm_mode": "colocate",
        "vllm_gpu_memory_utilization": 0.3,
        "vllm_importance_sampling_correction": plain,
    }
    if stops:
        settings["generation_kwargs"] = {"stop_token_ids": list(stops)}
    return settings
