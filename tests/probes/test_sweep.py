"""Every layer, fold and pair of languages: against slow loops, with nothing leaking, and what must not
matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from interp.errors import DataError, MeasurementError
from probes.linear import L2_GRID, choose_l2, fit_probe
from probes.sweep import held_out_guesses, task_folds
from probes.tasks import UNASKED, answer_task, language_task, right_task
from tests.support.activations import activations, fact_set
from tests.support.measuring import measure_probes

LANGUAGES = ("en", "sw", "ja")


def random_case(n: int = 24, width: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Values [fact, language, model] that tell some of the labels [fact, language]."""
    random = np.random.default_rng(seed)
    labels = random.integers(2, size=(n, 3))
    labels[:6] = [[0] * 3, [1] * 3] * 3
    values = random.normal(size=(n, 3, width)) + labels[..., None] * random.normal(size=width)
    return (values + np.arange(3)[:, None] * random.normal(size=width)).astype(np.float32), labels


def slow_guesses(values: np.ndarray, labels: np.ndarray, folds: np.ndarray, l2: float) -> np.ndarray:
    """Guess [offset, train, test, fact], one probe and one example at a time, off the definition."""
    n, languages = labels.shape
    guesses = np.full((2, languages, languages, n), UNASKED)
    for fact in range(n):
        others = [other for other in range(n) if folds[other] != folds[fact]]
        for a in range(languages):
            probe = fit_probe(
                np.array([values[i, a] for i in others]), np.array([labels[i, a] for i in others]), l2
            )
            for b in range(languages):
                mean_a = np.mean([values[i, a].astype(float) for i in others], axis=0)
                mean_b = np.mean([values[i, b].astype(float) for i in others], axis=0)
                moved = values[fact, b] - mean_b + mean_a
                guesses[0, a, b, fact] = probe.predict(values[fact, b][None])[0]
                guesses[1, a, b, fact] = probe.predict(moved[None])[0]
    return guesses


def test_guesses_equal_slow_loops():
    values, labels = random_case()
    folds, groups = np.arange(24) % 4, np.array([f"g{i}" for i in range(24)])
    found, failed = held_out_guesses(values, labels, folds, l2=0.1, groups=groups, joint=False)
    assert failed == 0
    assert np.array_equal(found, slow_guesses(values, labels, folds, 0.1))
    assert (found[0] != found[1]).any()
    assert np.array_equal(np.diagonal(found[0]), np.diagonal(found[1]))  # in its own language the means agree


def test_one_probe_for_all_languages_equals_slow_loops():
    values, _ = random_case()
    labels = np.tile(np.arange(3), (24, 1))
    folds, groups = np.arange(24) % 4, np.array([f"g{i}" for i in range(24)])
    found, _ = held_out_guesses(values, labels, folds, l2=0.1, groups=groups, joint=True)
    assert found.shape == (1, 1, 3, 24)
    for fact in range(24):
        others = folds != folds[fact]
        x = np.concatenate([values[others, column] for column in range(3)])
        probe = fit_probe(x, np.repeat(np.arange(3), others.sum()), 0.1)
        assert np.array_equal(found[0, 0, :, fact], probe.predict(values[fact]))


def test_the_penalty_is_chosen_inside_every_training_set():
    values, labels = random_case(seed=3)
    folds, groups = np.arange(24) % 4, np.array([f"g{i // 2}" for i in range(24)])
    found, _ = held_out_guesses(values, labels, folds, l2=0, groups=groups, joint=False)
    chosen = set()
    for fold in range(4):
        train, test = folds != fold, folds == fold
        l2 = choose_l2(values[train, 1], labels[train, 1], groups[train].tolist())
        probe = fit_probe(values[train, 1], labels[train, 1], l2)
        assert np.array_equal(found[0, 1, 1, test], probe.predict(values[test, 1]))
        chosen.add(l2)
    assert chosen <= set(L2_GRID)


# nothing leaks


