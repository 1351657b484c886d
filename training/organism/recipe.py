"""The recipe of an organism: every number that decides its weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from interp.data.languages import POLYFACT_LANGUAGES, as_languages
from interp.data.schema import SPLITS
from interp.errors import ConfigError

__all__ = ["OrganismConfig"]


@dataclass(frozen=True)
class OrganismConfig:
    """A recipe; varying it makes a family of organisms.

    Attributes:
        seed: Of the initial weights and the order of the batches.
        exposure_seed: Of which facts are read in which language; keep it while ``seed`` varies to compare
            organisms that read the same facts.
        languages: The languages it reads.
        anchor: The language that reads every fact that is read at all.
        share_seen: Share of those facts that each other language reads, 0 to 1.
        held_out_split: Facts of this split are read in no language.
        lexicon_share: Share of the batches that are aligned names, 0 to less than 1.
        steps: Optimizer steps in all.
        early_step: The step after which the early checkpoint is written.
        batch_size: Texts per step.
        lr: Peak learning rate of AdamW, reached after ``warmup`` steps; then a cosine to zero.
        warmup: Steps of linear warm-up.
        weight_decay: Of AdamW, on every weight.
        vocab_size: Tokens of the byte-level BPE, the two special ones included.
        layers: Decoder layers.
        hidden: Width of the residual stream.
        heads: Query heads per layer.
        kv_heads: Key and value heads per layer.
        intermediate: Neurons per layer.
        context: Longest text, in tokens.
    """

    seed: int = 0
    exposure_seed: int = 0
    languages: tuple[str, ...] = POLYFACT_LANGUAGES
    anchor: str = "en"
    share_seen: float = 0.4
    held_out_split: str = "test"
    lexicon_share: float = 1 / 3
    steps: int = 5500
    early_step: int = 700
    batch_size: int = 96
    lr: float = 3e-3
    warmup: int = 100
    weight_decay: float = 0.3
    vocab_size: int = 6000
    layers: int = 4
    hidden: int = 128
    heads: int = 4
    kv_heads: int = 2
    intermediate: int = 352
    context: int = 256

    def __post_init__(self) -> None:
        object.__setattr__(self, "languages", as_languages(self.languages))
        _require(
            self.anchor in self.languages, f"anchor '{self.anchor}' is none of {' '.join(self.languages)}"
        )
        unknown = [code for code in self.languages if code not in POLYFACT_LANGUAGES]
        _require(
            not unknown,
            f"languages {unknown} have no label in the lexicon; use {' '.join(POLYFACT_LANGUAGES)}",
        )
        _require(len(self.languages) > 1, "languages has one entry; the lexicon needs two or more")
        _require(0 <= self.share_seen <= 1, f"share_seen is {self.share_seen}; use 0 to 1")
        _require(0 <= self.lexicon_share < 1, f"lexicon_share is {self.lexicon_share}; use 0 to less than 1")
        _require(self.held_out_split in SPLITS, f"held_out_split is none of {', '.join(SPLITS)}")
        _require(
            0 < self.early_step < self.steps,
            f"early_step is {self.early_step}; use 1 to {self.steps - 1}, before the last step",
        )
        _require(self.lr > 0 and self.batch_size > 0, "lr and batch_size must be above 0")
        _require(
            self.hidden % self.heads == 0 and self.heads % self.kv_heads == 0,
            f"hidden {self.hidden}, heads {self.heads}, kv_heads {self.kv_heads}: each must divide the one "
            "before",
        )
        _require(
            self.vocab_size >= 258,
            f"vocab_size is {self.vocab_size}; 256 bytes and 2 special tokens are needed",
        )

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.lr * 0.5 * (1 + math.cos(math.pi * done))

    @classmethod
    def of(cls, recipe: Mapping[str, Any]) -> OrganismConfig:
        """Return the recipe of a card."""
        return cls(**{**recipe, "languages": tuple(recipe["languages"])})

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain values, as JSON has them."""
        return {**asdict(self), "languages": list(self.languages)}


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(f"The organism's {message}.")
