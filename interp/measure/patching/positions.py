"""Prompts as tokens with the positions that can be patched: the subject, the last token, every token.

A span becomes *segments*: places that get one activation each. Two prompts are aligned segment by segment, so
a span of one segment (the subject's last token, the mean over the subject, the last token of the prompt) is
aligned whatever the lengths, and one of many (all positions) only between prompts of equal length.
"""

from __future__ import annotations

from dataclasses import dataclass

from interp.errors import MeasurementError

__all__ = ["ScoredPrompt", "Span", "align", "aligned"]

Span = str | int
"""``subject_last``, ``subject_mean``, ``last``, ``all`` (at once), or one position, counted from 0."""


@dataclass(frozen=True)
class ScoredPrompt:
    """A prompt, and the answer that it is scored on.

    Attributes:
        label: What a message calls it.
        ids: Tokens of the prompt.
        subject: Positions of the subject's tokens: all that hold a character of its name.
        answer: Tokens of the right answer, the space before it in the first.
        distractor: First token of a wrong answer.
        first: First token of the right answer's name in several languages; -1 where it cannot be told apart.
    """

    label: str
    ids: tuple[int, ...]
    subject: tuple[int, ...]
    answer: tuple[int, ...]
    distractor: int
    first: tuple[int, ...]

    @property
    def tokens(self) -> tuple[int, ...]:
        """What the model reads: the prompt and the answer without its last token, which is only predicted."""
        return self.ids + self.answer[:-1]

    def has(self, span: Span) -> bool:
        """Whether the prompt is long enough for a span."""
        return not isinstance(span, int) or span < len(self.ids)

    def segments(self, span: Span) -> tuple[tuple[int, ...], ...]:
        """Positions of a span, one group for each activation."""
        if isinstance(span, int):
            return ((span,),)
        if span == "all":
            return tuple((i,) for i in range(len(self.tokens)))
        if span == "last":
            return ((len(self.ids) - 1,),)
        return (self.subject,) if span == "subject_mean" else ((self.subject[-1],),)


def aligned(source: ScoredPrompt, target: ScoredPrompt, span: Span) -> bool:
    """Whether each activation of one prompt has its place in the other."""
    if isinstance(span, int) or span == "all":
        return len(source.ids) == len(target.ids) and len(source.tokens) == len(target.tokens)
    return True


def align(source: ScoredPrompt, target: ScoredPrompt, span: Span) -> None:
    """Refuse prompts whose positions do not correspond.

    Raises:
        MeasurementError: Their lengths differ; names them.
    """
    if not aligned(source, target, span):
        raise MeasurementError(
            f"{source.label} has {len(source.ids)} tokens (with its answer {len(source.tokens)}) and "
            f"{target.label} has {len(target.ids)} ({len(target.tokens)}), so position i of one is not "
            "position i of the other. Patch a span that both have: subject_last, subject_mean or last."
        )
