"""Text -> token ids: special tokens, what may continue a prompt, and which of its tokens name the subject.

A tokenizer puts the special tokens in place that its model was trained with: a BOS in front where there is
one, in some tokenizers an EOS behind. They are kept, since the model expects them, but they do not count as
text; and what continues a prompt stands where the prompt ends, before an EOS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from transformers import PreTrainedTokenizerBase

from interp.characters import visible
from interp.data.prompts import Prompt
from interp.errors import CapabilityError, MeasurementError

__all__ = ["TokenizedPrompt", "TokenizedText", "tokenize"]


@dataclass(frozen=True)
class TokenizedText:
    """A text as tokens.

    Attributes:
        ids: Token ids.
        counted: Per token, whether it is text: False for special tokens that the tokenizer added.
    """

    ids: tuple[int, ...]
    counted: tuple[bool, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def without_end(self) -> TokenizedText:
        """The same text without special tokens behind it."""
        end = len(self)
        while end and not self.counted[end - 1]:
            end -= 1
        return TokenizedText(self.ids[:end], self.counted[:end]) if end else self


def tokenize(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, special: bool = True
) -> list[TokenizedText]:
    """Tokenize texts, each on its own.

    Args:
        tokenizer: Of the model.
        texts: Any number of them.
        special: Whether special tokens are added as the tokenizer declares; not to a text that follows
            another.
    """
    if not texts:
        return []
    encoded = tokenizer(
        list(texts),
        add_special_tokens=special,
        return_special_tokens_mask=True,
        return_attention_mask=False,
    )
    each = zip(encoded["input_ids"], encoded["special_tokens_mask"], strict=True)
    return [TokenizedText(tuple(ids), tuple(not added for added in mask)) for ids, mask in each]


@dataclass(frozen=True, eq=False)
class TokenizedPrompt:
    """A prompt as tokens, without its answer, and what may continue it.

    Attributes:
        tokenizer: Of the model.
        prompt: The text, with what separates it from an answer.
    """

    tokenizer: PreTrainedTokenizerBase
    prompt: Prompt

    @cached_property
    def text(self) -> TokenizedText:
        """The prompt's tokens; special tokens behind it are left out."""
        return tokenize(self.tokenizer, [self.prompt.text])[0].without_end()

    @property
    def ids(self) -> tuple[int, ...]:
        """The prompt's token ids."""
        return self.text.ids

    @property
    def label(self) -> str:
        """What a message calls it: its item and its language."""
        return f"'{visible(self.prompt.item_id)}' in '{self.prompt.language}'"

    def find_continuations(self, answers: Sequence[str]) -> list[tuple[int, ...] | None]:
        """Tokens of each answer after the prompt, separator included; None where the two share a token."""
        texts = [self.prompt.text + self.prompt.separator + answer for answer in answers]
        joint = [text.without_end().ids for text in tokenize(self.tokenizer, texts)]
        n = len(self.ids)
        return [ids[n:] if ids[:n] == self.ids and len(ids) > n else None for ids in joint]

    def continuations(self, answers: Sequence[str]) -> list[tuple[int, ...]]:
        """Tokens of each answer after the prompt, the separator in the first.

        Raises:
            MeasurementError: The border between prompt and answer is not one between tokens.
        """
        tokens = []
        for answer, ids in zip(answers, self.find_continuations(answers), strict=True):
            if ids is None:
                raise MeasurementError(
                    f"{self.label}: the tokens of the prompt are not the first ones of prompt and option "
                    f"'{visible(answer)}', so the option's own log-probability is not defined. Use another "
                    "prompt_format."
                )
            tokens.append(ids)
        return tokens

    def require_room(self, n_tokens: int, context: int) -> None:
        """Refuse a prompt that does not fit into the context with what follows it.

        Raises:
            MeasurementError: Gives both numbers.
        """
        if n_tokens > context:
            raise MeasurementError(
                f"{self.label}: prompt and option have {n_tokens} tokens, the model's context is {context}. "
                "Leave out the fact, or use a shorter prompt_format."
            )

    def positions_of(self, subject: str) -> tuple[int, ...]:
        """Positions of the tokens that hold a character of the subject, at its last mention.

        A token that holds the end of the subject and more counts, so in a language without spaces the
        subject's last token may reach into the word after it.

        Raises:
            CapabilityError: The tokenizer does not say which characters a token stands for.
            MeasurementError: The text does not mention the subject, or no token holds any of it.
        """
        if not self.tokenizer.is_fast:
            raise CapabilityError(
                f"{type(self.tokenizer).__name__} does not say which characters a token stands for, so a "
                "subject cannot be found. Use a fast tokenizer."
            )
        text = self.prompt.text
        start = text.rfind(subject) if subject else -1
        if start < 0:
            raise MeasurementError(
                f"{self.label}: the question does not mention its subject '{visible(subject)}' as it is "
                f"written ('{visible(text)}'), so the subject's tokens are unknown. Correct the wording, or "
                "ask for the last token of the prompt only."
            )
        end = start + len(subject)
        encoded: Any = self.tokenizer(text, return_offsets_mapping=True)
        offsets = enumerate(encoded["offset_mapping"])
        positions = tuple(i for i, (a, b) in offsets if a < end and b > start and a < b)
        if not positions:
            raise MeasurementError(
                f"{self.label}: no token holds any of the subject '{visible(subject)}'. Correct the wording, "
                "or check the tokenizer."
            )
        return positions
