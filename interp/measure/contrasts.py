"""The contrast of a question: the right answer's logit minus the wrong ones', where they first differ.

The contrast of a fact is the mean over its wrong options of: logit of the right answer's token minus logit of
the wrong one's, at the first token where the two differ. It is read from one row, the question and the right
answer's tokens up to there, which both share. A wrong option that the right one begins with, or that begins
with it, has no such token and does not count.

Why not the log-probability of the answer: for a fact that the model knows it is flat, so its gradient comes
from what is still uncertain about the spelling; and it rewards whatever makes the text be in the language at
all. A logit against the other options in the same language does neither. Why not the first token alone: in
scripts of several tokens per letter the options often share it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float

from interp.characters import visible
from interp.data.facts import Fact, FactSet
from interp.data.prompts import Prompt, prompts_from_facts
from interp.errors import MeasurementError
from interp.measure.passes import Progress
from interp.model.loading import LoadedModel
from interp.model.tokens import EncodedItem, TokenizedPrompt
from interp.model.vocabulary import from_logits

__all__ = ["Contrast", "contrast_metric", "make_contrasts"]


@dataclass(frozen=True)
class Contrast:
    """One fact in one language.

    Attributes:
        item: The row's tokens; its ``block`` is the number of the fact.
        places: Per wrong option, the token whose logits decide.
        right: Per wrong option, the right answer's token there.
        wrong: Per wrong option, its token there.
    """

    item: EncodedItem
    places: tuple[int, ...]
    right: tuple[int, ...]
    wrong: tuple[int, ...]


def make_contrasts(
    loaded: LoadedModel, facts: FactSet, prompt_format: str, progress: Progress | None = None
) -> list[Contrast]:
    """Return the contrasts of all facts in all languages, fact by fact.

    Args:
        loaded: The opened checkpoint.
        facts: What is asked.
        prompt_format: Words around the questions.
        progress: Called with facts tokenized and facts in all.

    Raises:
        MeasurementError: No wrong option of a fact can be told from the right one by a token, tokens of the
            prompt change before an answer, or a row is longer than the context.
    """
    prompts = prompts_from_facts(facts, prompt_format=prompt_format).prompts
    contrasts = []
    for row, fact in enumerate(facts):
        contrasts += [
            _contrast(loaded, fact, row, column, prompts[code][row])
            for column, code in enumerate(facts.languages)
        ]
        if progress:
            progress(row + 1, len(facts))
    return contrasts


def contrast_metric(
    loaded: LoadedModel, contrasts: Sequence[Contrast], hidden: Float[torch.Tensor, "prompt token model"]
) -> Float[torch.Tensor, " prompt"]:
    """The contrast of every row, in logits, from final hidden states padded on the right."""
    read = sorted({(row, place) for row, c in enumerate(contrasts) for place in c.places})
    at = {key: index for index, key in enumerate(read)}
    device = hidden.device
    rows, places = torch.tensor(read, device=device).T
    tokens: list[list[int]] = [[] for _ in read]
    owner, gap = [], []
    for row, contrast in enumerate(contrasts):
        for place, right, wrong in zip(contrast.places, contrast.right, contrast.wrong, strict=True):
            index = at[row, place]
            owner.append(row)
            gap.append((index, len(tokens[index])))
            tokens[index] += right, wrong
    of_tokens = from_logits(
        hidden[rows, places],
        loaded.architecture.unembed,
        lambda logits, ids: logits.gather(1, ids),
        loaded.pad_rows(tokens)[0],
    )
    which, column = torch.tensor(gap, device=of_tokens.device).T
    gaps = of_tokens[which, column] - of_tokens[which, column + 1]
    share = torch.tensor([1 / len(contrasts[row].places) for row in owner], device=gaps.device)
    total = torch.zeros(len(contrasts), dtype=gaps.dtype, device=gaps.device)
    return total.index_add(0, torch.tensor(owner, device=gaps.device), gaps * share)


def _contrast(loaded: LoadedModel, fact: Fact, row: int, column: int, prompt: Prompt) -> Contrast:
    tokens = TokenizedPrompt(loaded.tokenizer, prompt)
    options = fact.wording[prompt.language].options
    joint = [tokens.ids + ids for ids in tokens.continuations(options)]
    gold = joint[fact.answer_index]
    places = {ids: _first_difference(gold, ids) for ids in joint}
    differing = {ids: at for ids, at in places.items() if at < min(len(gold), len(ids))}
    if not differing:
        raise MeasurementError(
            f"{tokens.label}: no wrong option has a token that tells it from the right answer, "
            f"'{visible(options[fact.answer_index])}'; leave out the fact."
        )
    end = max(differing.values())
    tokens.require_room(end, loaded.context)
    counted = (tokens.text.counted + (True,) * len(gold))[:end]
    return Contrast(
        EncodedItem(fact.fact_id, column, row, gold[:end], counted),
        tuple(at - 1 for at in differing.values()),
        tuple(gold[at] for at in differing.values()),
        tuple(ids[at] for ids, at in differing.items()),
    )


def _first_difference(one: Sequence[int], other: Sequence[int]) -> int:
    same = (a == b for a, b in zip(one, other, strict=False))
    return next((i for i, equal in enumerate(same) if not equal), min(len(one), len(other)))
