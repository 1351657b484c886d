"""An oracle: EleutherAI's lm-evaluation-harness on our tasks gives our numbers, item by item; and where it
cannot.

It runs as its own command does, in another process, on tiny models with a trained tokenizer. Needs lm_eval.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from analyses.comparison import compare
from analyses.lm_eval import import_samples
from interp.data.facts import FactSet
from interp.data.lm_eval import METRICS, write_tasks
from interp.data.prompts import prompts_from_facts
from interp.data.sources import open_facts
from interp.errors import MeasurementError
from interp.measure.behavior.choice import measure_behavior
from interp.model.loading import open_checkpoint
from interp.results.behavior import BehaviorResult
from tests.support.command import run_process
from tests.support.lm_eval_logs import read_rows
from tests.support.tiny import tiny_model

pytestmark = [
    pytest.mark.lm_eval,
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("lm_eval") is None and os.environ.get("INTERP_REQUIRE_EXTRAS") != "1",
        reason="needs lm_eval",
    ),
]

LANGUAGES = ("en", "sw", "zh")
SPECIAL = ["<pad>", "<bos>", "<eos>"]
RUNS = {  # name: model and its arguments
    "plain": ("plain", "dtype=float32"),
    "bos": ("bos", "dtype=float32"),
    "bos left out": ("bos", "dtype=float32,add_bos_token=False"),
    "short and coarse": ("plain", "dtype=bfloat16,max_length=20"),
    "merging": ("merging", "dtype=float32"),
}
COMMANDS = """
import functools, json, sys
import lm_eval.tasks, torch.utils.collect_env
from lm_eval.__main__ import cli_evaluate
# half a minute per run that changes no number: its own 14 000 tasks, and a description of the machine
lm_eval.tasks.TaskManager = functools.partial(lm_eval.tasks.TaskManager, include_defaults=False)
torch.utils.collect_env.get_pretty_env_info = lambda: ""
for arguments in json.loads(sys.argv[1]):
    sys.argv[1:] = arguments
    cli_evaluate()
"""


def save_model(folder: Path, backend: Tokenizer, *, bos: bool = False) -> None:
    """A random llama with this tokenizer."""
    backend.decoder = decoders.ByteLevel()
    if bos:
        backend.post_processor = processors.TemplateProcessing(
            single="<bos> $A", special_tokens=[("<bos>", 1)]
        )
    names = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>"}
    PreTrainedTokenizerFast(tokenizer_object=backend, **names).save_pretrained(folder)
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    tiny_model(vocab_size=backend.get_vocab_size(), **ids).save_pretrained(folder)


def trained(texts: list[str]) -> Tokenizer:
    """400 tokens, none across the border of a word."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    return backend