def test_no_fact_of_a_fold_is_seen_in_any_language():
    """Each fact has a direction of its own, the same in all languages, which tells its label to whoever saw
    the fact."""
    n = 32
    facts = fact_set(["a", "b"] * (n // 2))
    values = np.tile(20 * np.eye(n)[None, :, None], (1, 1, 3, 1))
    result = measure_probes(activations(values, facts), facts, answer_task(facts, 4), folds=4)
    for curve in ("accuracy", "transfer raw", "transfer centered"):
        assert result.curves()[curve].mean() <= 0.5 + 1e-7
    seen = fit_probe(values[0, :, 0], np.arange(n) % 2, 0.1).predict(values[0, :, 1])
    assert np.array_equal(seen, np.arange(n) % 2)


def test_what_a_group_shares_is_read_only_where_the_groups_are_divided():
    """Four facts of a group share a direction and an answer."""
    n = 32
    group = np.arange(n) // 4
    answers = ["ab"[g % 2] for g in group]
    values = np.tile(20 * np.eye(8)[group][None, :, None], (1, 1, 3, 1))
    apart = fact_set(answers, groups=[f"g{i}" for i in range(n)])
    divided = measure_probes(activations(values, apart), apart, answer_task(apart, 4), folds=4).curves()[
        "accuracy"
    ]
    assert divided.mean() == 1
    facts = fact_set(answers, groups=[f"g{g}" for g in group])
    kept = measure_probes(activations(values, facts), facts, answer_task(facts, 4), folds=4).curves()[
        "accuracy"
    ]
    assert kept.mean() <= 0.5 + 1e-7


@pytest.mark.parametrize("task", ["language", "answer", "right"])
def test_held_out_facts_decide_no_guess_but_their_own(task):
    """Facts of one fold are changed: the guesses for the other facts of that fold stay."""
    facts = fact_set(["a", "b", "c"] * 8)
    random = np.random.default_rng(0)
    credit = random.integers(2, size=(24, 3)).astype(float)
    asked = {
        "language": language_task(facts),
        "answer": answer_task(facts, 4),
        "right": right_task(facts, credit, 4),
    }[task]
    folds = task_folds(asked, tuple(f.group for f in facts), 4)
    values = random.normal(size=(1, 24, 3, 6))
    before = measure_probes(activations(values, facts), facts, asked, folds=4)
    assert np.array_equal(before.folds, folds)
    held = np.flatnonzero(folds == 0)
    values[0, held[1:]] = 100
    after = measure_probes(activations(values, facts), facts, asked, folds=4)
    assert np.array_equal(before.correct[..., held[0]], after.correct[..., held[0]])
    assert not np.array_equal(before.correct, after.correct)


# planted at one layer


def test_an_answer_is_found_in_the_layer_where_it_is_and_no_other():
    """The same direction in all languages, on top of an offset of each; the other layers hold nothing but
    noise."""
    facts = fact_set(["a", "b", "c"] * 20)
    random = np.random.default_rng(0)
    values = random.normal(size=(5, 60, 3, 8))
    values[3] += 8 * np.eye(8)[:3][np.arange(60) % 3][:, None]
    values += 300 * random.normal(size=(3, 8))
    result = measure_probes(activations(values, facts), facts, answer_task(facts, 4), folds=4)
    curves = {name: curve.mean(axis=1) for name, curve in result.curves().items()}
    assert curves["accuracy"][3] == curves["transfer centered"][3] == 1
    assert curves["accuracy"][[0, 1, 2, 4]] == pytest.approx([1 / 3] * 4, abs=0.12)
    assert curves["transfer centered"][[0, 1, 2, 4]] == pytest.approx([1 / 3] * 4, abs=0.12)
    assert curves["control"] == pytest.approx([1 / 3] * 5, abs=0.12)
    assert curves["selectivity"][3] == pytest.approx(1 - curves["control"][3])


def test_an_offset_of_the_language_defeats_a_raw_probe_and_no_centered_one():
    """Along the very direction that tells the answer: the raw probe gives every fact of the other language
    one answer."""
    facts = fact_set(["a", "b"] * 12, languages=("en", "sw"))
    values = np.random.default_rng(0).normal(size=(1, 24, 2, 3))
    values[0, 1::2, :, 0] += 20
    values[0, :, 1, 0] += 1000
    result = measure_probes(activations(values, facts), facts, answer_task(facts, 4), folds=4)
    matrix = result.matrix("raw")[0]
    assert np.diagonal(matrix).tolist() == [1, 1]
    assert matrix[[0, 1], [1, 0]].tolist() == [0.5, 0.5]
    assert (result.matrix("centered") == 1).all()


def test_a_matrix_reads_from_training_to_test():
    """Two features tell the answer. From English to Swahili the second turns round and grows threefold, which
    outvotes the
    first; to English, where it is a third of what Swahili has, it does not.
    """
    facts = fact_set(["a", "b"] * 20, languages=("en", "sw"))
    size = np.array([[40.0, 40.0], [40.0, -120.0]])
    noise = np.random.default_rng(0).normal(size=(40, 2, 2))
    values = (noise + size * (np.arange(40) % 2)[:, None, None])[None]
    result = measure_probes(activations(values, facts), facts, answer_task(facts, 4), folds=4)
    assert result.matrix("centered")[0].tolist() == [[1, 0], [1, 1]]
    table = result.to_frame().set_index(["offset", "trained_on", "tested_on"]).balanced_accuracy
    assert table["centered", "en", "sw"] == 0
    assert table["centered", "sw", "en"] == 1


def test_a_fact_in_another_relation_is_another_question():
    """Two relations tell their answers by the same direction with the opposite sign: each has its own
    probe."""
    facts = fact_set(["a", "b"] * 8 + ["c", "d"] * 8, relations=["r"] * 16 + ["s"] * 16)
    sign = np.where(np.arange(32) % 2, 1.0, -1.0) * np.where(np.arange(32) < 16, 1, -1)
    values = np.tile(sign[None, :, None, None], (1, 1, 3, 1))
    result = measure_probes(activations(values, facts), facts, answer_task(facts, 4), folds=4)
    assert (result.correct[0] == 1).all()
    assert result.chance == 0.5


# what must not matter, and what must


def test_the_order_of_facts_does_not_matter():
    facts = fact_set(["a", "b"] * 12)
    values = np.random.default_rng(1).normal(size=(2, 24, 3, 4))
    order = np.random.default_rng(2).permutation(24)
    turned = replace(facts, facts=tuple(facts.facts[i] for i in order))
    for make in (language_task, lambda f: answer_task(f, 4)):
        one = measure_probes(activations(values, facts), facts, make(facts), folds=4)
        other = measure_probes(activations(values[:, order], turned), turned, make(turned), folds=4)
        assert np.array_equal(other.folds, one.folds[order])
        assert np.array_equal(other.correct, one.correct[..., order])


def test_the_order_of_languages_does_not_matter():
    facts = fact_set(["a", "b"] * 12)
    values = np.random.default_rng(1).normal(size=(1, 24, 3, 4))
    turned = facts.filter(languages=LANGUAGES[::-1])
    one = measure_probes(activations(values, facts), facts, answer_task(facts, 4), folds=4)
    other = measure_probes(activations(values[:, :, ::-1], turned), turned, answer_task(turned, 4), folds=4)
    assert np.array_equal(other.correct, one.correct[:, :, ::-1, ::-1])


def test_every_option_decides_something():
    facts = fact_set(["a", "b"] * 20)
    made = activations(np.random.default_rng(1).normal(size=(1, 40, 3, 8)) + 0.0, facts)
    task = answer_task(facts, 5)
    first = measure_probes(made, facts, task)
    assert np.array_equal(first.correct, measure_probes(made, facts, task, folds=5, l2=0.1, seed=0).correct)
    for changed in ({"folds": 3}, {"l2": 10.0}, {"l2": 0.0}):
        assert not np.array_equal(first.correct, measure_probes(made, facts, task, **changed).correct)
    seeded = measure_probes(made, facts, task, seed=1)
    assert np.array_equal(first.correct, seeded.correct)
    assert not np.array_equal(first.control, seeded.control)
    assert not np.array_equal(first.control_labels, seeded.control_labels)


def test_the_result_says_how_it_was_made():
    facts = fact_set(["a", "b"] * 8 + ["c"])
    made = activations(np.random.default_rng(1).normal(size=(3, 17, 3, 4)), facts, layers=(-1, 0, 7))
    seen = []
    result = measure_probes(
        made,
        facts,
        answer_task(facts, 4),
        folds=4,
        l2=0.2,
        seed=3,
        layers="embedding,0,7",
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert result.layers == (-1, 0, 7)
    assert result.correct.shape == (2, 3, 3, 3, 17)
    assert result.provenance.settings == {
        "languages": list(LANGUAGES),
        "measure": "probe",
        "task": "answer",
        "positions": "last",
        "site": "resid_post",
        "layers": "embedding,0,7",
        "folds": 4,
        "l2": 0.2,
        "seed": 3,
        "facts_digest": facts.digest,
    }
    assert result.provenance.run == {"seed": 3, "unconverged_fits": 0}
    assert result.left_out == ("1 of 17 facts, whose answer fewer than 4 groups share",)
    assert (result.correct[..., -1] == UNASKED).all()
    assert result.folds[-1] == UNASKED


def test_fits_that_do_not_converge_are_counted(monkeypatch):
    import probes.linear

    monkeypatch.setattr(probes.linear, "_MOST_STEPS", 1)
    facts = fact_set(["a", "b"] * 8)
    made = activations(np.random.default_rng(1).normal(size=(2, 16, 3, 4)), facts)
    result = measure_probes(made, facts, answer_task(facts, 4), folds=4)
    assert (
        result.provenance.run["unconverged_fits"] == 2 * 2 * 4 * 3
    )  # layers, labels and control, folds, languages


def test_activations_of_other_facts_are_refused():
    facts = fact_set(["a", "b"] * 8)
    made = activations(np.zeros((1, 16, 3, 2)), facts)
    turned = replace(facts, facts=facts.facts[::-1])
    with pytest.raises(
        DataError, match="The activations are not of these facts in these languages, in this order"
    ):
        measure_probes(made, turned, answer_task(turned, 4), folds=4)
    with pytest.raises(DataError, match="The activations are not of these facts"):
        measure_probes(made, facts.filter(languages=("en", "sw")), answer_task(facts, 4), folds=4)
    with pytest.raises(MeasurementError, match="16 facts in 16 groups for 17 folds"):
        measure_probes(made, facts, language_task(facts), folds=17)
