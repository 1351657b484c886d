"""A tiny model in which we put two directions: the answer appears at one layer, its language at another.

Every layer is the identity but for the planted neurons. The last token of a prompt says which of eight facts
it asks and in which language. What enters the first layer already points at the pivot language.
`ANSWER_LAYER` writes which letter is the answer, `LANGUAGE_LAYER` in which alphabet; the logit of a letter is
the sum of what speaks for the letter and for the alphabet.
"""

from __future__ import annotations

import torch

from interp.data.prompts import Prompt, PromptSet
from interp.model.loading import LoadedModel
from interp.model.sites import locate
from tests.support.tiny import byte_tokenizer, tiny_model

LANGUAGES = ("en", "sw", "ja")
PIVOT = "en"
ALPHABETS = {"en": "abcdefgh", "sw": "ijklmnop", "ja": "qrstuvwx"}
FACTS = 8
ANSWER_LAYER, LANGUAGE_LAYER = 0, 1  # of three
_ASKED = "0123456789:;<=>?@ABCDEFG"  # one sign per language and fact
_FACT, _ANSWER, _ASKS_IN, _SPEAKS = (
    0,
    8,
    16,
    20,
)  # first dimensions: fact, answer, language of the prompt, alphabet


def planted_lens_prompts() -> PromptSet:
    """One prompt of one token per fact and language."""
    prompts = {
        code: tuple(
            Prompt(f"fact-{i}", code, _ASKED[FACTS * column + i], ALPHABETS[code][i], "", f"group-{i}")
            for i in range(FACTS)
        )
        for column, code in enumerate(LANGUAGES)
    }
    return PromptSet("planted", LANGUAGES, prompts, parallel=True)


def identity_model(family: str = "llama", **changes: object) -> LoadedModel:
    """A tiny model whose layers write nothing; without the self-check, which would say so."""
    model = tiny_model(family, tie_word_embeddings=False, **changes)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
    return LoadedModel(None, model, byte_tokenizer(), locate(model))


def planted_lens_model(family: str) -> LoadedModel:
    """The model with both directions."""
    loaded = identity_model(family)
    model = loaded.model
    with torch.no_grad():
        _plant_signs(model)
        for fact in range(FACTS):
            _plant_neuron(model, ANSWER_LAYER, fact, _FACT + fact, _ANSWER + fact, 0.3)
        for column in range(len(LANGUAGES)):
            _plant_neuron(model, LANGUAGE_LAYER, column, _ASKS_IN + column, _SPEAKS + column, 3.0)
    return loaded


def token(sign: str) -> int:
    """The token of one sign."""
    return byte_tokenizer()(sign)["input_ids"][0]


def _plant_signs(model: torch.nn.Module) -> None:
    embedding, unembedding = model.get_input_embeddings().weight, model.lm_head.weight
    embedding.zero_()
    unembedding.zero_()
    for column, code in enumerate(LANGUAGES):
        for fact in range(FACTS):
            asked = embedding[token(_ASKED[FACTS * column + fact])]
            asked[_FACT + fact] = asked[_ASKS_IN + column] = asked[_SPEAKS + LANGUAGES.index(PIVOT)] = 1.0
            letter = unembedding[token(ALPHABETS[code][fact])]
            letter[_ANSWER + fact] = letter[_SPEAKS + column] = 3.0


def _plant_neuron(
    model: torch.nn.Module, layer: int, neuron: int, source: int, target: int, size: float
) -> None:
    mlp = model.model.layers[layer].mlp
    for reader in (mlp.gate_proj, mlp.up_proj):
        reader.weight[neuron] = 0
        reader.weight[neuron, source] = 1.0
    mlp.down_proj.weight[target, neuron] = size
