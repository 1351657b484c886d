"""What cannot work is refused in one line before training; what fails later ends the run with a reason."""

from __future__ import annotations

import errno
import json
import os
import shutil

import pytest
import torch

from interp.errors import (
    CapabilityError,
    CheckpointError,
    ConfigError,
    DataError,
    MeasurementError,
    NoSpaceError,
)
from tests.support.extras import needed
from tests.support.tiny import byte_tokenizer, tiny_model
from tests.support.training_runs import (
    grpo_settings,
    little_facts,
    records,
    same,
    save_taught,
    settings,
    train,
    weights,
)

needed("trl")
from training import grpo  # noqa: E402
from training.checkpoint import parent  # noqa: E402
from training.methods import GrpoConfig  # noqa: E402
from training.plan.batches import plan_batches  # noqa: E402
from training.rollouts.vllm import importlib as vllm_importlib  # noqa: E402
from training.rollouts.vllm import vllm_settings  # noqa: E402
from training.run.guards import Guards  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    save_taught(folder / "parent")
    little_facts().save(folder / "facts.jsonl")
    return folder


def refused(place, out, error, **changes) -> str:
    """The one line that a run is refused with before it starts."""
    with pytest.raises(error) as caught:
        train("grpo", grpo_settings(place, **{"out": out, **changes}))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    assert not records(out)
    return str(caught.value)


def changed_rows(place, file, change) -> str:
    """A copy of the facts with its rows changed in place."""
    rows = [json.loads(line) for line in (place / "facts.jsonl").read_text().splitlines()]
    change(rows)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


# settings


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"micro_batch": 4}, ConfigError, "micro_batch is 4, which does not divide the 18 rows of a process "
         "(2 facts x 9 rows / 1 processes). Set it to 2 or 3."),
        ({"facts_per_step": 7}, ConfigError, "There are 6 facts, fewer than the 7 of one step"),
        ({"generations": 1}, ConfigError, "generations is 1; an advantage compares 2 or more."),
        ({"temperature": 0.0}, ConfigError, "temperature 0.0 must be above 0"),
        ({"top_p": 1.5}, ConfigError, "top_p 1.5 above 0 and at most 1"),
        ({"keep": 1}, ConfigError, "keep is 1; with fewer than 2 saved states, a kill during saving loses"),
        ({"model": ""}, ConfigError, "No --model to start from; for example --model organism:final."),
        ({"score_empty": 0.0}, ConfigError, "Training would then drift to empty completions"),
        ({"score_correct": float("nan")}, ConfigError, "Scores must be finite numbers; they are correct nan"),
        ({"bonus": "ladder"}, ConfigError, "[9, 10, 11, 12]; with 3 languages they must be from 1 to 3"),
        ({"languages": "en,de,xx"}, Exception, "xx"),
        ({"languages": "en,de,fr"}, DataError, "has no facts in French (fr)"),
        ({"dtype": "bfloat16"}, ConfigError, "dtype bfloat16 for full fine-tuning: at lr 1e-6 only 1 % of "
         "AdamW's update survives the rounding."),
        ({"vllm": True, "lora_rank": 2}, ConfigError, "vllm with lora_rank needs dtype float32"),
        ({"max_prompt_tokens": 5}, DataError, "All 6 facts have a prompt of more than 5 tokens in some "
         "language (en 6, de 6, sw 6). Raise max_prompt_tokens, or drop a language."),
    ],
)  # fmt: skip
def test_settings(place, tmp_path, changes, error, text):
    assert text in refused(place, tmp_path / "out", error, **changes)


def test_bfloat16_on_a_processor_without_it(place, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False, raising=False)
    told = {"dtype": "bfloat16", "lora_rank": 2}
    assert refused(place, tmp_path / "out", ConfigError, **told) == (
        "dtype bfloat16, but this CPU has no bfloat16 arithmetic. Use float32."
    )
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True, raising=False)
    assert parent.training_dtype(GrpoConfig(**told)) is torch.bfloat16
    assert parent.training_dtype(GrpoConfig(lora_rank=2, device="cpu")) is torch.float32


# facts


def test_facts_that_lack_a_language(place, tmp_path):
    facts = changed_rows(place, tmp_path / "facts.jsonl", lambda rows: rows[2]["wording"].pop("sw"))
    text = refused(place, tmp_path / "out", DataError, data=facts)
    assert "'sw' is missing in 1 of 6 facts (first f2). 5 facts have all of en de sw." in text
    train("grpo", grpo_settings(place, data=facts, out=tmp_path / "out", allow_missing=True))
    card = json.loads((tmp_path / "out" / "final" / "card.json").read_text())
    assert card["data"]["n_facts"] == 5


def test_facts_without_a_train_split(place, tmp_path):
    facts = changed_rows(
        place, tmp_path / "facts.jsonl", lambda rows: [row.update(split="test") for row in rows]
    )
    assert refused(place, tmp_path / "out", ConfigError, data=facts) == (
        f"'{facts}' has no fact of the split 'train', so there is nothing to learn from."
    )


