"""Contrasts: the tokens that decide, on paper; the metric, one row and one option at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from interp.data.facts import FactSet, Wording
from interp.data.sources.cldr import cldr_facts
from interp.errors import MeasurementError
from interp.measure.contrasts import contrast_metric, make_contrasts
from interp.model.tokens import pad
from tests.support.facts import make_fact
from tests.support.tiny import byte_tokenizer, opened


def asked(*options: str, gold: int = 0, question: str = "Q") -> FactSet:
    ids = tuple(f"o{i}" for i in range(len(options)))
    wording = {"zh": Wording(question, "s", options)}  # no space before an answer
    return FactSet("made", (make_fact(1, option_ids=ids, object_id=ids[gold], wording=wording),), ("zh",))


def token(letter: str) -> int:
    return byte_tokenizer()(letter)["input_ids"][0]


@pytest.mark.parametrize("bos", [False, True])
def test_the_deciding_tokens_are_those_where_options_part(bos):
    loaded = opened("qwen2", bos=bos)
    (found,) = make_contrasts(loaded, asked("cot", "cat", "dog", "cab", gold=1), "none")
    # Q, then c|d, then o|a, then t|b: of four options the right one leaves one at each token
    assert found.item.ids == (*([257] * bos), *map(token, "Qca"))
    assert found.places == (1 + bos, 0 + bos, 2 + bos)
    assert found.right == tuple(map(token, "act"))
    assert found.wrong == tuple(map(token, "odb"))
    assert found.item.counted == (*([False] * bos), True, True, True)


def test_an_option_that_begins_with_another_does_not_count():
    (found,) = make_contrasts(opened("qwen2"), asked("South", "South-East", "North"), "none")
    assert (found.right, found.wrong) == ((token("S"),), (token("N"),))
    for options in (("South", "South-East"), ("South-East", "South")):
        with pytest.raises(
            MeasurementError, match="no wrong option has a token that tells it from the right"
        ):
            make_contrasts(opened("qwen2"), asked(*options), "none")


def test_the_metric_is_the_mean_gap_of_logits_row_by_row():
    facts = cldr_facts().filter(languages=("en", "bn", "zh"), limit=4)
    loaded = opened("qwen2")
    contrasts = make_contrasts(loaded, facts, "native")
    batch = pad([c.item for c in contrasts], pad_id=256, side="right", device=torch.device("cpu"))
    assert any(len(set(c.places)) > 1 for c in contrasts)  # options in Bengali share their first bytes
    with torch.no_grad():
        found = contrast_metric(
            loaded, contrasts, loaded.architecture.body(**batch.inputs()).last_hidden_state
        )
        for row, c in enumerate(contrasts):
            logits = loaded.model(input_ids=torch.tensor([c.item.ids])).logits[0]
            gaps = [
                logits[at, r] - logits[at, w] for at, r, w in zip(c.places, c.right, c.wrong, strict=True)
            ]
            torch.testing.assert_close(found[row], sum(gaps) / len(gaps), rtol=1e-4, atol=1e-4)


def test_rows_know_their_fact_and_language():
    facts = cldr_facts().filter(languages=("en", "zh"), limit=3)
    contrasts = make_contrasts(opened("qwen2"), facts, "native")
    assert [(c.item.block, c.item.language) for c in contrasts] == [
        (f, code) for f in range(3) for code in (0, 1)
    ]
    assert [c.item.item_id for c in contrasts[::2]] == [fact.fact_id for fact in facts]


def test_the_order_of_options_changes_nothing():
    (one,) = make_contrasts(opened("qwen2"), asked("cot", "cat", "dog", "cab", gold=1), "none")
    (other,) = make_contrasts(opened("qwen2"), asked("cab", "dog", "cot", "cat", gold=3), "none")
    assert one.item == other.item
    assert set(zip(one.places, one.wrong, strict=True)) == set(zip(other.places, other.wrong, strict=True))


def test_what_cannot_be_asked_is_named():
    facts = cldr_facts().filter(languages=("en",), limit=2)
    with pytest.raises(
        MeasurementError,
        match=r"'cldr:.+' in 'en': prompt and option have \d+ tokens, the model's context is 20",
    ):
        make_contrasts(opened("qwen2", max_position_embeddings=20), facts, "native")
    with pytest.raises(MeasurementError, match=r"'f1' in 'zh': no wrong option"):
        make_contrasts(opened("qwen2"), asked("only"), "none")
    empty = asked("cat", "dog")
    wording = {"zh": replace(empty.facts[0].wording["zh"], options=("", "dog"))}
    with pytest.raises(
        MeasurementError, match="the tokens of the prompt are not the first ones of prompt and option ''"
    ):
        make_contrasts(
            opened("qwen2"), FactSet("made", (replace(empty.facts[0], wording=wording),), ("zh",)), "none"
        )
