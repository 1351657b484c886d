"""The published matcher and the two published prompts for KLAR, to compare with their numbers."""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from interp.data.facts import FactSet
from interp.data.languages import language
from interp.data.prompts import PromptSet, prompts_from_facts
from interp.data.sources.klar_files import KlarRelation, KlarSample, read_klar
from interp.errors import DataError

__all__ = ["KlarPrompt", "klar_match", "protocol_prompts", "published_prompts", "upstream_prompts"]

_KLAR_SEPARATORS = re.compile(r"""[\s.,!?:;"'()\[\]{}«»“”‘’、。，！？；：]+""")


@dataclass(frozen=True)
class KlarPrompt:
    """One question of a published evaluation.

    Attributes:
        language: Language code.
        relation: Name of the file.
        index: Number of the row.
        subject: What the question is about.
        target: The right answer.
        prompt: What the model reads, with demonstrations.
    """

    language: str
    relation: str
    index: int
    subject: str
    target: str
    prompt: str

    @property
    def fact_id(self) -> str:
        """The fact's id in `interp.data.sources.klar.klar_facts`, which lacks rows that are not parallel."""
        return f"{self.relation}/{self.index}"


def published_prompts(
    folder: str | Path, languages: Collection[str], template: int = 1, shots: int = 3, seed: int = 42
) -> list[KlarPrompt]:
    """Return the prompts of PolyFact's evaluation on KLAR: every row of every language, for parity only.

    One random stream runs through languages in the order given, relations in alphabetical order and rows, so
    the demonstrations of a language depend on those before it. A line is the template without its mask, a
    space, and the answer; the prompt ends with a space. What follows the mask stands before the answer ("The
    answer is:. Paris"), and a relation with fewer templates uses the one at the remainder.
    `interp.data.sources.klar.klar_facts` does neither.

    Source: METHODS of PolyFact, https://arxiv.org/abs/2606.06586; its records have the same rows in the same
        order.

    Args:
        folder: Holds ``<language>/<relation>.json``.
        languages: In the order of the published run.
        template: Which template, from 0.
        shots: Demonstrations, of the same relation and language.
        seed: Of the stream.

    Raises:
        DataError: See `interp.data.sources.klar_files.read_klar`.
    """
    opened, _ = read_klar(folder, languages)
    stream = random.Random(seed)
    prompts = []
    for code in languages:
        for name, relation in opened[code].items():
            sentence = relation.templates[template % len(relation.templates)]
            for sample, shown in _with_demonstrations(relation, shots, stream):
                lines = [f"{_without_mask(sentence, other.subject)} {other.object}\n" for other in shown]
                prompt = f"{''.join(lines)}{_without_mask(sentence, sample.subject)} "
                prompts.append(KlarPrompt(code, name, sample.index, sample.subject, sample.object, prompt))
    return prompts


def upstream_prompts(
    folder: str | Path, languages: Collection[str], shots: int = 3, seed: int = 26
) -> list[KlarPrompt]:
    """Return the prompts of KLAR's authors: template 0, demonstrations in one line, the question cut at its
    mask.

    Known from their code: a demonstration has the answer and a full stop in the place of the mask, so a
    template that goes on after the mask keeps that ("is: Paris.."); demonstrations are joined by one space; a
    run is one language and one relation and begins with its seed, so parallel files show the same rows in
    every language. In ja and zh there is no space between demonstrations or after the subject, and the full
    stop is ``。``.

    Our choice: no space at the end. Their question is a part of the tokenized sentence with its answer, whose
    space belongs to the answer's first token. Theirs is right when that token ranks first and the text begins
    with the answer.

    Source: https://github.com/cisnlp/KLAR-CLC.

    Args:
        folder: Holds ``<language>/<relation>.json``.
        languages: In any order.
        shots: Demonstrations, of the same relation and language.
        seed: Of every language and relation.

    Raises:
        DataError: A relation has too few rows; or see `interp.data.sources.klar_files.read_klar`.
    """
    opened, _ = read_klar(folder, languages)
    prompts = []
    for code in languages:
        spaced = language(code).spaced
        stop, between = (".", " ") if spaced else ("。", "")
        for name, relation in opened[code].items():
            if len(relation.samples) <= shots:
                raise DataError(
                    f"{code}/{name}.json has {len(relation.samples)} rows, too few for {shots} "
                    "demonstrations and a question."
                )
            sentence = relation.templates[0]
            sentence = sentence if spaced else sentence.replace("<subject> ", "<subject>")
            for sample, shown in _with_demonstrations(relation, shots, random.Random(seed)):
                pieces = [
                    sentence.replace("<subject>", other.subject).replace("<mask>", other.object + stop)
                    for other in shown
                ]
                question = sentence.partition("<mask>")[0].replace("<subject>", sample.subject).rstrip()
                prompt = between.join([*pieces, question])
                prompts.append(KlarPrompt(code, name, sample.index, sample.subject, sample.object, prompt))
    return prompts


def protocol_prompts(folder: str | Path, facts: FactSet, protocol: str) -> PromptSet:
    """Return the prompts of a published evaluation, of these facts.

    Args:
        folder: Holds ``<language>/<relation>.json``.
        facts: What is asked, of `interp.data.sources.klar.klar_facts`.
        protocol: ``upstream`` or ``published``.

    Raises:
        DataError: See `upstream_prompts` and `published_prompts`.
    """
    prompts_of = published_prompts if protocol == "published" else upstream_prompts
    made = prompts_of(folder, facts.languages)
    texts = {(prompt.language, prompt.fact_id): prompt.prompt for prompt in made}
    plain = prompts_from_facts(facts, prompt_format="none")
    prompts = {
        code: tuple(replace(prompt, text=texts[code, prompt.item_id]) for prompt in plain.prompts[code])
        for code in facts.languages
    }
    return replace(plain, prompts=prompts, note=f"{len(facts)} facts, {protocol} protocol")


def _with_demonstrations(
    relation: KlarRelation, shots: int, stream: random.Random
) -> Iterator[tuple[KlarSample, list[KlarSample]]]:
    """Yield every row with others of its file, drawn from a stream."""
    samples = relation.samples
    for i, sample in enumerate(samples):
        others = [j for j in range(len(samples)) if j != i]
        yield sample, [samples[j] for j in stream.sample(others, min(shots, len(others)))]


def _without_mask(template: str, subject: str) -> str:
    return template.replace("<subject>", subject).replace(" <mask>", "").replace("<mask>", "").rstrip()


def klar_match(prediction: str, gold: str) -> bool:
    """Return whether a prediction is right in the published evaluation of PolyFact on KLAR, for parity only.

    After lower case, NFC and one space for each run of white space and of ``. , ! ? : ; " ' ( ) [ ] { } « » “
    ” ‘ ’ 、 。 ， ！ ？ ； ：``: the prediction begins with the gold, or the gold is one of its words. No
    other character parts words (``100%paris`` and ``「歴史`` are one each). So a gold of several words counts
    only at the beginning, and one that begins a longer word counts ("Nigeria" for "Niger").
    `interp.data.matching.mentions` is the matcher to use.

    Nothing matches an empty gold.

    Source: evaluation code of PolyFact, https://arxiv.org/abs/2606.06586.
    """
    text, name = _klar_cleaned(prediction), _klar_cleaned(gold)
    return name != "" and (name in text.split() or text.startswith(name))


def _klar_cleaned(text: str) -> str:
    return _KLAR_SEPARATORS.sub(" ", unicodedata.normalize("NFC", text).lower()).strip()
