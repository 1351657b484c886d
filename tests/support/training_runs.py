"""Small runs for the tests of training: facts in three languages, a model that knows some, a look inside."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import time
from functools import cache
from pathlib import Path

import torch

from interp.data.facts import Fact, FactSet, Wording
from tests.support import PATIENCE
from tests.support.tiny import byte_tokenizer, tiny_model

LANGUAGES = ("en", "de", "sw")
WORDS = {"en": ("yes", "nope"), "de": ("gut", "mist"), "sw": ("ndiyo", "hapa")}
"""Right and wrong answer."""


def little_facts(train: int = 6, validation: int = 2, languages=LANGUAGES) -> FactSet:
    """Facts whose prompts differ in length between facts and between languages."""
    facts = [
        Fact(
            fact_id=f"f{n}",
            relation="truth",
            subject_id=f"s{n}",
            object_id="right",
            option_ids=("right", "wrong"),
            split="train" if n < train else "validation",
            wording={
                code: Wording("a" * (3 * n + 5 * i) + f"{n}?", f"{code} {n}", WORDS[code])
                for i, code in enumerate(languages)
            },
        )
        for n in range(train + validation)
    ]
    return FactSet("little", tuple(facts), tuple(languages))


@cache
def _taught(family: str) -> dict[str, torch.Tensor]:
    """Weights that answer right, wrong, with nothing or with nonsense, and end lines."""
    from training.examples import make_examples

    facts = little_facts(4, 0)
    examples = [e for fact in make_examples(facts, facts).facts for e in fact]
    tokenizer = byte_tokenizer()
    model = tiny_model(family).requires_grad_(True).train()
    rows = []
    for e in examples:
        right, wrong = (e.separator + option for option in e.options)
        for said in (f"{right}<eos>", f"{wrong}\nz<eos>", "<eos>", " zz\n<eos>"):
            rows.append((tokenizer(e.prompt)["input_ids"], tokenizer(said)["input_ids"]))
    width = max(len(p) + len(a) for p, a in rows)
    ids = torch.tensor([p + a + [256] * (width - len(p) - len(a)) for p, a in rows])
    scored = torch.tensor(
        [[False] * len(p) + [True] * len(a) + [False] * (width - len(p) - len(a)) for p, a in rows]
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(60):
        logits = model(ids, attention_mask=(ids != 256).long()).logits[:, :-1][scored[:, 1:]]
        loss = torch.nn.functional.cross_entropy(logits, ids[:, 1:][scored[:, 1:]])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.state_dict()


def save_taught(folder: Path, family: str = "qwen2") -> Path:
    """Write a checkpoint of a model whose answers are of every kind."""
    model = tiny_model(family)
    model.load_state_dict(_taught(family))
    model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


def settings(folder: Path, **changes) -> dict:
    """What a run is told, as keywords of a configuration."""
    return {
        "model": str(folder / "parent"),
        "data": str(folder / "facts.jsonl"),
        "out": folder / "out",
        "languages": ",".join(LANGUAGES),
        "facts_per_step": 2,
        "eval_facts": 0,
        "warmup": 0.0,
        "device": "cpu",
        **changes,
    }


def grpo_settings(folder: Path, **changes) -> dict:
    """The same for GRPO: three rollouts of at most eight tokens."""
    return settings(
        folder,
        **{"generations": 3, "new_tokens": 8, "rollouts_every": 0, "dead_run_patience": 0, "steps": 1}
        | changes,
    )


def read_table(file: Path) -> list[dict]:
    """The rows of a table that a run wrote."""
    import pyarrow.parquet as pq

    return pq.read_table(file).to_pylist()


def records(out: Path, event: str = "step") -> list[dict]:
    """The lines of metrics.jsonl; one that is being written is none."""
    file, found = out / "metrics.jsonl", []
    for line in file.read_text().splitlines() if file.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return [record for record in found if record["event"] == event]


def weights(out: Path) -> dict[str, torch.Tensor]:
    """The trained weights."""
    from safetensors.torch import load_file

    return load_file(out / "final" / "model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether two sets of weights are the same to the bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# other processes


def start(method: str, told: dict, processes: int = 1, act=None) -> list:
    """Start a run in other processes; ``act`` is called in each before it, with its rank."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["training.grpo", "training.sft", "peft", "tests.support.training_runs"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    rest = (port, processes, method, told, act)
    started = [context.Process(target=_worker, args=(rank, *rest)) for rank in range(processes)]
    for process in started:
        process.start()
    return started


def _worker(rank: int, port: int, processes: int, method: str, told: dict, act) -> None:
    from interp.errors import InterpError

    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    if processes > 1:  # what torchrun sets
        world = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        os.environ |= {name: str(value) for name, value in {**world, **place}.items()}
    if act:
        act(rank)
    try:
        train(method, told)
    except InterpError as error:
        print(error, flush=True)
        raise SystemExit(error.exit_code) from None


def train(method: str, told: dict) -> Path:
    """Run a method."""
    from training.methods import METHODS

    return METHODS[method].train(METHODS[method].config(**told))


def stop_at(started: list, out: Path, step: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to all processes of a run once it has logged a step, and wait for their end."""
    until = time.monotonic() + PATIENCE
    while not any(record["step"] >= step for record in records(out)):
        assert all(process.exitcode is None for process in started), "it ended before the signal"
        assert time.monotonic() < until, "it never came to the step"
        time.sleep(0.002)
    for process in started:
        os.kill(process.pid, number)
    wait(started)


def wait(started: list) -> list[int]:
    """Wait for the end of a run and return the exit codes."""
    for process in started:
        process.join(PATIENCE)
    return [process.exitcode for process in started]
