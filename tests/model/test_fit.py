"""Weights that are not those of the configuration, and adapters that are not the model's, are refused from
headers alone."""

from __future__ import annotations

import json
import re
import shutil
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from interp.errors import InterpError
from interp.model import weights
from interp.model.checkpoints import resolve_checkpoint
from interp.model.fit import require_fit
from interp.model.loading import open_checkpoint
from tests.support.tiny import byte_tokenizer, save_checkpoint, tiny_model

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
IDS = torch.arange(60, 80)[None]


@pytest.fixture
def folder(checkpoints, tmp_path):
    return Path(shutil.copytree(checkpoints["llama"], tmp_path / "copy"))


@pytest.fixture
def never_loaded(monkeypatch):
    """The test fails when weights are read."""

    def fail(*args, **kwargs):
        raise AssertionError("weights were loaded")

    monkeypatch.setattr(weights.AutoModelForCausalLM, "from_pretrained", fail)


def refusal(folder: Path) -> str:
    with pytest.raises(InterpError) as caught:
        open_checkpoint(str(folder), device="cpu")
    text = str(caught.value)
    assert "\n" not in text
    assert "ignore_mismatched_sizes" not in text
    return text


def edit(folder: Path, file: str = "config.json", **changes: object) -> None:
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def rewrite(file: Path, change) -> None:
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


# the weights of a model


def cut(tensors):
    for name in [n for n in tensors if ".layers.2." in n]:
        del tensors[name]


def renumber(tensors):
    for name in [n for n in tensors if ".layers.2." in n]:
        tensors[name.replace(".2.", ".7.")] = tensors.pop(name)


def rename(tensors):
    tensors["model.layers.0.mlp.up.weight"] = tensors.pop("model.layers.0.mlp.up_proj.weight")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (cut, "config.json of 3 layers and weights of 2"),
        (renumber, "config.json of 3 layers and weights of 8"),
        (rename, r"lacks 1 of the model's tensors \(model.layers.0.mlp.up_proj.weight\)"),
        (lambda t: t.pop("model.norm.weight"), r"lacks 1 of the model's tensors \(model.norm.weight\)"),
        (lambda t: t.pop("lm_head.weight"), r"lacks 1 of the model's tensors \(lm_head.weight\)"),
        (lambda t: t.update(extra=torch.ones(2)), r"has 1 tensors that its model does not use \(extra\)"),
        (
            lambda t: t.update({"model.layers.0.self_attn.q_proj.bias": torch.ones(32)}),
            "has 1 tensors that its model does not use",
        ),
        (
            lambda t: t.update({"model.norm.weight": torch.ones(31)}),
            r"of another shape than its config.json says, such as model.norm.weight: \[31\] in the "
            r"weights, \[32\]",
        ),
        (
            lambda t: t.update({"model.norm.weight": torch.ones(1, 32)}),
            r"such as model.norm.weight: \[1, 32\] in the weights, \[32\] expected",
        ),
        (
            lambda t: t.update({"model.norm.weight": torch.ones(32, dtype=torch.int32)}),
            "has 'model.norm.weight' as I32; weights as F32, BF16 or F16 are expected",
        ),
        (
            lambda t: t.update({"model.norm.weight": torch.ones(32).to(torch.float8_e4m3fn)}),
            "has 'model.norm.weight' as F8_E4M3",
        ),
    ],
)
def test_weights_that_are_not_those_of_the_configuration(folder, never_loaded, change, text):
    rewrite(folder / "model.safetensors", change)
    assert re.search(text, refusal(folder))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"num_hidden_layers": 2}, "config.json of 2 layers and weights of 3"),
        ({"num_hidden_layers": 100_000}, "config.json of 100000 layers and weights of 3"),
        ({"num_hidden_layers": 10**30}, "layers and weights of 3"),
        ({"num_hidden_layers": -1}, "weights of 3|cannot be opened"),
        ({"num_hidden_layers": "three"}, "cannot be opened"),
        ({"num_attention_heads": 10**9}, "has num_attention_heads 1,000,000,000"),
        ({"num_key_value_heads": 4}, "of another shape"),
        ({"vocab_size": 10**12}, "of another shape"),
        ({"hidden_size": 33}, "of another shape|cannot be opened"),
        ({"model_type": "qwen2"}, "lacks 9 of the model's tensors"),
        ({"model_type": "gpt2"}, "lacks|does not use"),
        ({"model_type": None}, "cannot be opened"),
        ({"mlp_bias": True}, "lacks 9 of the model's tensors"),
    ],
)
def test_configurations_that_are_not_those_of_the_weights(folder, never_loaded, changes, text):
    edit(folder, **changes)
    assert re.search(text, refusal(folder))


