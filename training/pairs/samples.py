"""Several answers of a model to every fact in every language, resolved to entities that languages share."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from transformers import PreTrainedTokenizerBase

from interp.data.hashing import hash_key
from interp.errors import Interrupted
from interp.interruption import stop_signal
from interp.model.generation import Completion, Sampler, complete
from training.examples import Example, ExampleSet
from training.files import write_json
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
    kept: Path | None = None,
    progress: Progress | None = None,
) -> tuple[list[Sample], float]:
    """Sample answers to every fact in every language; all processes share the work and return all samples.

    Also returns the seconds that earlier processes spent on the batches that were kept.

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
        kept: Folder in which every batch is kept as soon as it is sampled, and found again by a later call.
        progress: Called with a label, prompts done and prompts in all.

    Raises:
        Interrupted: Ctrl-C or SIGTERM, after the current batch.
        NotFiniteError: The model's logits are not finite.
    """
    prompts = [example for fact in examples.facts for example in fact for _ in range(generations)]
    order = sorted(range(len(prompts)), key=lambda i: len(tokenizer(prompts[i].prompt)["input_ids"]))
    process, done, earlier = PartialState(), 0, 0.0
    samples: list[tuple[int, Sample]] = []
    with stop_signal() as stopped:
        for number, start in enumerate(range(0, len(order), sampler.batch)):
            batch = order[start : start + sampler.batch]
            if number % process.num_processes == process.process_index:

                def draw(batch: Sequence[int] = batch, number: int = number) -> list[Sample]:
                    with _random_state(hash_key("sampling", str(seed), str(number))):
                        completions = complete(model, tokenizer, [prompts[i].prompt for i in batch], sampler)
                    return [
                        _sample(prompts[i], completion, minimum_coverage)
                        for i, completion in zip(batch, completions, strict=True)
                    ]

                drawn, seconds = _kept(kept and kept / f"{number:06d}.json", draw)
                samples += zip(batch, drawn, strict=True)
                earlier += seconds
            done += len(batch)
            if progress:
                progress("sampling", done, len(order))
            if stopped():
                raise Interrupted(f"Stopped after {done} of {len(order)} prompts; their samples are kept.")
    gathered: list[tuple[int, Sample]] = gather_object(samples)
    return [sample for _, sample in sorted(gathered, key=lambda numbered: numbered[0])], earlier


def _kept(file: Path | None, draw: Callable[[], list[Sample]]) -> tuple[list[Sample], float]:
    """A batch that was kept, and the seconds it took an earlier process; or a new one, which is kept."""
    if file is not None and file.exists():
        try:
            there = json.loads(file.read_bytes())
            if there["sha256"] == _digest(there["samples"]):
                return [Sample(**row) for row in there["samples"]], float(there["seconds"])
        except (ValueError, KeyError, TypeError):
            pass  # damaged: the same batch is drawn again
    began = time.monotonic()
    drawn = draw()
    if file is not None:
        rows = [asdict(sample) for sample in drawn]
        seconds = time.monotonic() - began
        write_json(file, {"samples": rows, "seconds": seconds, "sha256": _digest(rows)})
    return drawn, 0.0


def _digest(rows: list[dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _sample(example: Example, completion: Completion, minimum_coverage: float) -> Sample:
    entity = judge(example, completion, "train", minimum_coverage).entity
    return Sample(example.fact_id, example.language, completion.text.rstrip(), completion.ended, entity)


@contextmanager
def _random_state(key: bytes) -> Iterator[None]:
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(int.from_bytes(key[:7], "big"))
        yield
