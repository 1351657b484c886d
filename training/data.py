"""The data of a run: the facts that its configuration names, as examples to learn from and to evaluate on."""

from __future__ import annotations

from dataclasses import dataclass

from interp.data.facts import FactSet
from interp.data.languages import register_language_file, resolve_languages
from interp.data.sources import open_facts
from interp.errors import ConfigError
from training.config import TrainConfig
from training.examples import ExampleSet, make_examples

__all__ = ["TrainingData", "load_data"]


@dataclass(frozen=True)
class TrainingData:
    """Facts of a run, never of the test split.

    Attributes:
        facts: All that the source has; its digest identifies the data.
        train: Examples to learn from.
        validation: Examples to evaluate on; none where the source has no such split.
    """

    facts: FactSet
    train: ExampleSet
    validation: ExampleSet

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes, in the order of every fact's examples."""
        return self.train.languages


def load_data(config: TrainConfig, *, letters: bool = False) -> TrainingData:
    """Return the train and validation examples of the facts that a configuration names.

    Args:
        config: Names the facts, their languages and the prompt.
        letters: See `training.examples.make_examples`.

    Raises:
        ConfigError: There is no train fact.
        DataError: There is no such source, language or language file, a fact lacks a language, or a relation
            has too few train facts to show.
    """
    for file in config.language_file:
        register_language_file(file)
    facts = open_facts(config.data)
    languages = resolve_languages(config.languages, facts.languages, embedded=config.data == "cldr")

    def examples(split: str, limit: int | None = None) -> ExampleSet:
        if not any(fact.split == split for fact in facts):
            return ExampleSet(languages, (), {})
        selected = facts.filter(
            splits=[split], languages=languages, limit=limit, allow_missing=config.allow_missing
        )
        return make_examples(
            selected, facts, config.prompt, config.prompt_format, shots=config.shots, letters=letters
        )

    train = examples("train", config.limit or None)
    if not len(train):
        raise ConfigError(
            f"'{config.data}' has no fact of the split 'train', so there is nothing to learn from."
        )
    return TrainingData(facts, train, examples("validation"))
