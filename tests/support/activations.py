"""Facts, prompts and activations made by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from interp.data.facts import Fact, FactSet, Wording
from interp.data.prompts import Prompt, PromptSet, prompts_from_facts
from interp.results.base import Provenance
from probes.collect import Activations

LANGUAGES = ("en", "sw", "ja")

N_PROMPTS = 7


def fact_set(
    answers: Sequence[str],
    *,
    languages: Sequence[str] = LANGUAGES,
    groups: Sequence[str] | None = None,
    relations: Sequence[str] | None = None,
    texts: Sequence[Sequence[str]] | None = None,
) -> FactSet:
    """A fact per answer; its subject in every language is its text, by default its number."""
    facts = []
    for i, answer in enumerate(answers):
        said = texts[i] if texts else [f"s{i} {code}" for code in languages]
        wording = {
            code: Wording(f"{text}?", text, (f"{answer} {code}", f"other {code}"))
            for code, text in zip(languages, said, strict=True)
        }
        relation = relations[i] if relations else "r"
        group = groups[i] if groups else f"g{i:03d}"
        facts.append(Fact(f"f{i:03d}", relation, f"s{i}", answer, (answer, "other"), "train", group, wording))
    return FactSet("made", tuple(facts), tuple(languages))


def activations(values: np.ndarray, facts: FactSet, layers: Sequence[int] | None = None) -> Activations:
    """Activations ``[layer, fact, language, model]`` of facts."""
    prompts = prompts_from_facts(facts, prompt_format="none", answer=False)
    chosen = tuple(range(len(values))) if layers is None else tuple(layers)
    made = Provenance(
        checkpoint="made", prompts_digest=prompts.digest, settings={"languages": list(facts.languages)}
    )
    return Activations(values.astype(np.float32), chosen, prompts, made)


def prompt_set(order: tuple[int, ...] = tuple(range(N_PROMPTS))) -> PromptSet:
    """Texts of 5 to 60 bytes that name their subject."""
    said = {"en": "Is {} big?", "sw": "Je, {} ni kubwa au ndogo sana leo?", "ja": "{}は大きい?"}
    made = {
        code: tuple(
            Prompt(f"f{i}", code, text.format("Lima" * (1 + i % 3) + str(i)), "", "", f"g{i}") for i in order
        )
        for code, text in said.items()
    }
    return PromptSet("made", LANGUAGES, made, parallel=True)
