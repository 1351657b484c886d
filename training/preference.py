"""CALM and CM-Align: preference pairs from the model's own answers, trained with DPO."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.utils import gather_object
from datasets import Dataset
from transformers import PreTrainedTokenizerBase
from trl import DPOConfig, DPOTrainer

from interp.errors import ConfigError, DataError, MeasurementError
from interp.files import file_digest
from interp.model.generation import NotFiniteError, Sampler, newline_ids
from training.checkpoint.adapter import lora_config
from training.data import TrainingData, load_data
from training.examples import ExampleSet
from training.methods import CalmConfig, CmAlignConfig, PairsConfig
from training.pairs.files import check_pairs, load_pairs, save_pairs, saved_summary
from training.pairs.samples import Sample, sample_answers
from training.pairs.votes import Pair, PairSet, calm_pairs, cm_align_pairs, require_pivot
from training.plan.batches import MICRO_BATCH_ROWS, plan_batches
from training.progress import Progress
from training.run.arguments import trainer_arguments
from training.run.folder import one_writer
from training.run.loop import Run
from training.run.sampler import WholeSteps
from training.shared_prompts import share_prompts

__all__ = ["PairTrainer", "pair_rows", "train_calm", "train_cm_align"]

Construct = Callable[[ExampleSet, Sequence[Sample]], PairSet]


@one_writer
def train_calm(config: CalmConfig, progress: Progress | None = None) -> Path:
    """Train on pairs from a vote of all languages and return the folder of the result.

    The pairs are those of `training.pairs.votes.calm_pairs`.
    Loss of a pair: ``-log sigmoid(beta * (r(chosen) - r(rejected)))`` with ``r`` the log-probability of an
    answer's tokens, end token included, less that under the parent; per token with ``length_normalized``.
    **The unit of a step is the pair**: ``pairs_per_step`` pairs make an optimizer step, ``micro_batch`` pairs
    a forward and backward pass. Pairs are shuffled anew in each epoch, languages and facts mixed.

    Raises:
        DataError: The model's answers give no pair, or saved pairs are not of these facts.
        InterpError: See `training.run.loop.Run.begin` and `finish`.

    Source: CALM (https://arxiv.org/abs/2501.18457), DPO (https://arxiv.org/abs/2305.18290).
    """
    _check(config)
    construct = partial(calm_pairs, canonical=config.canonical)
    return _train("calm", config, load_data(config), construct, progress)


@one_writer
def train_cm_align(config: CmAlignConfig, progress: Progress | None = None) -> Path:
    """Train on pairs that follow the pivot language: `train_calm` with `training.pairs.votes.cm_align_pairs`.

    Raises:
        ConfigError: The pivot is not among the languages, or alone among them.
        DataError: The model's answers give no pair, or saved pairs are not of these facts.
        InterpError: See `training.run.loop.Run.begin` and `finish`.

    Source: CM-Align (https://arxiv.org/abs/2509.08541).
    """
    _check(config)
    data = load_data(config)
    require_pivot(config.pivot, data.languages)
    construct = partial(cm_align_pairs, pivot=config.pivot, canonical=config.canonical)
    return _train("cm-align", config, data, construct, progress)


def _train(
    method: str, config: PairsConfig, data: TrainingData, construct: Construct, progress: Progress | None
) -> Path:
    run = Run.begin(method, config, data, progress)
    if run is None:
        return config.out / "final"
    all_pairs, summary = _pairs(run, config, construct)
    pairs = [pair for pair in all_pairs if _has_tokens(pair)]
    run.data |= {"pairs": summary, "pairs_without_tokens": len(all_pairs) - len(pairs)}
    if not pairs:
        counts = ", ".join(f"{name} {summary[name]}" for name in ("facts", "voted", "ties", "unresolved"))
        raise DataError(
            f"The model's answers give no pair ({counts}): nothing can be preferred. Sample more "
            "generations, raise the temperature, use more facts, or start from a model that answers."
        )
    return run.finish(_trainer(run, config, pairs))


def _check(config: PairsConfig) -> None:
    if config.generations > 1 and not config.temperature:
        raise ConfigError(
            f"generations is {config.generations} at temperature {config.temperature}; at temperature 0 all "
            "are the same, so exactly 1 is expected."
        )


def _pairs(run: Run, config: PairsConfig, construct: Construct) -> tuple[Sequence[Pair], dict[str, Any]]:
    """The pairs of the run's folder, or the given ones, or new ones; the first two are checked."""
    summary, saved = saved_summary(run.out), run.out / "pairs.jsonl"
    if config.pairs:
        load_pairs(config.pairs)
    if summary and config.pairs and file_digest(config.pairs) != summary["digest"]:
        raise DataError(
            f"The run in {run.out} was begun with other pairs than {config.pairs}. Give another folder, or "
            "the same pairs."
        )
    if summary and not summary["pairs"]:
        return (), summary
    if summary or config.pairs:
        pairs = load_pairs(saved if summary else config.pairs)  # type: ignore[arg-type]
        check_pairs(pairs, run.train)
        made = PairSet(pairs, {"pairs": len(pairs), "given": str(config.pairs)})
    else:
        made = construct(run.train, _sampled(run, config))
    PartialState().wait_for_everyone()  # all have looked for saved pairs before one writes them
    callback = run.callback
    if summary is None:
        run.commit()
        callback.record_preparation()
        summary = save_pairs(run.out, made) if run.is_main else {}
        PartialState().wait_for_everyone()
    else:
        callback.restore_preparation()
    if run.is_main:
        shutil.rmtree(run.out / "samples", ignore_errors=True)
    return made.pairs, summary


def _has_tokens(pair: Pair) -> bool:
    """Whether both answers have a token to be preferred by: one of white space up to the limit has none."""
    return bool((pair.chosen or pair.chosen_ended) and (pair.rejected or pair.rejected_ended))


def _sampled(run: Run, config: PairsConfig) -> list[Sample]:
    parent = run.parent
    stops = newline_ids(parent.tokenizer) if config.stop_at_newline else ()
    sampler = Sampler(
        config.new_tokens,
        tuple(dict.fromkeys([*parent.stop_ids, *stops])),
        config.temperature,
        config.top_p,
        config.sample_batch,
    )
    model: Any = parent.model
    model.to(PartialState().device)
    run.commit()
    try:
        samples, earlier = sample_answers(
            model,
            parent.tokenizer,
            run.train,
            sampler,
            generations=config.generations,
            seed=config.seed,
            minimum_coverage=config.minimum_coverage,
            kept=run.out / "samples",
            progress=run.progress,
        )
    except NotFiniteError as error:
        raise MeasurementError(f"Stopped before the first step: {error}") from None
    prompts = config.generations * sum(parent.n_tokens(e.prompt) for fact in run.train.facts for e in fact)
    tokens = prompts + sum(parent.n_tokens(sample.text) for sample in samples)
    run.callback.prepared(tokens, run.callback.seconds + earlier)
    return samples


def _trainer(run: Run, config: PairsConfig, pairs: Sequence[Pair]) -> PairTrainer:
    parent = run.parent
    plan = plan_batches(
        len(pairs),
        config.pairs_per_step,
        processes=run.processes,
        micro_batch=config.micro_batch,
        largest=MICRO_BATCH_ROWS // 2,
        unit="pairs",
    )
    run.data |= {"dropped_pairs_per_epoch": plan.dropped}
    return PairTrainer(
        per_step=config.pairs_per_step,
        model=parent.model,
        args=trainer_arguments(
            config,
            DPOConfig,
            plan,
            beta=config.beta,
            loss_type="sigmoid_norm" if config.length_normalized else "sigmoid",
            max_length=None,  # rows are checked against the context instead of being cut
            disable_dropout=True,
            precompute_ref_log_probs=True,
            include_num_input_tokens_seen="non_padding",
        ),
        train_dataset=Dataset.from_list(pair_rows(pairs, parent.tokenizer, parent.context)),
        processing_class=parent.tokenizer,
        peft_config=lora_config(config, parent.model),
        callbacks=[run.callback],
    )


def pair_rows(
    pairs: Sequence[Pair], tokenizer: PreTrainedTokenizerBase, context: int
) -> list[dict[str, Any]]:
    """Return the tokens of each pair: ``prompt_ids``, ``chosen_ids`` and ``rejected_ids``.

    The prompt is tokenized alone, as when its answers were sampled, so the border between prompt and answer
    is where it was. Answers are tokenized from their text: bytes that were no text when sampled are
    replacement characters now. An end token follows the answers that came to an end, and not those that were
    cut.

    Raises:
        DataError: A prompt with its answer is longer than the model's context.
    """

    def answer(text: str, ended: bool) -> list[int]:
        ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"] if text else []
        return [*ids, tokenizer.eos_token_id] if ended else ids

    rows = []
    for number, pair in enumerate(pairs, 1):
        row: dict[str, Any] = {
            "prompt_ids": tokenizer(pair.prompt)["input_ids"],
            "chosen_ids": answer(pair.chosen, pair.chosen_ended),
            "rejected_ids": answer(pair.rejected, pair.rejected_ended),
        }
        longest = len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"]))
        if longest > context:
            raise DataError(
                f"Pair {number} ({pair.fact_id}, {pair.language}) has {longest} tokens; the model's context "
                f"is {context}. Lower max_prompt_tokens or new_tokens, or remove the pair."
            )
        rows.append(row)
    return rows


class PairTrainer(WholeSteps, DPOTrainer):
    """TRL's DPOTrainer on rows that are tokenized already, in whole steps, in an order that can be resumed.

    The answers of a pair share their prompt, when the parent is the reference and in the loss.

    Args:
        per_step: Pairs per optimizer step, over all processes.
        options: Arguments of DPOTrainer.
    """

    def __init__(self, *, per_step: int, **options: Any):
        self.per_step = per_step
        super().__init__(**options)

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset  # TRL would tokenize prompt and answer together, and add an end token to cut answers

    def _precompute_ref_logps(self, dataset: Any, name: str, batch_size: int) -> Any:
        """Add the parent's log-probabilities; TRL reads them from a file that only one process has."""
        share_prompts(self.model)
        process, device = PartialState(), self.accelerator.device
        computed: list[tuple[int, float, float]] = []
        first, step = process.process_index * batch_size, batch_size * process.num_processes
        for start in range(first, len(dataset), step):
            rows = dataset.select(range(start, min(start + batch_size, len(dataset)))).to_list()
            batch = {key: value.to(device) for key, value in self.data_collator(rows).items()}
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*is_gradient_checkpointing. is deprecated", FutureWarning)
                chosen, rejected = self.compute_ref_log_probs(self.model, batch)
            computed += zip(range(start, start + len(rows)), chosen.tolist(), rejected.tolist(), strict=True)
        logps = sorted(gather_object(computed))
        return dataset.add_column("ref_chosen_logps", [row[1] for row in logps]).add_column(
            "ref_rejected_logps", [row[2] for row in logps]
        )
