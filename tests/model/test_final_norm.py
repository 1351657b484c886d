"""The final norm: found in every family, once, and refused where it is not one norm."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from interp.errors import CapabilityError
from interp.model.final_norm import layer_readout
from interp.model.loading import LoadedModel
from interp.model.sites import locate
from tests.support.tiny import FAMILIES, byte_tokenizer, tiny_model


def _loaded(model):
    return LoadedModel(None, model, byte_tokenizer(), locate(model))


@torch.no_grad()
@pytest.mark.parametrize("family", [*FAMILIES, "cohere", "granite", "stablelm"])
def test_the_last_stream_gives_the_models_own_logits(family):
    model = tiny_model(family, **({"attention_multiplier": 0.4} if family == "granite" else {}))
    readout = layer_readout(_loaded(model))
    assert readout.norm is model.model.norm
    kept = []
    handle = model.model.layers[-1].register_forward_hook(
        lambda m, args, out: kept.append(out[0] if isinstance(out, tuple) else out)
    )
    ids = torch.arange(10, 20).unsqueeze(0)
    logits = model(input_ids=ids).logits
    handle.remove()
    torch.testing.assert_close(readout.logits(kept[0]), logits, rtol=1e-5, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("family", [*FAMILIES, "stablelm"])
def test_the_gain_is_what_the_norm_multiplies_by(family):
    model = tiny_model(family)
    norm = model.model.norm
    norm.weight.copy_(torch.linspace(0.5, 2, len(norm.weight)))
    expected = norm.weight + 1 if family == "gemma" else norm.weight
    torch.testing.assert_close(layer_readout(_loaded(model)).gain(), expected.float(), rtol=1e-4, atol=1e-4)


def test_a_decoder_without_a_norm_is_read_without_one():
    class Bare(type(tiny_model("llama").model)):
        def forward(self, *args, **kwargs):
            kept = []
            handle = self.layers[-1].register_forward_hook(lambda m, args, out: kept.append(out))
            found = super().forward(*args, **kwargs)
            handle.remove()
            found.last_hidden_state = kept[0]
            return found

    model = tiny_model("llama")
    model.model.__class__ = Bare
    readout = layer_readout(_loaded(model))
    assert readout.norm is None
    assert readout.gain().tolist() == [1.0] * 32


def test_streams_of_zeros_do_not_hide_the_norm():
    """A norm leaves zeros as they are, so there is nothing to see in the values that it is there."""
    model = tiny_model("llama", tie_word_embeddings=False)
    for parameter in model.model.parameters():
        parameter.zero_()
    model.model.norm.weight.fill_(1)
    assert layer_readout(_loaded(model)).norm is model.model.norm


def test_more_than_one_norm_at_the_end_is_refused():
    class Twice(nn.Module):
        def forward(self, x):
            return x + 1

    class Decoder(type(tiny_model("llama").model)):
        def forward(self, *args, **kwargs):
            found = super().forward(*args, **kwargs)
            found.last_hidden_state = self.projection(found.last_hidden_state)
            return found

    model = tiny_model("llama")
    model.model.__class__ = Decoder
    model.model.projection = Twice()
    with pytest.raises(
        CapabilityError,
        match=r"'llama': its last hidden states are not the last layer's output .* norm, rotary_emb, "
        r"projection",
    ):
        layer_readout(_loaded(model))


def test_no_hook_stays_behind():
    model = tiny_model("llama")
    layer_readout(_loaded(model))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
