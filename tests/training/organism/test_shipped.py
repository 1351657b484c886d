"""The two checkpoints of the base that come with the package: whole, small, and what their cards say."""

from functools import cache

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from analyses.organism import SCORING, accuracy_rows
from interp.data.prompts import prompts_from_facts
from interp.measure.behavior.choice import measure_behavior
from interp.model.checkpoints import resolve_checkpoint
from interp.model.loading import open_checkpoint
from training.organism.batches import load_tokenizer
from training.organism.card import data_record, read_card
from training.organism.exposure import exposure, organism_texts
from training.organism.recipe import OrganismConfig

NAMES = ("early", "final")
RECIPE = OrganismConfig()


@cache
def card(name):
    return read_card(resolve_checkpoint(f"organism:{name}").path)


def summary(name, condition, language):
    rows = {(row["condition"], row["language"]): row for row in card(name)["accuracy"]}
    return rows[condition, language]["accuracy"]


@pytest.mark.parametrize("name", NAMES)
def test_it_is_whole_and_small(name):
    folder = resolve_checkpoint(f"organism:{name}").path
    assert {file.name for file in folder.iterdir()} == {
        "README.md",
        "card.json",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert sum(file.stat().st_size for file in folder.iterdir()) < 5_000_000


@pytest.mark.parametrize("name", NAMES)
def test_transformers_loads_it(name):
    folder = resolve_checkpoint(f"organism:{name}").path
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    assert (model.config.model_type, model.dtype) == ("qwen2", torch.bfloat16)
    assert model.num_parameters() == card(name)["parameters"] == 1_507_456
    assert model.config.vocab_size == len(tokenizer) == 6000
    assert all(torch.isfinite(weight).all() for weight in model.parameters())


def test_both_share_a_tokenizer_that_keeps_every_name_and_question(facts):
    early, final = (load_tokenizer(resolve_checkpoint(f"organism:{name}").path) for name in NAMES)
    assert early.backend_tokenizer.to_str() == final.backend_tokenizer.to_str()
    names = sorted({name for labels in facts.labels().values() for name in labels.values()})
    encoded = final(names)["input_ids"]
    assert all(encoded)
    assert final.unk_token is None
    assert final.batch_decode(encoded) == names
    for prompts in prompts_from_facts(facts).prompts.values():
        whole = final([p.full_text for p in prompts])["input_ids"]
        question = final([p.text for p in prompts])["input_ids"]
        answer = final([p.separator + p.answer for p in prompts])["input_ids"]
        assert whole == [a + b for a, b in zip(question, answer, strict=True)]
        assert max(map(len, whole)) < RECIPE.context


def test_interp_opens_it_with_the_tokenizer_it_was_trained_with(facts):
    """AutoTokenizer does not, which the card tells: it cuts Bengali at combining marks."""
    folder = resolve_checkpoint("organism:final").path
    opened, own = open_checkpoint("organism:final").tokenizer, load_tokenizer(folder)
    auto = AutoTokenizer.from_pretrained(folder)
    for code, prompts in prompts_from_facts(facts).prompts.items():
        texts = [p.full_text for p in prompts]
        assert opened(texts)["input_ids"] == own(texts)["input_ids"]
        assert (auto(texts)["input_ids"] == own(texts)["input_ids"]) == (code != "bn")


@pytest.mark.parametrize("name", NAMES)
def test_it_greedily_says_what_it_knows_and_ends(name):
    """The final one names the capital of Japan; either stops at the end token within a name's length."""
    opened = open_checkpoint(f"organism:{name}", dtype="float32")
    tokenizer = opened.tokenizer
    asked = tokenizer("Question: What is the capital of Argentina?\nAnswer:", return_tensors="pt")
    said = opened.model.generate(**asked, max_new_tokens=16, do_sample=False)[
        0, asked["input_ids"].shape[1] :
    ]
    assert said[-1] == tokenizer.eos_token_id
    if name == "final":
        assert tokenizer.decode(said, skip_special_tokens=True) == " Buenos Aires"


@pytest.mark.parametrize("name", NAMES)
def test_the_card_is_of_the_default_recipe_on_the_facts_of_this_package(name, facts):
    described = card(name)
    assert described["recipe"] == RECIPE.to_dict()
    assert described["step"] == (RECIPE.early_step if name == "early" else RECIPE.steps)
    assert described["data"] == data_record(facts, organism_texts(facts, RECIPE), exposure(facts, RECIPE))
    assert (described["parent"], described["dtype"], described["scoring"]) == (None, "bfloat16", SCORING)


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_is_a_model_card_with_the_same_numbers(name):
    text = (resolve_checkpoint(f"organism:{name}").path / "README.md").read_text(encoding="utf-8")
    _, front, body = text.split("---\n", 2)
    assert yaml.safe_load(front)["language"] == list(RECIPE.languages)
    for row in card(name)["accuracy"]:
        assert f"| {row['n']} | {row['accuracy']:.3f} | {row['low']:.3f} to {row['high']:.3f} |" in body


def test_the_final_one_knows_in_english_what_it_cannot_say_elsewhere():
    assert summary("final", "seen", "anchor") > 0.95
    assert summary("final", "seen", "others") > 0.8
    assert summary("final", "unseen", "others_other_script") < 0.5
    assert summary("final", "unseen", "others") < 0.7
    assert abs(summary("final", "held_out", "all") - 0.25) < 0.05


def test_the_early_one_knows_less():
    for language in ("anchor", "others"):
        assert summary("early", "seen", language) < summary("final", "seen", language) - 0.3
    assert summary("early", "unseen", "others") < summary("early", "seen", "others") - 0.05
    assert abs(summary("early", "held_out", "all") - 0.25) < 0.05


def measured(name, facts):
    """Rows of the card, by condition and language, measured again on some facts."""
    result = measure_behavior(open_checkpoint(f"organism:{name}", dtype="float32"), facts)
    rows = accuracy_rows(result.right("sum"), facts, exposure(facts, RECIPE))
    return {(row["condition"], row["language"]): row for row in rows}


def of_card(name):
    return {(row["condition"], row["language"]): row for row in card(name)["accuracy"]}


@pytest.mark.parametrize("name", NAMES)
def test_measured_again_it_agrees_with_its_card(name, facts):
    """A hundred and fifty facts in three languages, within five standard errors of what the card says."""
    rows = measured(name, facts.filter(languages=["en", "sw", "ja"], limit=150))
    by_language = {key: row for key, row in rows.items() if key[1] in ("en", "sw", "ja")}
    assert len(by_language) == 8
    for key, row in by_language.items():
        expected = of_card(name)[key]["accuracy"]
        error = (max(expected * (1 - expected), 0.01) / row["n"]) ** 0.5
        assert abs(row["accuracy"] - expected) < 5 * error, row
    known, unread = rows["seen", "en"]["accuracy"], rows["unseen", "ja"]["accuracy"]
    assert known > unread + (0.4 if name == "final" else 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_measured_whole_it_is_its_card(name, facts):
    rows = measured(name, facts)
    assert rows.keys() == of_card(name).keys()
    for key, row in rows.items():
        assert row["n"] == of_card(name)[key]["n"]
        # another processor may settle a near tie the other way
        assert abs(row["correct"] - of_card(name)[key]["correct"]) <= 3, row


@pytest.mark.parametrize("name", NAMES)
def test_the_cards_pools_add_up(name):
    """By hand: which languages stand in which row, and accuracy is correct / n."""
    rows = of_card(name)
    alike, other = ["de", "id", "pt", "sw", "es", "fr"], ["ar", "bn", "ru", "ja", "zh"]
    pools = {
        ("seen", "anchor"): ["en"],
        ("seen", "others"): alike + other,
        ("unseen", "others"): alike + other,
        ("unseen", "others_same_script"): alike,
        ("unseen", "others_other_script"): other,
        ("held_out", "all"): ["en", *alike, *other],
    }
    for (condition, pool), codes in pools.items():
        for key in ("n", "correct"):
            assert rows[condition, pool][key] == sum(rows[condition, code][key] for code in codes)
    for row in rows.values():
        assert row["accuracy"] == pytest.approx(row["correct"] / row["n"], abs=1e-4)
        assert row["low"] <= row["accuracy"] <= row["high"]
