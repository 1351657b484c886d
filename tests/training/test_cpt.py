"""Continued pre-training: documents that cannot see each other, the loss on paper, whole runs, refusals."""

import json
from collections import Counter

import pytest
import torch
from torch.nn import functional

from interp.data.sources.cldr import cldr_facts
from interp.errors import CheckpointError, ConfigError, DataError
from tests.support.extras import needed
from tests.support.tiny import byte_tokenizer, save_checkpoint
from tests.support.training_runs import records, same, weights

needed("trl")
from training.corpus.documents import fact_documents  # noqa: E402
from training.cpt import pack, plan_rows, train_cpt  # noqa: E402
from training.methods import CptConfig  # noqa: E402
from training.run.loop import Run  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
END = 258


def config(out, **changes):
    told = {
        "model": "organism:final",
        "out": out,
        "languages": "en,sw,zh",
        "limit": 20,
        "steps": 2,
        "rows_per_step": 4,
        "block_tokens": 128,
        "eval_facts": 0,
        "warmup": 0.0,
        "lr": 1e-3,
        "device": "cpu",
    }
    return CptConfig(**{**told, **changes})


@pytest.fixture
def trainers(monkeypatch):
    """Trainers as they go into `Run.finish`, which then does nothing."""
    made = []

    def finish(run, trainer):
        made.append((run, trainer))
        return run.out

    monkeypatch.setattr(Run, "finish", finish)
    return made


@pytest.fixture(scope="module", params=["qwen2", "olmo2"])
def parent(request, tmp_path_factory):
    return save_checkpoint(tmp_path_factory.mktemp(request.param) / "parent", request.param)


def split(batch):
    """The documents of a batch: slices from each position 0 to the next."""
    starts = (batch["position_ids"][0] == 0).nonzero().flatten().tolist()
    return [slice(a, b) for a, b in zip(starts, [*starts[1:], batch["input_ids"].shape[1]], strict=True)]


def batches(trainer):
    return list(trainer.get_train_dataloader())


# packing


@pytest.mark.parametrize("micro_batch", [1, 2])
def test_a_packed_document_has_the_logits_it_has_alone(tmp_path, parent, trainers, micro_batch):
    train_cpt(config(tmp_path / "out", model=str(parent), block_tokens=256, micro_batch=micro_batch))
    (_, trainer), *_ = trainers
    batch = batches(trainer)[0]
    model = trainer.model.eval()
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    with torch.no_grad():
        together = model(**inputs, use_cache=False).logits[0]
        documents = split(batch)
        assert len(documents) > 2 * micro_batch
        for part in documents:
            alone = model(input_ids=batch["input_ids"][:, part]).logits[0]
            assert (together[part] - alone).abs().max() < 1e-5
        # the measure can see a leak: without positions, later documents see earlier ones
        leaking = model(input_ids=batch["input_ids"], use_cache=False).logits[0]
        assert (leaking[documents[1]] - together[documents[1]]).abs().max() > 1e-2


def test_batches_hold_each_document_once_whole_and_with_one_end_token(tmp_path, parent, trainers):
    told = config(tmp_path / "out", model=str(parent), block_tokens=90, code_switch=0.5, steps=0)
    train_cpt(told)
    (run, trainer), *_ = trainers
    read = Counter()
    for batch in batches(trainer):
        for part in split(batch):
            ids = batch["input_ids"][0, part].tolist()
            assert ids.count(END) == 1
            assert ids[-1] == END
            read[tuple(ids)] += 1
    facts = cldr_facts().filter(splits=["train"], languages=("en", "sw", "zh"), limit=20)
    documents = fact_documents(facts, lexicon=0.3, code_switch=0.5).documents
    expected = Counter((*byte_tokenizer()(d.text)["input_ids"], END) for d in documents)
    too_long = {ids: n for ids, n in expected.items() if len(ids) > 90}
    assert too_long
    assert read == expected - Counter(too_long)
    assert run.data["corpus"]["left_out"]["too_long"] == sum(too_long.values())
    assert trainer.args.max_steps == -(-len(trainer.train_dataset) // 4)


def test_a_row_holds_whole_documents_up_to_the_block():
    rows = pack([[1] * n for n in (10, 3, 7, 5, 5, 1)], 10)
    assert sorted(map(sorted, rows["seq_lengths"])) == [[1], [3, 7], [5, 5], [10]]
    assert [len(ids) for ids in rows["input_ids"]] == [sum(lengths) for lengths in rows["seq_lengths"]]


def test_a_tokenizer_that_adds_the_end_itself_ends_documents_once(tmp_path, trainers):
    from tokenizers.processors import TemplateProcessing

    folder = save_checkpoint(tmp_path / "parent", "qwen2")
    file = folder / "tokenizer.json"
    backend = byte_tokenizer().backend_tokenizer.from_file(str(file))
    backend.post_processor = TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", END)])
    backend.save(str(file))
    train_cpt(config(tmp_path / "out", model=str(folder), block_tokens=256))
    (_, trainer), *_ = trainers
    batch = batches(trainer)[0]
    assert all(batch["input_ids"][0, part].tolist().count(END) == 1 for part in split(batch))


# the loss


def test_the_loss_is_the_mean_over_all_tokens_of_a_step(tmp_path, parent, trainers):
    train_cpt(config(tmp_path / "out", model=str(parent), block_tokens=256, micro_batch=2))
    (_, trainer), *_ = trainers
    trainer.model.train()
    two = batches(trainer)[:2]
    total, count = torch.tensor(0.0), 0
    with torch.no_grad():
        for batch in two:
            for part in split(batch):
                ids = batch["input_ids"][:, part]
                logits = trainer.model(input_ids=ids).logits
                total += functional.cross_entropy(logits[0, :-1], ids[0, 1:], reduction="sum")
                count += ids.shape[1] - 1
        n = trainer._get_num_items_in_batch(two, torch.device("cpu"))
        assert n == count
        found = sum(trainer.compute_loss(trainer.model, dict(b), num_items_in_batch=n) for b in two)
    assert found.item() == pytest.approx(total.item() / count, rel=1e-5)


def test_micro_batches_do_not_change_the_step(tmp_path, parent):
    for size in (1, 2, 4):
        train_cpt(
            config(tmp_path / str(size), model=str(parent), micro_batch=size, block_tokens=256, steps=1)
        )
    losses = [records(tmp_path / str(size))[0]["loss"] for size in (1, 2, 4)]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)
    norms = [records(tmp_path / str(size))[0]["grad_norm"] for size in (1, 2, 4)]
    assert norms == pytest.approx([norms[0]] * 3, rel=1e-4)


