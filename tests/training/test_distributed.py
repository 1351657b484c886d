"""Two processes: a fact whose rows go to both is still pooled as one, and is trained as in one process."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.command import run_process
from tests.support.extras import needed
from tests.support.tiny import byte_tokenizer
from tests.support.training_runs import (
    LANGUAGES,
    WORDS,
    grpo_settings,
    little_facts,
    read_table,
    save_taught,
    start,
    wait,
    weights,
)

needed("trl")

EOS = 258
STRADDLING = {"facts_per_step": 1, "generations": 2, "rollouts_every": 1}  # 6 rows, 3 to each process


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    save_taught(folder / "parent")
    little_facts().save(folder / "facts.jsonl")
    return folder


def look(folder: Path, rank: int) -> None:
    """Say what does not depend on the number of processes, and write down what comes into the loss."""
    from training.rollouts.trainer import PooledGRPOTrainer

    plain_loss, plain_rewards = PooledGRPOTrainer._compute_loss, PooledGRPOTrainer._calculate_rewards

    def said(self, prompt_ids, *rest):
        """By the row's place in its fact: right, wrong, nonsense, or nothing."""
        first = int(os.environ.get("RANK", 0)) * len(prompt_ids)
        texts = []
        for row in range(first, first + len(prompt_ids)):
            right, wrong = WORDS[LANGUAGES[row % 6 // 2]]
            texts.append([f" {right}", f" {wrong}", f" {right}", " zz", " zz z", ""][row % 6])
        return [[*byte_tokenizer()(text)["input_ids"], EOS] for text in texts], None

    def loss(self, model, inputs):
        with (folder / f"loss-{rank}.jsonl").open("a") as stream:
            for ids, mask, advantage in zip(
                inputs["completion_ids"], inputs["completion_mask"].bool(), inputs["advantages"], strict=True
            ):
                stream.write(json.dumps([ids[mask].tolist(), advantage.item()]) + "\n")
        return plain_loss(self, model, inputs)

    def rewards(self, *given):
        found = plain_rewards(self, *given)
        (folder / f"rewards-{rank}.json").write_text(json.dumps(found.flatten().tolist()))
        return found

    PooledGRPOTrainer._generate_single_turn = said
    PooledGRPOTrainer._compute_loss = loss
    PooledGRPOTrainer._calculate_rewards = rewards


def by_hand(pooling: str) -> tuple[list[float], np.ndarray]:
    """Rewards and advantages of the six rows: scores [1, 0], [1, -1/2], [-1/2, -1]."""
    scores = np.array([[1.0, 0.0], [1.0, -0.5], [-0.5, -1.0]])
    if pooling == "group":
        scores = np.tile(scores.sum(0), (3, 1))
    centered = scores - scores.mean(1, keepdims=True)
    return scores.flatten().tolist(), (centered / (scores.std(1, keepdims=True) + 1e-6)).flatten()


@pytest.mark.parametrize("pooling", ["group", "per_lang"])
def test_a_fact_over_two_processes_is_pooled_as_in_one(place, tmp_path, pooling):
    expected_rewards, expected = by_hand(pooling)
    finals = {}
    for processes in (1, 2):
        folder = tmp_path / f"of-{processes}"
        folder.mkdir()
        told = grpo_settings(
            place, out=folder / "out", pooling=pooling, lr=1e-3, max_grad_norm=1e9, **STRADDLING
        )
        assert wait(start("grpo", told, processes, functools.partial(look, folder))) == [0] * processes
        rows = []
        for rank in range(processes):
            assert json.loads((folder / f"rewards-{rank}.json").read_text()) == expected_rewards
            lines = (folder / f"loss-{rank}.jsonl").read_text().splitlines()
            assert len(lines) == 6 // processes
            rows += map(json.loads, lines)
        table = read_table(folder / "out" / "rollouts" / "step-000001.parquet")
        assert [row["language"] for row in table] == [code for code in LANGUAGES for _ in range(2)]
        assert len({row["fact_id"] for row in table}) == 1
        assert [row["advantage"] for row in table] == pytest.approx(expected)
        texts = [byte_tokenizer()(row["completion"])["input_ids"] + [EOS] for row in table]
        into_loss = {tuple(ids): advantage for ids, advantage in rows}
        assert len(into_loss) == 6
        assert [into_loss[tuple(ids)] for ids in texts] == pytest.approx(expected, abs=1e-5)
        finals[processes] = weights(folder / "out")
    for name in finals[1]:
        assert torch.allclose(finals[1][name], finals[2][name], atol=2e-5), name


@pytest.mark.slow
def test_torchrun(place, tmp_path):
    """As a user starts it."""
    told = {
        k: str(v) if isinstance(v, Path) else v
        for k, v in grpo_settings(place, out=tmp_path / "out", **STRADDLING).items()
    }
    script = tmp_path / "script.py"
    script.write_text(
        "import json, sys\nfrom pathlib import Path\n"
        "from training.methods import GrpoConfig\nfrom training.grpo import train_grpo\n"
        "told = json.loads(sys.argv[1])\n"
        "train_grpo(GrpoConfig(**{**told, 'out': Path(told['out'])}))\n"
    )
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = run_process(*launch, script, json.dumps(told), warnings="default")
    assert done.code == 0, done.stderr
    card = json.loads((tmp_path / "out" / "final" / "card.json").read_text())
    assert card["resolved"]["processes"] == 2
    assert card["resolved"]["micro_batch"] == 3
    assert len(read_table(tmp_path / "out" / "rollouts" / "step-000001.parquet")) == 6