def merging() -> Tokenizer:
    """A token per byte, and one for a colon with the space after it."""
    symbols = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), ":Ġ"]
    backend = Tokenizer(models.BPE({symbol: i for i, symbol in enumerate(symbols)}, [(":", "Ġ")]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return backend


@pytest.fixture(scope="module")
def facts() -> FactSet:
    return open_facts("cldr").filter(languages=LANGUAGES, limit=8)


@pytest.fixture(scope="module")
def root(facts, tmp_path_factory) -> Path:
    """Exported tasks, moved; models; and what the harness wrote in each run."""
    root = tmp_path_factory.mktemp("harness")
    write_tasks(facts, root / "exported")
    shutil.move(root / "exported", root / "tasks")
    prompts = prompts_from_facts(facts).prompts
    texts = [prompt.full_text for code in LANGUAGES for prompt in prompts[code]]
    save_model(root / "plain", trained(texts))
    save_model(root / "bos", trained(texts), bos=True)
    save_model(root / "merging", merging())
    common = [
        "--include_path",
        root / "tasks",
        "--tasks",
        "interp_cldr",
        "--batch_size",
        "8",
        "--device",
        "cpu",
    ]
    commands = []
    for name, (model, arguments) in RUNS.items():
        asked = ["run", "--model", "hf", "--model_args", f"pretrained={root / model},{arguments}", *common]
        commands.append([*asked, "--log_samples", "--output_path", root / "runs" / name])
    (root / "elsewhere").mkdir()
    done = run_process(
        *("-c", COMMANDS, json.dumps(commands, default=str)),
        cwd=root / "elsewhere",
        warnings="default",
        HF_HOME=str(root / "home"),
        TOKENIZERS_PARALLELISM="false",
    )
    assert done.code == 0, done.stderr[-3000:]
    assert "Truncating" in done.stderr  # the run that is too short says so, there alone
    return root


def files_of(root: Path, name: str) -> dict[str, Path]:
    return {
        code: next((root / "runs" / name).glob(f"*/samples_interp_cldr_{code}_*.jsonl")) for code in LANGUAGES
    }


def theirs(root: Path, name: str) -> BehaviorResult:
    return import_samples(list(files_of(root, name).values()))


@pytest.fixture(scope="module")
def ours(root, facts) -> dict[str, BehaviorResult]:
    return {name: measure_behavior(open_checkpoint(str(root / name)), facts) for name in ("plain", "bos")}


@pytest.mark.parametrize("name", ["plain", "bos", "merging"])
def test_both_tokenize_alike(root, facts, name):
    loaded, auto = open_checkpoint(str(root / name)).tokenizer, AutoTokenizer.from_pretrained(root / name)
    for code, prompts in prompts_from_facts(facts).prompts.items():
        for prompt in prompts:
            assert loaded(prompt.full_text)["input_ids"] == auto(prompt.full_text)["input_ids"], code


@pytest.mark.parametrize("name", ["plain", "bos"])
def test_log_probabilities_are_the_same_item_by_item(root, ours, name):
    found = theirs(root, name)
    assert np.ptp(found.log_probability) > 1
    assert found.log_probability == pytest.approx(ours[name].log_probability, abs=1e-4)
    for field in ("fact_ids", "languages", "golds", "answers", "relations", "groups", "splits"):
        assert getattr(found, field) == getattr(ours[name], field)
    for field in ("gold", "characters", "bytes"):
        assert np.array_equal(getattr(found, field), getattr(ours[name], field))


@pytest.mark.parametrize("name", ["plain", "bos"])
def test_accuracies_are_the_same_item_by_item(root, ours, name):
    for column, file in enumerate(files_of(root, name).values()):
        rows = read_rows(file)
        for metric, scoring in METRICS.items():
            assert [row[metric] for row in rows] == ours[name].credit(scoring)[:, column].tolist()
    (results,) = (root / "runs" / name).glob("*/results_*.json")
    logged = json.loads(results.read_text())["groups"]["interp_cldr"]
    for metric, scoring in METRICS.items():
        assert logged[f"{metric},none"] == pytest.approx(ours[name].credit(scoring).mean(), abs=1e-12)
    assert len({logged[f"{metric},none"] for metric in METRICS}) > 1  # the lengths matter here


@pytest.mark.parametrize("name", ["plain", "bos"])
def test_consistency_is_the_same_and_they_compare(root, ours, name):
    found = theirs(root, name)
    for scoring in METRICS.values():
        assert found.consistency(scoring) == ours[name].consistency(scoring)
        assert (compare(ours[name], found, scoring=scoring).to_frame().change == 0).all()
    run = found.provenance.run
    assert (run["dtype"], run["context"], run["notes"]) == ("float32", 512, [])
    assert found.provenance.checkpoint == str(root / name)


def test_a_bos_that_only_one_side_has_changes_the_numbers(root, ours):
    found = theirs(root, "bos left out")
    assert np.abs(found.log_probability - ours["bos"].log_probability).max() > 0.1
    assert "add_bos_token=False" in found.provenance.run["model_args"]


def test_what_makes_a_run_weaker_is_told(root, ours):
    found = theirs(root, "short and coarse")
    assert np.abs(found.log_probability - ours["plain"].log_probability).max() > 0.1
    cut, coarse = found.provenance.run["notes"]
    assert "for a context of 20 tokens. The harness cuts what is too long on the left" in cut
    assert "log-softmax in bfloat16" in coarse


def test_a_token_across_prompt_and_option_is_scored_there_and_refused_here(root, facts):
    """The harness then asks for 'Answer:Paris', in which the model has never seen the space."""
    loaded = open_checkpoint(str(root / "merging"))
    with pytest.raises(MeasurementError, match="the tokens of the prompt are not the first ones"):
        measure_behavior(loaded, facts)
    found = theirs(root, "merging").log_probability[0, 0, 0]
    asked = prompts_from_facts(facts).prompts["en"][0].text
    context, option = (
        loaded.tokenizer(text)["input_ids"] for text in (asked, facts.facts[0].wording["en"].options[0])
    )
    logged = (
        loaded.model(torch.tensor([context + option])).logits[0, len(context) - 1 : -1].log_softmax(dim=-1)
    )
    assert found == pytest.approx(float(logged.gather(1, torch.tensor(option)[:, None]).sum()), abs=1e-4)