# whole runs


def test_a_run_on_the_organism_learns_and_says_what_it_read(tmp_path):
    told = config(tmp_path, steps=4, eval_facts=2, code_switch=0.5)
    assert train_cpt(told) == tmp_path / "final"
    steps = records(tmp_path)
    assert [record["step"] for record in steps] == [1, 2, 3, 4]
    assert steps[-1]["loss"] < steps[0]["loss"]
    assert len(records(tmp_path, "evaluation")) == 4  # two splits at both ends
    card = json.loads((tmp_path / "final" / "card.json").read_text())
    corpus = card["data"]["corpus"]
    assert corpus["kinds"] == {"fact": 30, "names": 26, "switched": 30}
    assert corpus["switched"] == 30
    assert list(corpus["tokens_per_language"]) == ["en", "sw", "zh"]
    assert len(corpus["digest"]) == 64
    assert card["cost"]["tokens"] > 3 * corpus["tokens"] / corpus["rows"]
    assert train_cpt(told) == tmp_path / "final"  # finished: nothing is done again


def test_an_epoch_reads_every_token_once_and_its_last_step_may_be_smaller(tmp_path):
    train_cpt(config(tmp_path, steps=0, epochs=2))
    corpus = json.loads((tmp_path / "final" / "card.json").read_text())["data"]["corpus"]
    assert corpus["rows"] % 4, "the case is only tested with a smaller last step"
    steps = records(tmp_path)
    assert len(steps) == 2 * -(-corpus["rows"] // 4)
    assert steps[len(steps) // 2 - 1]["tokens"] == corpus["tokens"]
    assert steps[-1]["tokens"] == 2 * corpus["tokens"]
    assert steps[-1]["epoch"] == 2


@pytest.mark.parametrize("at", [2, 6])
def test_a_run_that_was_killed_continues_to_the_same_weights(tmp_path, at):
    """Also in the second epoch: four steps make one."""
    told = {"steps": 8, "save_every": 2, "code_switch": 0.5}
    train_cpt(config(tmp_path / "whole", **told))

    def fail(label, done, total):
        if done == at + 1:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        train_cpt(config(tmp_path / "parts", **told), fail)
    seen = []
    train_cpt(config(tmp_path / "parts", **told), lambda label, done, total: seen.append(done))
    assert seen == list(range(at + 1, 9))
    assert records(tmp_path / "whole")[-1]["epoch"] > 1
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    losses = [[r["loss"] for r in records(tmp_path / name)] for name in ("whole", "parts")]
    assert losses[0] == losses[1]


def test_random_weights_know_nothing_and_depend_on_the_seed(tmp_path):
    train_cpt(config(tmp_path / "one", init="random"))
    train_cpt(config(tmp_path / "same", init="random"))
    train_cpt(config(tmp_path / "other", init="random", seed=1))
    assert records(tmp_path / "one")[0]["loss"] == pytest.approx(torch.tensor(6000.0).log().item(), abs=0.3)
    assert same(weights(tmp_path / "one"), weights(tmp_path / "same"))
    assert not same(weights(tmp_path / "one"), weights(tmp_path / "other"))


def test_an_adapter_is_trained(tmp_path):
    train_cpt(config(tmp_path, lora_rank=2))
    assert (tmp_path / "final" / "adapter_model.safetensors").is_file()
    card = json.loads((tmp_path / "final" / "card.json").read_text())
    assert 0 < card["trained_parameters"] < card["parameters"] / 10


@pytest.fixture
def folder(tmp_path):
    lines = {"en": "one\ntwo\nthree\n" * 20, "sw": "moja\nmbili\ntatu\n" * 20, "zh": "一\n二\n\n" * 20}
    (tmp_path / "lines").mkdir()
    for code, text in lines.items():
        (tmp_path / "lines" / f"{code}.txt").write_text(text, encoding="utf-8")
    return tmp_path / "lines"


def test_aligned_lines_are_learned_and_belong_to_the_recipe(tmp_path, folder):
    told = config(tmp_path / "out", corpus=str(folder))
    train_cpt(told)
    corpus = json.loads((tmp_path / "out" / "final" / "card.json").read_text())["data"]["corpus"]
    assert corpus["kinds"] == {"lines": 60}
    assert (corpus["empty_lines"], corpus["aligned_rows"]) == (20, 60)
    (folder / "en.txt").write_text("one\ntwo\nTHREE\n" * 20)
    with pytest.raises(CheckpointError, match="corpus_digest"):
        train_cpt(told)


def test_the_budget_reaches_the_corpus(tmp_path, trainers):
    train_cpt(config(tmp_path, budget=300))
    (run, _), *_ = trainers
    spent = run.data["corpus"]["tokens_per_language"]
    assert all(200 < n <= 300 for n in spent.values())
    assert run.data["corpus"]["left_out"]["over_budget"] > 0


# refusals


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"code_switch": 1.5}, "'code_switch' is 1.5; a number from 0 to 1"),
        ({"code_switch": float("nan")}, "'code_switch' is nan"),
        ({"lexicon": 1.0}, "lexicon is 1.0; a share"),
        ({"languages": "en"}, "lexicon is 0.3, but there is one language"),
        (
            {"block_tokens": 512},
            "block_tokens is 512; the context of organism:final is 256 tokens. Set block_tokens",
        ),
        ({"block_tokens": 1}, "'block_tokens' is 1; a number of at least 2"),
        ({"rows_per_step": 0}, "'rows_per_step' is 0; a number of at least 1"),
        ({"budget": -1}, "'budget' is -1; a number of at least 0"),
        ({"micro_batch": 3}, "micro_batch is 3, which does not divide the 4 rows .* Set it to 2 or 4"),
        ({"init": "random", "lora_rank": 4}, "init random with an adapter"),
        ({"corpus": "nowhere"}, "corpus is 'nowhere': neither 'facts' nor a folder"),
    ],
)
def test_impossible_settings_are_refused_before_the_model_is_loaded(tmp_path, monkeypatch, changes, said):
    def never(*args, **kwargs):
        raise AssertionError("the parent was opened")

    monkeypatch.setattr("training.run.loop.open_parent", never)
    with pytest.raises(ConfigError, match=said):
        train_cpt(config(tmp_path / "out", **changes))
    assert not (tmp_path / "out").exists()


