"""A direction planted at one layer is read from that layer on, and nothing is read before."""

from __future__ import annotations

import numpy as np
import pytest

from interp.data.prompts import prompts_from_facts
from probes.collect import collect
from probes.tasks import answer_task, language_task, right_task
from tests.support.activations import fact_set
from tests.support.measuring import measure_probes
from tests.support.planted.language import _ALPHABETS, HEAD, LANGUAGES, planted_model
from tests.support.tiny import PLANTED_FAMILIES

BEFORE = (-1, *range(HEAD[0]))
N = 24


def words(n: int, length: int = 12) -> list[list[int]]:
    return np.random.default_rng(0).integers(0, 8, size=(n, length)).tolist()


def spelled(word: list[int], code: str) -> str:
    return "".join(_ALPHABETS[code][i] for i in word)


@pytest.mark.parametrize("family", PLANTED_FAMILIES)
def test_a_language_is_read_from_the_layer_that_a_head_writes_it_in(family):
    """All languages end in the same token. The head tells Swahili from the others, and nothing tells those
    apart."""
    texts = [[spelled(word, code) for code in LANGUAGES] for word in words(N)]
    facts = fact_set(["a"] * N, texts=texts)
    found = collect(planted_model(family), prompts_from_facts(facts, prompt_format="none", answer=False))
    result = measure_probes(found, facts, language_task(facts), folds=4)
    assert result.layers == (*BEFORE, HEAD[0])
    accuracy = result.curves()["accuracy"].mean(axis=1)
    np.testing.assert_allclose(
        accuracy[:-1], 1 / 3, atol=1e-7
    )  # three equal vectors, one of them called right
    np.testing.assert_allclose(accuracy[-1], 2 / 3, atol=1e-7)
    assert (result.matrix()[-1, 0, LANGUAGES.index("sw")] == 1).all()


@pytest.mark.parametrize("family", PLANTED_FAMILIES)
def test_an_answer_is_read_from_the_layer_that_a_head_writes_it_in(family):
    """Every word stands in two facts of a group, once in the alphabet of one answer and once in that of the
    other."""
    texts = [[spelled(word, answer)] * 2 for word in words(N) for answer in ("en", "sw")]
    answers, groups = ["one", "two"] * N, [f"g{i:02d}" for i in range(N) for _ in range(2)]
    facts = fact_set(answers, languages=("en", "ja"), texts=texts, groups=groups)
    found = collect(planted_model(family), prompts_from_facts(facts, prompt_format="none", answer=False))
    result = measure_probes(found, facts, answer_task(facts, 4), folds=4)
    for name in ("accuracy", "transfer raw", "transfer centered"):
        curve = result.curves()[name].mean(axis=1)
        np.testing.assert_allclose(curve[:-1], 0.5, atol=1e-7)
        assert curve[-1] == 1
    assert abs(result.curves()["control"][-1].mean() - 0.5) < 0.2
    without = collect(planted_model(family, head=False), found.prompts)
    absent = measure_probes(without, facts, answer_task(facts, 4), folds=4).curves()["accuracy"].mean(axis=1)
    np.testing.assert_allclose(absent, 0.5, atol=1e-7)


def test_whether_the_model_will_be_right_is_read_too():
    """The same, with the two alphabets as right and wrong in one of two languages only."""
    texts = [[spelled(word, side), spelled(word, "en")] for word in words(N) for side in ("en", "sw")]
    groups = [f"g{i:02d}" for i in range(N) for _ in range(2)]
    facts = fact_set(["a"] * 2 * N, languages=("en", "ja"), texts=texts, groups=groups)
    credit = np.stack([np.tile([0.0, 1.0], N), np.ones(2 * N)], axis=1)
    task = right_task(facts, credit, 4)
    assert task.left_out == ("ja, where the model is right in 100.0% of 48 facts",)
    found = collect(planted_model("qwen2"), prompts_from_facts(facts, prompt_format="none", answer=False))
    result = measure_probes(found, facts, task, folds=4)
    np.testing.assert_allclose(result.curves()["accuracy"].mean(axis=1), [0.5] * 3 + [1.0], atol=1e-7)
    assert np.isnan(result.curves()["transfer raw"]).all()
    assert (result.correct[:, :, :, 1] == -1).all()
    assert (result.correct[:, :, 1] == -1).all()


def test_the_subjects_last_token_holds_what_its_own_letters_say():
    """There the alphabet is in the embedding, so the answer is read at every layer."""
    texts = [[spelled(word, answer)] for word in words(N) for answer in ("en", "sw")]
    facts = fact_set(["one", "two"] * N, languages=("en",), texts=texts)
    prompts = prompts_from_facts(facts, prompt_format="none", answer=False)
    subjects = {(0, fact.fact_id): fact.wording["en"].subject for fact in facts}
    loaded = planted_model("llama")
    found = collect(loaded, prompts, positions="subject_last", subjects=subjects)
    result = measure_probes(found, facts, answer_task(facts, 4), folds=4)
    assert (result.curves()["accuracy"].mean(axis=1) == 1).all()
    assert not any(name.startswith("transfer") for name in result.curves())
