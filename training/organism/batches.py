"""Texts -> tokenizer and batches: which tokens stand in which step, as a pure function of the step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from interp.errors import DataError
from training.organism.exposure import OrganismTexts, lexicon_text
from training.organism.recipe import OrganismConfig

__all__ = ["Batches", "load_tokenizer", "train_tokenizer"]

PAD, EOS = "<|pad|>", "<|endoftext|>"

# A word keeps its combining marks (Bengali vowels) and at most the space before it, so that a question and
# its answer never share a token; digits stand alone.
_WORDS = r" ?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+|\s+(?!\S)|\s+"
_POOL = 20  # batches that are sorted by length together: less padding, and each epoch still mixes


def train_tokenizer(texts: OrganismTexts, config: OrganismConfig) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE trained on the organism's texts; it has no unknown token and adds no others."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocab_size,
        special_tokens=[PAD, EOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator([*texts.facts, *texts.name_lines()], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=PAD,
        eos_token=EOS,
        model_max_length=config.context,
        padding_side="right",
        clean_up_tokenization_spaces=False,
    )


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Return a saved tokenizer as it was saved."""
    return PreTrainedTokenizerFast.from_pretrained(folder)


class Batches:
    """The texts of every step. Two with the same recipe and texts agree on each step, in any order."""

    def __init__(self, texts: OrganismTexts, tokenizer: PreTrainedTokenizerFast, config: OrganismConfig):
        self._config, self._tokenizer, self._names = config, tokenizer, texts.names
        self._pairs = [(a, b) for a in config.languages for b in config.languages if a != b]
        self._facts = self._encode(texts.facts)
        self._lengths = np.array([len(ids) for ids in self._facts])
        self._per_epoch = -(-len(self._facts) // config.batch_size)
        self._order: tuple[int, list[np.ndarray]] = (-1, [])
        if self._lengths.max() > config.context:
            raise DataError(
                f"The longest text has {self._lengths.max()} tokens, but the organism's context is "
                f"{config.context}. Raise context or vocab_size."
            )

    def step(self, step: int) -> Int[torch.Tensor, "text token"]:
        """Return the token ids of a step, counted from 0: each text, its end, and padding on the right."""
        before = int(step * self._config.lexicon_share)
        is_lexicon = int((step + 1) * self._config.lexicon_share) > before
        texts = self._lexicon(step) if is_lexicon else self._read(step - before)
        width = max(map(len, texts))
        pad = self._tokenizer.pad_token_id
        return torch.tensor([ids + [pad] * (width - len(ids)) for ids in texts])

    def _read(self, number: int) -> list[list[int]]:
        epoch, position = divmod(number, self._per_epoch)
        if self._order[0] != epoch:
            self._order = (epoch, self._shuffled(epoch))
        return [self._facts[index] for index in self._order[1][position]]

    def _shuffled(self, epoch: int) -> list[np.ndarray]:
        """Every fact text once, in batches of similar length, in random order."""
        random = np.random.default_rng([self._config.seed, 0, epoch])
        shuffled = random.permutation(len(self._facts))
        size = self._config.batch_size
        batches = []
        for start in range(0, len(shuffled), size * _POOL):
            pool = shuffled[start : start + size * _POOL]
            pool = pool[np.argsort(self._lengths[pool], kind="stable")]
            batches += [pool[i : i + size] for i in range(0, len(pool), size)]
        return [batches[i] for i in random.permutation(len(batches))]

    def _lexicon(self, step: int) -> list[list[int]]:
        random = np.random.default_rng([self._config.seed, 1, step])
        entities = random.integers(len(self._names), size=self._config.batch_size)
        pairs = random.integers(len(self._pairs), size=self._config.batch_size)
        texts = [lexicon_text(self._names[e], *self._pairs[p]) for e, p in zip(entities, pairs, strict=True)]
        return self._encode(texts)

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        encoded = self._tokenizer(list(texts), return_attention_mask=False)["input_ids"]
        return [[*ids, self._tokenizer.eos_token_id] for ids in encoded]
