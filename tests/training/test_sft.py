"""Supervised fine-tuning: losses on paper, what a micro-batch may not change, and what is refused."""

from __future__ import annotations

import json
import math
from collections import Counter

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, TrainerCallback

from interp.errors import CapabilityError, ConfigError, DataError
from tests.support.extras import needed
from tests.support.tiny import byte_tokenizer, tiny_model
from tests.support.training_runs import LANGUAGES, little_facts, records, save_taught, settings

needed("trl")
from training import sft  # noqa: E402
from training.examples import make_examples  # noqa: E402
from training.methods import SftConfig  # noqa: E402
from training.sft import FactCollator, answer_loss, consistency_loss, letter_ids, train_sft  # noqa: E402

LOGITS = torch.tensor([[2.0, 0.5, -1.0, 0.0]])


def shuffled(logits: torch.Tensor, order: list[int]) -> tuple[torch.Tensor, list[int]]:
    """Logits of the letters when letter i shows entity ``order[i]``, and per entity its letter."""
    return logits[:, order], [order.index(n) for n in range(len(order))]


# consistency


def test_the_same_entity_everywhere_costs_nothing_under_any_shuffle():
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        orders = [torch.randperm(4, generator=generator).tolist() for _ in range(3)]
        rows, shown = zip(*(shuffled(LOGITS, order) for order in orders), strict=True)
        assert consistency_loss(torch.cat(rows), torch.tensor(shown), 3).item() == pytest.approx(0, abs=1e-6)


def test_the_same_letter_for_different_entities_costs():
    """Both languages prefer A with p; A is entity 0 in one, 1 in the other: log(1/2) - log(p (1 - p)) / 2."""
    p = 1 / (1 + math.exp(-2))
    found = consistency_loss(torch.tensor([[2.0, 0.0]] * 2), torch.tensor([[0, 1], [1, 0]]), 2)
    assert found.item() == pytest.approx(math.log(0.5) - 0.5 * math.log(p * (1 - p)), abs=1e-6)
    same = consistency_loss(torch.tensor([[2.0, 0.0]] * 2), torch.tensor([[0, 1], [0, 1]]), 2)
    assert same.item() == pytest.approx(0, abs=1e-6)


def test_two_languages_by_hand():
    """KL(mean || language), the mean over both, in loops."""
    one, two = [0.7, 0.2, 0.1], [0.1, 0.3, 0.6]
    mean = [(a + b) / 2 for a, b in zip(one, two, strict=True)]
    expected = sum(m * math.log(m / q) for row in (one, two) for m, q in zip(mean, row, strict=True)) / 2
    logits = torch.tensor([one, two]).log() + torch.tensor([[5.0], [-3.0]])
    plain = torch.tensor([[0, 1, 2]] * 2)
    assert consistency_loss(logits, plain, 2).item() == pytest.approx(expected, abs=1e-6)
    twice = consistency_loss(logits.repeat(2, 1), plain.repeat(2, 1), 2)
    assert twice.item() == pytest.approx(expected, abs=1e-6)  # a mean over facts, not a sum


def test_the_mean_is_a_constant_for_the_gradient():
    """So the gradient of a row is (its probabilities - the mean) / rows."""
    logits = torch.tensor([[1.0, 0.0, 0.5], [0.0, 2.0, 1.0]], requires_grad=True)
    consistency_loss(logits, torch.tensor([[0, 1, 2]] * 2), 2).backward()
    probability = logits.detach().softmax(-1)
    assert torch.allclose(logits.grad, (probability - probability.mean(0)) / 2, atol=1e-6)


# rows


def test_rows_weigh_the_same_whatever_their_tokens():
    """One row of one token with p = 1/2, one of three with p = 3/4."""
    sums = torch.tensor([-math.log(2), 3 * math.log(3 / 4)])
    expected = (math.log(2) + math.log(4 / 3)) / 2
    assert answer_loss(sums, torch.tensor([1, 3])).item() == pytest.approx(expected, abs=1e-6)


def test_a_batch_by_hand():
    facts = make_examples(little_facts(2, 0), little_facts(2, 0))
    batch = FactCollator(byte_tokenizer(), "text", 256)(facts.facts)
    rows = [e for fact in facts.facts for e in fact]
    assert [e.language for e in rows] == list(LANGUAGES) * 2
    for ids, labels, mask, e in zip(
        batch["input_ids"], batch["labels"], batch["attention_mask"], rows, strict=True
    ):
        assert byte_tokenizer().decode(ids[mask.bool()]) == f"{e.prompt}{e.answer}<eos>"
        assert byte_tokenizer().decode(labels[labels != -100]) == f"{e.answer}<eos>"
        assert (ids[~mask.bool()] == 256).all()
    assert batch["attention_mask"].any(0).all()