def test_an_answer_that_is_no_option(place, tmp_path):
    facts = changed_rows(place, tmp_path / "facts.jsonl", lambda rows: rows[1].update(object_id="other"))
    with pytest.raises(DataError, match=r"row 2 \(f1\).*other") as caught:
        train("grpo", grpo_settings(place, data=facts, out=tmp_path / "out"))
    assert caught.value.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_long_prompts_are_left_out_and_counted(place, tmp_path):
    """The prompts grow with the fact and from English to Swahili."""
    from training.examples import make_examples

    facts = list(make_examples(little_facts(6, 0), little_facts(6, 0)).facts)
    lengths = {
        (n, e.language): len(byte_tokenizer()(e.prompt)["input_ids"])
        for n, fact in enumerate(facts)
        for e in fact
    }
    limit = sorted(lengths.values())[-4]
    expected = {
        code: sum(length > limit for (_, language), length in lengths.items() if language == code)
        for code in ("en", "de", "sw")
    }
    out = tmp_path / "out"
    train("grpo", grpo_settings(place, out=out, max_prompt_tokens=limit, facts_per_step=1))
    data = json.loads((out / "final" / "card.json").read_text())["data"]
    assert data["dropped_too_long"] == {code: n for code, n in expected.items() if n}
    dropped = {n for (n, _), length in lengths.items() if length > limit}
    assert data["n_facts"] == 6 - len(dropped) < 6


# parents


@pytest.mark.parametrize(("name", "purpose"), [("pad", "padding"), ("eos", "end")])
def test_a_tokenizer_without_a_token_that_is_needed(place, tmp_path, name, purpose):
    parent = tmp_path / "parent"
    shutil.copytree(place / "parent", parent)
    file = parent / "tokenizer_config.json"
    declared = json.loads(file.read_text())
    declared.pop(f"{name}_token")
    file.write_text(json.dumps(declared))
    assert refused(place, tmp_path / "out", CheckpointError, model=str(parent)) == (
        f"The tokenizer of {parent} has no {purpose} token. Set tokenizer.{name}_token to one of its tokens "
        "and save it beside the weights."
    )


def test_an_adapter_without_its_base(place, tmp_path):
    needed("peft")
    first = tmp_path / "first"
    train("grpo", grpo_settings(place, out=first, lora_rank=2))
    adapter = first / "final"
    file = adapter / "adapter_config.json"
    told = json.loads(file.read_text())
    assert told["base_model_name_or_path"] == str((place / "parent").resolve())
    file.write_text(json.dumps(told | {"base_model_name_or_path": str(tmp_path / "gone")}))
    assert "gone" in refused(place, tmp_path / "out", CheckpointError, model=str(adapter))


def test_a_vocabulary_that_does_not_fit(place, tmp_path):
    parent = tmp_path / "parent"
    small = {"vocab_size": 200, "pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 3}
    tiny_model("qwen2", **small).save_pretrained(parent)
    byte_tokenizer().save_pretrained(parent)
    text = refused(place, tmp_path / "out", CheckpointError, model=str(parent))
    assert "has ids up to 255, but the model embeds 200: they do not belong together." in text


def test_a_parent_that_is_not_there(place, tmp_path):
    gone = str(tmp_path / "gone")
    assert gone in refused(place, tmp_path / "out", CheckpointError, model=gone)


# disks


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        RuntimeError("[enforce fail at inline_container.cc:664] . PytorchStreamWriter failed writing file"),
    ],
)  # fmt: skip
def test_no_space_for_the_next_state(place, tmp_path, monkeypatch, error):
    out = tmp_path / "out"
    told = grpo_settings(place, out=out, steps=5, save_every=2, lr=1e-3)
    real = torch.save

    def full(value, file, *rest, **options):
        if "checkpoint-4" in str(file):
            raise error
        return real(value, file, *rest, **options)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(NoSpaceError, match="free some space and run the same command again") as caught:
        train("grpo", told)
    assert caught.value.exit_code == 74
    assert "\n" not in str(caught.value)
    assert [f.name for f in out.glob("checkpoint-*") if (f / "complete.json").exists()] == ["checkpoint-2"]
    monkeypatch.setattr(torch, "save", real)
    train("grpo", told)
    assert [record["step"] for record in records(out)] == [1, 2, 3, 4, 5]
    train("grpo", {**told, "out": tmp_path / "whole"})
    assert same(weights(out), weights(tmp_path / "whole"))


def test_no_space_before_the_start(place, tmp_path, monkeypatch):
    from interp import files

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(NoSpaceError, match=r"0\.0 MB are free; .* MB are needed") as caught:
        train("grpo", grpo_settings(place, out=tmp_path / "out"))
    assert caught.value.exit_code == 74


# numbers


def test_weights_that_are_not_numbers(place, tmp_path):
    parent = tmp_path / "parent"
    shutil.copytree(place / "parent", parent)
    from safetensors.torch import load_file, save_file

    poisoned = load_file(parent / "model.safetensors")
    poisoned["model.norm.weight"][3] = float("nan")
    save_file(poisoned, parent / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        MeasurementError, match=r"Stopped at step 1: the (loss|grad norm) is nan\. Use a lower"
    ):
        train("sft", settings(place, model=str(parent), out=tmp_path / "out", steps=3))
    assert not (tmp_path / "out" / "final").exists()


