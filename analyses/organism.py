"""How well an organism knows the facts it read: accuracy by condition and language, added to its card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from interp.data.facts import FactSet
from interp.data.languages import LANGUAGES
from interp.data.sources.cldr import cldr_facts
from interp.errors import DataError
from interp.measure.behavior.choice import measure_behavior
from interp.model.loading import open_checkpoint
from interp.stats import wilson
from training.organism.card import read_card, write_card
from training.organism.exposure import HELD_OUT, SEEN, UNSEEN, Exposure, exposure
from training.organism.recipe import OrganismConfig
from training.progress import Progress

__all__ = ["SCORING", "accuracy_rows", "add_accuracy"]

SCORING = (
    "log-likelihood of the answer's tokens after the question, summed (nats; no length normalization, end "
    "token not counted), compared among the fact's own 4 options; float32 on the bfloat16 weights as saved"
)


def add_accuracy(folder: Path, facts: FactSet | None = None, progress: Progress | None = None) -> None:
    """Measure a trained organism on all of its facts and add the accuracies to its card, if it has none.

    Args:
        folder: Of the checkpoint.
        facts: What it was trained on; the embedded facts by default.
        progress: Called with a label, batches done and batches in all.

    Raises:
        DataError: The organism was trained on other facts.
    """
    card = read_card(folder)
    if "accuracy" in card:
        return
    recipe = OrganismConfig.of(card["recipe"])
    facts = (facts or cldr_facts()).filter(languages=recipe.languages)
    if facts.digest != card["data"]["facts_digest"]:
        raise DataError(
            f"{folder} was trained on other facts than '{facts.name}'. Give the facts it was trained on."
        )

    def update(done: int, total: int) -> None:
        if progress:
            progress(f"evaluating {folder.name}", done, total)

    result = measure_behavior(open_checkpoint(str(folder), dtype="float32"), facts, progress=update)
    rows = accuracy_rows(result.right("sum"), facts, exposure(facts, recipe))
    write_card(folder, {**card, "scoring": SCORING, "accuracy": rows})


def accuracy_rows(
    right: Bool[np.ndarray, "fact language"], facts: FactSet, exposed: Exposure
) -> list[dict[str, Any]]:
    """Return accuracies with Wilson's 95 % interval by condition, pooled over languages and for each.

    Languages in the anchor's script are pooled apart, since they spell many names as the anchor does.
    """
    conditions, codes, anchor = exposed.conditions(facts), facts.languages, exposed.anchor
    others = [code for code in codes if code != anchor]
    same_script = [code for code in others if LANGUAGES[code].script == LANGUAGES[anchor].script]

    def row(condition: str, name: str, languages: list[str]) -> dict[str, Any]:
        selected = (conditions == condition) & np.isin(codes, languages)
        n, correct = int(selected.sum()), int(right[selected].sum())
        counts = {"condition": condition, "language": name, "n": n, "correct": correct}
        if not n:
            return counts
        low, high = wilson(correct, n)
        return {**counts, "accuracy": round(correct / n, 4), "low": round(low, 4), "high": round(high, 4)}

    pooled = [
        row(SEEN, "anchor", [anchor]),
        row(SEEN, "others", others),
        row(UNSEEN, "others", others),
        row(UNSEEN, "others_same_script", same_script),
        row(UNSEEN, "others_other_script", [code for code in others if code not in same_script]),
        row(HELD_OUT, "all", list(codes)),
    ]
    by_language = [row(condition, code, [code]) for code in codes for condition in (UNSEEN, SEEN, HELD_OUT)]
    return pooled + [counts for counts in by_language if counts["n"]]
