"""Continued pre-training: the loss on every token of packed documents that cannot see each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets
import torch
from accelerate import PartialState
from datasets import Dataset
from transformers import PreTrainedTokenizerBase
from trl import SFTConfig, SFTTrainer, pack_dataset

from interp.data.facts import FactSet
from interp.data.languages import parse_languages
from interp.data.sources import open_facts
from interp.errors import CapabilityError, ConfigError
from interp.model.checkpoints import resolve_checkpoint
from training.config import CptConfig
from training.corpus.aligned import AlignedLines, read_aligned
from training.corpus.documents import Corpus, encode, fact_documents, require_shares
from training.progress import Progress
from training.running.arguments import trainer_arguments
from training.running.run import Run
from training.running.start import lora_config

__all__ = ["deal_rows", "packed", "train_cpt"]

_COMFORTABLE_TOKENS = 1024
"""Tokens of a forward pass where nobody says otherwise: rows are laid end to end, and attention over them is square."""


def train_cpt(config: CptConfig, progress: Progress | None = None) -> Path:
    """Continue pre-training on facts or aligned lines and return the folder of the result.

    The loss of a step is the mean cross-entropy, in nats, over all tokens of its rows but the first of each document,
    which has nothing before it. Each document ends with the end token, stands whole in one row and attends to nothing
    but itself. An epoch reads each row once; its last step may have fewer.

    Raises:
        ConfigError: A setting is out of range or does not go with another.
        DataError: The aligned lines cannot be read, or a language has no document left.
        InterpError: See `training.running.run.Run.begin` and `finish`.
    """
    _check(config)
    aligned = None
    if config.corpus != "facts":
        aligned = read_aligned(config.corpus, parse_languages(config.languages))
    recipe = {"corpus_digest": aligned.digest} if aligned else None
    run = Run.begin("cpt", config, progress, random=config.init == "random", recipe=recipe)
    if run is None:
        return config.out / "final"
    corpus = _corpus(run, config, aligned)
    rows = packed(corpus.rows, config.block_tokens)
    run.data |= {"corpus": {**corpus.counts, "rows": len(rows)}}
    return run.finish(_trainer(run, config, rows))


def packed(documents: Sequence[list[int]], block_tokens: int) -> Dataset:
    """Return rows of whole documents, each row of at most ``block_tokens`` tokens (best fit, 1000 documents at a time).

    Columns: ``input_ids``, and ``seq_lengths``, the lengths of a row's documents. No document may be longer.
    """
    with _quiet_datasets():
        return pack_dataset(Dataset.from_dict({"input_ids": list(documents)}), block_tokens, "bfd")


def deal_rows(rows_per_step: int, processes: int, micro_batch: int, block_tokens: int) -> tuple[int, int]:
    """Return rows per forward pass and process, and forward passes per step.

    Args:
        rows_per_step: Rows in an optimizer step, over all processes.
        processes: Number of processes.
        micro_batch: Rows per pass; 0 for the most that divide a process's rows evenly and are 1024 tokens at most.
        block_tokens: Tokens in a row.

    Raises:
        ConfigError: The rows cannot be dealt evenly; the message has settings that work.
    """
    if rows_per_step % processes:
        below = rows_per_step // processes * processes
        near = " or ".join(str(n) for n in (below, below + processes) if n)
        raise ConfigError(
            f"rows_per_step is {rows_per_step}, which cannot be dealt to {processes} processes. Set it to {near}."
        )
    own = rows_per_step // processes
    divisors = [n for n in range(1, own + 1) if own % n == 0]
    if not micro_batch:
        micro_batch = max(n for n in divisors if n == 1 or n * block_tokens <= _COMFORTABLE_TOKENS)
    if micro_batch not in divisors:
        near = " or ".join(str(n) for n in sorted(sorted(divisors, key=lambda n: abs(n - micro_batch))[:2]))
        raise ConfigError(
            f"micro_batch is {micro_batch}, which does not divide the {own} rows of a process ({rows_per_step} rows / "
            f"{processes} processes). Set it to {near}."
        )
    return micro_batch, own // micro_batch


def _check(config: CptConfig) -> None:
    """Refuse what can be refused before anything is opened."""
    for name, least in (("block_tokens", 2), ("rows_per_step", 1), ("budget", 0), ("micro_batch", 0)):
        if getattr(config, name) < least:
            raise ConfigError(f"{name} is {getattr(config, name)}; {least} or more is expected.")
    processes = PartialState(cpu=config.device == "cpu" or not torch.cuda.is_available()).num_processes
    deal_rows(config.rows_per_step, processes, config.micro_batch, config.block_tokens)
    if config.init == "random" and config.lora_rank:
        raise ConfigError(
            "init random with an adapter: the random weights under it would be frozen, and not saved. "
            "Set lora_rank to 0, or init to checkpoint."
        )
    if config.corpus == "facts":
        require_shares(len(parse_languages(config.languages)), config.lexicon, config.code_switch)
    else:
        _check_folder(config)
    if config.model:
        _check_context(config)


def _check_folder(config: CptConfig) -> None:
    if config.code_switch:
        raise ConfigError(
            f"code_switch is {config.code_switch}, but aligned lines do not say what is a name. "
            "Set it to 0, or corpus to facts."
        )
    if not Path(config.corpus).is_dir():
        raise ConfigError(
            f"corpus is '{config.corpus}': neither 'facts' nor a folder of <language>.txt files."
        )


def _check_context(config: CptConfig) -> None:
    told = resolve_checkpoint(config.model).config
    context = (told.get("text_config") or told).get("max_position_embeddings")
    if context and config.block_tokens > context:
        raise ConfigError(
            f"block_tokens is {config.block_tokens}; the context of {config.model} is {context} tokens. "
            f"Set block_tokens to {context} or less."
        )


def _corpus(run: Run, config: CptConfig, aligned: AlignedLines | None) -> Corpus:
    if aligned:
        documents = aligned.documents(config.seed)
    else:
        documents = fact_documents(
            _read_facts(run, config),
            lexicon=config.lexicon,
            code_switch=config.code_switch,
            seed=config.seed,
            prompt_format=config.prompt_format,
        )
    tokenizer: PreTrainedTokenizerBase = run.start.tokenizer
    end: Any = tokenizer.eos_token_id
    return encode(
        documents,
        lambda texts: tokenizer(texts)["input_ids"],
        end,
        longest=config.block_tokens,
        budget=config.budget,
    )


def _read_facts(run: Run, config: CptConfig) -> FactSet:
    """The facts of the run's train examples, which no other split is part of."""
    facts = open_facts(config.facts)
    ids = {fact[0].fact_id for fact in run.train.facts}
    chosen = tuple(fact for fact in facts if fact.fact_id in ids)
    return FactSet(facts.name, chosen, facts.languages).filter(languages=run.train.languages)


