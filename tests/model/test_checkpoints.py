"""What is refused before a model is opened, with its text; names, fingerprints and LoRA adapters."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, PrefixTuningConfig, get_peft_model
from transformers import AutoModelForCausalLM

from interp.errors import CheckpointError
from interp.model.checkpoints import Checkpoint, resolve_checkpoint
from interp.model.loading import open_checkpoint
from tests.support.tiny import save_checkpoint, tiny_model

# peft asks transformers for what is about to be renamed
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
IDS = torch.arange(60, 80)[None]


@pytest.fixture
def folder(checkpoints, tmp_path):
    """A copy of a good checkpoint, to damage."""
    return Path(shutil.copytree(checkpoints["llama"], tmp_path / "copy"))


def refusal(spec) -> str:
    with pytest.raises(CheckpointError) as caught:
        resolve_checkpoint(str(spec))
    return str(caught.value)


# what is not there


def test_no_config_says_where_it_looked_and_what_is_there(tmp_path):
    (tmp_path / "notes.md").touch()
    assert refusal(tmp_path) == (
        f"No config.json in {tmp_path} (it holds: notes.md); a folder written by save_pretrained is expected."
    )
    (tmp_path / "notes.md").unlink()
    assert "(it holds: nothing)" in refusal(tmp_path)


def test_no_tokenizer(folder):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    assert refusal(folder).startswith(f"No tokenizer in {folder}: one of tokenizer.json,")


def test_no_weights(folder):
    (folder / "model.safetensors").unlink()
    assert refusal(folder) == f"No *.safetensors in {folder}."


def test_only_pickles(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    text = refusal(folder)
    assert "holds only pickle weights (pytorch_model.bin), which can run code when opened" in text
    assert "save_pretrained(folder)" in text


def test_a_file_is_not_a_checkpoint(folder):
    assert "is a file; a checkpoint is a folder" in refusal(folder / "config.json")


@pytest.mark.parametrize(
    "spec", ["/no/such/folder", "nothing", "", "\x00", "x" * 5000, "~no-such-user-here/x", "a/b/c"]
)
def test_nowhere(spec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert refusal(spec).startswith(("No checkpoint '", "No config.json in"))


def test_a_hidden_character_is_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "'a\\u202eb'" in refusal("a\u202eb")


def test_a_hub_id_without_network_is_one_line():
    text = refusal("nobody/nothing@v1")
    assert text.startswith(
        f"No folder at {Path.cwd() / 'nobody/nothing@v1'}, and the hub could not give 'nobody/nothing@v1': "
    )
    assert "\n" not in text
    assert "HF_HUB_OFFLINE" in text


def test_an_unknown_shipped_checkpoint():
    assert refusal("organism:unknown").startswith("No shipped checkpoint 'organism:unknown'. Choose from: ")
    assert refusal("organism:../../etc").startswith("No shipped checkpoint")


def test_config_that_is_no_object(folder):
    for content, reason in (
        ("[1]", "holds list"),
        ("{", "cannot be read as JSON"),
        ("[" * 10**5, "cannot be read"),
    ):
        (folder / "config.json").write_text(content)
        with pytest.raises(CheckpointError, match=reason):
            resolve_checkpoint(str(folder)).config  # noqa: B018


# damaged weights


def test_truncated_and_too_long_weights_name_both_sizes(folder):
    file = folder / "model.safetensors"
    whole = file.read_bytes()
    for content in (whole[:-100], whole + b"tail"):
        file.write_bytes(content)
        assert refusal(folder) == (
            f"{file}: {len(content)} bytes, but its header promises {len(whole)}; the file is damaged; copy "
            "or download it again."
        )


@pytest.mark.parametrize("content", [b"", b"abc", b"\xff" * 64])
def test_weights_shorter_than_their_header(folder, content):
    (folder / "model.safetensors").write_bytes(content)
    assert f"{len(content)} bytes, but its header alone needs" in refusal(folder)


@pytest.mark.parametrize(
    "header", [b"garbage!", b"[1, 2]", b'{"w": 3}', b'{"w": {"data_offsets": []}}', b"[" * 100_000]
)
def test_garbage_header(folder, header):
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"data")
    assert "its header is not that of a safetensors file" in refusal(folder)


def test_a_missing_shard_is_named(tmp_path):
    folder = tmp_path / "sharded"
    save_checkpoint(folder)
    (folder / "model.safetensors").unlink()
    tiny_model().save_pretrained(folder, max_shard_size="40KB")
    shards = sorted(p.name for p in folder.glob("*.safetensors"))
    assert len(shards) > 1
    resolve_checkpoint(str(folder))
    (folder / shards[0]).unlink()
    assert f"lacks 1 of {len(shards)} weight files ({shards[0]})" in refusal(folder)
    for content in ("{}", '{"weight_map": []}', '{"weight_map": {"w": 1}}'):
        (folder / "model.safetensors.index.json").write_text(content)
        assert "has no weight_map" in refusal(folder)


def test_a_tensor_that_is_absent_is_never_made_up(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 4}))
    with pytest.raises(CheckpointError, match=r"lacks 9 of the model's tensors \(model\.layers\.3\."):
        open_checkpoint(str(folder))


# names and fingerprints


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("runs/grpo/step-600", "grpo-step-600"),
        ("/data/runs/grpo/", "grpo"),
        ("Qwen/Qwen2.5-7B@main", "Qwen2.5-7B-main"),
        ("runs/grpo/final", "grpo-final"),
        ("organism:final", "organism-final"),
        ("../../x", "x"),
        ("..", "checkpoint"),
        ("/", "checkpoint"),
        ("a b;rm -rf *", "a-b-rm--rf"),
        ("\u202eabc\u202c", "abc"),
        ("模型", "checkpoint"),
        ("CON", "CON"),
        ("..\\..\\x", "x"),
    ],
)
def test_names(spec, name):
    assert Checkpoint(spec, Path(".")).name == name


@pytest.mark.parametrize(
    "spec", ["../../x", "a b;rm -rf *", "\u202e", "x" * 3000, "a/b:c", "-rf", "~", "\n", "$(id)"]
)
def test_a_name_is_one_harmless_part_of_a_path(spec, tmp_path):
    name = Checkpoint(spec, Path(".")).name
    assert 0 < len(name) <= 80
    assert not name.startswith(("-", "."))
    assert (tmp_path / name).resolve().parent == tmp_path
    assert name.isprintable()
    assert name.isascii()


def test_a_copy_has_the_same_fingerprint_and_any_changed_byte_another(checkpoints, folder):
    original = resolve_checkpoint(str(checkpoints["llama"])).fingerprint
    assert resolve_checkpoint(str(folder)).fingerprint == original
    assert resolve_checkpoint(str(checkpoints["other"])).fingerprint != original
    for name in ("model.safetensors", "tokenizer.json", "tokenizer_config.json", "config.json"):
        before = (folder / name).read_bytes()
        changed = before[:-9] + bytes([before[-9] ^ 1]) + before[-8:]
        (folder / name).write_bytes(changed)
        assert Checkpoint("x", folder).fingerprint != original, name
        (folder / name).write_bytes(before)
    for name, counts in (("special_tokens_map.json", True), ("README.md", False)):
        (folder / name).write_text("{}")
        assert (Checkpoint("x", folder).fingerprint != original) is counts, name
        (folder / name).unlink()


def test_the_fingerprint_is_of_the_weights_that_are_loaded(folder):
    """transformers takes model.safetensors, whatever an index beside it says."""
    shutil.copy(folder / "model.safetensors", folder / "old.safetensors")
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"w": "old.safetensors"}}')
    before = Checkpoint("x", folder).fingerprint
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert Checkpoint("x", folder).fingerprint != before


# LoRA


@pytest.fixture(scope="module")
def adapter(checkpoints, tmp_path_factory):
    """An adapter that does something, beside its base; and peft's own logits."""
    root = tmp_path_factory.mktemp("lora")
    base = Path(shutil.copytree(checkpoints["llama"], root / "base"))
    model = AutoModelForCausalLM.from_pretrained(base)
    config = LoraConfig(
        r=2, target_modules=["q_proj", "o_proj", "down_proj", "gate_proj"], init_lora_weights=False
    )
    torch.manual_seed(0)
    adapted = get_peft_model(model, config)
    adapted.peft_config["default"].base_model_name_or_path = str(base)
    adapted.save_pretrained(root / "adapter")
    return root / "adapter"


