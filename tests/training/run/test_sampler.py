"""The order of facts: blocks on paper, a function of seed and epoch in any process, another tail each."""

from __future__ import annotations

import pytest

from training.run.sampler import FactSampler


def order(sampler: FactSampler, epoch: int = 0) -> list[int]:
    sampler.set_epoch(epoch)
    return list(sampler)


def facts_of(rows: list[int], languages: int, block: int) -> list[int]:
    return [row // languages for row in rows[::block]]


def test_blocks_are_fact_language_completion():
    """Two languages, three completions: fact f is rows 2f, 2f, 2f, 2f+1, 2f+1, 2f+1."""
    rows = order(FactSampler(4, 2, 3, 1, 1, seed=0))
    assert len(rows) == 24
    for start in range(0, 24, 6):
        fact = rows[start] // 2
        assert rows[start : start + 6] == [2 * fact] * 3 + [2 * fact + 1] * 3
    assert sorted(facts_of(rows, 2, 6)) == [0, 1, 2, 3]


def test_a_batch_is_handed_out_once_per_micro_batch():
    once, thrice = (order(FactSampler(6, 2, 2, 2, repeats, seed=0)) for repeats in (1, 3))
    batches = [once[start : start + 8] for start in range(0, 24, 8)]
    assert thrice == [row for batch in batches for _ in range(3) for row in batch]


@pytest.mark.parametrize(
    ("facts", "languages", "generations", "per_batch", "repeats"),
    [(1, 1, 1, 1, 1), (7, 3, 4, 2, 5), (12, 12, 8, 4, 1), (3, 2, 2, 4, 1)],
)
def test_its_length_is_what_it_yields(facts, languages, generations, per_batch, repeats):
    sampler = FactSampler(facts, languages, generations, per_batch, repeats, seed=3)
    assert len(list(sampler)) == len(sampler)
    assert len(sampler) == facts // per_batch * per_batch * languages * generations * repeats


def test_epochs_differ_and_repeat():
    sampler, other = FactSampler(20, 2, 2, 2, 1, seed=5), FactSampler(20, 2, 2, 2, 1, seed=6)
    epochs = [order(sampler, epoch) for epoch in range(4)]
    assert len({tuple(rows) for rows in epochs}) == 4
    assert [order(sampler, epoch) for epoch in (3, 2, 1, 0)] == epochs[::-1]
    assert order(other) != epochs[0]


def test_the_tail_is_left_out_and_is_another_each_epoch():
    sampler = FactSampler(7, 2, 2, 3, 1, seed=0)
    left_out = []
    for epoch in range(60):
        facts = facts_of(order(sampler, epoch), 2, 4)
        assert len(set(facts)) == 6
        left_out += set(range(7)).difference(facts)
    assert set(left_out) == set(range(7))


def test_seeds_and_epochs_are_not_added_up():
    assert order(FactSampler(20, 1, 1, 1, 1, seed=1), 0) != order(FactSampler(20, 1, 1, 1, 1, seed=0), 1)


def test_the_order_is_the_same_in_every_process():
    """Python salts hashes of texts per process, not those of numbers; a resumed run is another process."""
    assert order(FactSampler(9, 1, 1, 1, 1, seed=42), 3) == [1, 0, 2, 3, 4, 6, 8, 7, 5]
