"""Which tokens stand for a prompt: weights by hand, with and without a special token in front."""

from __future__ import annotations

import numpy as np
import pytest

from interp.data.prompts import Prompt, PromptSet
from interp.errors import CapabilityError, MeasurementError
from interp.model.tokens import encode
from probes.positions import POSITIONS, position_weights
from tests.support.tiny import byte_tokenizer

TEXTS = {"en": "Is Peru big?", "ja": "ペルーは?"}


def prompts() -> PromptSet:
    made = {code: (Prompt("f", code, text, "", "", "g"),) for code, text in TEXTS.items()}
    return PromptSet("made", tuple(TEXTS), made, parallel=True)


def weights(positions: str, bos: bool = False, subjects=None) -> dict:
    tokenizer = byte_tokenizer(bos)
    encoded = encode(prompts(), tokenizer, n_blocks=1, context=64)
    return position_weights(positions, prompts(), encoded, tokenizer, subjects)


SUBJECTS = {(0, "f"): "Peru", (1, "f"): "ペルー"}


@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("positions", POSITIONS)
def test_weights_sum_to_one_over_the_tokens_of_a_prompt(positions, bos):
    for (language, _), found in weights(positions, bos, SUBJECTS).items():
        n = len(TEXTS[prompts().languages[language]].encode()) + bos
        assert found.shape == (n,)
        assert found.sum() == pytest.approx(1)
        assert (found >= 0).all()


@pytest.mark.parametrize("bos", [False, True])
def test_each_span_by_hand(bos):
    """English: 12 bytes, the name is bytes 3 to 6. Japanese: 13 bytes, the name is bytes 0 to 8."""
    for (language, _), found in weights("last", bos).items():
        assert np.flatnonzero(found).tolist() == [(11, 12)[language] + bos]
    for (language, _), found in weights("subject_last", bos, SUBJECTS).items():
        assert np.flatnonzero(found).tolist() == [(6, 8)[language] + bos]
    mean = weights("mean", bos)[0, "f"]
    assert mean == pytest.approx([0] * bos + [1 / 12] * 12)  # a special token stands in every prompt
    n = 12 + bos
    assert weights("weighted", bos)[0, "f"] == pytest.approx([2 * t / (n * (n + 1)) for t in range(1, n + 1)])


def test_a_subject_that_the_prompt_does_not_name():
    for missing in ({}, {(0, "f"): "Chile", (1, "f"): "ペルー"}):
        with pytest.raises(MeasurementError, match=r"'f' in 'en': the question does not mention its subject"):
            weights("subject_last", subjects=missing)


def test_a_tokenizer_that_does_not_know_its_characters(monkeypatch):
    monkeypatch.setattr(type(byte_tokenizer()), "is_fast", False)
    with pytest.raises(CapabilityError, match="Use a fast tokenizer"):
        weights("subject_last", subjects=SUBJECTS)
    assert weights("last")
