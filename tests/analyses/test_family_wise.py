"""What a command calls different holds in all of it together, and the smallest change it prints is found."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from analyses.comparison import compare_all
from interp.results.base import FactResult, Provenance
from interp.stats import ALPHA
from tests.support.results.behavior import behavior_result

LANGUAGES, LAYERS, LATER = 12, 18, 5
CLUSTERS, PER_CLUSTER = 24, 2
FAMILIES = 200


@dataclass(frozen=True, eq=False)
class Measured(FactResult):
    """A measure with a value per fact, language and layer."""

    values: np.ndarray
    languages: tuple[str, ...] = ("en", "sw")
    fact_ids: tuple[str, ...] = tuple(f"f{i}" for i in range(CLUSTERS * PER_CLUSTER))
    groups: tuple[str, ...] = tuple(f"g{i // PER_CLUSTER}" for i in range(CLUSTERS * PER_CLUSTER))
    provenance: Provenance = field(default_factory=Provenance)

    kind = "measured"

    def quantities(self) -> dict[str, np.ndarray]:
        return {f"q{i}": column for i, column in enumerate(self.values.T)}

    def to_frame(self):
        raise NotImplementedError


def checkpoints(
    rng: np.random.Generator, looks: int = LANGUAGES * LAYERS, later: int = LATER
) -> list[Measured]:
    """Checkpoints that differ in noise alone; facts of a cluster, and the looks at a fact, are alike."""
    facts = CLUSTERS * PER_CLUSTER
    found = []
    for _ in range(1 + later):
        shared = np.repeat(rng.normal(size=(CLUSTERS, 1)), PER_CLUSTER, axis=0)
        own = rng.normal(size=(facts, looks)) + np.repeat(
            rng.normal(size=(CLUSTERS, looks)), PER_CLUSTER, axis=0
        )
        found.append(Measured(own + shared))
    return found


def names(later: int) -> list[str]:
    return ["base", *(f"step-{i}" for i in range(later))]


def test_of_200_null_commands_at_most_5_percent_find_anything():
    """12 languages x 18 layers x 5 checkpoints: 1,080 looks each, and one correction."""
    rng, alarms, by_table = np.random.default_rng(0), 0, 0
    for _ in range(FAMILIES):
        found = compare_all({"measured": checkpoints(rng)}, names(LATER))["measured"]
        assert found[0].family.n == LANGUAGES * LAYERS * LATER
        alarms += any((each.table.holm < ALPHA).any() for each in found)
        assert any("differ" in each.verdict and "No diff" not in each.verdict for each in found) == any(
            (each.table.holm < ALPHA).any() for each in found
        )
        by_table += any((each.table.p * len(each.table) < ALPHA).any() for each in found)
    error = np.sqrt(ALPHA * (1 - ALPHA) / FAMILIES)
    assert alarms <= FAMILIES * (ALPHA + 2 * error)
    assert by_table > 2 * alarms  # each table by itself


def test_the_smallest_change_that_is_printed_is_found_in_80_percent():
    """Printed by one sample, planted in one quantity of another, and looked for among all of the command."""
    rng, found, n = np.random.default_rng(1), 0, 250
    for _ in range(n):
        first = compare_all({"m": checkpoints(rng, 6, 2)}, names(2))["m"][0]
        base, *later = checkpoints(rng, 6, 2)
        planted = base.values.copy()
        later[0].values[:, 2] += first.table.mde[2]
        assert (base.values == planted).all()
        found += compare_all({"m": [base, *later]}, names(2))["m"][0].table.holm[2] < ALPHA
    assert found / n == pytest.approx(0.8, abs=0.05)  # two standard errors


def test_guesses_are_rarely_above_chance_in_some_language():
    """12 languages, 200 guessing models: the check passes for 5 % at most (29 % by uncorrected intervals)."""
    rng, passed, uncorrected = np.random.default_rng(2), 0, 0
    for _ in range(FAMILIES):
        result = behavior_result(rng.random((200, 3)) < 0.25)
        codes = tuple(f"l{i}" for i in range(LANGUAGES))
        scores = rng.normal(size=(200, LANGUAGES, 4))
        same = {name: np.ones(scores.shape, dtype=int) for name in ("tokens", "characters", "bytes")}
        result = replace(result, languages=codes, log_probability=scores, groups=result.fact_ids, **same)
        passed += bool(result.above_chance("sum").any())
        uncorrected += bool((result.by_language("sum").low > result.chance).any())
    assert passed <= FAMILIES * 0.05 + 2 * np.sqrt(FAMILIES * 0.05 * 0.95)
    assert uncorrected > 4 * max(passed, 1)


def test_a_quantity_without_a_p_is_no_verdict():
    one, other = checkpoints(np.random.default_rng(3), 3, 1)
    other.values[PER_CLUSTER:, 1] = np.nan  # one cluster is left
    (found,) = compare_all({"m": [one, other]}, names(1))["m"]
    assert np.isnan(found.table.set_index("quantity").holm["q1"])
    assert found.family.n == 2
    assert "No verdict on 1 of 3 quantities, which have no p: too few clusters have one." in found.verdict
    alone = replace(one, groups=("g",) * len(one.groups)), replace(other, groups=("g",) * len(one.groups))
    (nothing,) = compare_all({"m": alone}, names(1))["m"]
    assert nothing.verdict == "No verdict on 3 of 3 quantities, which have no p: too few clusters have one."
    assert "No difference" not in nothing.diagnosis
    assert any("no interval can be given" in note for note in nothing.notes)
