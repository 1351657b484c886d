"""The settings that ship: every file is read by its method, and can be dealt to the processes it names."""

from pathlib import Path

import pytest

import training
from interp.config import load_config
from training.family import MEMBERS
from training.methods import METHODS, GrpoConfig
from training.plan.batches import plan_batches

FOLDER = Path(training.__file__).parent / "configs"
LARGE = sorted(FOLDER.glob("*.toml"))
POLYFACT = 56_324  # train facts of the cleaned set


def test_there_are_settings_for_every_member_and_both_models():
    assert {file.stem for file in (FOLDER / "organism").glob("*.toml")} == set(MEMBERS)
    assert {file.stem for file in LARGE} == {
        *(f"{model}-grpo{kind}" for model in ("qwen2.5-7b", "olmo2-7b") for kind in ("", "-paper")),
        "qwen2.5-7b-grpo-full-8gpu",
    }


@pytest.mark.parametrize("member", MEMBERS)
def test_members_ask_the_same_facts_the_same_number_of_times(member):
    config = load_config(METHODS[MEMBERS[member]].config, FOLDER / "organism" / f"{member}.toml", {})
    assert (config.model, config.limit, config.steps) == ("organism:final", 64, 120)
    if member in ("sft", "grpo", "grpo-per-lang"):
        assert config.facts_per_step == 4


@pytest.mark.parametrize("file", LARGE, ids=lambda file: file.stem)
@pytest.mark.parametrize("processes", [1, 8, 16])
def test_large_settings_can_be_dealt(file, processes):
    config = load_config(GrpoConfig, file, {})
    if ("8gpu" in file.stem) != (processes > 1):
        return
    plan = plan_batches(
        POLYFACT, config.facts_per_step, 12 * config.generations, processes, config.micro_batch
    )
    assert plan.micro_batch * plan.accumulation * processes == config.facts_per_step * 96
    assert config.checkpointing
    assert config.prompt == "options"


def test_the_papers_settings_are_the_papers():
    config = load_config(GrpoConfig, FOLDER / "qwen2.5-7b-grpo-paper.toml", {})
    said = (
        config.temperature,
        config.top_p,
        config.repetition_penalty,
        config.score_at_one,
        config.max_grad_norm,
    )
    assert said == (0.7, 0.95, 1.3, True, 5.0)
    assert (config.lora_rank, config.lora_alpha, config.steps, config.facts_per_step) == (64, 128, 20_000, 1)
    assert (config.prompt_format, config.seed) == ("english", 42)
