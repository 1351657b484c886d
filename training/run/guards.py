"""What ends a run that cannot succeed: loss or gradient not finite, no differing rewards, collapse."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import torch

__all__ = ["Guards", "not_finite"]

_WINDOW = 20  # steps over which the share of resolved completions is averaged


def not_finite(model: Any) -> str:
    """The first trained weight of a model, or tensor of a mapping, that is not finite; empty for none."""
    named: Iterable[tuple[str, Any]] = (
        model.items()
        if isinstance(model, Mapping)
        else ((name, weight) for name, weight in model.named_parameters() if weight.requires_grad)
    )
    local: dict[str, torch.Tensor] = {
        name: getattr(value, "_local_tensor", value).detach() for name, value in named
    }
    floats = {name: value for name, value in local.items() if value.is_floating_point() and value.numel()}
    if not floats or torch.nn.utils.get_total_norm(floats.values(), math.inf).isfinite():
        return ""
    return next(name for name, value in floats.items() if not value.isfinite().all())


class Guards:
    """Watches the numbers of each step.

    Args:
        patience: The run ends after this many steps in a row without a group whose rewards differ; 0 for
            never.
        collapse: The run ends when the share of resolved completions, averaged over 20 steps, falls below
            this share of the best such average; 0 for never.
    """

    def __init__(self, patience: int = 0, collapse: float = 0.0):
        self.patience, self.collapse = patience, collapse
        self.dead, self.best = 0, 0.0
        self.recent: deque[float] = deque(maxlen=_WINDOW)

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs."""
        return {"dead": self.dead, "best": self.best, "recent": list(self.recent)}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self.dead, self.best = state["dead"], state["best"]
        self.recent = deque(state["recent"], maxlen=_WINDOW)

    def reason(self, logs: dict[str, Any]) -> str:
        """Return why the run should end, or an empty string."""
        for name in ("loss", "grad_norm"):
            if name in logs and not math.isfinite(float(logs[name])):
                return f"the {name.replace('_', ' ')} is {logs[name]}. Use a lower lr, or a longer warmup."
        return self._dead(logs) or self._collapsed(logs)

    def _dead(self, logs: dict[str, Any]) -> str:
        if "degenerate" not in logs or not self.patience:
            return ""
        self.dead = self.dead + 1 if logs["degenerate"] >= 1 else 0
        if self.dead < self.patience:
            return ""
        return (
            f"in {self.dead} steps in a row, all rollouts of every group had the same reward, so nothing "
            "can be learned. Use more generations, a higher temperature, easier facts, or a higher "
            "dead_run_patience."
        )

    def _collapsed(self, logs: dict[str, Any]) -> str:
        if "resolved" not in logs or not self.collapse:
            return ""
        self.recent.append(float(logs["resolved"]))
        if len(self.recent) < _WINDOW:
            return ""
        now = sum(self.recent) / _WINDOW
        self.best = max(self.best, now)
        if now >= self.collapse * self.best:
            return ""
        return (
            f"the share of completions that name an option fell from {self.best:.3f} to {now:.3f} (over "
            f"{_WINDOW} steps). Use a lower lr or max_grad_norm, or a KL term."
        )
