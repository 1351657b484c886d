"""Tiny models in which we put a specialized neuron and a specialized head, and text that tells nothing else
apart.

Three languages write the same text in three alphabets (a-h, i-p, q-x). Letters that correspond have the same
embedding and the same unembedding but for four reserved dimensions, which nothing reads or writes except what
is planted:

* MARK: +1 for the planted language, -1 for the others; read by the planted neuron's gate alone.
* HERE / ELSEWHERE: 1 / 0 for the planted language, 0 / 1 for the others; HERE is read by the planted head's
  values alone.
* VOICE: written by the planted head alone, and raises the logits of the planted language's letters.

So every other neuron is active on exactly the same tokens of all three languages.
"""

from __future__ import annotations

import numpy as np
import torch
from transformers import PreTrainedModel

from interp.data.prompts import Prompt, PromptSet
from interp.model.loading import LoadedModel, adopt_model
from tests.support.tiny import byte_tokenizer, tiny_model

LANGUAGES = ("en", "sw", "ja")
PLANTED_LANGUAGE = "sw"
NEURON = (1, 17)
HEAD = (2, 1)  # with two query heads per key/value head, head 0 shares its values
SIBLING = (2, 0)
MARK, HERE, ELSEWHERE, VOICE = 0, 1, 2, 3
_ALPHABETS = {"en": "abcdefgh", "sw": "ijklmnop", "ja": "qrstuvwx"}


def planted_prompts(n_items: int = 64, length: int = 40, seed: int = 0) -> PromptSet:
    """The same random letters in three alphabets."""
    rng = np.random.default_rng(seed)
    letters = rng.integers(0, 8, size=(n_items, length))
    prompts = {
        code: tuple(
            Prompt(f"item-{i}", code, "".join(alphabet[j] for j in row), "", "", f"group-{i}")
            for i, row in enumerate(letters)
        )
        for code, alphabet in _ALPHABETS.items()
    }
    return PromptSet("planted", LANGUAGES, prompts, parallel=True)


def planted_model(family: str, *, neuron: bool = True, head: bool = True) -> LoadedModel:
    """A tiny model with the planted parts, or with the same reserved dimensions and nothing planted."""
    model = tiny_model(family, tie_word_embeddings=False)
    with torch.no_grad():
        reserve(model)
        plant_letters(model)
        if neuron:
            plant_neuron(model)
        if head:
            _plant_head(model)
    return adopt_model(model, byte_tokenizer())


def _token(letter: str) -> int:
    return byte_tokenizer()(letter)["input_ids"][0]


def reserve(model: PreTrainedModel) -> None:
    reserved = [MARK, HERE, ELSEWHERE, VOICE]
    for layer in model.model.layers:
        for reader in (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj):
            reader.weight[:, reserved] = 0
        for reader in (layer.mlp.gate_proj, layer.mlp.up_proj):
            reader.weight[:, reserved] = 0
        for writer in (layer.self_attn.o_proj, layer.mlp.down_proj):
            writer.weight[reserved] = 0
    model.lm_head.weight[:, reserved] = 0


def plant_letters(model: PreTrainedModel) -> None:
    embedding, unembedding = model.get_input_embeddings().weight, model.lm_head.weight
    scale = embedding[:, VOICE + 1 :].abs().mean()
    embedding[:, : VOICE + 1] = 0
    for i in range(8):
        first = _token(_ALPHABETS["en"][i])
        for code, alphabet in _ALPHABETS.items():
            token, here = _token(alphabet[i]), code == PLANTED_LANGUAGE
            embedding[token] = embedding[first]
            unembedding[token] = unembedding[first]
            embedding[token, MARK] = scale if here else -scale
            embedding[token, HERE], embedding[token, ELSEWHERE] = (scale, 0) if here else (0, scale)
            unembedding[token, VOICE] = 2.0 if here else 0.0


def plant_neuron(model: PreTrainedModel) -> None:
    mlp = model.model.layers[NEURON[0]].mlp
    mlp.gate_proj.weight[NEURON[1]] = 0
    mlp.gate_proj.weight[NEURON[1], MARK] = 1
    mlp.down_proj.weight[:, NEURON[1]] = 0  # it tells, but writes nothing that could make later neurons tell


def _plant_head(model: PreTrainedModel) -> None:
    attention = model.model.layers[HEAD[0]].self_attn
    width = attention.head_dim
    group = HEAD[1] // (model.config.num_attention_heads // model.config.num_key_value_heads)
    attention.v_proj.weight[group * width : (group + 1) * width] = 0
    attention.v_proj.weight[group * width, HERE] = 1
    attention.o_proj.weight[:, SIBLING[1] * width : (HEAD[1] + 1) * width] = 0
    attention.o_proj.weight[VOICE, HEAD[1] * width] = 1