def _trainer(run: Run, config: CptConfig, rows: Dataset) -> SFTTrainer:
    micro_batch, accumulation = deal_rows(
        config.rows_per_step, run.recipe["processes"], config.micro_batch, config.block_tokens
    )
    model: Any = run.start.model
    try:
        model.set_attn_implementation("sdpa")  # keeps packed documents apart by their positions
    except ValueError as error:
        raise CapabilityError(
            f"{config.model} has no sdpa attention, which keeps documents apart: {error}"
        ) from None
    return SFTTrainer(
        model=model,
        args=trainer_arguments(
            run.config,
            SFTConfig,
            micro_batch=micro_batch,
            accumulation=accumulation,
            steps_per_epoch=-(-len(rows) // config.rows_per_step),
            packing=True,
            packing_strategy="bfd",
            max_length=config.block_tokens,
            dataset_kwargs={
                "skip_prepare_dataset": True
            },  # packed here: the number of rows decides the steps
            include_num_input_tokens_seen="all",
        ),
        train_dataset=rows,
        processing_class=run.start.tokenizer,
        peft_config=lora_config(config),
        callbacks=[run.callback],
    )


@contextmanager
def _quiet_datasets() -> Iterator[None]:
    """Keep the progress bar of the packing off the screen."""
    hidden = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if not hidden:
            datasets.enable_progress_bars()
