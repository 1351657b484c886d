"""Scores over a vocabulary in pieces: what all logits at once give, and never all at once."""

from __future__ import annotations

import pytest
import torch

from interp.model import vocabulary
from interp.model.vocabulary import token_scores

TOKENS, WIDTH, VOCABULARY = 23, 6, 50


def given():
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(TOKENS, WIDTH, generator=generator)
    weight = torch.randn(VOCABULARY, WIDTH, generator=generator)
    targets = torch.randint(VOCABULARY, (TOKENS,), generator=generator)
    return hidden, weight, targets


@pytest.mark.parametrize("temperature", [1.0, 0.5])
@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("rows", [1, 4, TOKENS, 100])
def test_pieces_give_what_all_logits_give(rows, trained, temperature, monkeypatch):
    monkeypatch.setattr(vocabulary, "LOGITS_AT_A_TIME", rows * VOCABULARY)
    weights = torch.linspace(-1, 1, TOKENS)

    def graded(score):
        hidden, weight, targets = given()
        hidden.requires_grad_(), weight.requires_grad_(trained)
        scores = score(hidden, weight, targets)
        (scores[0] * weights).sum().backward()
        return [x.detach() for x in scores], hidden.grad, weight.grad

    def at_once(hidden, weight, targets):
        logits = torch.tanh(hidden @ weight.T / 3) * 3 / temperature  # capped, as Gemma 2's
        logps = logits.log_softmax(-1)
        picked = logps[torch.arange(TOKENS), targets]
        return picked, -(logps.exp() * logps).sum(-1), logits.mean(-1), logits.argmax(-1) == targets

    sizes = []

    def in_pieces(hidden, weight, targets):
        def unembed(states):
            sizes.append(len(states))
            return torch.tanh(states @ weight.T / 3) * 3

        found = token_scores(hidden, targets, unembed, temperature=temperature, trained=trained)
        return found.logp, found.entropy, found.mean_logit, found.is_top

    expected, by_hidden, by_weight = graded(at_once)
    found, hidden_gradient, weight_gradient = graded(in_pieces)
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one.double(), other.double(), atol=1e-5)
    assert torch.allclose(hidden_gradient, by_hidden, atol=1e-5)
    assert (weight_gradient is None) == (not trained)
    if trained:
        assert torch.allclose(weight_gradient, by_weight, atol=1e-5)
    assert max(sizes) == min(rows, TOKENS)


def test_no_tokens_have_no_scores():
    hidden = torch.zeros(0, WIDTH, requires_grad=True)
    found = token_scores(hidden, torch.zeros(0, dtype=torch.long), lambda states: states)
    assert len(found.logp) == len(found.entropy) == 0
    found.logp.sum().backward()
