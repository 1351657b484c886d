"""How many bytes of tensors are alive at once, exactly and on any machine: every operator's results are
followed."""

from __future__ import annotations

from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Counts storages made inside the context: ``now`` and ``peak`` in bytes."""

    def __init__(self):
        super().__init__()
        self._sizes: dict[StorageWeakRef, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {self._reference(t) for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        results = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(results):
            if isinstance(tensor, torch.Tensor) and (reference := self._reference(tensor)) not in given:
                self._sizes[reference] = tensor.untyped_storage().nbytes()  # not a view of what was there
        self.peak = max(self.peak, self.now)
        return results

    @property
    def now(self) -> int:
        """Bytes alive at this moment."""
        self._sizes = {reference: size for reference, size in self._sizes.items() if not reference.expired()}
        return sum(self._sizes.values())

    @staticmethod
    def _reference(tensor: torch.Tensor) -> StorageWeakRef:
        return StorageWeakRef(tensor.untyped_storage())
