"""The data: languages, facts, prompts and text. No torch here."""

from interp.data.baselines import Baselines, model_free_baselines
from interp.data.check import FactCheck, Violation, check_facts
from interp.data.facts import Fact, FactSet, Wording
from interp.data.languages import (
    LANGUAGES,
    POLYFACT_LANGUAGES,
    POLYFACT_UNSEEN_LANGUAGES,
    Language,
    language,
    parse_languages,
    register_language_file,
)
from interp.data.prompts import Prompt, PromptSet, prompts_from_facts
from interp.data.sources import load_facts, open_facts, open_prompts
from interp.data.sources.cldr import cldr_facts
from interp.data.text import load_text

__all__ = [
    "LANGUAGES",
    "POLYFACT_LANGUAGES",
    "POLYFACT_UNSEEN_LANGUAGES",
    "Baselines",
    "Fact",
    "FactCheck",
    "FactSet",
    "Language",
    "Prompt",
    "PromptSet",
    "Violation",
    "Wording",
    "check_facts",
    "cldr_facts",
    "language",
    "load_facts",
    "load_text",
    "model_free_baselines",
    "open_facts",
    "open_prompts",
    "parse_languages",
    "prompts_from_facts",
    "register_language_file",
]