def test_experts_beyond_those_that_there_are(checkpoints, tmp_path, never_loaded):
    folder = Path(shutil.copytree(checkpoints["mixtral"], tmp_path / "copy"))
    edit(folder, num_local_experts=10**7)
    assert "has num_local_experts 10,000,000" in refusal(folder)
    edit(folder, num_local_experts=3)
    assert re.search("lacks|does not use|shape|do not belong", refusal(folder))


@pytest.mark.parametrize(
    "family", ["gemma", "gpt2", "bloom", "gpt_neox", "mixtral", "olmo2", "phi3", "opt", "xglm"]
)
def test_what_save_pretrained_writes_fits(family, tmp_path):
    """Tied weights, fused experts and projections, and weights whose names are changed when they are read."""
    shape = {"n_layer": 2, "n_embd": 32, "n_head": 4} if family in ("gpt2", "bloom") else {}
    model = (
        tiny_model(family, **shape)
        if family != "opt"
        else tiny_model(family, ffn_dim=48, word_embed_proj_dim=32)
    )
    model.save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    require_fit(resolve_checkpoint(str(tmp_path)))


def test_weights_without_the_prefix_of_their_head_fit(folder):
    """As the decoder alone is saved; plain transformers puts the prefix in front."""
    model = tiny_model("gemma")
    shutil.rmtree(folder)
    model.model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    assert not any(name.startswith("model.") for name in load_file(folder / "model.safetensors"))
    assert torch.equal(open_checkpoint(str(folder), device="cpu").model(IDS).logits, model(IDS).logits)


def test_a_vocabulary_grown_by_added_tokens_opens_as_plain_transformers_reads_it(folder):
    tokenizer = deepcopy(byte_tokenizer())
    tokenizer.add_tokens([f"<extra-{i}>" for i in range(300)])
    model = tiny_model()
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    loaded = open_checkpoint(str(folder), device="cpu")
    ids = torch.tensor([tokenizer("a<extra-7>b")["input_ids"]])
    assert ids.max() > 259
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    assert torch.equal(loaded.model(ids).logits, plain(ids).logits)
    assert loaded.tokenizer("a<extra-7>b")["input_ids"] == ids[0].tolist()


# files


def test_only_files_of_the_folder_are_read(folder, checkpoints, tmp_path):
    outside = tmp_path / "other.safetensors"
    shutil.copy(folder / "model.safetensors", outside)
    (folder / "model.safetensors").unlink()
    for name in ("../other.safetensors", str(outside), "x/../../other.safetensors", "a\x00b"):
        index = {"weight_map": dict.fromkeys(load_file(outside), name)}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        assert "names a file outside of its folder" in refusal(folder)
    (folder / "model.safetensors.index.json").unlink()
    (folder / "model.safetensors").symlink_to(outside)
    assert "is a link out of its folder" in refusal(folder)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(folder / "model.safetensors")
    assert "is a link in a circle" in refusal(folder)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(tmp_path / "nothing")
    assert "leads nowhere" in refusal(folder)
    (folder / "model.safetensors").unlink()
    (folder / "weights").mkdir()
    shutil.copy(outside, folder / "weights" / "all.safetensors")
    (folder / "model.safetensors").symlink_to(Path("weights") / "all.safetensors")
    open_checkpoint(str(folder), device="cpu")


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "generation_config.json", "tokenizer_config.json"]
)
def test_no_other_file_is_read_through_a_link_either(folder, tmp_path, name):
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    assert f"{folder / name} is a link out of its folder" in refusal(folder)


def test_the_hub_cache_is_links_to_the_blobs_beside_it(folder, tmp_path):
    snapshot, blobs = tmp_path / "models--a--b" / "snapshots" / "abc", tmp_path / "models--a--b" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for i, file in enumerate(sorted(folder.iterdir())):
        shutil.copy(file, blobs / str(i))
        (snapshot / file.name).symlink_to(Path("../../blobs") / str(i))
    open_checkpoint(str(snapshot), device="cpu")


