"""CALM and CM-Align train on their pairs with the published loss, from the parent, and can be resumed."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional
from transformers import AutoModelForCausalLM

from interp.errors import CheckpointError, ConfigError, DataError
from tests.support.extras import needed
from tests.support.tiny import byte_tokenizer, save_checkpoint
from training.methods import CalmConfig, CmAlignConfig
from training.pairs.files import load_pairs
from training.pairs.votes import Pair
from training.preference import pair_rows, train_calm, train_cm_align
from training.run.loop import Run

CALM = CalmConfig(
    model="organism:final",
    languages="en,de",
    limit=10,
    steps=2,
    pairs_per_step=4,
    generations=4,
    new_tokens=10,
    lr=1e-3,
    eval_facts=0,
    device="cpu",
)
CM_ALIGN = CmAlignConfig(
    **{f.name: getattr(CALM, f.name) for f in dataclasses.fields(CALM) if f.name != "canonical"}
)

PAIR = Pair("f", "en", "Capital?", " Paris", " Rome", True, True, 0, 1, {0: 3, 1: 1}, 0, "sampled")


def steps(out):
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [record for record in records if record["event"] == "step"]


def weights(out):
    return load_file(out / "final" / "model.safetensors")


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """A finished CALM run of two steps."""
    out = tmp_path_factory.mktemp("calm")
    told = []
    train_calm(dataclasses.replace(CALM, out=out), lambda *given: told.append(given))
    return out, told


class TestCalm:
    def test_whole_run(self, calm):
        out, told = calm
        model = AutoModelForCausalLM.from_pretrained(out / "final")
        assert model.num_parameters() > 0
        assert {label for label, *_ in told} == {"sampling", "training steps"}
        card = json.loads((out / "final" / "card.json").read_text())
        pairs = load_pairs(out / "pairs.jsonl")
        assert card["method"] == "calm"
        assert card["data"]["pairs"] == json.loads((out / "pairs.json").read_text())
        assert card["data"]["pairs"]["pairs"] == len(pairs)
        assert card["data"]["pairs"]["facts"] == 10
        assert card["data"]["dropped_pairs_per_epoch"] == len(pairs) % 4
        assert {pair.language for pair in pairs} == {"en", "de"}
        assert card["cost"]["tokens"] > 0

    def test_the_reference_is_the_parent(self, calm):
        first, second = steps(calm[0])
        assert first["loss"] == pytest.approx(math.log(2), abs=1e-4)
        assert first["rewards/margins"] == pytest.approx(0, abs=1e-4)
        assert abs(second["rewards/margins"]) > 1e-3

    def test_a_finished_run_is_not_run_again(self, calm):
        out, _ = calm
        told = []
        assert (
            train_calm(dataclasses.replace(CALM, out=out), lambda *given: told.append(given)) == out / "final"
        )
        assert told == []

    def test_given_pairs_train_the_same_weights(self, calm, tmp_path):
        out, _ = calm
        told = []
        config = dataclasses.replace(CALM, out=tmp_path, pairs=out / "pairs.jsonl")
        train_calm(config, lambda *given: told.append(given))
        assert same(weights(out), weights(tmp_path))
        assert {label for label, *_ in told} == {"training steps"}
        assert (tmp_path / "pairs.jsonl").read_bytes() == (out / "pairs.jsonl").read_bytes()

    def test_an_interrupted_run_gives_the_same_weights(self, tmp_path):
        config = dataclasses.replace(CALM, steps=4, save_every=2, pairs_per_step=6, micro_batch=2)
        train_calm(dataclasses.replace(config, out=tmp_path / "whole"))

        def kill(label, done, _):
            if label == "training steps" and done == 3:
                raise RuntimeError("killed")

        parts = dataclasses.replace(config, out=tmp_path / "parts")
        with pytest.raises(RuntimeError, match="killed"):
            train_calm(parts, kill)
        told = []
        train_calm(parts, lambda *given: told.append(given))
        assert told[0] == ("training steps", 3, 4)  # neither sampled again nor begun again
        assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
        assert [record["step"] for record in steps(tmp_path / "parts")] == [1, 2, 3, 4]
        pairs = load_pairs(tmp_path / "parts" / "pairs.jsonl")
        assert len(pairs) // 6 < 3  # so that the run was taken up after the first epoch

    @pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft
    def test_lora(self, calm, tmp_path):
        out, _ = calm
        needed("peft")
        config = dataclasses.replace(CALM, out=tmp_path, pairs=out / "pairs.jsonl", lora_rank=2)
        assert (train_calm(config) / "adapter_model.safetensors").is_file()
        assert steps(tmp_path)[0]["loss"] == pytest.approx(math.log(2), abs=1e-4)


class TestCmAlign:
    def test_whole_run(self, tmp_path):
        final = train_cm_align(dataclasses.replace(CM_ALIGN, out=tmp_path))
        card = json.loads((final / "card.json").read_text())
        assert card["method"] == "cm-align"
        assert set(card["data"]["pairs"]["pairs_by_language"]) == {"de"}
        assert {pair.language for pair in load_pairs(tmp_path / "pairs.jsonl")} == {"de"}
        assert steps(tmp_path)[0]["loss"] == pytest.approx(math.log(2), abs=1e-4)


class TestLoss:
    @pytest.mark.parametrize("per_token", [False, True])
    def test_equals_the_published_form(self, calm, tmp_path, monkeypatch, per_token):
        """-log sigmoid(beta * ((c - c_ref) - (r - r_ref))), each from a forward pass of its own."""
        kept = []
        monkeypatch.setattr(Run, "finish", lambda run, trainer: kept.append(trainer))
        pairs = calm[0] / "pairs.jsonl"
        train_calm(
            dataclasses.replace(CALM, out=tmp_path, pairs=pairs, beta=0.7, length_normalized=per_token)
        )
        trainer = kept[0]
        rows = trainer.train_dataset.select(range(4)).to_list()
        before = [self.sides(trainer.model, row) for row in rows]
        for (chosen, rejected), row in zip(before, rows, strict=True):
            assert row["ref_chosen_logps"] == pytest.approx(chosen, abs=1e-4)
            assert row["ref_rejected_logps"] == pytest.approx(rejected, abs=1e-4)
        torch.manual_seed(0)
        with torch.no_grad():
            for parameter in trainer.model.parameters():
                parameter += 0.02 * torch.randn_like(parameter)
        expected = []
        for (c_ref, r_ref), row in zip(before, rows, strict=True):
            chosen, rejected = self.sides(trainer.model, row)
            n_c, n_r = (len(row["chosen_ids"]), len(row["rejected_ids"])) if per_token else (1, 1)
            margin = (chosen - c_ref) / n_c - (rejected - r_ref) / n_r
            expected.append(-functional.logsigmoid(torch.tensor(0.7 * margin)).item())
        loss = trainer.compute_loss(trainer.model, trainer.data_collator(rows))
        assert loss.item() == pytest.approx(sum(expected) / 4, abs=1e-4)
        assert abs(loss.item() - math.log(2)) > 0.01

    def test_an_epoch_has_whole_steps_only(self, calm, tmp_path, monkeypatch):
        kept = []
        monkeypatch.setattr(Run, "finish", lambda run, trainer: kept.append(trainer))
        train_calm(dataclasses.replace(CALM, out=tmp_path, pairs=calm[0] / "pairs.jsonl", pairs_per_step=5))
        size = len(load_pairs(calm[0] / "pairs.jsonl"))
        assert size % 5
        drawn = list(kept[0]._get_train_sampler())
        assert len(set(drawn)) == len(drawn) == size - size % 5

    @staticmethod
    def sides(model, row):
        found = []
        for side in ("chosen_ids", "rejected_ids"):
            ids = torch.tensor([row["prompt_ids"] + row[side]])
            with torch.no_grad():
                logps = model(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])
            found.append(logps[len(row["prompt_ids"]) - 1 :].sum().item())
        return found


class TestRows:
    TOKENIZER = byte_tokenizer(bos=True)

    def test_prompt_and_answers_are_tokenized_apart(self):
        (row,) = pair_rows([PAIR], self.TOKENIZER, 256)
        assert row["prompt_ids"] == [257, *self.TOKENIZER("Capital?", add_special_tokens=False)["input_ids"]]
        assert self.TOKENIZER.decode(row["chosen_ids"]) == " Paris<eos>"
        assert self.TOKENIZER.decode(row["rejected_ids"]) == " Rome<eos>"

    def test_an_empty_answer_is_the_end_token_and_a_cut_one_has_none(self):
        pair = dataclasses.replace(PAIR, chosen_ended=False, rejected="")
        (row,) = pair_rows([pair], self.TOKENIZER, 256)
        assert self.TOKENIZER.decode(row["chosen_ids"]) == " Paris"
        assert row["rejected_ids"] == [258]

    def test_nothing_is_cut_to_the_context(self):
        with pytest.raises(DataError, match=r"Pair 1 \(f, en\) has 16 tokens; the model's context is 15"):
            pair_rows([PAIR], self.TOKENIZER, 15)
        assert pair_rows([PAIR], self.TOKENIZER, 16)


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"beta": 0.0}, "beta is 0.0; a number above 0"),
            ({"temperature": -1.0}, "temperature -1.0 must not be below 0"),
            ({"top_p": 0.0}, "top_p 0.0 above 0"),
            ({"generations": 0}, "generations is 0"),
            ({"temperature": 0.0}, "generations is 4 at temperature 0.0"),
        ],
    )
    def test_settings_out_of_range(self, tmp_path, change, words):
        with pytest.raises(ConfigError, match=words):
            train_calm(dataclasses.replace(CALM, out=tmp_path / "run", **change))
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize("change", [{"pivot": "ja"}, {"pivot": "english"}, {"languages": "en"}])
    def test_a_pivot_that_cannot_lead(self, tmp_path, change):
        words = (
            r"the pivot must be one of them, and not the only one\.( Did you mean 'en' \(English\)\?)? Add"
        )
        with pytest.raises(ConfigError, match=words):
            train_cm_align(dataclasses.replace(CM_ALIGN, out=tmp_path / "run", **change))
        assert not (tmp_path / "run").exists()

    def test_no_pairs(self, tmp_path):
        model = save_checkpoint(tmp_path / "model", max_position_embeddings=1024)
        config = dataclasses.replace(CALM, model=str(model), out=tmp_path / "run", limit=2, new_tokens=2)
        for _ in range(2):  # the second time from the saved pairs, of which there are none
            with pytest.raises(
                DataError, match=r"give no pair \(facts 2, voted 0, ties 0, unresolved 2\): nothing"
            ):
                train_calm(config)

    def test_fewer_pairs_than_a_step(self, tmp_path, calm):
        config = dataclasses.replace(CALM, out=tmp_path, pairs=calm[0] / "pairs.jsonl", pairs_per_step=999)
        with pytest.raises(ConfigError, match=r"There are \d+ pairs, fewer than the 999 of one step"):
            train_calm(config)

    def test_other_pairs_than_the_run_began_with(self, tmp_path, calm):
        def kill(*_):
            raise RuntimeError("killed")

        given = calm[0] / "pairs.jsonl"
        config = dataclasses.replace(CALM, out=tmp_path / "run", pairs=given)
        with pytest.raises(RuntimeError, match="killed"):
            train_calm(config, kill)
        other = tmp_path / "other.jsonl"
        other.write_text("".join(given.read_text().splitlines(keepends=True)[1:]))
        with pytest.raises(DataError, match="was begun with other pairs than"):
            train_calm(dataclasses.replace(config, pairs=other))

    def test_pairs_of_other_facts(self, tmp_path, calm):
        config = dataclasses.replace(CALM, out=tmp_path, pairs=calm[0] / "pairs.jsonl", limit=1)
        with pytest.raises(DataError, match="is of none of the 1 train facts in en,de"):
            train_calm(config)

    def test_another_recipe(self, calm):
        with pytest.raises(CheckpointError, match=r"beta: 0.1 in the folder, 0.5 requested"):
            train_calm(dataclasses.replace(CALM, out=calm[0], beta=0.5))
