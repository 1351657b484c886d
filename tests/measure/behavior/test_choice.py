"""Multiple choice by log-likelihood: equal to one row per option, in every batch; laws, lengths, refusals."""

from __future__ import annotations

import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from interp.data.facts import Fact, FactSet
from interp.data.prompts import prompts_from_facts
from interp.data.sources.cldr import cldr_facts
from interp.errors import DataError, Interrupted, MeasurementError, ResultError
from interp.measure import scoring
from interp.measure.behavior.choice import measure_behavior
from interp.model.loading import adopt_model, open_checkpoint
from interp.results.behavior import SCORINGS, BehaviorResult
from tests.support.tiny import PLANTED_FAMILIES, opened, tiny_model

LANGUAGES = ("en", "zh", "ar")


@pytest.fixture(scope="module")
def facts() -> FactSet:
    """Questions and options of different lengths; one fact has two options only."""
    chosen = cldr_facts().filter(languages=LANGUAGES, limit=6)
    first = chosen.facts[0]
    kept = (first.answer_index, (first.answer_index + 1) % 4)
    wording = {
        code: replace(said, options=tuple(said.options[i] for i in kept))
        for code, said in first.wording.items()
    }
    short = replace(first, option_ids=tuple(first.option_ids[i] for i in kept), wording=wording)
    return FactSet("few", (short, *chosen.facts[1:]), chosen.languages)


def one_by_one(loaded, facts: FactSet) -> np.ndarray:
    """The definition: every option is a row of its own, unpadded and without a cache."""
    found = np.full((len(facts), len(facts.languages), 4), np.nan)
    prompts = prompts_from_facts(facts).prompts
    for column, code in enumerate(facts.languages):
        for row, (fact, prompt) in enumerate(zip(facts, prompts[code], strict=True)):
            start = len(loaded.tokenizer(prompt.text)["input_ids"])
            for option, name in enumerate(fact.wording[code].options):
                ids = loaded.tokenizer(prompt.text + prompt.separator + name)["input_ids"]
                with torch.no_grad():
                    logged = loaded.model(input_ids=torch.tensor([ids])).logits[0].float().log_softmax(dim=-1)
                found[row, column, option] = sum(float(logged[i - 1, ids[i]]) for i in range(start, len(ids)))
    return found


@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("family", PLANTED_FAMILIES)
def test_it_equals_one_row_per_option(family, bos, facts):
    loaded = opened(family, bos=bos)
    found = measure_behavior(loaded, facts).log_probability
    np.testing.assert_allclose(found, one_by_one(loaded, facts), atol=2e-4)
    assert np.isnan(found[0, :, 2:]).all()
    assert np.isfinite(found[1:]).all()


@pytest.mark.parametrize("batch_tokens", [1, 700, 100_000])
def test_batches_change_no_score(facts, batch_tokens):
    loaded = opened("qwen2")
    whole = measure_behavior(loaded, facts).log_probability
    np.testing.assert_allclose(
        measure_behavior(loaded, facts, batch_tokens=batch_tokens).log_probability, whole, atol=1e-4
    )


def test_memory_that_runs_out_halves_the_batch(facts, monkeypatch):
    loaded = opened("qwen2")
    whole, score, sizes = measure_behavior(loaded, facts).log_probability, scoring._score, []

    def scarce(loaded, batch):
        sizes.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError
        return score(loaded, batch)

    monkeypatch.setattr(scoring, "_score", scarce)
    np.testing.assert_allclose(
        measure_behavior(loaded, facts, batch_tokens=100_000).log_probability, whole, atol=1e-4
    )
    assert max(sizes) == 18
    monkeypatch.setattr(scoring, "_score", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError()))
    with pytest.raises(
        MeasurementError,
        match=r"Question '.+' in '.+' \(\d+ tokens with its options\) does not fit into memory",
    ):
        measure_behavior(loaded, facts)


def test_on_the_organism_it_equals_one_row_per_option():
    facts = cldr_facts().filter(languages=["en", "bn", "zh"], limit=12)
    loaded = open_checkpoint("organism:final", dtype="float32")
    found = measure_behavior(loaded, facts)
    np.testing.assert_allclose(found.log_probability, one_by_one(loaded, facts), atol=1e-4)
    assert found.by_language("sum").set_index("language").accuracy["en"] > 0.5


def test_lengths_are_those_of_the_option_without_its_space(facts):
    found = measure_behavior(opened("llama"), facts)
    for row, fact in enumerate(facts):
        for column, code in enumerate(facts.languages):
            for option, name in enumerate(fact.wording[code].options):
                at = (row, column, option)
                assert (found.characters[at], found.bytes[at]) == (len(name), len(name.encode()))
                assert found.tokens[at] == len(name.encode()) + (code != "zh")  # one token per byte
    assert not found.tokens[0, :, 2:].any()


def test_every_scoring_divides_by_its_length(facts):
    found = measure_behavior(opened("llama"), facts)
    summed = found.scores("sum")
    np.testing.assert_allclose(found.scores("byte")[1:], (summed / np.maximum(found.bytes, 1))[1:])
    np.testing.assert_allclose(found.scores("token")[1:], (summed / np.maximum(found.tokens, 1))[1:])
    np.testing.assert_allclose(found.scores("character")[1:], (summed / np.maximum(found.characters, 1))[1:])
    answers = {name: tuple(np.nanargmax(found.scores(name), axis=2).ravel()) for name in SCORINGS}
    assert len(set(answers.values())) > 1
    with pytest.raises(ResultError, match=r"A 'behavior' result has no scoring 'bytes'\..* mean 'byte'"):
        found.scores("bytes")


