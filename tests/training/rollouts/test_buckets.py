"""Buckets: every row once, nothing but padding cut, and the rows of a prompt together."""

from __future__ import annotations

import pytest
import torch

from training.rollouts.buckets import bucketed

PAD = 0


def batch(prompts: list[int], completions: list[int], **more) -> dict:
    """Rows of these lengths; the tokens of row r are 100 r + 1, 100 r + 2 and so on."""
    wide, long = max(prompts), max(completions)
    rows = range(len(prompts))
    tokens = [list(range(100 * r + 1, 100 * r + 1 + prompts[r] + completions[r])) for r in rows]
    left = [[PAD] * (wide - prompts[r]) + tokens[r][: prompts[r]] for r in rows]
    right = [tokens[r][prompts[r] :] + [PAD] * (long - completions[r]) for r in rows]
    return {
        "prompt_ids": torch.tensor(left),
        "prompt_mask": torch.tensor(left).ne(PAD).int(),
        "completion_ids": torch.tensor(right),
        "completion_mask": torch.tensor(right).ne(PAD).int(),
        **more,
    }


def test_three_rows_by_hand():
    """Prompts of 5, 1 and 2 tokens."""
    parts = bucketed(batch([5, 1, 2], [1, 3, 1], advantages=torch.tensor([0.5, -1.0, 2.0])), 3)
    assert [part["prompt_ids"].tolist() for part in parts] == [[[101]], [[201, 202]], [[1, 2, 3, 4, 5]]]
    assert [part["completion_ids"].tolist() for part in parts] == [[[102, 103, 104]], [[203]], [[6]]]
    assert [part["advantages"].tolist() for part in parts] == [[-1.0], [2.0], [0.5]]
    assert all(part["prompt_mask"].all() and part["completion_mask"].all() for part in parts)


@pytest.mark.parametrize("parts", [1, 2, 3, 6])
def test_only_padding_is_cut_and_every_row_is_kept_once(parts):
    generator = torch.Generator().manual_seed(parts)
    prompts, completions = (torch.randint(1, 9, (12,), generator=generator).tolist() for _ in range(2))
    rows = batch(prompts, completions, number=torch.arange(12))
    found = bucketed(rows, parts)
    assert [len(part["number"]) for part in found] == [12 // parts] * parts
    assert sorted(n for part in found for n in part["number"].tolist()) == list(range(12))
    for part in found:
        for name in ("prompt", "completion"):
            assert part[f"{name}_mask"].any(0).all()  # no column is padding throughout
            for ids, mask, number in zip(
                part[f"{name}_ids"], part[f"{name}_mask"].bool(), part["number"].tolist(), strict=True
            ):
                whole = rows[f"{name}_ids"][number][rows[f"{name}_mask"][number].bool()]
                assert torch.equal(ids[mask], whole)
    lengths = [prompts[n] for part in found for n in part["number"].tolist()]
    assert lengths == sorted(lengths)


def test_values_per_token_rows_lists_and_scalars():
    logs = torch.arange(6.0).reshape(2, 3)
    rows = batch(
        [3, 1], [3, 1],
        old_per_token_logps=logs, ref_per_token_logps=logs + 10, sampling_per_token_logps=None,
        tool_mask=torch.ones(2, 3), num_items_in_batch=torch.tensor(4), images=["a", "b"], beta=0.5,
    )  # fmt: skip
    short, long = bucketed(rows, 2)
    assert short["old_per_token_logps"].tolist() == [[3.0]]
    assert short["ref_per_token_logps"].tolist() == [[13.0]]
    assert short["tool_mask"].shape == (1, 1)
    assert long["old_per_token_logps"].tolist() == [[0.0, 1.0, 2.0]]
    assert (short["images"], long["images"]) == (["b"], ["a"])
    for part in (short, long):
        assert part["sampling_per_token_logps"] is None
        assert (part["num_items_in_batch"].item(), part["beta"]) == (4, 0.5)


def test_a_part_without_a_completion_keeps_a_column():
    rows = batch([2, 3], [1, 1])
    rows["completion_mask"] = torch.zeros_like(rows["completion_mask"])
    assert [part["completion_ids"].shape for part in bucketed(rows, 2)] == [(1, 1), (1, 1)]


def test_rows_of_a_prompt_stay_together():
    """Two groups of three with the same length of prompt: a part computes one prompt."""
    rows = batch([3] * 6, [1, 5, 2, 4, 1, 3])
    for row in range(6):
        rows["prompt_ids"][row] = 7 + row % 2
    parts = bucketed(rows, 2)
    assert [part["prompt_ids"].unique().tolist() for part in parts] == [[7], [8]]
    assert [part["completion_mask"].sum(1).tolist() for part in parts] == [[1, 1, 2], [3, 4, 5]]