def rebased(adapter: Path, base: object, **changes: object) -> Path:
    config = json.loads((adapter / "adapter_config.json").read_text())
    folder = Path(shutil.copytree(adapter, adapter.parent / f"rebased-{len(list(adapter.parent.iterdir()))}"))
    (folder / "adapter_config.json").write_text(
        json.dumps({**config, "base_model_name_or_path": base, **changes})
    )
    return folder


@pytest.mark.parametrize("base", ["absolute", "../base"])
def test_an_adapter_computes_what_peft_computes(adapter, base):
    folder = adapter if base == "absolute" else rebased(adapter, base)
    loaded = open_checkpoint(str(folder))
    plain = AutoModelForCausalLM.from_pretrained(adapter.parent / "base", dtype=torch.float32)
    with torch.no_grad():
        bare = plain(IDS).logits
        theirs = PeftModel.from_pretrained(plain, folder).eval()(IDS).logits
        ours = loaded.model(IDS).logits
    assert torch.equal(ours, theirs)
    assert not torch.allclose(ours, bare, atol=1e-2)
    assert loaded.architecture.n_neurons == 48
    assert loaded.checkpoint.adapter == folder


def test_an_adapter_has_a_fingerprint_of_its_own(adapter):
    base = resolve_checkpoint(str(adapter.parent / "base"))
    ours = resolve_checkpoint(str(adapter))
    assert ours.path.resolve() == base.path.resolve()
    assert ours.fingerprint != base.fingerprint
    copy = rebased(adapter, str(adapter.parent / "base"))
    before = resolve_checkpoint(str(copy)).fingerprint
    weights = copy / "adapter_model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert resolve_checkpoint(str(copy)).fingerprint != before


