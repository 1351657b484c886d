"""Tiny models in which a head that we put there copies the subject to the end, and neurons there write the
answer.

A question is the subject's letter and a dash; the answer is the next token. Letters are told apart in
reserved dimensions only, which nothing but the planted parts reads or writes:

* CLASS + c: on every subject with answer c.
* MOVED + c: written by the planted head where it stands on a subject's CLASS + c.
* ANSWER + c: written by the planted neurons from MOVED + c; raises the logit of answer c.
* CONSTANT: on every token, for what a neuron does on its own.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from transformers import PreTrainedModel

from interp.data.facts import FactSet
from interp.model.loading import LoadedModel, adopt_model
from tests.support.planted.facts import ANSWERS, SUBJECTS, letter_facts
from tests.support.tiny import byte_tokenizer, tiny_model

HEAD = (1, 1)  # shares keys and values with head 0, which writes nothing
DIRECT = (1, 3)  # shares them with head 2, which writes nothing
NEURON_LAYER, NEURONS = 2, (0, 1, 2, 3)
CLASS, MOVED, ANSWER, CONSTANT = 0, 4, 8, 12
_RESERVED = list(range(13))


def route_facts(*, per_group: int = 1, dashes: tuple[int, int] = (1, 1)) -> FactSet:
    """The sixteen subjects of `letter_facts`, each asked with a dash behind it, or with several in a
    language."""
    facts = letter_facts(per_group=per_group)
    asked = []
    for fact in facts:
        wording = {
            code: replace(w, question=w.subject + n * "-")
            for (code, w), n in zip(fact.wording.items(), dashes, strict=True)
        }
        asked.append(replace(fact, wording=wording))
    return FactSet("letters and dashes", tuple(asked), facts.languages)


def route_model(
    family: str = "llama", *, blind: bool = False, deaf: str = "", direct: float = 0.0, bias: float = 2.0
) -> LoadedModel:
    """A model that answers `route_facts`.

    Args:
        family: Of the architecture.
        blind: Whether the heads' values read nothing, so that nothing tells the answers apart.
        deaf: A language whose letters all say the same, so that a quarter of its facts is known.
        direct: How much another head adds to the answer itself.
        bias: What the neurons' gates get from every token. Far below zero, a neuron is shut, and its gradient
            vanishes, until its answer's class is moved to it.
    """
    model = tiny_model(family, tie_word_embeddings=False, hidden_size=48)
    with torch.no_grad():
        _reserve(model)
        _plant_tokens(model, deaf)
        _plant_head(model, HEAD, MOVED, 1.0, blind)
        _plant_head(model, DIRECT, ANSWER, direct, blind)
        _plant_neurons(model, bias)
    return adopt_model(model, byte_tokenizer())


def _reserve(model: PreTrainedModel) -> None:
    for layer in model.model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        for reader in (attention.q_proj, attention.k_proj, attention.v_proj, mlp.gate_proj, mlp.up_proj):
            reader.weight[:, _RESERVED] = 0
        for writer in (attention.o_proj, mlp.down_proj):
            writer.weight[_RESERVED] = 0
    model.lm_head.weight[:, _RESERVED] = 0


def _plant_tokens(model: PreTrainedModel, deaf: str) -> None:
    embedding, unembedding = model.get_input_embeddings().weight, model.lm_head.weight
    scale = 3.0  # far above the other dimensions, which a norm would else drown it in
    embedding[:, _RESERVED] = 0
    embedding[:, CONSTANT] = scale
    for code, letters in SUBJECTS.items():
        for s, letter in enumerate(letters):
            token = _token(letter)
            embedding[token] = embedding[_token("a")]
            embedding[token, CLASS : CLASS + 4] = 0
            embedding[token, CLASS + (0 if code == deaf else s % 4)] = scale
        for c, letter in enumerate(ANSWERS[code]):
            embedding[_token(letter)] = embedding[_token("q")]
            unembedding[_token(letter)] = unembedding[_token("q")]
            unembedding[_token(letter), _RESERVED] = 0
            unembedding[_token(letter), ANSWER + c] = 1.0


def _plant_head(model: PreTrainedModel, head: tuple[int, int], into: int, weight: float, blind: bool) -> None:
    attention = model.model.layers[head[0]].self_attn
    width = attention.head_dim
    share = model.config.num_attention_heads // model.config.num_key_value_heads
    group = head[1] // share
    attention.v_proj.weight[group * width : (group + 1) * width] = 0
    attention.o_proj.weight[:, group * share * width : (group + 1) * share * width] = 0
    for c in range(4):
        attention.v_proj.weight[group * width + c, CLASS + c] = 0 if blind else 1
        attention.o_proj.weight[into + c, head[1] * width + c] = weight


def _plant_neurons(model: PreTrainedModel, bias: float) -> None:
    mlp = model.model.layers[NEURON_LAYER].mlp
    for c in range(4):
        mlp.gate_proj.weight[c] = 0
        mlp.gate_proj.weight[c, MOVED + c] = 4
        mlp.gate_proj.weight[c, CONSTANT] = bias
        mlp.up_proj.weight[c] = 0
        mlp.up_proj.weight[c, CONSTANT] = 1
        mlp.down_proj.weight[:, c] = 0
        mlp.down_proj.weight[ANSWER + c, c] = 0.1


def _token(letter: str) -> int:
    return byte_tokenizer()(letter)["input_ids"][0]
