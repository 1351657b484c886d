"""Prompts: what a model reads, per language, in an order and with a digest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from interp.characters import visible
from interp.data.facts import Fact, FactSet
from interp.data.hashing import digest_of, hash_key, hash_sample
from interp.data.languages import PromptFormat, as_languages, language
from interp.data.romanization import romanized_format
from interp.data.templates import prompt_format as native_format
from interp.errors import ConfigError, DataError, nearest

PROMPT_FORMATS = ("native", "english", "none")


@dataclass(frozen=True)
class Prompt:
    """One text for a model, with the answer that would continue it.

    Attributes:
        item_id: The same in every language of a parallel set.
        language: Language code.
        text: What the model reads.
        answer: The right continuation, or empty.
        separator: What stands between text and answer.
        group: Items of one group stay together in a block.
    """

    item_id: str
    language: str
    text: str
    answer: str
    separator: str
    group: str

    @property
    def full_text(self) -> str:
        """The text with its answer; the text alone when there is no answer."""
        return f"{self.text}{self.separator}{self.answer}" if self.answer else self.text


@dataclass(frozen=True)
class PromptSet:
    """Prompts per language.

    Attributes:
        name: What the reader calls it.
        languages: Language codes, in the order of every result's language axis.
        prompts: Language code to prompts.
        parallel: Whether all languages have the same items in the same order.
        note: What was assumed on the way, for the reader.
        control: How the texts were transformed, see `interp.data.controls`; empty as they are written.
    """

    name: str
    languages: tuple[str, ...]
    prompts: Mapping[str, tuple[Prompt, ...]]
    parallel: bool
    note: str = ""
    control: str = ""

    def __post_init__(self) -> None:
        missing = [code for code in self.languages if not self.prompts.get(code)]
        if missing or not self.languages:
            raise DataError(
                f"No prompts for {', '.join(missing) or 'any language'} in '{visible(self.name)}'."
            )
        object.__setattr__(self, "prompts", {code: tuple(self.prompts[code]) for code in self.languages})
        for code in self.languages:
            _refuse_repeated(self.prompts[code], code)
        if self.parallel:
            _require_parallel(self.prompts)

    def __repr__(self) -> str:
        counts = ", ".join(f"{code} {len(self.prompts[code])}" for code in self.languages)
        kind = "parallel" if self.parallel else "not parallel"
        note = f"\n  note     {visible(self.note)}" if self.note else ""
        return (
            f"PromptSet '{visible(self.name)}' ({kind}), digest {self.digest[:12]}\n  prompts  {counts}{note}"
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of all items, texts and answers; order of languages, name and note do not count."""
        items = {
            code: [[p.item_id, p.text, p.answer, p.separator, p.group] for p in prompts]
            for code, prompts in self.prompts.items()
        }
        return digest_of({"parallel": self.parallel, "prompts": items})

    @property
    def context(self) -> dict[str, str]:
        """What decides a result beside the texts: the control, if there is one."""
        return {"control": self.control} if self.control else {}

    @property
    def n_items(self) -> int:
        """The number of different items: prompts per language when parallel, all prompts when not."""
        return len({prompt.item_id for prompts in self.prompts.values() for prompt in prompts})

    def restrict(self, languages: str | Collection[str]) -> PromptSet:
        """Return the prompts of some languages (codes, or a text such as ``en,sw``), in the order given.

        Raises:
            DataError: The set has no prompts in one of them.
        """
        codes = as_languages(languages)
        missing = [code for code in codes if code not in self.prompts]
        if missing:
            raise DataError(
                f"'{visible(self.name)}' has no prompts in {', '.join(missing)}. "
                f"Choose from: {', '.join(self.languages)}."
            )
        return replace(self, languages=codes, prompts={code: self.prompts[code] for code in codes})

    def sample(self, limit: int) -> PromptSet:
        """Return ``limit`` items per language, drawn by the hash of their ids and kept in order."""
        if limit < 1:
            raise DataError(f"The limit is {limit} items; 1 or more are expected.")
        sampled = {
            code: tuple(hash_sample(prompts, limit, key=lambda prompt: prompt.item_id))
            for code, prompts in self.prompts.items()
        }
        return replace(self, prompts=sampled)

    def group_blocks(self, n_blocks: int) -> dict[str, int]:
        """Deal the groups to blocks that hold nearly equal numbers of items.

        Largest group first, and by SHA-256 of the name among equals, each to the block that holds least. In a
        parallel set a group weighs its items; in running text every group weighs the same, since each is an
        equal share of its language's file. So the blocks depend on no language, checkpoint or order of items.

        Args:
            n_blocks: How many blocks.

        Returns:
            Group to block index, from 0.

        Raises:
            DataError: There are fewer groups than blocks.
        """
        weights = self._group_weights()
        if not 1 <= n_blocks <= len(weights):
            raise DataError(
                f"{n_blocks} blocks were asked of '{visible(self.name)}', which has {len(weights)} groups of "
                "items. A group cannot be divided. Ask for fewer blocks, or add items of other groups."
            )
        load = [0] * n_blocks
        blocks = {}
        for group in sorted(weights, key=lambda name: (-weights[name], hash_key(name))):
            blocks[group] = load.index(min(load))
            load[blocks[group]] += weights[group]
        return blocks

    def _group_weights(self) -> Counter[str]:
        if self.parallel:
            return Counter(prompt.group for prompt in self.prompts[self.languages[0]])
        return Counter({prompt.group: 1 for prompts in self.prompts.values() for prompt in prompts})