# whole runs


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sft")
    save_taught(folder / "parent")
    little_facts().save(folder / "facts.jsonl")
    return folder


def lettered_tokenizer() -> PreTrainedTokenizerFast:
    """Bytes, and a token for each letter after a space."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("Ġ", letter) for letter in "ABCDEFGH"]
    vocabulary = {symbol: i for i, symbol in enumerate([*alphabet, *("".join(pair) for pair in merges)])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<pad>", "<bos>", "<eos>"])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>"
    )


@pytest.fixture(scope="module")
def lettered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("letters")
    special = {"pad_token_id": 264, "bos_token_id": 265, "eos_token_id": 266}
    model = tiny_model("qwen2", vocab_size=267, max_position_embeddings=1024, **special)
    model.save_pretrained(folder / "parent")
    lettered_tokenizer().save_pretrained(folder / "parent")
    little_facts().save(folder / "facts.jsonl")
    return folder


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Train, and return the gradient of the first step, the batches, and the facts in them."""
    count, real_trainer, real_collator = iter(range(20)), sft.SftTrainer, sft.FactCollator

    def start(folder, **changes):
        seen = {"facts": [], "batches": []}

        class Look(TrainerCallback):
            def on_pre_optimizer_step(self, args, state, control, model=None, **_):
                seen.setdefault("gradient", {n: p.grad.clone() for n, p in model.named_parameters()})

        class Trainer(real_trainer):
            def __init__(self, **options):
                super().__init__(**options)
                self.add_callback(Look())

        class Collator(real_collator):
            def __call__(self, facts):
                seen["facts"].append([[(e.fact_id, e.language) for e in fact] for fact in facts])
                seen["batches"].append(super().__call__(facts))
                return seen["batches"][-1]

        monkeypatch.setattr(sft, "SftTrainer", Trainer)
        monkeypatch.setattr(sft, "FactCollator", Collator)
        seen["out"] = tmp_path / f"run-{next(count)}"
        told = {"out": seen["out"], "max_grad_norm": 1e9, "steps": 1, "facts_per_step": 4, "lr": 1e-4}
        train_sft(SftConfig(**settings(folder, **told | changes)))
        return seen

    return start


