"""The architectures that are verified, what each has, and the README's table of them.

Write the table anew: ``python -m tests.support.architectures``.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch

from interp.model.loading import LoadedModel
from tests.support.tiny import opened

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- architectures: made by tests/support/architectures.py -->", "<!-- /architectures -->"

VERIFIED = {
    "llama": "Llama 1 to 3",
    "mistral": "Mistral",
    "qwen2": "Qwen 1.5 to 2.5",
    "qwen3": "Qwen 3",
    "gemma": "Gemma",
    "gemma2": "Gemma 2",
    "gemma3_text": "Gemma 3",
    "olmo2": "OLMo 2",
    "olmo3": "OLMo 3",
    "phi3": "Phi 3 and 4",
    "granite": "Granite 3",
    "cohere": "Cohere, Aya",
    "bloom": "BLOOM",
    "xglm": "XGLM",
    "gpt2": "GPT-2, mGPT",
    "gptj": "GPT-J",
    "gpt_neox": "GPT-NeoX, Pythia",
    "opt": "OPT",
    "falcon": "Falcon",
    "phi": "Phi 1 and 2",
    "starcoder2": "StarCoder 2",
    "apertus": "Apertus",
    "nemotron": "Nemotron 3 and 4",
    "arcee": "Arcee",
    "glm4": "GLM 4",
    "qwen2_moe": "Qwen 1.5 and 2 MoE",
    "qwen3_moe": "Qwen 3 MoE",
    "olmoe": "OLMoE",
    "mixtral": "Mixtral",
    "gpt_oss": "GPT-OSS",
    "glm4_moe": "GLM 4.5",
    "ernie4_5_moe": "ERNIE 4.5",
    "granitemoe": "Granite MoE",
    "granitemoeshared": "Granite MoE, shared experts",
    "deepseek_v2": "DeepSeek V2",
    "deepseek_v3": "DeepSeek V3 and R1",
    "llama4_text": "Llama 4",
    "falcon_h1": "Falcon H1",
    "qwen3_next": "Qwen 3 Next",
    "lfm2": "LFM 2",
}
"""`model_type` of every family that the tests open, and the models that it is known by."""

DENSE = tuple(
    family
    for family in VERIFIED
    if "moe" not in family
    and family not in ("mixtral", "gpt_oss", "llama4_text", "deepseek_v2", "deepseek_v3", "qwen3_next")
)
EXPERTS = tuple(family for family in VERIFIED if family not in DENSE)


@cache
def verified(family: str, dtype: torch.dtype = torch.float32) -> LoadedModel:
    """A tiny model of a family, opened once: do not change it."""
    return opened(family, dtype=dtype)


def table() -> str:
    """The README's table, from what the models have."""
    rows = [
        "| architecture | `model_type` | heads | neurons | stream between attention and MLP |",
        "|---|---|---|---|---|",
    ]
    for family, models in VERIFIED.items():
        found = verified(family).architecture
        attention = found.present["head"]
        heads = "yes" if len(attention) == found.n_layers else "in layers with attention, so not measured"
        kinds = {part.kind for parts in found.neurons for part in parts}
        gated = all(found.up_projection(p) for parts in found.neurons for p in parts if p.kind != "expert")
        neurons = ["act(gate) * up" if gated else "act(up)"]
        neurons += ["per expert"] * ("expert" in kinds) + ["shared experts"] * ("shared" in kinds)
        neurons += ["dense layers in front"] * ("expert" in kinds and "mlp" in kinds)
        if "mlp_gate" in found.missing and "expert" not in kinds:
            neurons = ["no activated gate, so no specialization"]
        between = "yes" if "resid_mid" not in found.missing else "none"
        rows.append(f"| {models} | `{family}` | {heads} | {', '.join(neurons)} | {between} |")
    return "\n".join(rows)


def written() -> str:
    """The table as it stands in the README."""
    return README.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0].strip()


if __name__ == "__main__":
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    README.write_text(f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