def test_a_dead_run_stops_and_says_why(place, tmp_path):
    told = grpo_settings(place, out=tmp_path / "out", steps=9, temperature=1e-5, dead_run_patience=3)
    with pytest.raises(MeasurementError) as caught:
        train("grpo", told)
    assert str(caught.value) == (
        "Stopped at step 3: in 3 steps in a row, all rollouts of every group had the same reward, so "
        "nothing can be learned. Use more generations, a higher temperature, easier facts, or a higher "
        "dead_run_patience."
    )
    assert [record["degenerate"] for record in records(tmp_path / "out")] == [1, 1, 1]
    assert not (tmp_path / "out" / "final").exists()


# guards


def test_patience_counts_steps_in_a_row():
    guards = Guards(patience=2)
    assert [bool(guards.reason({"degenerate": share})) for share in (1, 0.99, 1, 1)] == [False] * 3 + [True]
    never = Guards(patience=0)
    assert not any(never.reason({"degenerate": 1.0}) for _ in range(200))
    assert not Guards(patience=1).reason({"loss": 0.0})


def test_collapse_is_seen_against_the_best_of_twenty_steps():
    """Twenty at 1/2, then zeros: the mean is below a quarter of 1/2 when fewer than five are left."""
    guards = Guards(collapse=0.25)
    for _ in range(20):
        assert not guards.reason({"resolved": 0.5})
    found = [guards.reason({"resolved": 0.0}) for _ in range(16)]
    assert [bool(text) for text in found] == [False] * 15 + [True]
    assert (
        "fell from 0.500 to 0.100 (over 20 steps). Use a lower lr or max_grad_norm, or a KL term."
        in found[-1]
    )
    free = Guards(collapse=0.0)
    assert not any(free.reason({"resolved": r}) for r in [1.0] * 20 + [0.0] * 40)


def test_a_model_that_never_names_an_option_has_not_collapsed():
    guards = Guards(collapse=0.25)
    assert not any(guards.reason({"resolved": 0.0}) for _ in range(60))


def test_guards_go_on_where_they_were():
    one, other = Guards(3, 0.5), Guards(3, 0.5)
    steps = [{"degenerate": 1.0, "resolved": 0.5}] * 2
    for logs in steps:
        one.reason(logs)
    other.restore(json.loads(json.dumps(one.state())))
    assert other.state() == one.state()
    assert "in 3 steps in a row" in other.reason(steps[0])


@pytest.mark.parametrize("name", ["loss", "grad_norm"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite(name, value):
    assert Guards().reason({name: value}) == (
        f"the {name.replace('_', ' ')} is {value}. Use a lower lr, or a longer warmup."
    )


# vLLM


def test_vllm_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(vllm_importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CapabilityError, match=r"vllm is not installed: pip install 'interp\[train-vllm\]'"):
        vllm_settings(GrpoConfig(vllm=True), ())


@pytest.mark.parametrize(
    ("changes", "corrected"),
    [
        ({}, True),
        ({"temperature": 0.7}, True),
        ({"top_p": 0.95}, False),
        ({"repetition_penalty": 1.3}, False),
        ({"temperature": 0.7, "score_at_one": True}, False),
    ],
)
def test_vllm_corrects_plain_samplers_only(monkeypatch, changes, corrected):
    monkeypatch.setattr(vllm_importlib.util, "find_spec", lambda name: object())
    found = vllm_settings(GrpoConfig(vllm=True, **changes), ())
    assert found["vllm_importance_sampling_correction"] is corrected
    assert "generation_kwargs" not in found


@pytest.mark.parametrize("dtype", ["auto", "bfloat16"])
def test_vllm_refuses_an_adapter_on_a_base_that_drifts(monkeypatch, dtype):
    monkeypatch.setattr(vllm_importlib.util, "find_spec", lambda name: object())
    with pytest.raises(ConfigError, match="a bfloat16 base drifts"):
        vllm_settings(GrpoConfig(vllm=True, lora_rank=8, dtype=dtype), ())
    assert vllm_settings(GrpoConfig(vllm=True, lora_rank=8, dtype="float32"), ())["use_vllm"]


def test_vllm_is_told_the_stops_too(monkeypatch):
    monkeypatch.setattr(vllm_importlib.util, "find_spec", lambda name: object())
    found = vllm_settings(GrpoConfig(vllm=True), (10, 13))
    assert found["generation_kwargs"] == {"stop_token_ids": [10, 13]}


def test_vllm_is_told_stops_and_sampler_together(monkeypatch):
    monkeypatch.setattr(vllm_importlib.util, "find_spec", lambda name: object())

    plan = plan_batches(4, 2, 9)
    config = GrpoConfig(vllm=True, generations=3, temperature=0.7, top_p=0.9, score_at_one=True)
    found = grpo._arguments(config, plan, (10,))
    assert found.temperature == 1.0
    assert found.generation_kwargs == {"temperature": 0.7, "top_p": 0.9, "stop_token_ids": [10]}