def test_names_cannot_be_switched_in_aligned_lines(tmp_path, folder):
    with pytest.raises(ConfigError, match=r"code_switch is 0.5, but aligned lines do not say what is a name"):
        train_cpt(config(tmp_path / "out", corpus=str(folder), code_switch=0.5))


def test_aligned_lines_of_other_lengths_are_refused_before_the_folder_is_claimed(tmp_path, folder):
    (folder / "sw.txt").write_text("moja\n")
    with pytest.raises(DataError, match=r"60 lines and sw\.txt 1"):
        train_cpt(config(tmp_path / "out", corpus=str(folder)))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("told", "processes", "expected"),
    [
        ((32, 0, 256), 1, (4, 8)),
        ((32, 0, 256), 2, (4, 4)),
        ((6, 0, 256), 1, (3, 2)),
        ((32, 0, 4096), 1, (1, 32)),
        ((32, 8, 256), 4, (8, 1)),
    ],
)
def test_rows_are_divided_evenly(told, processes, expected):
    per_step, micro_batch, block = told
    config = CptConfig(rows_per_step=per_step, micro_batch=micro_batch, block_tokens=block)
    plan = plan_rows(config, processes, rows=3 * per_step + 1)
    assert (plan.micro_batch, plan.accumulation) == expected
    assert (plan.steps_per_epoch, plan.dropped) == (4, 0)


def test_rows_that_cannot_be_divided_are_refused():
    with pytest.raises(
        ConfigError, match=r"A step of 7 rows cannot .* 2 processes. Set rows_per_step to 6 or 8"
    ):
        plan_rows(CptConfig(rows_per_step=7), 2, 100)


def test_progress_bars_are_as_before():
    import datasets

    pack([[1, 2]], 4)
    assert not datasets.are_progress_bars_disabled()