def test_a_configuration_cannot_name_other_weights(folder, tmp_path):
    """transformers reads the file that `transformers_weights` names, which no fingerprint would be of."""
    shutil.copy(folder / "model.safetensors", folder / "second.safetensors")
    rewrite(folder / "second.safetensors", lambda t: t["model.norm.weight"].zero_())
    before = open_checkpoint(str(folder), device="cpu").model(IDS).logits
    edit(folder, transformers_weights="second.safetensors")
    assert torch.equal(open_checkpoint(str(folder), device="cpu").model(IDS).logits, before)


def test_a_tokenizer_cannot_name_other_files(folder, tmp_path):
    shutil.copy(folder / "tokenizer.json", tmp_path / "tokenizer.1.0.json")
    edit(folder, "tokenizer_config.json", fast_tokenizer_files=["../tokenizer.1.0.json"])
    assert "names files outside of its folder" in refusal(folder)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 8]},  # more numbers than bytes
        {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]},
        {"dtype": "F99", "shape": [2], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": "2", "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]},  # a hole in front
    ],
)
def test_a_header_that_lies_about_sizes(folder, entry):
    header = json.dumps({"w": entry}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    assert re.search("its header (is not|promises)", refusal(folder))


def test_one_tensor_in_two_files(tmp_path):
    save_checkpoint(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    tiny_model().save_pretrained(tmp_path, max_shard_size="40KB")
    first, second = sorted(tmp_path.glob("*.safetensors"))[:2]
    tensors = {**load_file(second), **dict(list(load_file(first).items())[:1])}
    save_file(tensors, second, metadata={"format": "pt"})
    assert "which another file of its folder has as well" in refusal(tmp_path)


# adapters


@pytest.fixture(scope="module")
def adapter(checkpoints, tmp_path_factory):
    """An adapter that does something, beside its base."""
    root = tmp_path_factory.mktemp("lora")
    base = Path(shutil.copytree(checkpoints["llama"], root / "base"))
    return save_adapter(base, root / "adapter")


def save_adapter(base: Path, folder: Path, **options: object) -> Path:
    model = AutoModelForCausalLM.from_pretrained(base)
    settings = {"r": 2, "target_modules": ["q_proj", "down_proj"], "init_lora_weights": False, **options}
    torch.manual_seed(0)
    adapted = get_peft_model(model, LoraConfig(**settings))
    adapted.peft_config["default"].base_model_name_or_path = str(base)
    adapted.save_pretrained(folder)
    return folder


def half(tensors):
    for name in list(tensors)[::2]:
        del tensors[name]


def prefix(tensors):
    for name in list(tensors):
        tensors[name.replace("base_model.model.", "")] = tensors.pop(name)


def shift(tensors):
    for name in sorted(tensors, reverse=True):
        tensors[re.sub(r"layers\.(\d)", lambda m: f"layers.{int(m[1]) + 1}", name)] = tensors.pop(name)


def magnitude(tensors):
    tensors["base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector"] = torch.ones(32)


@pytest.mark.parametrize(
    ("change", "settings", "text"),
    [
        (half, {}, "lacks 6 of the 12 tensors"),
        (prefix, {}, "lacks 12 of the 12 tensors"),
        (shift, {}, "lacks 4 of the 12 tensors"),
        (magnitude, {}, "has 1 of 13 tensors that have no place on its base"),
        (None, {"target_modules": ["q_proj"]}, "has 6 of 12 tensors that have no place"),
        (None, {"target_modules": ["q_proj", "k_proj", "down_proj"]}, "lacks 6 of the 18 tensors"),
        (None, {"target_modules": ["nothing"]}, "cannot be put on its base"),
        (None, {"r": 4}, r"of shape \[2, 48\]; \[4, 48\] is expected|of shape \[32, 2\]; \[32, 4\]"),
        (None, {"r": 0}, "cannot be put on its base"),
        (None, {"r": 10**12}, "is expected|cannot be put"),
        (None, {"rank_pattern": {"q_proj": 3}}, "of shape"),
        (None, {"use_dora": True}, "lacks 6 of the 18 tensors"),
        (None, {"layers_to_transform": [0]}, "has 8 of 12 tensors that have no place"),
        (None, {"layer_replication": [[0, 2], [1, 3]]}, "lacks 4 of the 16 tensors"),
        (None, {"layer_replication": [[0, 10**9]]}, "has layer_replication"),
        (None, {"layer_replication": "x"}, "has layer_replication"),
        (None, {"lora_bias": True}, "lacks 6 of the 18 tensors"),
        (None, {"modules_to_save": ["lm_head"]}, "lacks 1 of the 13 tensors"),
        (None, {"megatron_config": {"a": 1}, "megatron_core": "antigravity"}, "is one for Megatron's layers"),
        (None, {"r": "two"}, "cannot be put on its base"),
        (lambda t: t.update({k: v.int() for k, v in t.items()}), {}, "as I32; F32, BF16 or F16 is expected"),
        (lambda t: t.clear(), {}, "lacks 12 of the 12 tensors"),
    ],
)
def test_adapters_that_are_not_those_of_their_configuration(
    adapter, tmp_path, never_loaded, change, settings, text
):
    folder = Path(shutil.copytree(adapter, tmp_path / "copy"))
    if change:
        rewrite(folder / "adapter_model.safetensors", change)
    edit(folder, "adapter_config.json", **settings)
    found = refusal(folder)
    assert re.search(text, found), found
    assert str(folder) in found  # the adapter's fault


@pytest.mark.parametrize(
    "options",
    [
        {"use_dora": True},
        {"use_rslora": True},
        {"target_modules": "all-linear"},
        {"target_modules": ["q_proj", "embed_tokens", "lm_head"]},
        {"target_modules": ["q_proj", "lm_head"]},
        {"modules_to_save": ["lm_head", "embed_tokens"]},
        {"rank_pattern": {"q_proj": 3}, "alpha_pattern": {"q_proj": 7}},
        {"layers_to_transform": [1]},
        {"layer_replication": [[0, 2], [1, 3]]},
        {"trainable_token_indices": [3, 4]},
    ],
)
@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`")
def test_an_adapter_of_any_kind_computes_what_peft_computes(checkpoints, tmp_path, options):
    folder = save_adapter(checkpoints["llama"], tmp_path / "adapter", **options)
    ours = open_checkpoint(str(folder), device="cpu").model(IDS).logits
    plain = AutoModelForCausalLM.from_pretrained(checkpoints["llama"], dtype=torch.float32)
    with torch.no_grad():
        theirs = PeftModel.from_pretrained(plain, folder).eval()(IDS).logits
    assert torch.equal(ours, theirs)


@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`")
@pytest.mark.parametrize("family", ["llama", "gemma"])
def test_an_adapter_with_a_resized_vocabulary_brings_its_rows_and_its_tokenizer(tmp_path, family):
    base = save_checkpoint(tmp_path / "base", family)
    tokenizer = deepcopy(byte_tokenizer())
    tokenizer.add_tokens(["<new>", "<newer>"])
    model = AutoModelForCausalLM.from_pretrained(base)
    model.resize_token_embeddings(len(tokenizer))
    config = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    config.base_model_name_or_path = str(base)
    adapted = get_peft_model(model, config).eval()
    adapted.save_pretrained(tmp_path / "adapter")
    ids = torch.tensor([[60, 259, 260, 61]])
    expected = adapted(ids).logits.detach()
    with pytest.raises(IndexError):  # the base's tokenizer and rows would do neither
        open_checkpoint(str(base), device="cpu").model(ids)
    tokenizer.save_pretrained(tmp_path / "adapter")
    loaded = open_checkpoint(str(tmp_path / "adapter"), device="cpu")
    assert loaded.tokenizer("a<newer>")["input_ids"][-1] == 260
    assert loaded.n_embeddings == 261
    assert torch.allclose(loaded.model(ids).logits, expected, atol=1e-6)


def test_an_adapter_uses_its_own_tokenizer(adapter, tmp_path):
    folder = Path(shutil.copytree(adapter, tmp_path / "copy"))
    assert open_checkpoint(str(folder), device="cpu").tokenizer("ab")["input_ids"][:1] != [257]
    byte_tokenizer(bos=True).save_pretrained(folder)
    assert open_checkpoint(str(folder), device="cpu").tokenizer("ab")["input_ids"][:1] == [257]
