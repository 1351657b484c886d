"""Several answers of a model to every fact in every language, resolved to entities that languages share."""

from __future__ import annotations

from collections.abc import Iterator
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
from training.progress import Progress
from training.run.evaluation import judge

__all__ = ["Sample", "sample_answers"]


@dataclass(frozen=True)
class Sample:
    """One sampled answer.

    Attributes:
        fact_id: Which fact.
        language: Code.
        text: The answer, without white space at its end.
        ended: Whether a stop token ended it; otherwise it was cut at the maximum length.
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
    progress: Progress | None = None,
) -> list[Sample]:
    """Sample answers to every fact in every language; all processes share the work and return all samples.

    Every batch has its own random state, derived from the seed and its number, so the samples depend neither
    on torch's random state, which stays as it was, nor on the number of processes.

    Args:
        model: Any decoder.
        tokenizer: Its tokenizer.
        examples: Their prompts.
        sampler: How answers are drawn, and how many at once.
        generations: Answers per fact and language.
        seed: Seed of the draws.
        minimum_coverage: See `interp.data.matching.resolve`.
        progress: Called with a label, prompts done and prompts in all.
    """
    prompts = [example for fact in examples.facts for example in fact for _ in range(generations)]
    order = sorted(range(len(prompts)), key=lambda i: len(tokenizer(prompts[i].prompt)["input_ids"]))
    process, done = PartialState(), 0
    samples: list[tuple[int, Sample]] = []
    for number, start in enumerate(range(0, len(order), sampler.batch)):
        batch = order[start : start + sampler.batch]
        if number % process.num_processes == process.process_index:
            with _random_state(hash_key("sampling", str(seed), str(number))):
                completions = complete(model, tokenizer, [prompts[i].prompt for i in batch], sampler)
            samples += [
                (i, _sample(prompts[i], completion, minimum_coverage))
                for i, completion in zip(batch, completions, strict=True)
            ]
        done += len(batch)
        if progress:
            progress("sampling", done, len(order))
    gathered: list[tuple[int, Sample]] = gather_object(samples)
    return [sample for _, sample in sorted(gathered, key=lambda numbered: numbered[0])]


def _sample(example: Example, completion: Completion, minimum_coverage: float) -> Sample:
    entity = judge(example, completion, "train", minimum_coverage).entity
    return Sample(example.fact_id, example.language, completion.text.rstrip(), completion.ended, entity)


@contextmanager
def _random_state(key: bytes) -> Iterator[None]:
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(int.from_bytes(key[:7], "big"))
        yield