def prompts_from_facts(
    facts: FactSet,
    languages: str | Collection[str] | None = None,
    prompt_format: str = "auto",
    answer: bool = True,
) -> PromptSet:
    """Render facts as prompts: ``Question: ...``, a line break, ``Answer:``, and the right option as
    continuation.

    Args:
        facts: What to ask.
        languages: In which languages; all of the set by default.
        prompt_format: ``native`` words around the question, ``english`` words in every language, or ``none``;
            ``auto``: as the facts say.
        answer: Whether prompts carry the answer.

    Raises:
        DataError: A fact lacks one of the languages.
        ConfigError: The prompt_format is unknown.
    """
    prompt_format = facts.prompt_format if prompt_format == "auto" else prompt_format
    if prompt_format not in PROMPT_FORMATS:
        raise ConfigError(
            f"Unknown prompt_format '{visible(prompt_format)}'.{nearest(prompt_format, PROMPT_FORMATS)} "
            f"Choose from: auto, {', '.join(PROMPT_FORMATS)}."
        )
    facts = facts.filter(languages=facts.languages if languages is None else languages)
    prompts = {}
    for code in facts.languages:
        words = _words_around(prompt_format, code, facts.control)
        prompts[code] = tuple(_prompt(fact, code, words, answer) for fact in facts)
    note = f"{len(facts)} facts, prompt_format {prompt_format}{facts.control and f', {facts.control}'}"
    return PromptSet(facts.name, facts.languages, prompts, True, note, facts.control)


def context_of(facts: FactSet) -> dict[str, Any]:
    """What decides a result on facts beside the prompts: the options and the words around questions."""
    return {"prompt_format": facts.prompt_format, "facts_digest": facts.digest}


def _words_around(prompt_format: str, code: str, control: str) -> PromptFormat | None:
    if prompt_format == "none":
        return None
    worded_in = "en" if prompt_format == "english" else code
    words = native_format(worded_in)
    return romanized_format(words, worded_in) if control == "romanized" else words


def _prompt(fact: Fact, code: str, words: PromptFormat | None, answer: bool) -> Prompt:
    question = fact.wording[code].question
    return Prompt(
        item_id=fact.fact_id,
        language=code,
        text=words.render(question) if words else question,
        answer=fact.answer(code) if answer else "",
        separator=words.separator if words else " " * language(code).spaced,
        group=fact.group,
    )


def _refuse_repeated(prompts: tuple[Prompt, ...], code: str) -> None:
    twice = [item for item, count in Counter(prompt.item_id for prompt in prompts).items() if count > 1]
    if twice:
        raise DataError(f"Language '{code}' has the item '{visible(twice[0])}' more than once.")


def _require_parallel(prompts: Mapping[str, tuple[Prompt, ...]]) -> None:
    first, *others = prompts
    expected = [(prompt.item_id, prompt.group) for prompt in prompts[first]]
    for code in others:
        items = [(prompt.item_id, prompt.group) for prompt in prompts[code]]
        if items != expected:
            raise DataError(
                f"Languages '{first}' and '{code}' do not have the same items in the same order "
                f"({len(expected)} and {len(items)}), so the set is not parallel."
            )
