"""Accuracy of an organism by condition and language: counted by hand, pooled, added to a card once."""

import numpy as np
import pytest

from analyses.organism import accuracy_rows, add_accuracy
from interp.data.sources.cldr import cldr_facts
from interp.errors import DataError
from training.organism.card import read_card
from training.organism.exposure import exposure
from training.organism.recipe import OrganismConfig
from training.organism.train import train_organism

LANGUAGES = ("en", "sw", "zh")
TOY = OrganismConfig(
    languages=LANGUAGES,
    steps=2,
    early_step=1,
    warmup=1,
    batch_size=8,
    vocab_size=600,
    layers=1,
    hidden=32,
    intermediate=16,
    context=200,
)


@pytest.fixture(scope="module")
def facts():
    return cldr_facts().filter(languages=LANGUAGES, limit=40)


def test_every_question_is_counted_once_under_its_condition(facts):
    """Answers that are right exactly where a language read the fact."""
    exposed = exposure(facts, TOY)
    read = np.array(
        [[exposed.condition(fact.fact_id, code) == "seen" for code in LANGUAGES] for fact in facts]
    )
    rows = {(row["condition"], row["language"]): row for row in accuracy_rows(read, facts, exposed)}
    for (condition, _), row in rows.items():
        assert row["accuracy"] == (condition == "seen")
    for code in LANGUAGES:
        assert sum(row["n"] for (_, language), row in rows.items() if language == code) == len(facts)
    assert ("unseen", "en") not in rows  # English reads every fact that is read at all
    assert rows["seen", "anchor"]["n"] == rows["seen", "en"]["n"]
    assert rows["seen", "others"]["n"] == rows["seen", "sw"]["n"] + rows["seen", "zh"]["n"]
    assert rows["unseen", "others_same_script"]["n"] == rows["unseen", "sw"]["n"]
    assert rows["unseen", "others_other_script"]["n"] == rows["unseen", "zh"]["n"]
    assert rows["held_out", "all"]["n"] == 3 * sum(fact.split == "test" for fact in facts)


def test_a_row_without_questions_has_no_accuracy(facts):
    train = facts.filter(splits=["train"])
    right = np.ones((len(train), len(LANGUAGES)), dtype=bool)
    rows = accuracy_rows(right, train, exposure(facts, TOY))
    assert rows[5] == {"condition": "held_out", "language": "all", "n": 0, "correct": 0}


def test_a_card_is_measured_once_and_on_its_own_facts(facts, tmp_path, monkeypatch):
    folder = train_organism(tmp_path, TOY, facts=facts) / "final"
    with pytest.raises(DataError, match="was trained on other facts than 'cldr'"):
        add_accuracy(folder)
    add_accuracy(folder, facts)
    card = read_card(folder)
    assert sum(row["n"] for row in card["accuracy"] if row["language"] in LANGUAGES) == 3 * len(facts)
    assert "summed (nats" in card["scoring"]
    monkeypatch.setattr("analyses.organism.measure_behavior", lambda *_, **__: pytest.fail("measured again"))
    add_accuracy(folder, facts)