def permuted(fact: Fact, order: list[int]) -> Fact:
    wording = {
        code: replace(said, options=tuple(said.options[i] for i in order))
        for code, said in fact.wording.items()
    }
    return replace(fact, option_ids=tuple(fact.option_ids[i] for i in order), wording=wording)


def test_permuting_options_facts_or_languages_permutes_the_result(facts):
    loaded, four = opened("qwen2"), FactSet("four", facts.facts[1:], facts.languages)
    found = measure_behavior(loaded, four)
    order = [2, 0, 3, 1]
    turned = FactSet("four", tuple(permuted(f, order) for f in four.facts[::-1]), four.languages)
    other = measure_behavior(loaded, turned.filter(languages=four.languages[::-1]))
    np.testing.assert_allclose(
        other.log_probability, found.log_probability[::-1, ::-1][:, :, order], atol=1e-4
    )
    np.testing.assert_allclose(other.credit(), found.credit()[::-1, ::-1])
    assert other.consistency() == pytest.approx(found.consistency())


def test_it_is_saved_and_read_back(facts, tmp_path):
    found = measure_behavior(opened("olmo2"), facts)
    read = BehaviorResult.load(found.save(tmp_path / "r.npz"))
    assert read.fact_ids == found.fact_ids == tuple(fact.fact_id for fact in facts)
    np.testing.assert_array_equal(read.log_probability, found.log_probability)
    assert repr(read) == repr(found)
    assert "6 facts, byte (chance 0.292)" in repr(found)
    assert read.provenance == found.provenance
    frame = read.to_frame()
    assert len(frame) == 18
    assert frame.credit.mean() == pytest.approx(found.credit().mean())


def test_an_item_longer_than_the_context_is_named(facts):
    loaded = opened("qwen2", max_position_embeddings=40)
    with pytest.raises(
        MeasurementError, match=r"'.+' in 'en': prompt and option have \d+ tokens, the model's context is 40"
    ):
        measure_behavior(loaded, facts)


def test_a_border_inside_a_token_is_refused(facts):
    """A tokenizer that has one token for 'r:' and a space would split prompt and answer elsewhere."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: i for i, symbol in enumerate(alphabet)} | {":Ġ": 256}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[(":", "Ġ")]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token=alphabet[0], eos_token=alphabet[1]
    )
    loaded = adopt_model(
        tiny_model(
            "qwen2",
            vocab_size=257,
            max_position_embeddings=512,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=1,
        ),
        tokenizer,
    )
    with pytest.raises(
        MeasurementError, match="the tokens of the prompt are not the first ones of prompt and option"
    ):
        measure_behavior(loaded, facts)


def test_weights_that_give_no_numbers_are_refused(facts):
    loaded = opened("qwen2")
    with torch.no_grad():
        loaded.model.model.norm.weight.fill_(float("nan"))
    with pytest.raises(MeasurementError, match=r"Question '.+' in '.+' .*: log-probabilities are not finite"):
        measure_behavior(loaded, facts)


def test_an_interrupted_run_continues_to_the_same_bits(facts, tmp_path, monkeypatch):
    loaded, score, asked = opened("qwen2"), scoring._score, []
    whole = measure_behavior(loaded, facts, batch_tokens=900)

    def stopped(loaded, batch):
        asked.extend(batch)
        if len(asked) == 9:
            signal.raise_signal(signal.SIGINT)
        return score(loaded, batch)

    monkeypatch.setattr(scoring, "_score", stopped)
    with pytest.raises(Interrupted, match=r"Stopped after \d+ of \d+ batches"):
        measure_behavior(loaded, facts, batch_tokens=900, resume=tmp_path / "r.partial")
    first = len(asked)
    found = measure_behavior(loaded, facts, batch_tokens=900, resume=tmp_path / "r.partial")
    np.testing.assert_array_equal(found.log_probability, whole.log_probability)
    assert first < len(asked) == 18, "what was done was done again"
    with pytest.raises(MeasurementError, match="batch_tokens: 900 there, 500 asked"):
        measure_behavior(loaded, facts, batch_tokens=500, resume=tmp_path / "r.partial")


def test_facts_without_options_are_sent_to_generation(facts):
    only = tuple(
        replace(
            fact,
            option_ids=(fact.object_id,),
            wording={
                code: replace(said, options=(fact.answer(code),)) for code, said in fact.wording.items()
            },
        )
        for fact in facts
    )
    with pytest.raises(DataError, match=r"6 of 6 facts of 'few' have no options.* --mode generate"):
        measure_behavior(opened("qwen2"), FactSet("few", only, facts.languages))


def test_options_without_ids_give_accuracy_but_no_agreement(facts):
    loaded = opened("llama")
    found = measure_behavior(loaded, facts)
    loose = measure_behavior(loaded, replace(facts, aligned=False))
    np.testing.assert_array_equal(loose.credit(), found.credit())
    assert loose.consistency() == {"total_consistency": found.consistency()["total_consistency"]}
    assert {"RankC", "pairs that agree"} == set(found.quantities()) - set(loose.quantities())
    with pytest.raises(ResultError, match="cannot be compared between languages"):
        loose.agreement()


def test_a_length_that_is_not_known_is_refused(facts):
    found = measure_behavior(opened("llama"), facts)
    unknown = replace(found, tokens=np.zeros_like(found.tokens))
    np.testing.assert_array_equal(unknown.scores("byte"), found.scores("byte"))
    with pytest.raises(ResultError, match="lengths in tokens are not known"):
        unknown.scores("token")