def test_adapters_that_cannot_be_used(adapter):
    missing = rebased(adapter, "/no/such/base")
    assert refusal(missing).startswith(
        f"{missing} is a LoRA adapter whose base '/no/such/base' cannot be used: No checkpoint "
        "'/no/such/base'"
    )
    assert "names no base_model_name_or_path" in refusal(rebased(adapter, None))
    assert "names no base_model_name_or_path" in refusal(rebased(adapter, 7))
    assert "whose base '.' is an adapter too" in refusal(rebased(adapter, "."))
    assert "is an adapter of type IA3; only LORA" in refusal(rebased(adapter, "../base", peft_type="IA3"))


def test_a_damaged_adapter(adapter):
    folder = rebased(adapter, "../base")
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7])
    assert "but its header promises" in refusal(folder)
    weights.unlink()
    assert refusal(folder) == f"No adapter_model.safetensors in {folder}."
    (folder / "adapter_model.bin").touch()
    assert "holds only pickle weights (adapter_model.bin)" in refusal(folder)


def test_a_prefix_would_be_lost_and_is_refused(checkpoints, tmp_path):
    model = AutoModelForCausalLM.from_pretrained(checkpoints["llama"])
    prefix = get_peft_model(model, PrefixTuningConfig(num_virtual_tokens=2, task_type="CAUSAL_LM"))
    prefix.save_pretrained(tmp_path / "prefix")
    assert "is an adapter of type PREFIX_TUNING; only LORA is supported" in refusal(tmp_path / "prefix")
