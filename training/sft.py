"""Supervised fine-tuning on facts: the answer's text or its letter, and agreement between languages if wanted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from jaxtyping import Float, Int
from torch.nn import functional
from transformers import PreTrainedTokenizerBase, Trainer, TrainingArguments

from interp.errors import CapabilityError, ConfigError
from training.config import SftConfig
from training.examples import Example
from training.progress import Progress
from training.running.arguments import trainer_arguments
from training.running.plan import COMFORTABLE_ROWS, plan_batches
from training.running.rows import IGNORED, labeled_rows
from training.running.run import Run
from training.running.sampler import FactSampler
from training.running.start import with_adapter

__all__ = ["FactCollator", "SftTrainer", "consistency_loss", "letter_ids", "train_sft"]


def train_sft(config: SftConfig, progress: Progress | None = None) -> Path:
    """Fine-tune on the right answers of the train facts and return the folder of the result.

    With ``target`` text, the loss of a row is the mean cross-entropy of the answer's tokens and the end token; with
    letter, the cross-entropy over the letters of the options alone. Rows weigh the same, so languages do, whatever
    their tokens per word. Facts are shuffled anew in each epoch; all languages of a fact stand in one batch.

    Raises:
        ConfigError: Agreement is asked for a target that has none.
        InterpError: See `training.running.run.Run.begin` and `finish`.
    """
    if config.consistency and config.target != "letter":
        raise ConfigError(
            "consistency compares the letters' probabilities; set target to letter, or consistency to 0."
        )
    if config.target == "letter" and config.prompt != "options":
        raise ConfigError("target letter needs the options in the prompt; set prompt to options.")
    run = Run.begin("sft", config, progress, instructions=config.target == "text")
    if run is None:
        return config.out / "final"
    languages = len(run.train.languages)
    if config.micro_batch % languages:
        below = config.micro_batch // languages * languages
        raise ConfigError(
            f"micro_batch is {config.micro_batch}; the {languages} languages of a fact stay together in sft. "
            f"Set it to {' or '.join(dict.fromkeys((str(below or languages), str(below + languages))))}."
        )
    plan = plan_batches(
        len(run.train),
        config.facts_per_step,
        1,
        PartialState().num_processes,
        config.micro_batch // languages,
        largest=max(1, COMFORTABLE_ROWS // languages),
    )
    trainer = SftTrainer(
        letters=config.target == "letter",
        weight=config.consistency,
        per_step=plan.facts_per_step,
        model=with_adapter(run.start.model, config),
        args=trainer_arguments(
            run.config,
            TrainingArguments,
            micro_batch=plan.micro_batch,
            accumulation=plan.accumulation,
            steps_per_epoch=plan.steps_per_epoch,
            dataloader_drop_last=True,
            include_num_input_tokens_seen="non_padding",
        ),
        train_dataset=list(run.train.facts),
        data_collator=FactCollator(run.start.tokenizer, config.target, run.start.context),
        processing_class=run.start.tokenizer,
        callbacks=[run.callback],
    )
    run.data |= {"dropped_tail_per_epoch": plan.dropped_facts}
    return run.finish(trainer)


class FactCollator:
    """Facts -> padded rows, all languages of a fact next to each other."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, target: str, context: int):
        self.tokenizer, self.target, self.context = tokenizer, target, context
        self.letters = letter_ids(tokenizer) if target == "letter" else {}

    def __call__(self, facts: Sequence[Sequence[Example]]) -> dict[str, Any]:
        """Return ids, mask, labels, and for letters their ids and the option that each entity is shown as."""
        rows = [example for fact in facts for example in fact]
        prompts = [self.tokenizer(example.prompt)["input_ids"] for example in rows]
        answers = [self._answer(example) for example in rows]
        pad: Any = self.tokenizer.pad_token_id
        batch: dict[str, Any] = labeled_rows(list(zip(prompts, answers, strict=True)), pad, self.context)
        if self.target == "letter":
            shown = [[self.letters[e.separator][i] for i in range(len(e.options))] for e in rows]
            batch |= {
                "letters": shown,
                "position": [len(prompt) - 1 for prompt in prompts],
                "gold": [example.answer_index for example in rows],
                "shown_as": [[e.entities.index(n) for n in range(len(e.options))] for e in rows],
            }
            batch["languages"] = [len(fact) for fact in facts]
        return {name: torch.tensor(value) for name, value in batch.items()}

    def _answer(self, example: Example) -> list[int]:
        if self.target == "letter":
            return [self.letters[example.separator][example.answer_index]]
        said = self.tokenizer(example.answer, add_special_tokens=False)["input_ids"]
        return [*said, self.tokenizer.eos_token_id]


