"""Supervised fine-tuning on facts: the answer's text or letter, and agreement between languages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch.nn import functional
from transformers import PreTrainedTokenizerBase, Trainer, TrainingArguments

from interp.errors import CapabilityError, ConfigError
from training.checkpoint.adapter import with_adapter
from training.data import load_data
from training.examples import Example
from training.methods import SftConfig
from training.plan.batches import MICRO_BATCH_ROWS, BatchPlan, plan_batches
from training.progress import Progress
from training.rows import labeled_rows, sum_logps
from training.run.arguments import trainer_arguments
from training.run.folder import one_writer
from training.run.loop import Run
from training.run.sampler import WholeSteps
from training.shared_prompts import share_prompts

__all__ = ["FactCollator", "SftTrainer", "consistency_loss", "letter_ids", "train_sft"]


@one_writer
def train_sft(config: SftConfig, progress: Progress | None = None) -> Path:
    """Fine-tune on the right answers of the train facts and return the folder of the result.

    With ``target`` text, the loss of a row is the mean cross-entropy of the answer's tokens and the end
    token; with letter, the cross-entropy over the letters of the options alone. Rows weigh the same, so
    languages do, whatever their tokens per word. Facts are shuffled anew in each epoch; all languages of a
    fact are in one batch.

    Raises:
        ConfigError: A setting does not go with the target, or the languages of a fact would be separated.
        InterpError: See `training.run.loop.Run.begin` and `finish`.
    """
    if config.consistency and config.target != "letter":
        raise ConfigError(
            "consistency compares the letters' probabilities; set target to letter, or consistency to 0."
        )
    if config.target == "letter" and config.prompt != "options":
        raise ConfigError("target letter needs the options in the prompt; set prompt to options.")
    data = load_data(config, letters=config.target == "letter")
    run = Run.begin("sft", config, data, progress)
    if run is None:
        return config.out / "final"
    plan = _plan(run, config)
    run.data |= {"dropped_tail_per_epoch": plan.dropped}
    trainer = SftTrainer(
        letters=config.target == "letter",
        weight=config.consistency,
        per_step=config.facts_per_step,
        model=with_adapter(run.parent.model, config),
        args=trainer_arguments(
            config,
            TrainingArguments,
            plan,
            dataloader_drop_last=True,
            include_num_input_tokens_seen="non_padding",
        ),
        train_dataset=list(run.train.facts),
        data_collator=FactCollator(run.parent.tokenizer, config.target, run.parent.context),
        processing_class=run.parent.tokenizer,
        callbacks=[run.callback],
    )
    return run.finish(trainer)


def _plan(run: Run, config: SftConfig) -> BatchPlan:
    """Batches of facts; ``micro_batch`` counts rows, one per language."""
    languages = len(run.train.languages)
    if config.micro_batch % languages:
        below = config.micro_batch // languages * languages
        raise ConfigError(
            f"micro_batch is {config.micro_batch}; the {languages} languages of a fact stay together in sft. "
            f"Set it to {' or '.join(dict.fromkeys((str(below or languages), str(below + languages))))}."
        )
    return plan_batches(
        len(run.train),
        config.facts_per_step,
        processes=run.processes,
        micro_batch=config.micro_batch // languages,
        largest=MICRO_BATCH_ROWS // languages,
    )


class FactCollator:
    """Facts -> padded rows, all languages of a fact next to each other.

    Args:
        tokenizer: Of the model.
        target: ``text`` or ``letter``.
        context: Longest row that the model reads.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, target: str, context: int):
        self.tokenizer, self.target, self.context = tokenizer, target, context
        self.letters = letter_ids(tokenizer) if target == "letter" else {}

    def __call__(self, facts: Sequence[Sequence[Example]]) -> dict[str, Any]:
        """Return ids, mask and labels; for letters also ids, the right one, and each entity's option."""
        rows = [example for fact in facts for example in fact]
        prompts = [self.tokenizer(example.prompt)["input_ids"] for example in rows]
        answers = [self._answer(example) for example in rows]
        pad: Any = self.tokenizer.pad_token_id
        batch: dict[str, Any] = labeled_rows(list(zip(prompts, answers, strict=True)), pad, self.context)
        if self.target == "letter":
            batch |= {
                "letters": [self.letters[e.separator][: len(e.options)] for e in rows],
                "position": [len(prompt) - 1 for prompt in prompts],
                "gold": [example.answer_index for example in rows],
                "shown_as": [[e.entities.index(n) for n in range(len(e.options))] for e in rows],
                "languages": [len(fact) for fact in facts],
            }
        return {name: torch.tensor(value) for name, value in batch.items()}

    def _answer(self, example: Example) -> list[int]:
        if self.target == "letter":
            return [self.letters[example.separator][example.answer_index]]
        ids = self.tokenizer(example.answer, add_special_tokens=False)["input_ids"]
        return [*ids, self.tokenizer.eos_token_id]


