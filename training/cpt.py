"""Continued pre-training: the loss on every token of packed documents that cannot see each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets
from datasets import Dataset
from transformers import PreTrainedTokenizerBase
from trl import SFTConfig, SFTTrainer, pack_dataset

from interp.data.facts import FactSet
from interp.errors import CapabilityError, ConfigError
from training.checkpoint.adapter import lora_config
from training.checkpoint.parent import resolve_parent
from training.corpus.aligned import AlignedLines, read_aligned
from training.corpus.documents import Corpus, encode, fact_documents, require_shares
from training.data import TrainingData, load_data
from training.methods import CptConfig
from training.plan.batches import BatchPlan, plan_batches
from training.progress import Progress
from training.run.arguments import trainer_arguments
from training.run.distributed import init_distributed
from training.run.folder import one_writer
from training.run.loop import Run

__all__ = ["pack", "plan_rows", "train_cpt"]

_MICRO_BATCH_TOKENS = 1024  # rows are laid end to end, and the cost of attention grows with their square


@one_writer
def train_cpt(config: CptConfig, progress: Progress | None = None) -> Path:
    """Continue pre-training on facts or aligned lines and return the folder of the result.

    The loss of a step is the mean cross-entropy, in nats, over all tokens of its rows but the first of each
    document, which has nothing before it. Each document ends with the end token, stands whole in one row and
    attends to nothing but itself. An epoch reads each row once; its last step may have fewer.

    Raises:
        ConfigError: A setting is out of range or does not go with another.
        DataError: The aligned lines cannot be read, or a language has no document left.
        InterpError: See `training.run.loop.Run.begin` and `finish`.
    """
    _check(config)
    data = load_data(config)
    if config.corpus == "facts":
        require_shares(len(data.languages), config.lexicon, config.code_switch)
        aligned, recipe = None, None
    else:
        aligned = read_aligned(config.corpus, data.languages)
        recipe = {"corpus_digest": aligned.digest}
    run = Run.begin("cpt", config, data, progress, random=config.init == "random", recipe=recipe)
    if run is None:
        return config.out / "final"
    corpus = _corpus(run, config, data, aligned)
    rows = pack(corpus.rows, config.block_tokens)
    run.data |= {"corpus": {**corpus.counts, "rows": len(rows)}}
    return run.finish(_trainer(run, config, rows))


def pack(documents: Sequence[list[int]], block_tokens: int) -> Dataset:
    """Return rows of whole documents, at most ``block_tokens`` tokens each.

    Best fit, 1000 documents at a time, none longer than a row. Columns: ``input_ids``, and ``seq_lengths``,
    the lengths of a row's documents.
    """
    with _quiet_datasets():
        return pack_dataset(Dataset.from_dict({"input_ids": list(documents)}), block_tokens, "bfd")


def plan_rows(config: CptConfig, processes: int, rows: int) -> BatchPlan:
    """Return the batches of an epoch that reads each row once; its last step may have fewer rows.

    Raises:
        ConfigError: The rows of a step cannot be divided evenly; the message has settings that work.
    """
    return plan_batches(
        rows,
        config.rows_per_step,
        processes=processes,
        micro_batch=config.micro_batch,
        largest=_MICRO_BATCH_TOKENS // config.block_tokens,
        unit="rows",
        last_step_smaller=True,
    )


def _check(config: CptConfig) -> None:
    """Refuse what can be refused before anything is opened."""
    for name, least in (("block_tokens", 2), ("rows_per_step", 1), ("budget", 0), ("micro_batch", 0)):
        if getattr(config, name) < least:
            raise ConfigError(f"{name} is {getattr(config, name)}; {least} or more is expected.")
    plan_rows(config, init_distributed(config.device).num_processes, config.rows_per_step)
    if config.init == "random" and config.lora_rank:
        raise ConfigError(
            "init random with an adapter: the random weights under it would be frozen, and not saved. "
            "Set lora_rank to 0, or init to checkpoint."
        )
    if config.corpus != "facts":
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
    settings = resolve_parent(config.model).config
    context = (settings.get("text_config") or settings).get("max_position_embeddings")
    if context and config.block_tokens > context:
        raise ConfigError(
            f"block_tokens is {config.block_tokens}; the context of {config.model} is {context} tokens. "
            f"Set block_tokens to {context} or less."
        )


def _corpus(run: Run, config: CptConfig, data: TrainingData, aligned: AlignedLines | None) -> Corpus:
    if aligned:
        documents = aligned.documents(config.seed)
    else:
        documents = fact_documents(
            _train_facts(run, data),
            lexicon=config.lexicon,
            code_switch=config.code_switch,
            seed=config.seed,
            prompt_format=config.prompt_format,
        )
    tokenizer: PreTrainedTokenizerBase = run.parent.tokenizer
    end: Any = tokenizer.eos_token_id
    return encode(
        documents,
        lambda texts: tokenizer(texts)["input_ids"],
        end,
        longest=config.block_tokens,
        budget=config.budget,
    )


def _train_facts(run: Run, data: TrainingData) -> FactSet:
    """The facts of the run's train examples, and so of no other split."""
    ids = {fact[0].fact_id for fact in run.train.facts}
    facts = tuple(fact for fact in data.facts if fact.fact_id in ids)
    return FactSet(data.facts.name, facts, data.facts.languages).filter(languages=data.languages)


def _trainer(run: Run, config: CptConfig, rows: Dataset) -> SFTTrainer:
    model: Any = run.parent.model
    try:
        model.set_attn_implementation("sdpa")  # keeps packed documents apart by their positions
    except ValueError as error:
        raise CapabilityError(
            f"{config.model} has no sdpa attention, which keeps packed documents apart: {error}"
        ) from None
    return SFTTrainer(
        model=model,
        args=trainer_arguments(
            config,
            SFTConfig,
            plan_rows(config, run.processes, len(rows)),
            packing=True,
            packing_strategy="bfd",
            max_length=config.block_tokens,
            dataset_kwargs={
                "skip_prepare_dataset": True
            },  # packed already: the rows decide the number of steps
            include_num_input_tokens_seen="all",
        ),
        train_dataset=rows,
        processing_class=run.parent.tokenizer,
        peft_config=lora_config(config, model),
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
