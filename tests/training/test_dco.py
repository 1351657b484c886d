"""DCO's loss is the published one, its instances have no label, its reference is the parent, runs resume."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from interp.data.sources import open_facts
from interp.errors import ConfigError, DataError
from tests.support.extras import needed
from tests.support.tiny import byte_tokenizer, tiny_model
from training.dco import (
    Instance,
    InstanceCollator,
    dco_loss,
    draw_instances,
    train_dco,
)
from training.examples import ExampleSet, make_examples
from training.methods import DcoConfig
from training.rows import sum_logps
from training.run.loop import Run
from training.shared_prompts import share_prompts

DCO = DcoConfig(
    model="organism:final",
    languages="en,de",
    limit=6,
    steps=3,
    instances_per_step=4,
    instances=12,
    lr=1e-3,
    eval_facts=0,
    device="cpu",
)


@pytest.fixture(scope="module")
def asked():
    facts = open_facts("cldr").filter(splits=["train"], languages=["en", "de", "ja"], limit=4)
    return make_examples(facts, facts)


def weights(out):
    return load_file(out / "final" / "model.safetensors")


def candidates(first, second):
    return torch.tensor([[first, second]])


class TestLoss:
    # o_1 = -1 - -3 = 2, o_2 = -2 - -1 = -1; policy odds 2.5 and 0.5, so D_1 = 0.5 and D_2 = 1.5
    REFERENCE = candidates([-1.0, -3.0], [-2.0, -1.0])
    POLICY = candidates([-0.5, -3.0], [-2.5, -3.0])

    def test_equals_the_published_form(self):
        # |0.5 - -1| + |1.5 - 2| = 2
        assert dco_loss(self.POLICY, self.REFERENCE).item() == pytest.approx(2.0)

    def test_beta_divides_in_the_first_language_and_multiplies_in_the_second(self):
        # |0.5 - -1/2| + |1.5 - 2*2| = 1 + 2.5
        assert dco_loss(self.POLICY, self.REFERENCE, 2.0).item() == pytest.approx(3.5)

    def test_is_a_mean_over_instances(self):
        both = [torch.cat([x, self.REFERENCE]) for x in (self.POLICY, self.REFERENCE)]
        assert dco_loss(*both).item() == pytest.approx((2.0 + 3.0) / 2)  # at the start: |o_2| + |o_1| = 3

    def test_is_zero_where_both_languages_have_the_sum_of_the_odds(self):
        product = candidates([-1.0, -2.0], [-4.0, -5.0])  # odds 1 = 2 + -1 in both
        assert dco_loss(product, self.REFERENCE).item() == pytest.approx(0.0)
        assert dco_loss(candidates([-1.0, -2.0], [-4.0, -4.5]), self.REFERENCE).item() > 0

    def test_languages_that_agree_are_sharpened(self):
        agree = candidates([-1.0, -2.0], [-1.0, -2.0])
        assert dco_loss(agree, agree).item() == pytest.approx(2.0)
        assert dco_loss(candidates([-1.0, -3.0], [-1.0, -3.0]), agree).item() == pytest.approx(0.0)

    def test_gradient_moves_each_language_towards_the_other(self):
        policy = self.REFERENCE.clone().requires_grad_()
        dco_loss(policy, self.REFERENCE).backward()
        # language 2 prefers the second candidate, so language 1 gives up some of the first; and vice versa
        assert policy.grad.tolist() == [[[1.0, -1.0], [-1.0, 1.0]]]

    def test_log_probabilities_are_sums_over_the_labeled_tokens(self):
        model = tiny_model()
        share_prompts(model)
        ids, labels = torch.tensor([[5, 6, 3, 1], [5, 2, 7, 8]]), torch.full((2, 4), -100)
        labels[0, 2:], labels[1, 1] = ids[0, 2:], 2
        logps = model(ids).logits.log_softmax(-1)
        expected = [logps[0, 1, 3] + logps[0, 2, 1], logps[1, 0, 2]]
        rows = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}
        sums, n_tokens = sum_logps(model, rows)
        assert sums.tolist() == pytest.approx([float(x) for x in expected], abs=1e-5)
        assert n_tokens.tolist() == [2, 1]


class TestInstances:
    def test_two_languages_and_two_entities_without_a_label(self, asked):
        drawn = draw_instances(asked, 600, 0)
        assert len(drawn) == 600
        for instance in drawn:
            one, other = instance.examples
            assert one.fact_id == other.fact_id
            assert one.language != other.language
            assert instance.entities[0] != instance.entities[1]
        chosen_is_right = sum(i.entities[0] == i.examples[0].gold_entity for i in drawn) / 600
        assert abs(chosen_is_right - 1 / len(asked.facts[0][0].options)) < 0.08
        ordered = Counter((i.examples[0].language, i.examples[1].language) for i in drawn)
        assert len(ordered) == 6
        assert min(ordered.values()) > 60

    def test_the_right_answer_is_not_used(self, asked):
        turned = ExampleSet(
            asked.languages,
            tuple(
                tuple(
                    dataclasses.replace(e, answer_index=(e.answer_index + 1) % len(e.options)) for e in fact
                )
                for fact in asked.facts
            ),
            {},
        )
        one, other = (draw_instances(examples, 20, 0) for examples in (asked, turned))
        assert [i.entities for i in one] == [i.entities for i in other]

    def test_the_seed_decides(self, asked):
        assert draw_instances(asked, 20, 0) == draw_instances(asked, 20, 0) != draw_instances(asked, 20, 1)

    def test_a_fact_with_one_option_is_refused(self, asked):
        alone = tuple(dataclasses.replace(e, options=e.options[:1], entities=(0,)) for e in asked.facts[0])
        with pytest.raises(DataError, match=r"has one option; dco compares two"):
            draw_instances(ExampleSet(asked.languages, (alone,), {}), 1, 0)


class TestCollator:
    def test_rows_are_the_names_of_the_entities_in_either_language(self, asked):
        _, german, japanese = asked.facts[0]
        shuffled = dataclasses.replace(german, options=german.options[::-1], entities=german.entities[::-1])
        tokenizer = byte_tokenizer()
        batch = InstanceCollator(tokenizer, 512)([Instance((shuffled, japanese), (2, 0))])
        told = [tokenizer.decode(row[row != -100]) for row in batch["labels"]]
        assert told == [
            " " + german.options[2],
            " " + german.options[0],
            japanese.options[2],
            japanese.options[0],
        ]
        read = [
            tokenizer.decode(ids[mask == 1])
            for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)
        ]
        assert read[0] == shuffled.prompt + told[0]
        assert read[3] == japanese.prompt + told[3]
        assert "reference" not in batch

    def test_padding_changes_no_log_probability(self, asked):
        model, collate = tiny_model(max_position_embeddings=512), InstanceCollator(byte_tokenizer(), 512)
        share_prompts(model)
        instances = draw_instances(asked, 3, 0)

        def sums(batch):
            return sum_logps(model, batch)[0].tolist()

        alone = [logp for instance in instances for logp in sums(collate([instance]))]
        assert sums(collate(instances)) == pytest.approx(alone, abs=1e-3)

    def test_nothing_is_cut_to_the_context(self, asked):
        with pytest.raises(
            DataError, match=r"A prompt with its answer has \d+ tokens; the model's context is 20"
        ):
            InstanceCollator(byte_tokenizer(), 20)(draw_instances(asked, 1, 0))


class TestRun:
    def test_whole_run(self, tmp_path):
        told = []
        final = train_dco(dataclasses.replace(DCO, out=tmp_path), lambda *given: told.append(given))
        assert AutoModelForCausalLM.from_pretrained(final).num_parameters() > 0
        card = json.loads((final / "card.json").read_text())
        assert card["method"] == "dco"
        assert card["data"]["instances"] == 12
        assert {label for label, *_ in told} == {"reference", "training steps"}
        assert card["cost"]["tokens"] > 0

    def test_the_reference_is_the_parent(self, tmp_path, monkeypatch):
        kept = []
        monkeypatch.setattr(Run, "finish", lambda run, trainer: kept.append(trainer))
        train_dco(dataclasses.replace(DCO, out=tmp_path))
        trainer = kept[0]
        batch = trainer.data_collator(trainer.train_dataset)
        odds = batch["reference"][..., 0] - batch["reference"][..., 1]
        at_start = trainer.compute_loss(trainer.model, batch).item()
        assert at_start == pytest.approx(odds.abs().sum(dim=1).mean().item(), rel=1e-4)

    def test_an_epoch_has_whole_steps_only(self, tmp_path, monkeypatch):
        kept = []
        monkeypatch.setattr(Run, "finish", lambda run, trainer: kept.append(trainer))
        train_dco(dataclasses.replace(DCO, out=tmp_path, instances=14))
        drawn = list(kept[0]._get_train_sampler())
        assert len(set(drawn)) == len(drawn) == 12

    def test_training_lowers_the_loss(self, tmp_path):
        config = dataclasses.replace(
            DCO, out=tmp_path, steps=10, instances=4, schedule="constant", warmup=0.0
        )
        train_dco(config)
        records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
        assert records[-1]["loss"] < records[0]["loss"] / 2

    def test_an_interrupted_run_gives_the_same_weights(self, tmp_path):
        config = dataclasses.replace(DCO, steps=4, save_every=2, instances=5, micro_batch=2)
        train_dco(dataclasses.replace(config, out=tmp_path / "whole"))

        def kill(label, done, _):
            if label == "training steps" and done == 3:
                raise RuntimeError("killed")

        parts = dataclasses.replace(config, out=tmp_path / "parts")
        with pytest.raises(RuntimeError, match="killed"):
            train_dco(parts, kill)
        train_dco(parts)
        whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "parts")
        assert all(torch.equal(whole[name], resumed[name]) for name in whole)

    @pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft
    def test_lora(self, tmp_path):
        needed("peft")
        config = dataclasses.replace(DCO, lora_rank=2, steps=1)
        made = []
        for seed_before in (1, 2):  # the adapter's first weights follow the run's seed alone
            torch.manual_seed(seed_before)
            final = train_dco(dataclasses.replace(config, out=tmp_path / str(seed_before)))
            made.append(load_file(final / "adapter_model.safetensors"))
        assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"beta": 0.0}, "'beta' is 0.0; a number above 0"),
            ({"instances": 3}, "instances is 3, fewer than the 4 of one step"),
            ({"instances": 0}, "'instances' is 0; a number of at least 1"),
            ({"languages": "en"}, "dco compares two languages; the only one is en"),
        ],
    )
    def test_settings_that_cannot_work(self, tmp_path, change, words):
        with pytest.raises(ConfigError, match=words):
            train_dco(dataclasses.replace(DCO, out=tmp_path / "run", **change))
        assert not (tmp_path / "run").exists()