class SftTrainer(WholeSteps, Trainer):
    """A Trainer whose rows weigh the same, and whose languages can be made to agree.

    Args:
        letters: Whether letters are learned, and not texts.
        weight: Weight of the agreement between languages.
        per_step: Facts per optimizer step, over all processes.
        options: Arguments of Trainer.
    """

    def __init__(self, *, letters: bool, weight: float, per_step: int, **options: Any):
        self.per_step = per_step
        super().__init__(**options)
        share_prompts(self.model)
        self.letters, self.weight = letters, weight
        self.model_accepts_loss_kwargs = False  # the loss is a mean over rows: average it over micro-batches

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the loss of a micro-batch."""
        if not self.letters:
            logps, n_tokens = sum_logps(model, inputs)
            loss = answer_loss(logps, n_tokens)
        else:
            logps = self._letters(model, inputs)
            loss = functional.cross_entropy(logps, inputs["gold"])
            if self.weight:
                loss = loss + self.weight * consistency_loss(
                    logps, inputs["shown_as"], int(inputs["languages"][0].item())
                )
        return (loss, {"logps": logps}) if return_outputs else loss

    @staticmethod
    def _letters(model: Any, inputs: dict[str, Any]) -> Float[torch.Tensor, "row letter"]:
        """Log-probabilities of the letters; every letter is a row of its own, and their prompt is shared."""
        n_letters, at = inputs["letters"].shape[1], inputs["position"] + 1
        rows = {
            name: inputs[name].repeat_interleave(n_letters, dim=0)
            for name in ("input_ids", "attention_mask", "labels")
        }
        place = (torch.arange(len(rows["labels"]), device=at.device), at.repeat_interleave(n_letters))
        for name in ("input_ids", "labels"):
            rows[name][place] = inputs["letters"].reshape(-1)
        return sum_logps(model, rows)[0].reshape(-1, n_letters)


def answer_loss(
    logps: Float[torch.Tensor, " row"], n_tokens: Int[torch.Tensor, " row"]
) -> Float[torch.Tensor, ""]:
    """Return the mean over rows of the mean cross-entropy of their tokens, in nats, from `sum_logps`."""
    return -(logps / n_tokens).mean()


def consistency_loss(
    logps: Float[torch.Tensor, "row letter"], shown_as: Int[torch.Tensor, "row entity"], languages: int
) -> torch.Tensor:
    """Return the divergence of languages from their mean over entities: KL(mean || language) in nats.

    Letters are put into the order of the entities first. The options are shuffled per language, so over
    letters a model that gives the same entity everywhere would be penalized and a model that knows nothing
    would not. No gradient flows through the mean. 0 when all languages have the same distribution.

    Args:
        logps: Log-probabilities of the letters shown; a constant per row does not matter.
        shown_as: Per entity, the position of its option, and so its letter.
        languages: Rows per fact.

    Source: PolyFact's consistency term (https://arxiv.org/abs/2606.06586), which compares letters.
    """
    log_p = logps.gather(1, shown_as).log_softmax(dim=-1).unflatten(0, (-1, languages))
    mean = log_p.exp().mean(dim=1, keepdim=True).detach()
    return (mean * (mean.clamp_min(1e-30).log() - log_p)).sum(dim=-1).mean()


def letter_ids(tokenizer: PreTrainedTokenizerBase, n: int = 8) -> dict[str, list[int]]:
    """Return the token of each letter from A, by the separator before it: a space, or nothing.

    Raises:
        CapabilityError: A letter is not one token.
    """
    letters = [chr(ord("A") + i) for i in range(n)]
    ids: dict[str, list[int]] = {}
    for separator in (" ", ""):
        pieces = [tokenizer(separator + letter, add_special_tokens=False)["input_ids"] for letter in letters]
        if any(len(piece) != 1 for piece in pieces):
            raise CapabilityError(
                f"This tokenizer does not have one token for each of '{separator}A' to "
                f"'{separator}{letters[-1]}'; use target text."
            )
        ids[separator] = [piece[0] for piece in pieces]
    return ids
