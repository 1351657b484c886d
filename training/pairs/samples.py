"""Many answers of a model to every fact in every language, resolved to entities that languages share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from transformers import PreTrainedTokenizerBase

from interp.data.hashing import hash_key
from interp.model.generation import Completion, Sampler, complete
from training.examples import Example, ExampleSet
from training.running.evaluation import judge

__all__ = ["Sample", "sample_answers"]


@dataclass(frozen=True)
class Sample:
    """One sampled answer.

    Attributes:
        fact_id: Which fact.
        language: Code.
        text: What was written, without white space at its end.
        ended: Whether it came to a stop token; otherwise it was cut at the longest length.
        entity: Number of the entity it names among the fact's option ids, or -1.
    """

    fact_id: str
    language: str
    text: str
    ended: bool
    entity: int


def sample_answers(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    examples: ExampleSet,
    sampler: Sampler,
    *,
    generations: int,
    seed: int,
    minimum_coverage: float = 0.5,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Sample]:
    """Ask every fact in every language several times; all processes share the work and return all samples.

    Every batch has its own random state, drawn from the seed and its number, so the samples depend neither on torch's
    random state, which is left as it was, nor on how many processes there are.

    Args:
        model: Any decoder.
        tokenizer: Its tokenizer.
        examples: What is asked.
        sampler: How answers are drawn, and how many at once.
        generations: Answers per fact and language.
        seed: Of the draws.
        minimum_coverage: See `interp.data.matching.resolve`.
        progress: Called with a label, prompts done and prompts in all.
    """
    asked = [example for fact in examples.facts for example in fact for _ in range(generations)]
    order = sorted(range(len(asked)), key=lambda i: len(tokenizer(asked[i].prompt)["input_ids"]))
    state, done = PartialState(), 0
    own: list[tuple[int, Sample]] = []
    for number, start in enumerate(range(0, len(order), sampler.batch)):
        chosen = order[start : start + sampler.batch]
        if number % state.num_processes == state.process_index:
            with _random_state(hash_key("sampling", str(seed), str(number))):
                said = complete(model, tokenizer, [asked[i].prompt for i in chosen], sampler)
            own += [
                (i, _sample(asked[i], text, minimum_coverage)) for i, text in zip(chosen, said, strict=True)
            ]
        done += len(chosen)
        if progress:
            progress("sampling", done, len(order))
    gathered: list[tuple[int, Sample]] = gather_object(own) if state.num_processes > 1 else own
    return [sample for _, sample in sorted(gathered, key=lambda numbered: numbered[0])]


def _sample(example: Example, said: Completion, minimum_coverage: float) -> Sample:
    entity = judge(example, said, "train", minimum_coverage).entity
    return Sample(example.fact_id, example.language, said.text.rstrip(), said.ended, entity)


@contextmanager
def _random_state(key: bytes) -> Iterator[None]:
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(int.from_bytes(key[:7], "big"))
        yield
