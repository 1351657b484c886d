"""A tiny model with one neuron that is active on chosen characters, and two languages in two scripts.

Russian is written with letters whose romanization English never uses, so a neuron may tell the language by
its script (characters beyond ASCII) or by its letters in either script. All tokens are embedded alike but for
MARK, so no other neuron tells anything.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from tests.support.planted.language import MARK, VOICE, plant_neuron, reserve
from tests.support.tiny import byte_tokenizer, tiny_model

BY_SCRIPT = "опрст"
BY_LETTERS = "опрстoprst"
_LETTERS = {"en": "abcde", "ru": "опрст"}


def save_script_checkpoint(folder: Path, marked: str) -> Path:
    """Write a checkpoint whose planted neuron is active on some characters."""
    model = tiny_model("llama", tie_word_embeddings=False)
    with torch.no_grad():
        reserve(model)
        embedding = model.get_input_embeddings().weight
        embedding[:] = embedding[0].clone()
        embedding[:, : VOICE + 1] = 0
        embedding[:, MARK] = -1
        embedding[byte_tokenizer()(marked)["input_ids"], MARK] = 1
        plant_neuron(model)
    model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


def write_texts(folder: Path, *, n_words: int = 1, n_lines: int = 64) -> Path:
    """Random words of 30 letters in both languages, line by line."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for code, letters in _LETTERS.items():
        words = [["".join(rng.choice([*letters], 30)) for _ in range(n_words)] for _ in range(n_lines)]
        lines = [" ".join(line) for line in words]
        (folder / f"{code}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
