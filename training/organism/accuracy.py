"""How often the organism prefers the right answer: multiple choice by log-likelihood, per condition and language."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Qwen2ForCausalLM

from interp.data.facts import FactSet
from interp.data.prompts import prompts_from_facts
from interp.stats import wilson
from training.files import quiet_transformers
from training.organism.batches import load_tokenizer
from training.organism.exposure import Exposure

__all__ = ["SCORING", "Accuracy", "answer_scores", "load_organism", "measured_accuracy", "pooled"]

SCORING = (
    "log-likelihood of the answer's tokens after the question, summed (nats; no length normalization, end token not "
    "counted), compared among the fact's own 4 options; float32 on the bfloat16 weights as saved"
)
_BATCH = 256


@dataclass(frozen=True)
class Accuracy:
    """A count of right choices.

    Attributes:
        condition: ``seen``, ``unseen`` or ``held_out``, as `training.organism.exposure.Exposure.condition` says.
        language: Code, or the name of several languages when pooled.
        n: Questions.
        correct: Questions whose right option scored highest.
    """

    condition: str
    language: str
    n: int
    correct: int

    @property
    def share(self) -> float:
        """Accuracy, 0 to 1; NaN when nothing was asked."""
        return self.correct / self.n if self.n else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval, which takes the questions as independent; NaN when nothing was asked."""
        if not self.n:
            return float("nan"), float("nan")
        return wilson(self.correct, self.n)


def load_organism(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a saved organism for evaluation: its bfloat16 weights, computing in float32."""
    with quiet_transformers():
        model = Qwen2ForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model.eval().requires_grad_(False), load_tokenizer(folder)


def measured_accuracy(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, facts: FactSet, exposed: Exposure
) -> tuple[Accuracy, ...]:
    """Ask every fact in every language of the set, and count by language and condition."""
    right = np.array([fact.answer_index for fact in facts])
    rows = []
    for code in facts.languages:
        chosen = answer_scores(model, tokenizer, facts, code).argmax(axis=1)
        conditions = [exposed.condition(fact.fact_id, code) for fact in facts]
        asked = Counter(conditions)
        correct = Counter(c for c, hit in zip(conditions, chosen == right, strict=True) if hit)
        rows += [Accuracy(name, code, asked[name], correct[name]) for name in sorted(asked, reverse=True)]
    return tuple(rows)


def pooled(rows: Iterable[Accuracy], condition: str, languages: Collection[str], name: str) -> Accuracy:
    """Add up the rows of one condition over some languages."""
    rows = [row for row in rows if row.condition == condition and row.language in languages]
    return Accuracy(condition, name, sum(row.n for row in rows), sum(row.correct for row in rows))


def answer_scores(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, facts: FactSet, language: str
) -> Float[np.ndarray, "fact option"]:
    """Return the summed log-likelihood, in nats, of every option of every fact; minus infinity where it has fewer."""
    prompts = prompts_from_facts(facts, [language]).prompts[language]
    width = max(len(fact.option_ids) for fact in facts)
    scores = np.full((len(facts), width), -np.inf)
    asked = [
        (row, option, tokenizer(prompt.text)["input_ids"], tokenizer(prompt.separator + text)["input_ids"])
        for row, (fact, prompt) in enumerate(zip(facts, prompts, strict=True))
        for option, text in enumerate(fact.wording[language].options)
    ]
    asked.sort(key=lambda item: len(item[2]) + len(item[3]))
    for start in range(0, len(asked), _BATCH):
        batch = asked[start : start + _BATCH]
        summed = _log_likelihoods(model, [(text, answer) for _, _, text, answer in batch])
        for (row, option, _, _), value in zip(batch, summed, strict=True):
            scores[row, option] = value
    return scores


@torch.no_grad()
def _log_likelihoods(model: PreTrainedModel, texts: Sequence[tuple[list[int], list[int]]]) -> np.ndarray:
    """Sum the log-likelihoods of the second part of each text; only its positions pass the output layer."""
    width = max(len(text) + len(answer) for text, answer in texts)
    ids = torch.zeros(
        len(texts), width, dtype=torch.long
    )  # the filling stands after every token that is read
    for row, (text, answer) in enumerate(texts):
        ids[row, : len(text) + len(answer)] = torch.tensor(text + answer)
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
    at = [(row, len(t) + i) for row, (t, answer) in enumerate(texts) for i in range(len(answer))]
    rows, positions = torch.tensor(at).T
    log_probabilities = model.lm_head(hidden[rows, positions - 1]).log_softmax(dim=-1)
    each = log_probabilities.gather(1, ids[rows, positions].unsqueeze(1)).squeeze(1)
    return torch.zeros(len(texts), dtype=torch.float64).index_add_(0, rows, each.double()).numpy()
