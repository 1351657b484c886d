"""Which tokens begin a word, by their bytes, and which of them tell one language's word from another's.

Bytes are what all tokenizers have in common. A token is part of a word's set if its bytes begin the word, or
the word with a space before it. So half a character counts where a script needs several bytes for one, as the
byte tokens do that Wendler et al. add for Chinese and Russian.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Bool
from transformers import PreTrainedTokenizerBase

from interp.errors import CapabilityError
from interp.model.tokens.encoding import tokenize

__all__ = ["RULES", "Vocabulary", "overlaps", "unshared"]

RULES = ("prefix", "first")
"""``prefix``: all tokens that begin the word. ``first``: only those that the tokenizer begins it with."""

_SPACE_MARK = "▁"
_BYTE_TOKEN = ("<0x", ">")


class Vocabulary:
    """The tokens of a tokenizer by their bytes, without special tokens and tokens that are only space.

    Raises:
        CapabilityError: The tokenizer is of a kind whose tokens have no known bytes.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, n_embeddings: int):
        self.tokenizer = tokenizer
        special = set(tokenizer.all_special_ids)
        self._blank: set[int] = set()
        self._ids: dict[bytes, list[int]] = defaultdict(list)
        decode = _decoder(tokenizer)
        for token, number in tokenizer.get_vocab().items():
            if number in special or number >= n_embeddings:
                continue
            text = decode(token)
            if text.strip():
                self._ids[text].append(number)
            else:
                self._blank.add(number)
        self._longest = max(map(len, self._ids), default=0)
        self._sets: dict[tuple[str, str], frozenset[int]] = {}

    def is_blank(self, token: int) -> bool:
        """Whether a token is nothing but space."""
        return token in self._blank

    def beginning(self, word: str, rule: str = "prefix") -> frozenset[int]:
        """The tokens that begin a word, by one of `RULES`; with and without a space before it."""
        if (word, rule) not in self._sets:
            tokens = self._prefixes(word) if rule == "prefix" else self._first(word)
            self._sets[word, rule] = frozenset(tokens)
        return self._sets[word, rule]

    def _prefixes(self, word: str) -> list[int]:
        texts = [word.encode(), b" " + word.encode()]
        starts = [text[:end] for text in texts for end in range(1, min(len(text), self._longest) + 1)]
        return [number for start in starts for number in self._ids.get(start, ())]

    def _first(self, word: str) -> list[int]:
        texts = tokenize(self.tokenizer, [word, " " + word], special=False)
        return [token for text in texts for token in [i for i in text.ids if not self.is_blank(i)][:1]]


def overlaps(
    sets: Sequence[Sequence[frozenset[int]]], words: Sequence[Sequence[str]]
) -> Bool[np.ndarray, "item language language"]:
    """Return which pairs of languages an item does not tell apart.

    A pair overlaps where the two sets share a token, or one word contains the other, whatever the case. A
    language whose set is empty overlaps with all, itself included; otherwise none overlaps with itself.

    Args:
        sets: Per item, a token set per language.
        words: Per item, the word per language.
    """
    n_languages = len(words[0])
    overlap = np.zeros((len(words), n_languages, n_languages), dtype=bool)
    for item, (tokens, names) in enumerate(zip(sets, words, strict=True)):
        folded = [name.casefold() for name in names]
        for i in range(n_languages):
            for j in range(i, n_languages):
                same = i != j and (
                    bool(tokens[i] & tokens[j]) or folded[i] in folded[j] or folded[j] in folded[i]
                )
                overlap[item, i, j] = overlap[item, j, i] = same or not tokens[i] or not tokens[j]
    return overlap


def unshared(sets: Sequence[frozenset[int]]) -> tuple[tuple[int, ...], ...]:
    """Return the tokens of each set that are in no other, in ascending order."""
    count = Counter(token for tokens in sets for token in tokens)
    return tuple(tuple(sorted(token for token in tokens if count[token] == 1)) for tokens in sets)


def _decoder(tokenizer: PreTrainedTokenizerBase) -> Any:
    """Token to bytes, by the kind of tokenizer."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise CapabilityError(
            f"The tokenizer {type(tokenizer).__name__} has no fast form, so the bytes of its tokens are not "
            "known. Save it as a fast one (tokenizer.json)."
        )
    parts = json.loads(backend.to_str())
    steps = json.dumps([parts.get("pre_tokenizer"), parts.get("decoder")])
    if '"ByteLevel"' in steps:
        return _from_byte_symbols
    if _SPACE_MARK in json.dumps(
        [parts.get("normalizer"), parts.get("pre_tokenizer"), parts.get("decoder")], ensure_ascii=False
    ):
        return _from_marked_text
    raise CapabilityError(
        "The tokenizer is neither a byte-level BPE nor marks spaces as SentencePiece does, so the bytes of "
        "its tokens are not known."
    )


def _from_byte_symbols(token: str) -> bytes:
    table = _symbols()
    if any(symbol not in table for symbol in token):
        return token.encode()  # added after training, as it is written
    return bytes(table[symbol] for symbol in token)


def _from_marked_text(token: str) -> bytes:
    if token.startswith(_BYTE_TOKEN[0]) and token.endswith(_BYTE_TOKEN[1]) and len(token) == len("<0x00>"):
        return bytes([int(token[3:5], 16)])
    return token.replace(_SPACE_MARK, " ").encode()


@cache
def _symbols() -> dict[str, int]:
    """The characters that stand for bytes: printable Latin-1 for itself, the others from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(others)}