def flat(gradient: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([gradient[name].double().reshape(-1) for name in sorted(gradient)])


def by_hand(folder, objective) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(folder / "parent")
    objective(model).backward()
    return flat({name: p.grad for name, p in model.named_parameters()})


def test_the_gradient_is_that_of_the_mean_over_rows(place, run):
    """One row at a time and without padding; micro-batches of any size give the same."""
    found = {size: run(place, micro_batch=size) for size in (3, 6, 12)}
    (batch,) = found[12]["batches"]

    def objective(model):
        total = 0
        for ids, labels, mask in zip(
            batch["input_ids"], batch["labels"], batch["attention_mask"].bool(), strict=True
        ):
            logits = model(ids[mask][None]).logits[0, :-1]
            total = total + torch.nn.functional.cross_entropy(logits, labels[mask][1:], ignore_index=-100)
        return total / len(batch["labels"])

    expected = by_hand(place, objective)
    assert expected.norm() > 1e-2
    for size, seen in found.items():
        gradient = flat(seen["gradient"])
        assert torch.cosine_similarity(gradient, expected, dim=0) > 0.9999, size
        assert gradient.norm() / expected.norm() == pytest.approx(1, abs=1e-4)
        assert [record["loss"] for record in records(seen["out"])] == pytest.approx(
            [records(found[12]["out"])[0]["loss"]], abs=1e-5
        )


def test_letters_and_consistency_by_hand(lettered, run):
    """Cross-entropy over the letters alone, and agreement over entities."""
    letters = letter_ids(lettered_tokenizer())[" "][:2]
    given = {"target": "letter", "prompt": "options", "consistency": 0.5}
    whole, parts = run(lettered, **given, micro_batch=12), run(lettered, **given, micro_batch=3)
    examples = {
        (e.fact_id, e.language): e
        for fact in make_examples(little_facts(), little_facts(), "options", letters=True).facts
        for e in fact
    }
    assert len({e.entities for e in examples.values()}) == 2  # shuffled

    def objective(model):
        told, agreed = 0, 0
        for start in range(0, 12, 3):
            spread = []
            for row in range(start, start + 3):
                e = examples[whole["facts"][0][row // 3][row % 3]]
                ids = lettered_tokenizer()(e.prompt)["input_ids"]
                over = model(torch.tensor([ids])).logits[0, -1, letters].log_softmax(-1)
                told = told - over[e.answer_index]
                spread.append(torch.stack([over[e.entities.index(n)] for n in (0, 1)]))
            mean = torch.stack(spread).exp().mean(0).detach()
            agreed = agreed + sum((mean * (mean.log() - one)).sum() for one in spread) / 3
        return told / 12 + 0.5 * agreed / 4

    expected = by_hand(lettered, objective)
    for seen in (whole, parts):
        gradient = flat(seen["gradient"])
        assert torch.cosine_similarity(gradient, expected, dim=0) > 0.9999
        assert gradient.norm() / expected.norm() == pytest.approx(1, abs=1e-4)


def test_languages_stay_together_and_facts_are_shuffled_anew(place, run):
    seen = run(place, steps=0, epochs=3, facts_per_step=2)
    for facts in seen["facts"]:
        for fact in facts:
            assert [code for _, code in fact] == list(LANGUAGES)
            assert len({fact_id for fact_id, _ in fact}) == 1
    order = [fact[0][0] for facts in seen["facts"] for fact in facts]
    epochs = [order[start : start + 6] for start in range(0, 18, 6)]
    assert all(Counter(epoch) == Counter(f"f{n}" for n in range(6)) for epoch in epochs)
    assert len(set(map(tuple, epochs))) > 1


def test_training_lowers_the_loss(place, run):
    out = run(place, steps=20, lr=3e-3)["out"]
    losses = [record["loss"] for record in records(out)]
    assert losses[-1] < 0.5 * losses[0]
    card = json.loads((out / "final" / "card.json").read_text())
    assert card["data"]["dropped_tail_per_epoch"] == 2
    assert card["cost"]["tokens"] > 0


# refusals


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"consistency": 0.1}, ConfigError, "consistency compares the letters' probabilities; set target to"),
        ({"target": "letter"}, ConfigError, "target letter needs the options in the prompt; set prompt to"),
        ({"micro_batch": 4}, ConfigError, "languages of a fact stay together in sft. Set it to 3 or 6."),
        ({"micro_batch": 2}, ConfigError, "Set it to 3."),
        ({"facts_per_step": 4, "micro_batch": 9}, ConfigError, "micro_batch"),
        ({"target": "letter", "prompt": "options"}, CapabilityError,
         "This tokenizer does not have one token for each of ' A' to ' H'"),
        ({"facts_per_step": 7}, ConfigError, "There are 6 facts, fewer than the 7 of one step"),
    ],
)  # fmt: skip
def test_refusals(place, tmp_path, changes, error, text):
    told = settings(place, **{"out": tmp_path / "out", "max_prompt_tokens": 250, "steps": 1} | changes)
    with pytest.raises(error, match=text) as caught:
        train_sft(SftConfig(**told))
    assert "\n" not in str(caught.value)
    assert not records(tmp_path / "out")


def test_an_answer_that_does_not_fit_is_refused():
    facts = make_examples(little_facts(1, 0), little_facts(1, 0)).facts
    longest = max(len(byte_tokenizer()(e.prompt + e.answer)["input_ids"]) + 1 for e in facts[0])
    FactCollator(byte_tokenizer(), "text", longest)(facts)
    with pytest.raises(
        DataError,
        match=f"A prompt with its answer has {longest} tokens; the model's context is {longest - 1}",
    ):
        FactCollator(byte_tokenizer(), "text", longest - 1)(facts)


def test_an_epoch_is_whole_steps_and_the_tail_is_counted(place, tmp_path):
    """Six facts, four in a step of 4 micro-batches: one step an epoch, two facts left out, others in each."""
    seen = []

    class Spy(sft.SftTrainer):
        def compute_loss(self, model, inputs, *more, **rest):
            seen.append(len(inputs["input_ids"]))
            return super().compute_loss(model, inputs, *more, **rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sft, "SftTrainer", Spy)
        train_sft(
            SftConfig(**settings(place, out=tmp_path / "out", facts_per_step=4, micro_batch=3, epochs=3))
        )
    assert seen == [3] * 12
    card = json.loads((tmp_path / "out" / "final" / "card.json").read_text())
    assert (card["resolved"]["steps"], card["data"]["dropped_tail_per_epoch"]) == (3, 2)
    assert [record["epoch"] for record in records(tmp_path / "out")] == [1.0, 2.0, 3.0]
