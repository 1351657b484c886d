import numpy as np
import pytest
import torch

from interp.data.prompts import prompts_from_facts
from training.organism import accuracy
from training.organism.accuracy import Accuracy, answer_scores, measured_accuracy, pooled
from training.organism.batches import train_tokenizer
from training.organism.exposure import exposure, organism_texts
from training.organism.train import _new_model


@pytest.fixture(scope="module")
def organism(few, toy):
    tokenizer = train_tokenizer(organism_texts(few, toy), toy)
    model = _new_model(toy, tokenizer).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(
                0.2 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(weight.numel()))
            )
    return model, tokenizer


@pytest.mark.parametrize("language", ["en", "zh"])
def test_scores_equal_one_text_at_a_time(organism, few, language):
    """The oracle: the definition, token by token, without batches, padding or selected positions."""
    model, tokenizer = organism
    scores = answer_scores(model, tokenizer, few, language)
    prompts = prompts_from_facts(few, [language], answer=False).prompts[language]
    for row in range(0, len(few), 9):
        fact, prompt = few.facts[row], prompts[row]
        for option, text in enumerate(fact.wording[language].options):
            asked = tokenizer(prompt.text)["input_ids"]
            ids = tokenizer(prompt.text + prompt.separator + text)["input_ids"]
            with torch.no_grad():
                log_p = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
            expected = sum(log_p[i - 1, ids[i]].item() for i in range(len(asked), len(ids)))
            assert scores[row, option] == pytest.approx(expected, abs=1e-4)


def test_every_fact_is_counted_once_under_its_condition(organism, few, toy, monkeypatch):
    """A planted scorer that is right exactly where a language read the fact."""
    exposed = exposure(few, toy)

    def planted(model, tokenizer, facts, language):
        right = np.eye(4)[[fact.answer_index for fact in facts]]
        read = np.array([exposed.condition(fact.fact_id, language) == "seen" for fact in facts])
        return np.where(read[:, None], right, -right)

    monkeypatch.setattr(accuracy, "answer_scores", planted)
    rows = measured_accuracy(*organism, few, exposed)
    assert {row.share for row in rows if row.condition == "seen"} == {1.0}
    assert {row.share for row in rows if row.condition != "seen"} == {0.0}
    for code in toy.languages:
        assert sum(row.n for row in rows if row.language == code) == len(few)


def test_wilson_interval():
    """8 of 10: the published value 0.490 to 0.943."""
    low, high = Accuracy("seen", "en", 10, 8).interval
    assert (low, high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert Accuracy("seen", "en", 10, 8).share == 0.8


def test_nothing_asked_is_not_a_number():
    empty = Accuracy("unseen", "en", 0, 0)
    assert np.isnan([empty.share, *empty.interval]).all()


def test_pooling_adds_counts():
    rows = [Accuracy("seen", "en", 10, 9), Accuracy("seen", "sw", 4, 1), Accuracy("unseen", "sw", 5, 2)]
    assert pooled(rows, "seen", {"en", "sw"}, "all") == Accuracy("seen", "all", 14, 10)
    assert pooled(rows, "seen", {"sw"}, "others") == Accuracy("seen", "others", 4, 1)
