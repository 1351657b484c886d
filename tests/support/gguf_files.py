"""A tiny Llama as a GGUF file, written as llama.cpp does: rows of queries and keys permuted, tensors by
its names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType
from gguf.quants import quantize

from tests.support.tiny import byte_tokenizer, tiny_model

_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
_TOP = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}


def write_gguf(
    file: Path, *, quantized: bool = False, layers: int = 3, left_out: str = "", extra: str = ""
) -> Path:
    """Write the tiny Llama with the byte tokenizer; large matrices as Q8_0 if quantized."""
    model = tiny_model("llama", intermediate_size=64)
    writer = GGUFWriter(str(file), "llama")
    writer.add_name("tiny")
    writer.add_file_type(LlamaFileType.MOSTLY_Q8_0 if quantized else LlamaFileType.ALL_F32)
    writer.add_block_count(layers)
    writer.add_context_length(512)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_rope_dimension_count(8)
    writer.add_layer_norm_rms_eps(float(model.config.rms_norm_eps))
    writer.add_rope_freq_base(10000.0)
    _add_tokenizer(writer)
    for name, value in model.state_dict().items():
        array = value.numpy().astype(np.float32)
        if "q_proj" in name or "k_proj" in name:
            heads = 4 if "q_proj" in name else 2
            array = array.reshape(heads, 2, 4, 32).swapaxes(1, 2).reshape(array.shape)
        if (theirs := _their_name(name)) != left_out:
            _add(writer, theirs, array, quantized and array.ndim == 2 and array.shape[1] % 32 == 0)
    if extra:
        _add(writer, extra, np.ones((32,), dtype=np.float32), False)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _add(writer: GGUFWriter, name: str, array: np.ndarray, quantized: bool) -> None:
    if quantized:
        kind = GGMLQuantizationType.Q8_0
        writer.add_tensor(name, quantize(array, kind), raw_dtype=kind)
    else:
        writer.add_tensor(name, array)


def _their_name(name: str) -> str:
    if name in _TOP:
        return _TOP[name]
    if name == "lm_head.weight":
        return "output.weight"
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{_NAMES[rest.removesuffix('.weight')]}.weight"


def _add_tokenizer(writer: GGUFWriter) -> None:
    vocabulary = sorted(byte_tokenizer().get_vocab().items(), key=lambda pair: pair[1])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([token for token, _ in vocabulary])
    writer.add_token_types([1] * 256 + [3] * 3)
    writer.add_token_scores([0.0] * len(vocabulary))
    writer.add_bos_token_id(257)
    writer.add_eos_token_id(258)
    writer.add_pad_token_id(256)
    writer.add_add_bos_token(False)