class SftTrainer(Trainer):
    """A Trainer whose rows weigh the same, and whose languages may have to agree.

    Args:
        letters: Whether letters are learned, and not texts.
        weight: Of the agreement between languages.
        per_step: Facts per optimizer step, over all processes.
        options: As of Trainer.
    """

    def __init__(self, *, letters: bool, weight: float, per_step: int, **options: Any):
        self.per_step = per_step
        super().__init__(**options)
        self.letters, self.weight = letters, weight
        self.model_accepts_loss_kwargs = False  # the loss is a mean over rows: average it over micro-batches

    def _get_train_sampler(self, dataset: Any = None) -> FactSampler:
        facts: Any = self.train_dataset
        return FactSampler(len(facts), 1, 1, self.per_step, 1, self.args.seed)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the loss of a micro-batch."""
        hidden = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        outputs = model(**hidden, use_cache=False)
        if not self.letters:
            loss = answer_loss(outputs.logits, inputs["labels"])
        else:
            rows = torch.arange(len(inputs["position"]), device=outputs.logits.device)
            logits = outputs.logits[rows, inputs["position"]].float().gather(1, inputs["letters"])
            loss = functional.cross_entropy(logits, inputs["gold"])
            if self.weight:
                loss = loss + self.weight * consistency_loss(
                    logits, inputs["shown_as"], int(inputs["languages"][0].item())
                )
        return (loss, outputs) if return_outputs else loss


def answer_loss(
    logits: Float[torch.Tensor, "row token vocab"], labels: Int[torch.Tensor, "row token"]
) -> torch.Tensor:
    """Return the mean over rows of the mean cross-entropy, in nats, of the tokens that are labeled."""
    told = labels[:, 1:] != IGNORED
    rows, _ = told.nonzero(as_tuple=True)
    each = functional.cross_entropy(logits[:, :-1][told].float(), labels[:, 1:][told], reduction="none")
    sums = each.new_zeros(len(labels)).index_add_(0, rows, each)
    return (sums / told.sum(dim=1)).mean()


def consistency_loss(
    logits: Float[torch.Tensor, "row letter"], shown_as: Int[torch.Tensor, "row entity"], languages: int
) -> torch.Tensor:
    """Return how far the languages of a fact are from their mean: KL(mean || language) in nats over **entities**.

    Letters are put into the order of the entities first. The options are shuffled per language, so over letters a
    model that gives the same entity everywhere would be fined and a model that knows nothing would not. The mean is a
    constant for the gradient. 0 when all languages have the same distribution.

    Args:
        logits: Of the letters shown.
        shown_as: Per entity, the letter it is shown as.
        languages: Rows per fact.

    Source: PolyFact's consistency term (https://arxiv.org/abs/2606.06586), which compares letters.
    """
    logged = logits.gather(1, shown_as).log_softmax(dim=-1).unflatten(0, (-1, languages))
    mean = logged.exp().mean(dim=1, keepdim=True).detach()
    return (mean * (mean.clamp_min(1e-30).log() - logged)).sum(dim=-1).mean()


def letter_ids(tokenizer: PreTrainedTokenizerBase, n: int = 8) -> dict[str, list[int]]:
    """Return the token of each letter from A, after a space and after nothing.

    Raises:
        CapabilityError: A letter is not one token.
    """
    found: dict[str, list[int]] = {}
    for separator in (" ", ""):
        pieces = [
            tokenizer(separator + chr(ord("A") + i), add_special_tokens=False)["input_ids"] for i in range(n)
        ]
        if any(len(piece) != 1 for piece in pieces):
            raise CapabilityError(
                f"This tokenizer does not write '{separator}A' to '{separator}{chr(ord('A') + n - 1)}' as one token each; "
                "use target text."
            )
        found[separator] = [piece[0] for piece in pieces]
    return found
