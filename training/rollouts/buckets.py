"""Rows of similar length together: the same numbers with less padding."""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["bucketed"]

_SIDES = {"prompt": True, "completion": False}  # whether padding stands on the left
_PER_TOKEN = ("old_per_token_logps", "ref_per_token_logps", "sampling_per_token_logps", "tool_mask")


def bucketed(rows: dict[str, Any], parts: int) -> list[dict[str, Any]]:
    """Split a batch of rollouts into equal parts by length, and cut the columns of padding in each.

    The loss is a mean over rows, so it does not matter which rows stand together. Rows of one prompt stay
    next to each other, since a part computes each of its prompts once.

    Args:
        rows: ``prompt_ids`` padded on the left, ``completion_ids`` on the right, their masks, and values per
            row.
        parts: Into how many.
    """
    lengths = zip(rows["prompt_mask"].sum(1).tolist(), rows["completion_mask"].sum(1).tolist(), strict=True)
    keys = [
        (prompt, ids, completion)
        for (prompt, completion), ids in zip(lengths, rows["prompt_ids"].tolist(), strict=True)
    ]
    order = torch.tensor(sorted(range(len(keys)), key=keys.__getitem__), device=rows["prompt_ids"].device)
    return [_trimmed(_select(rows, part)) for part in order.chunk(parts)]


def _select(rows: dict[str, Any], part: torch.Tensor) -> dict[str, Any]:
    indices = part.tolist()
    return {
        name: value[part] if isinstance(value, torch.Tensor) and value.ndim
        else [value[i] for i in indices] if isinstance(value, list)
        else value
        for name, value in rows.items()
    }  # fmt: skip


def _trimmed(rows: dict[str, Any]) -> dict[str, Any]:
    cut = dict(rows)
    for name, left in _SIDES.items():
        width = rows[f"{name}_mask"].shape[1]
        longest = int(rows[f"{name}_mask"].sum(1).max())
        columns = slice(width - longest, width) if left else slice(0, max(1, longest))
        names = (f"{name}_ids", f"{name}_mask", *(() if left else _PER_TOKEN))
        cut |= {n: rows[n][:, columns] for n in names if rows.get(n) is not None}
    return cut
