"""A small multilingual model trained from scratch on the embedded facts, as a controlled organism."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from interp.data.facts import FactSet
from interp.data.sources.cldr import cldr_facts
from interp.errors import ConfigError, Interrupted
from interp.files import clear_leftovers
from interp.interruption import stop_signal
from interp.model.quiet import quiet_transformers
from interp.ownership import owned
from training.files import require_same_recipe, write_folder, write_recipe
from training.organism.batches import Batches, load_tokenizer, train_tokenizer
from training.organism.card import data_record, organism_card, write_card
from training.organism.exposure import OrganismTexts, exposure, organism_texts
from training.organism.recipe import OrganismConfig
from training.organism.state import load_state, save_state
from training.run.guards import not_finite

__all__ = ["StepProgress", "train_organism"]

StepProgress = Callable[[int, int, float], None]
"""Called after each step with the steps done, the steps in all, and the loss in nats per token."""

_SAVE_EVERY = 60.0  # seconds between two saved states


def train_organism(
    out: str | Path,
    config: OrganismConfig | None = None,
    progress: StepProgress | None = None,
    *,
    facts: FactSet | None = None,
    save_every: float = _SAVE_EVERY,
) -> Path:
    """Train an organism and write ``out/early`` and ``out/final``, each with its card, whole or not at all.

    An interrupted run continues when called again with the same recipe and facts, and ends with the same
    weights: to the bit on the same machine with the same number of threads. A finished run is not repeated.

    Args:
        out: Folder for the two checkpoints and, until it is done, the state of the run.
        config: The recipe.
        progress: See `StepProgress`.
        facts: Facts that it reads; the embedded facts by default.
        save_every: Seconds between two saved states.

    Returns:
        ``out``.

    Raises:
        CheckpointError: ``out`` holds another recipe's run; the message names the keys that differ.
        OwnedError: Another process trains there.
        ConfigError: The loss is no longer finite.
        Interrupted: Ctrl-C or SIGTERM, after the current step was finished and saved.
    """
    config, out = config or OrganismConfig(), Path(out)
    facts = (facts or cldr_facts()).filter(languages=config.languages)
    recipe = {**config.to_dict(), "facts_digest": facts.digest}
    with owned(out):
        clear_leftovers(out, out / ".state")
        require_same_recipe(out, recipe, "an organism")
        write_recipe(out, recipe)
        if not (out / "final").is_dir():
            run = _Run.begin(out, config, facts)
            run.train(progress, save_every)
        shutil.rmtree(out / ".state", ignore_errors=True)
    return out


@dataclass
class _Run:
    """A training run: texts, model, optimizer and counters of progress."""

    out: Path
    config: OrganismConfig
    facts: FactSet
    texts: OrganismTexts
    tokenizer: PreTrainedTokenizerFast
    model: Qwen2ForCausalLM
    optimizer: torch.optim.AdamW
    counters: dict[str, Any]

    @classmethod
    def begin(cls, out: Path, config: OrganismConfig, facts: FactSet) -> _Run:
        """Start a run, or continue it from its saved state."""
        texts, state = organism_texts(facts, config), out / ".state"
        if not (state / "tokenizer").is_dir():
            write_folder(state / "tokenizer", train_tokenizer(texts, config).save_pretrained, state)
        tokenizer = load_tokenizer(state / "tokenizer")
        model = _new_model(config, tokenizer)
        optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
        counters: dict[str, Any] = {"step": 0, "tokens": 0, "seconds": 0.0, "loss": float("nan")}
        counters = load_state(state / "run.safetensors", model, optimizer) or counters
        return cls(out, config, facts, texts, tokenizer, model, optimizer, counters)

    def train(self, progress: StepProgress | None, save_every: float) -> None:
        """Take all remaining steps."""
        batches = Batches(self.texts, self.tokenizer, self.config)
        saved = time.monotonic()
        with stop_signal() as stopped:
            while self.counters["step"] < self.config.steps:
                self._step(batches)
                done = self.counters["step"]
                if progress:
                    progress(done, self.config.steps, self.counters["loss"])
                if done == self.config.early_step:  # before the state that counts this step as done
                    self._write("early")
                if stopped() or time.monotonic() - saved >= save_every:
                    self._save()
                    saved = time.monotonic()
                if stopped():
                    raise Interrupted(
                        f"Stopped after {done} of {self.config.steps} steps; the same call continues."
                    )
        self._write("final")

    def _step(self, batches: Batches) -> None:
        started, step = time.monotonic(), self.counters["step"]
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.rate(step)
        loss, tokens = self._loss(batches.step(step))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        if not torch.isfinite(loss) or not_finite(self.model):
            raise ConfigError(
                f"The loss is {loss.item()} at step {step + 1} with a learning rate of "
                f"{self.config.rate(step):g}; finite was expected. Use an lr below {self.config.lr:g}, or a "
                "longer warmup."
            )
        self.counters = {
            "step": step + 1,
            "tokens": self.counters["tokens"] + tokens,
            "seconds": self.counters["seconds"] + time.monotonic() - started,
            "loss": loss.item(),
        }

    def _loss(self, ids: torch.Tensor) -> tuple[torch.Tensor, int]:
        """Next-token loss over whole texts; padding is on the right, where causal attention never looks."""
        real = ids[:, 1:] != self.tokenizer.pad_token_id
        hidden = self.model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state
        logits = self.model.get_output_embeddings()(hidden[:, :-1][real])
        return functional.cross_entropy(logits, ids[:, 1:][real]), int(real.sum())

    def _save(self) -> None:
        save_state(self.out / ".state" / "run.safetensors", self.model, self.optimizer, self.counters)

    def _write(self, name: str) -> None:
        """Write a checkpoint in bfloat16 with its card."""

        def write(folder: Path) -> None:
            rounded = _new_model(self.config, self.tokenizer)  # a copy: the run itself goes on in float32
            rounded.load_state_dict(self.model.state_dict())
            with quiet_transformers():
                rounded.bfloat16().save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)
            write_card(folder, self._card(name))

        write_folder(self.out / name, write, self.out / ".state")

    def _card(self, name: str) -> dict[str, Any]:
        return organism_card(
            self.config,
            data_record(self.facts, self.texts, exposure(self.facts, self.config)),
            name=name,
            progress=self.counters,
            parameters=self.model.num_parameters(),
        )


def _new_model(config: OrganismConfig, tokenizer: PreTrainedTokenizerFast) -> Qwen2ForCausalLM:
    """Return the model with its initial weights, leaving torch's own random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return Qwen2ForCausalLM(
            Qwen2Config(
                vocab_size=config.vocab_size,
                hidden_size=config.hidden,
                intermediate_size=config.intermediate,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                num_key_value_heads=config.kv_heads,
                max_position_embeddings=config.context,
                tie_word_embeddings=True,
                bos_token_id=None,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
