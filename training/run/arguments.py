"""The settings of a run as arguments of the trainers of transformers and TRL."""

from __future__ import annotations

import os
import warnings
from typing import Any

import torch

from interp.errors import ConfigError
from training.config import TrainConfig
from training.plan.batches import BatchPlan

__all__ = ["trainer_arguments"]


def trainer_arguments(config: TrainConfig, kind: type[Any], plan: BatchPlan, **more: Any) -> Any:
    """Return the arguments of a trainer.

    Args:
        config: Settings of the run.
        kind: Class of the arguments, of transformers or TRL.
        plan: Batches and steps; its units are those of the method.
        more: Arguments of the method.

    Raises:
        ConfigError: Several GPUs are visible to one process, or ``kind`` refuses an argument.
    """
    steps = config.steps or config.epochs * plan.steps_per_epoch
    gpu = torch.cuda.is_available() and config.device == "auto"
    if gpu and torch.cuda.device_count() > 1 and "WORLD_SIZE" not in os.environ:
        raise ConfigError(
            f"{torch.cuda.device_count()} GPUs are visible to one process. Start with 'accelerate launch -m "
            "interp train ...' or torchrun to use them, or set CUDA_VISIBLE_DEVICES to one."
        )
    arguments = {
        "output_dir": str(config.out),
        "per_device_train_batch_size": plan.micro_batch,
        "gradient_accumulation_steps": plan.accumulation,
        "max_steps": steps,
        "learning_rate": config.lr,
        "lr_scheduler_type": "constant_with_warmup" if config.schedule == "constant" else config.schedule,
        "warmup_steps": round(config.warmup * steps),
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "seed": config.seed,
        "data_seed": config.seed,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_steps": config.save_every,
        "save_total_limit": config.keep,
        "report_to": config.report_to,
        "disable_tqdm": True,
        "use_cpu": not gpu,
        "bf16": gpu and torch.cuda.is_bf16_supported(),
        "gradient_checkpointing": config.checkpointing,
        "remove_unused_columns": False,
        "optim": "adamw_torch",
        **more,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # transformers renames gradient_checkpointing
        try:
            return kind(**arguments)
        except ValueError as error:
            raise ConfigError(" ".join(str(error).split())) from None
