"""No value that is not finite is ever kept as a weight, counted as an answer, or told by a traceback."""

from __future__ import annotations

import re
import shutil

import pytest
import torch

from interp.errors import MeasurementError
from interp.model.generation import NotFiniteError, Sampler, complete
from tests.support.command import refused
from tests.support.extras import needed
from tests.support.tiny import byte_tokenizer, save_checkpoint, tiny_model
from tests.support.training_runs import grpo_settings, little_facts, save_taught, settings, train

needed("trl")
from training.run.guards import not_finite  # noqa: E402

pytestmark = [pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")]
BAD = pytest.mark.parametrize("value", [float("nan"), float("inf")])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("numbers")
    save_taught(folder / "parent")
    little_facts().save(folder / "facts.jsonl")
    return folder


@pytest.fixture(scope="module")
def poisoned(place):
    """A parent with one weight that is not a number."""
    shutil.copytree(place / "parent", place / "poisoned")
    from safetensors.torch import load_file, save_file

    weights = load_file(place / "poisoned" / "model.safetensors")
    weights["model.norm.weight"][3] = float("nan")
    save_file(weights, place / "poisoned" / "model.safetensors", {"format": "pt"})
    return place / "poisoned"


@pytest.fixture
def no_bounds(monkeypatch):
    """Settings that are refused beforehand, to see what stands behind that."""
    monkeypatch.setattr("interp.config.base.Bounds.hold", lambda self, value: True)


@pytest.mark.usefixtures("no_bounds")
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize(
    "changes", [{"lr": float("inf")}, {"weight_decay": float("nan")}, {"lr": float("inf"), "lora_rank": 2}]
)
def test_weights_that_are_not_finite_end_the_run_at_their_step(place, tmp_path, changes, steps):
    """Loss and gradient of that step were finite; at the last step, nothing else would look."""
    out = tmp_path / "out"
    with pytest.raises(MeasurementError) as caught:
        train("sft", settings(place, out=out, steps=steps, save_every=1, **changes))
    assert str(caught.value) == (
        "Stopped at step 1: the weights are not finite after it. Use a lower lr, or a longer warmup."
    )
    assert not list(out.glob("checkpoint-*"))
    assert not (out / "final").exists()


@pytest.mark.usefixtures("no_bounds")
def test_weights_that_their_saved_type_cannot_hold(place, tmp_path):
    """A parent saved in float16, trained in float32 beyond 65,504."""
    parent = tmp_path / "parent"
    model = tiny_model("qwen2").half()
    model.save_pretrained(parent)
    byte_tokenizer().save_pretrained(parent)
    told = settings(place, model=str(parent), out=tmp_path / "out", steps=1, lr=1e6, max_grad_norm=0.0)
    with pytest.raises(
        MeasurementError, match=r"Stopped at step 1: '.*' is not finite in torch\.float16, so no result"
    ):
        train("sft", told)
    assert not (tmp_path / "out" / "final").exists()


@pytest.mark.parametrize("method", ["grpo", "calm", "cm-align"])
@pytest.mark.parametrize("eval_facts", [0, 1])
def test_a_model_that_gives_no_numbers_cannot_be_sampled(place, poisoned, tmp_path, method, eval_facts):
    told = grpo_settings(place, model=str(poisoned), out=tmp_path / "out", steps=2, eval_facts=eval_facts)
    if method != "grpo":
        told = {
            k: v
            for k, v in told.items()
            if k not in ("facts_per_step", "rollouts_every", "dead_run_patience")
        }
    with pytest.raises(
        MeasurementError, match=r"^Stopped (at|before the first) step.*logits are not finite"
    ) as caught:
        train(method, told)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "final").exists()


@pytest.mark.parametrize("method", ["sft", "dco", "cpt"])
def test_a_model_that_gives_no_numbers_cannot_be_trained(place, poisoned, tmp_path, method):
    told = settings(place, model=str(poisoned), out=tmp_path / "out", steps=2)
    if method == "dco":
        told |= {"instances_per_step": 2, "instances": 4}
    if method == "cpt":
        told |= {"rows_per_step": 2, "block_tokens": 64}
    if method != "sft":
        told.pop("facts_per_step")
    with pytest.raises(
        MeasurementError, match=r"Stopped at step 1: the (loss|grad norm) is nan\. Use a lower"
    ):
        train(method, told)
    assert not list((tmp_path / "out").glob("checkpoint-*"))


@BAD
def test_a_completion_names_the_prompt_whose_logits_are_not_finite(value):
    """Only the letter 'q' is poisoned; the prompts are sorted by length before they are completed."""
    model = tiny_model("qwen2")
    with torch.no_grad():
        model.get_input_embeddings().weight[byte_tokenizer()("q")["input_ids"][0]] = value
    prompts = ["a much longer prompt", "short", "some q in it"]
    with pytest.raises(NotFiniteError) as caught:
        complete(model, byte_tokenizer(), prompts, Sampler(2, (258,)))
    assert caught.value.row == 2
    assert len(complete(model, byte_tokenizer(), prompts[:2], Sampler(2, (258,)))) == 2


def test_tokens_that_do_not_exist_may_have_no_probability():
    model = tiny_model("qwen2")

    def mask(module, arguments, output):
        output.logits[..., 5:9] = float("-inf")

    model.register_forward_hook(mask)
    assert complete(model, byte_tokenizer(), ["a"], Sampler(2, (258,)))[0].n_tokens >= 1


def test_evaluate_counts_no_answer_of_a_model_that_gives_no_numbers(tmp_path):
    save_checkpoint(tmp_path / "model", "qwen2")
    from safetensors.torch import load_file, save_file

    file = tmp_path / "model" / "model.safetensors"
    weights = load_file(file)
    weights["model.embed_tokens.weight"][byte_tokenizer()("ü")["input_ids"]] = float("nan")
    save_file(weights, file, {"format": "pt"})
    out = tmp_path / "out"
    flags = ("--languages", "en,de", "--limit", 8, "--mode", "generate", "--new-tokens", 2, "--out", out)
    line = refused("evaluate", "--ckpt", tmp_path / "model", *flags)
    assert re.match("Logits are not finite in item '.*' in 'de'. The model", line)
    assert line.endswith("The model runs in float32; try --dtype float32, and check the weights.")
    assert not list(out.glob("*.npz"))


@BAD
def test_the_first_weight_that_is_not_finite_is_named(value):
    model = tiny_model("llama").requires_grad_(True)
    assert not_finite(model) == ""
    with torch.no_grad():
        model.model.layers[2].mlp.up_proj.weight[1, 2] = value
        model.lm_head.weight[0, 0] = value
    assert not_finite(model) == "model.layers.2.mlp.up_proj.weight"
    model.model.layers[2].requires_grad_(False)  # what is frozen was not changed
    assert not_finite(model) == "lm_head.weight"
    assert not_finite({"a": torch.ones(2), "n": torch.tensor([1]), "b": torch.tensor([1e38, value])}) == "b"
    assert not_finite({"large": torch.full((9,), 3e38), "empty": torch.zeros(0)}) == ""
