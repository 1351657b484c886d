"""What we measure of Gemma 3 270M is what plain transformers gives, item by item; and commands run on both
models."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.real.models import MODELS, folder_of, gguf_file
from tests.support.command import run

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("ignore")]
TOLERANCE = 2e-4  # of log-probabilities in float32: batches are padded, those of plain transformers are not


@pytest.fixture(scope="module")
def folder():
    return folder_of("gemma3-270m")


@pytest.fixture(scope="module")
def plain(folder):
    return AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32
    ).eval(), AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def loaded(folder):
    from interp.model.loading import open_checkpoint

    return open_checkpoint(str(folder), device="cpu", dtype="float32")


@torch.no_grad()
def test_neuron_counts_and_a_lens_layer(loaded, plain):
    from interp.model.final_norm import layer_readout
    from interp.model.hooks import reading
    from interp.model.sites import Site

    model, tokenizer = plain
    ids = torch.tensor([tokenizer("The capital of France is")["input_ids"]])
    kept: dict[str, torch.Tensor] = {}
    handle = model.model.layers[9].mlp.down_proj.register_forward_pre_hook(
        lambda m, args: kept.update(plain=args[0])
    )
    states = model(ids, output_hidden_states=True)
    handle.remove()
    ours = {}
    sites = {
        Site("mlp_neuron", 9): lambda v, s: ours.update(neuron=v),
        Site("resid_post", 9): lambda v, s: ours.update(stream=v),
    }
    with reading(loaded.architecture, sites):
        logits = loaded.model(ids).logits
    assert torch.allclose(logits, states.logits, atol=TOLERANCE)
    assert torch.equal(ours["neuron"] > 0, kept["plain"] > 0)
    lens = model.lm_head(model.model.norm(states.hidden_states[10]))
    assert torch.allclose(layer_readout(loaded).logits(ours["stream"]), lens.float(), atol=1e-3)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_gguf_file_is_what_transformers_reads(name):
    from interp.model.loading import open_checkpoint

    file = gguf_file(name)
    loaded = open_checkpoint(str(file), device="cpu")
    theirs = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    ids = torch.tensor([loaded.tokenizer("The capital of France is")["input_ids"]])
    with torch.no_grad():
        assert torch.equal(loaded.model(ids).logits, theirs(ids).logits)


@pytest.mark.parametrize(
    "arguments",
    [
        ("specialization", "--units", "neurons", "--limit", "64"),
        ("evaluate", "--limit", "8"),
        ("evaluate", "--mode", "generate", "--limit", "4", "--shots", "1"),
        ("lens", "--limit", "8"),
        ("align", "--limit", "16"),
    ],
)
def test_commands_run(folder, tmp_path, arguments):
    done = run(*arguments, "--ckpt", f"gemma={folder}", "--languages", "en,ja", "--out", tmp_path)
    assert done.code == 0, done.stderr
