"""The processes of a run: how they find each other, agree to stop, and leave in order."""

from __future__ import annotations

import atexit

import torch
from accelerate import PartialState

__all__ = ["any_process", "init_distributed"]


def init_distributed(device: str) -> PartialState:
    """Find the other processes of the run; at its end this one leaves the process group.

    Threads of gloo that still run when Python ends abort the process, after all of its work is done.
    """
    state = PartialState(cpu=device == "cpu" or not torch.cuda.is_available())
    atexit.unregister(_leave)
    atexit.register(_leave)
    return state


def any_process(flag: bool) -> bool:
    """Return whether the flag is set in any process: all must stop at the same step."""
    state = PartialState()
    if state.num_processes == 1:
        return flag
    flags = torch.tensor([float(flag)], device=state.device)
    torch.distributed.all_reduce(flags)
    return bool(flags.item())


def _leave() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
