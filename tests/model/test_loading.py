"""Opening a checkpoint: numerics, devices, and what does not belong together."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerFast

from interp.data.prompts import Prompt, PromptSet
from interp.errors import CapabilityError, CheckpointError, ConfigError, MeasurementError
from interp.model.loading import adopt_model, open_checkpoint
from interp.model.tokens import encode
from tests.support.tiny import byte_tokenizer, opened, tiny_model

IDS = torch.arange(60, 80)[None]


@pytest.fixture
def folder(checkpoints, tmp_path):
    return Path(shutil.copytree(checkpoints["llama"], tmp_path / "copy"))


def edit_json(file: Path, **changes: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def edit_weights(folder: Path, name: str, index: object, value: float) -> None:
    weights = load_file(folder / "model.safetensors")
    weights[name][index] = value
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_an_opened_model_is_frozen_in_eval_mode_and_computes_as_saved(checkpoints):
    loaded = open_checkpoint(str(checkpoints["llama"]))
    assert not loaded.model.training
    assert not any(p.requires_grad for p in loaded.model.parameters())
    assert torch.equal(loaded.model(IDS).logits, tiny_model()(IDS).logits)
    assert loaded.context == 512
    assert loaded.checkpoint.spec == str(checkpoints["llama"])
    assert loaded.describe() == {
        "family": "llama",
        "device": "cpu",
        "device_name": "cpu",
        "dtype": "float32",
        "attention": "sdpa",
    }


# numerics and devices


@pytest.mark.parametrize(
    ("asked", "got"),
    [
        ("auto", torch.float32),
        ("float32", torch.float32),
        ("bfloat16", torch.bfloat16),
        ("float16", torch.float16),
    ],
)
def test_dtype(checkpoints, asked, got):
    loaded = open_checkpoint(str(checkpoints["qwen2"]), dtype=asked, device="cpu")
    assert {p.dtype for p in loaded.model.parameters()} == {got}
    assert loaded.requested == {"dtype": asked, "attention": "auto"}


def test_on_a_cpu_auto_is_float32_even_of_weights_saved_in_less(folder):
    tiny_model().bfloat16().save_pretrained(folder)
    assert open_checkpoint(str(folder), device="cpu").describe()["dtype"] == "float32"


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_attention(checkpoints, attention):
    assert (
        open_checkpoint(str(checkpoints["llama"]), attention=attention).describe()["attention"] == attention
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"dtype": "float8"},
            r"No dtype 'float8'\. Did you mean 'float32'\? Choose from: auto, float32, bfloat16, float16",
        ),
        ({"device": "gpu"}, "No device 'gpu'. Choose from: auto, cpu, cuda, cuda:<n>"),
        ({"device": "cuda:99"}, "No device 'cuda:99': torch sees"),
        ({"device": ""}, "No device ''"),
    ],
)
def test_numerics_that_do_not_exist(checkpoints, options, text):
    with pytest.raises(ConfigError, match=text):
        open_checkpoint(str(checkpoints["llama"]), **options)


# what does not belong together


def test_a_tokenizer_with_more_ids_than_the_model_embeds():
    with pytest.raises(
        CheckpointError, match="has ids up to 255, but the model embeds 200: they do not belong together"
    ):
        adopt_model(
            tiny_model(vocab_size=200, pad_token_id=0, bos_token_id=1, eos_token_id=2), byte_tokenizer()
        )


def test_a_token_added_beyond_the_embedding_is_refused_only_where_it_is_used(folder):
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    tokenizer.add_tokens(["<image>"])
    loaded = adopt_model(tiny_model(), tokenizer)
    prompts = {
        c: (Prompt("x", c, "plain", "", "", "g"), Prompt("y", c, "an <image>", "", "", "h"))
        for c in ("en", "sw")
    }
    both = PromptSet("x", ("en", "sw"), prompts, parallel=True)
    options = {"n_blocks": 1, "context": 99, "n_embeddings": loaded.n_embeddings}
    with pytest.raises(
        MeasurementError, match="Item 'y' in 'en' has the token id 259, but the model embeds 259"
    ):
        encode(both, tokenizer, **options)
    plain = PromptSet("x", ("en", "sw"), {c: p[:1] for c, p in prompts.items()}, parallel=True)
    assert len(encode(plain, tokenizer, **options).items) == 2


def test_a_tokenizer_with_far_fewer():
    model = tiny_model(vocab_size=400)
    with pytest.raises(
        CheckpointError, match="tokenizer of the model has ids up to 255, but the model embeds 400"
    ):
        adopt_model(model, byte_tokenizer())
    opened(vocab_size=264)  # padded to a round number


def test_a_damaged_tokenizer(folder):
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(CheckpointError, match=f"The tokenizer in {folder} cannot be loaded: ") as caught:
        open_checkpoint(str(folder))
    assert "\n" not in str(caught.value)


def test_weights_of_another_shape(folder):
    edit_json(folder / "config.json", intermediate_size=64)
    text = (
        r"has 9 tensors of another shape than its config\.json says, such as .*: "
        r"\[32, 48\] in the weights, \[32, 64\]"
    )
    with pytest.raises(CheckpointError, match=text) as caught:
        open_checkpoint(str(folder))
    assert "\n" not in str(caught.value)


def test_code_of_a_repository_is_never_run(folder, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *prompt: "yes")  # transformers asks, unless told
    marker = folder / "ran"
    (folder / "evil.py").write_text(f"open({str(marker)!r}, 'w')\n")
    edit_json(
        folder / "config.json",
        model_type="evil",
        auto_map={"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"},
    )
    with pytest.raises(CheckpointError, match="'evil' needs code from the repository, which is never run"):
        open_checkpoint(str(folder))
    edit_json(folder / "config.json", model_type="vit", auto_map={"AutoModelForCausalLM": "evil.M"})
    with pytest.raises(CheckpointError, match="'vit' needs code from the repository, which is never run"):
        open_checkpoint(str(folder))
    edit_json(folder / "config.json", model_type="llama", auto_map={"AutoModelForCausalLM": "evil.M"})
    open_checkpoint(str(folder))  # transformers' own class does
    edit_json(
        folder / "tokenizer_config.json", tokenizer_class="Evil", auto_map={"AutoTokenizer": ["evil.T", None]}
    )
    with pytest.raises(CheckpointError, match=r"tokenizer in .* cannot be loaded"):
        open_checkpoint(str(folder))
    assert not marker.exists()


def test_an_unknown_architecture(folder):
    edit_json(folder / "config.json", model_type="llama9")
    with pytest.raises(CheckpointError, match="llama9"):
        open_checkpoint(str(folder))


@pytest.mark.parametrize(
    ("name", "index", "where"),
    [
        ("model.layers.1.self_attn.o_proj.weight", (0, 0), "layer 1"),
        ("model.layers.2.mlp.gate_proj.weight", (5, 5), "layer 2"),
        ("lm_head.weight", (7, 7), "logits"),
    ],
)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(folder, name, index, where, value):
    edit_weights(folder, name, index, value)
    with pytest.raises(
        CapabilityError, match=f"'llama': {where}: the values are not finite. Check the weights"
    ):
        open_checkpoint(str(folder))


@pytest.mark.parametrize("part", ["locate", "check_sites"])
def test_an_architecture_of_another_build_is_one_line(monkeypatch, part):
    """Whatever its modules raise when they are looked at or run as others are."""

    def fail(*args):
        raise AttributeError("'Altup' object has no attribute 'weight'\nand more")

    monkeypatch.setattr(f"interp.model.loading.{part}", fail)
    with pytest.raises(
        CapabilityError, match="'llama' is not supported: its parts do not work together"
    ) as caught:
        opened()
    assert "\n" not in str(caught.value)
