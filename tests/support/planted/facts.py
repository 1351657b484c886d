"""Tiny models in which neurons that we put there answer questions: one for all languages, or one for each.

Sixteen subjects have one of four answers. A question is the subject's letter alone and the answer the next
token, so no attention is needed: the languages are two that put no space before an answer. The four answers
of a language and all subjects are told apart in reserved dimensions only, which nothing but the planted
neurons reads or writes:

* CLASS + c: on every subject with answer c, in both languages.
* OWN + 4 * l + c: on every subject with answer c in language l.
* ANSWER + c: written by the planted neurons; raises the logit of answer c in both languages.

The planted neurons of layer 1 are 0 to 3, one per answer for both languages, and 4 to 7 and 8 to 11, one per
answer for each language. A model has the first or the others.
"""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from interp.data.facts import Fact, FactSet, Wording
from interp.model.loading import LoadedModel, adopt_model
from tests.support.tiny import byte_tokenizer, tiny_model

LANGUAGES = ("ja", "zh")
LAYER = 1
N_CLASSES, N_SUBJECTS = 4, 16
SUBJECTS = {"ja": "abcdefghijklmnop", "zh": "ABCDEFGHIJKLMNOP"}
ANSWERS = {"ja": "qrst", "zh": "QRST"}
CLASS, OWN, ANSWER = 0, 4, 12
_RESERVED = list(range(16))
_LOUD = 4.0  # beside what the first layer writes, or the planted neurons would hardly be heard


def letter_facts(languages: tuple[str, ...] = LANGUAGES, *, per_group: int = 1) -> FactSet:
    """Subject s has answer s modulo 4, and all four answers are options; neighbors make groups."""
    facts = []
    for s in range(N_SUBJECTS):
        wording = {
            code: Wording(SUBJECTS[code][s], SUBJECTS[code][s], tuple(ANSWERS[code])) for code in languages
        }
        options = tuple(f"class-{c}" for c in range(N_CLASSES))
        facts.append(
            Fact(
                f"fact-{s:02d}",
                "class",
                f"subject-{s}",
                options[s % 4],
                options,
                "test",
                f"group-{s // per_group}",
                wording,
            )
        )
    return FactSet("letters", tuple(facts), languages)


def answering_model(family: str, *, shared: bool) -> LoadedModel:
    """A model that knows all of `letter_facts`, by one neuron per answer, or by one per answer and
    language."""
    model = tiny_model(family, tie_word_embeddings=False, hidden_size=48)
    with torch.no_grad():
        _reserve(model)
        _plant_letters(model)
        _plant_neurons(model, shared)
    return adopt_model(model, byte_tokenizer())


def planted_neurons(code: str, *, shared: bool) -> set[int]:
    """Which neurons of the layer answer in a language."""
    first = 0 if shared else 4 + 4 * LANGUAGES.index(code)
    return set(range(first, first + N_CLASSES))


def _token(letter: str) -> int:
    return byte_tokenizer()(letter)["input_ids"][0]


def _reserve(model: PreTrainedModel) -> None:
    for layer in model.model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        for reader in (attention.q_proj, attention.k_proj, attention.v_proj, mlp.gate_proj, mlp.up_proj):
            reader.weight[:, _RESERVED] = 0
        for writer in (attention.o_proj, mlp.down_proj):
            writer.weight[_RESERVED] = 0
    model.lm_head.weight[:, _RESERVED] = 0


def _plant_letters(model: PreTrainedModel) -> None:
    """All letters are alike but in the reserved dimensions."""
    embedding, unembedding = model.get_input_embeddings().weight, model.lm_head.weight
    embedding[:, _RESERVED] = 0
    for number, code in enumerate(LANGUAGES):
        for s, letter in enumerate(SUBJECTS[code]):
            token = _token(letter)
            embedding[token] = embedding[_token("a")]
            embedding[token, _RESERVED] = 0
            embedding[token, CLASS + s % 4] = _LOUD
            embedding[token, OWN + 4 * number + s % 4] = _LOUD
        for c, letter in enumerate(ANSWERS[code]):
            embedding[_token(letter)] = embedding[_token("q")]
            unembedding[_token(letter)] = unembedding[_token("q")]
            unembedding[_token(letter), _RESERVED] = 0
            unembedding[_token(letter), ANSWER + c] = 1.0


def _plant_neurons(model: PreTrainedModel, shared: bool) -> None:
    mlp = model.model.layers[LAYER].mlp
    for neuron in range(12):
        for weight in (mlp.gate_proj.weight, mlp.up_proj.weight):
            weight[neuron] = 0
            if (neuron < 4) == shared:
                weight[neuron, neuron] = 1  # CLASS + c is dimension c, OWN + ... the ones after it
        mlp.down_proj.weight[:, neuron] = 0
        mlp.down_proj.weight[ANSWER + neuron % 4, neuron] = 1
