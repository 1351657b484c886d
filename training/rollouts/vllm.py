"""Generation by vLLM in the same process, with guards against what silently goes wrong there."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

from interp.errors import CapabilityError, ConfigError
from training.methods import GrpoConfig

__all__ = ["vllm_settings"]


def vllm_settings(config: GrpoConfig, stops: Sequence[int]) -> dict[str, Any]:
    """Return what TRL is told about vLLM.

    Importance sampling compares vLLM's probabilities, which are those of the warped sampler, with the trainer's, which
    are not; with a warped sampler it would weigh every token near 0, so it is on only for a plain one.

    Raises:
        ConfigError: A LoRA adapter on a bfloat16 base: its merging into the base and out again at every step rounds,
            and the base drifts.
        CapabilityError: vLLM is not installed.
    """
    if config.lora_rank and config.dtype != "float32":
        raise ConfigError(
            "vllm with lora_rank needs dtype float32: the adapter is merged into the base and out again at every step, "
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
