"""GGUF files: opened as transformers reads them, dequantized once, refused when they are not what they
say."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, GgufConfig

from interp.errors import CheckpointError, InterpError
from interp.model import dequantize
from interp.model.checkpoints import resolve_checkpoint
from interp.model.loading import open_checkpoint
from interp.model.quiet import quiet_transformers
from tests.support.command import refused, run
from tests.support.gguf_files import write_gguf
from tests.support.tiny import tiny_model

IDS = torch.arange(60, 80)[None]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("INTERP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "gguf"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(scope="module")
def quantized(tmp_path_factory):
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny-Q8_0.gguf", quantized=True)


def test_unquantized_it_computes_what_the_model_computes(file):
    loaded = open_checkpoint(str(file), device="cpu")
    assert torch.allclose(loaded.model(IDS).logits, tiny_model(intermediate_size=64)(IDS).logits, atol=1e-5)
    assert loaded.tokenizer("ab")["input_ids"] == [64, 65]
    assert loaded.checkpoint.note == "dequantized from F32"


@pytest.mark.parametrize("folder", [False, True])
def test_quantized_it_computes_what_transformers_reads(quantized, folder, tmp_path):
    spec = quantized.parent if folder else quantized
    loaded = open_checkpoint(str(spec), device="cpu")
    with quiet_transformers():
        plain = AutoModelForCausalLM.from_pretrained(
            quantized.parent,
            gguf_file=quantized.name,
            dtype=torch.float32,
            quantization_config=GgufConfig(dequantize=True),
        )
    assert torch.equal(loaded.model(IDS).logits, plain(IDS).logits)
    assert loaded.checkpoint.note == "dequantized from Q8_0"
    assert loaded.checkpoint.name == (quantized.parent.name if folder else quantized.name)


def test_it_is_dequantized_once_and_again_when_the_cache_is_damaged(quantized, cache, monkeypatch, capfd):
    seen = []
    open_checkpoint(str(quantized), device="cpu", progress=lambda *step: seen.append(step))
    assert seen[0][0] == "Dequantizing tiny-Q8_0.gguf (Q8_0)"
    assert seen[-1][1] == seen[-1][2]
    assert capfd.readouterr().err == ""
    (made,) = cache.iterdir()
    before = {name: value.clone() for name, value in load_file(made / "model.safetensors").items()}
    calls = []
    real = dequantize.convert_gguf
    monkeypatch.setattr(dequantize, "convert_gguf", lambda *args: (calls.append(1), real(*args)))
    open_checkpoint(str(quantized), device="cpu")
    assert not calls
    content = (made / "model.safetensors").read_bytes()
    (made / "model.safetensors").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    open_checkpoint(str(quantized), device="cpu")
    assert calls == [1]
    after = load_file(made / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert list(cache.iterdir()) == [made]


def test_the_fingerprint_is_of_the_file_whatever_it_is_called(quantized, file, tmp_path):
    copy = shutil.copy(quantized, tmp_path / "other.gguf")
    assert resolve_checkpoint(str(copy)).fingerprint == resolve_checkpoint(str(quantized)).fingerprint
    assert resolve_checkpoint(str(file)).fingerprint != resolve_checkpoint(str(quantized)).fingerprint


def test_two_in_one_folder(file, tmp_path):
    for name in ("a.gguf", "b.gguf"):
        shutil.copy(file, tmp_path / name)
    with pytest.raises(CheckpointError, match=r"holds 2 GGUF files \(a.gguf, b.gguf\); name the one"):
        resolve_checkpoint(str(tmp_path))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"layers": 2}, "says that its model has 2 layers, but has tensors of 3"),
        ({"layers": 10**6}, "says that its model has 1000000 layers, but has tensors of 3"),
        ({"left_out": "blk.1.ffn_up.weight"}, "numbers in its tensors, but transformers' 'llama'"),
        ({"extra": "rope_freqs.weight"}, "some would be left out or made up"),
    ],
)
def test_every_number_of_the_file_is_used_and_every_one_of_the_model_given(tmp_path, options, text, cache):
    file = write_gguf(tmp_path / "x.gguf", **options)
    with pytest.raises(CheckpointError, match=text):
        open_checkpoint(str(file), device="cpu")
    assert not list(cache.iterdir())


def test_a_file_that_is_not_one_or_is_cut(file, tmp_path):
    content, damaged = file.read_bytes(), tmp_path / "damaged.gguf"
    cuts = [content[:size] for size in (0, 3, 4, 8, 20, 100, 2000, len(content) - 100_000, len(content) - 40)]
    for each in [*cuts, b"PK\x03\x04" + content[4:], b"GGUF" + b"\xff" * 64]:
        damaged.write_bytes(each)
        with pytest.raises(CheckpointError, match=r"do not agree|does not begin with 'GGUF'"):
            resolve_checkpoint(str(damaged))


def test_any_damage_to_the_header_is_one_line(file, tmp_path):
    """Every byte of the header's beginning and some of the rest: an error of ours, or the file opens."""
    content, damaged = file.read_bytes(), tmp_path / "damaged.gguf"
    refused = 0
    for at in [*range(0, 96, 2), *range(96, 8_000, 487)]:
        for flip in (0x01, 0xFF):
            damaged.write_bytes(content[:at] + bytes([content[at] ^ flip]) + content[at + 1 :])
            try:
                resolve_checkpoint(str(damaged))
            except InterpError as error:
                refused += "\n" not in str(error)
    assert refused > 60


def test_convert_and_train(quantized, tmp_path, cache):
    run("checkpoint", "convert", str(quantized), str(tmp_path / "made"), "--dtype", "bfloat16")
    config = json.loads((tmp_path / "made" / "config.json").read_text())
    assert "quantization_config" not in config
    assert config["dtype"] == "bfloat16"
    exact = open_checkpoint(str(quantized), device="cpu").model.bfloat16().state_dict()
    made = open_checkpoint(str(tmp_path / "made"), device="cpu", dtype="bfloat16").model.state_dict()
    assert all(torch.equal(made[name], exact[name]) for name in exact)
    assert "is there and not empty" in refused(
        "checkpoint", "convert", str(quantized), str(tmp_path / "made")
    )
    assert "is not a GGUF file" in refused("checkpoint", "convert", "organism:final", str(tmp_path / "new"))
    assert "No dtype 'int4'" in refused("checkpoint", "convert", str(quantized), "new", "--dtype", "int4")
    text = refused("train", "sft", "--model", str(quantized), "--out", str(tmp_path / "run"))
    assert f"interp checkpoint convert {quantized} FOLDER" in text


def test_a_command_measures_it_and_says_what_was_done(quantized, tmp_path):
    from interp.results import load_result

    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    options = [
        "--languages",
        "en,sw",
        "--limit",
        "24",
        "--units",
        "neurons",
        "--min-tokens",
        "1",
        "--out",
        str(out),
    ]
    done = run("specialization", "--ckpt", f"q={quantized}", "--cache", str(elsewhere), *options)
    assert done.code == 0, done.stderr
    result = load_result(out / "q.neurons.npz")
    assert result.provenance.run["weights"] == "dequantized from Q8_0"
    assert len(list((elsewhere / "gguf").iterdir())) == 1
