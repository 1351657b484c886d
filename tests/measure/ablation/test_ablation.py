"""Ablation: equal to models without the units, one row per option; planted neurons harm their language alone;
nulls."""

from __future__ import annotations

import copy
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from interp.data.facts import FactSet
from interp.data.prompts import prompts_from_facts
from interp.data.sources.cldr import cldr_facts
from interp.errors import CapabilityError, ConfigError, Interrupted, MeasurementError, ResultError
from interp.measure.ablation import ablation
from interp.measure.ablation.removal import removed_units, unit_means
from interp.results.ablation import own_above_other
from interp.results.selection import top_units
from interp.stats import diagonal_p
from tests.support.measuring import measure_ablation, measure_behavior, measure_heads, measure_specialization
from tests.support.planted.facts import LANGUAGES, LAYER, answering_model, letter_facts, planted_neurons
from tests.support.tiny import PLANTED_FAMILIES, opened

MEASURED = ("intact_loss", "loss", "intact_scores", "scores")


@pytest.fixture(scope="module")
def facts() -> FactSet:
    return cldr_facts().filter(languages=("en", "bn", "zh"), limit=6)


@pytest.fixture(scope="module")
def read(facts):
    return prompts_from_facts(facts)


def selected(loaded, read, unit: str = "neurons"):
    measure = {"neurons": measure_specialization, "heads": measure_heads}[unit]
    need = {"min_tokens": 1} if unit == "neurons" else {"min_items": 1}
    return measure(loaded, read, n_blocks=2, **need)


def without(loaded, unit: str, units, means=None):
    """A copy of the model whose weights do what removing the units does; a mean is a constant that is
    written."""
    changed = copy.deepcopy(loaded.model)
    architecture, width = loaded.architecture, loaded.architecture.d_head
    for number in units:
        per_layer = architecture.n_heads if unit == "heads" else architecture.n_neurons
        layer, index = divmod(int(number), per_layer)
        block = changed.model.layers[layer]
        module = block.self_attn.o_proj if unit == "heads" else block.mlp.down_proj
        columns = slice(index * width, (index + 1) * width) if unit == "heads" else slice(index, index + 1)
        if means is not None:
            constant = (module.weight[:, columns].double() @ means[layer][index].reshape(-1)).float()
            module.register_forward_hook(lambda m, args, out, c=constant: out + c)
        with torch.no_grad():
            module.weight[:, columns] = 0
    return changed


def one_by_one(model, tokenizer, facts, prompts):
    """The definition: mean loss of question and right answer, and every option as a row of its own, without a
    cache."""
    losses, scores = (
        np.zeros((len(facts), len(facts.languages))),
        np.zeros((len(facts), len(facts.languages), 4)),
    )
    for column, code in enumerate(facts.languages):
        for row, (fact, prompt) in enumerate(zip(facts, prompts.prompts[code], strict=True)):
            start = len(tokenizer(prompt.text)["input_ids"])
            for option, name in enumerate(fact.wording[code].options):
                ids = torch.tensor([tokenizer(prompt.text + prompt.separator + name)["input_ids"]])
                with torch.no_grad():
                    out = model(input_ids=ids, labels=ids)
                logged = out.logits[0, :-1].double().log_softmax(dim=-1).gather(1, ids[0, 1:, None])[:, 0]
                scores[row, column, option] = logged[start - 1 :].sum()
                if option == fact.answer_index:
                    losses[row, column] = float(out.loss)
    return losses, scores


@pytest.mark.parametrize("mode", ["zero", "mean"])
@pytest.mark.parametrize(("family", "unit"), [("qwen2", "neurons"), ("olmo2", "heads"), ("gemma", "neurons")])
def test_it_equals_models_without_the_units(family, unit, mode, facts, read):
    loaded = opened(family, bos=family == "gemma")
    selection = selected(loaded, read, unit)
    count = {"heads": 1, "neurons": 4}[unit]
    found = measure_ablation(loaded, facts, selection, read, count=count, mode=mode, draws=1)
    losses, scores = one_by_one(loaded.model, loaded.tokenizer, facts, read)
    np.testing.assert_allclose(found.intact_loss, losses, atol=2e-4)
    np.testing.assert_allclose(found.intact_scores, scores, atol=2e-3)
    for half, variant, owner in ((0, 0, 1), (1, 1, 2)):
        means = unit_means(loaded, read, unit, 2, [1 - half]) if mode == "mean" else None
        changed = without(loaded, unit, found.removed[half, variant, owner], means)
        losses, scores = one_by_one(changed, loaded.tokenizer, facts, read)
        here = found.half == half
        assert here.any()
        np.testing.assert_allclose(found.loss[variant, owner, here], losses[here], atol=2e-4)
        np.testing.assert_allclose(found.scores[variant, owner, here], scores[here], atol=2e-3)


def test_intact_answers_are_those_of_the_behavior_measure(facts, read):
    loaded = opened("llama", bos=True)
    found = measure_ablation(loaded, facts, selected(loaded, read), read, count=1, draws=1)
    np.testing.assert_allclose(
        found.intact_scores, measure_behavior(loaded, facts).log_probability, atol=1e-4
    )
    np.testing.assert_allclose(found.intact_accuracy(), measure_behavior(loaded, facts).credit())


def test_removing_nothing_changes_nothing(facts):
    loaded = opened("qwen2")
    ids = torch.arange(8)[None]
    with torch.no_grad():
        before = loaded.model(input_ids=ids).logits
        with removed_units(loaded, "neurons", np.zeros(0, dtype=np.int64)):
            assert torch.equal(loaded.model(input_ids=ids).logits, before)
        with removed_units(loaded, "neurons", np.array([3])):
            assert not torch.equal(loaded.model(input_ids=ids).logits, before)
        assert torch.equal(loaded.model(input_ids=ids).logits, before)


@pytest.mark.parametrize("unit", ["heads", "neurons"])
def test_means_are_over_tokens_and_then_over_languages(unit, facts, read):
    loaded = opened("olmo2", bos=True)
    per_language = []
    blocks = read.group_blocks(2)
    for code in read.languages:
        rows = []
        for prompt in read.prompts[code]:
            if blocks[prompt.group] != 1:
                continue
            kept = []
            module = loaded.model.model.layers[1]
            module = module.self_attn.o_proj if unit == "heads" else module.mlp.down_proj
            handle = module.register_forward_pre_hook(lambda m, args, kept=kept: kept.append(args[0][0]))
            with torch.no_grad():
                loaded.model(input_ids=torch.tensor([loaded.tokenizer(prompt.full_text)["input_ids"]]))
            handle.remove()
            rows.append(kept[0][1:])  # all but BOS
        per_language.append(torch.cat(rows).double().mean(dim=0))
    found = unit_means(loaded, read, unit, 2, [1])[1]
    assert found.shape == ((4, 8) if unit == "heads" else (48,))
    torch.testing.assert_close(found.flatten(), torch.stack(per_language).mean(dim=0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("family", PLANTED_FAMILIES)
def test_neurons_of_one_language_harm_that_language_alone(family):
    loaded, asked = answering_model(family, shared=False), letter_facts(per_group=4)
    read = prompts_from_facts(asked, prompt_format="none")
    selection = measure_specialization(loaded, read, n_blocks=4, min_tokens=1)
    found = measure_ablation(loaded, asked, selection, read, count=4, prompt_format="none", draws=4)
    width = loaded.architecture.n_neurons
    for half in (0, 1):
        for owner, code in enumerate(LANGUAGES):
            expected = {LAYER * width + n for n in planted_neurons(code, shared=False)}
            assert set(found.removed[half, 0, owner].tolist()) == expected
    assert (found.intact_accuracy() == 1).all()
    lost = found.harms("accuracy")[0].mean(axis=1)
    assert lost == pytest.approx(0.75 * np.eye(2))  # four options alike are a guess
    nats = found.harms("loss")[0].mean(axis=1)
    assert np.diag(nats).min() > 0.1
    assert nats[0, 1] == nats[1, 0] == pytest.approx(0, abs=1e-5)
    for kind in ("loss", "accuracy"):
        test = found.dominance(kind)
        assert test.low > 0.1
        assert test.p == test.least_p == 0.5


def test_neurons_that_serve_all_languages_are_nobodys():
    loaded, asked = answering_model("llama", shared=True), letter_facts(per_group=4)
    read = prompts_from_facts(asked, prompt_format="none")
    selection = measure_specialization(loaded, read, n_blocks=4, min_tokens=1)
    with pytest.raises(
        ResultError, match="Language 'ja' has 0 neurons that are more active in it than on average"
    ):
        measure_ablation(loaded, asked, selection, read, count=4, prompt_format="none")


def test_one_text_under_two_names_has_no_diagonal():
    some = cldr_facts().filter(languages=("en",), limit=8)
    twins = FactSet(
        "twins",
        tuple(replace(f, wording={"en": f.wording["en"], "de": f.wording["en"]}) for f in some),
        ("en", "de"),
    )
    loaded, read = opened("qwen2"), prompts_from_facts(twins, prompt_format="none")
    selection = selected(loaded, read, "heads")
    found = measure_ablation(loaded, twins, selection, read, count=2, rule="important", prompt_format="none")
    assert (found.removed[:, 0, 0] == found.removed[:, 0, 1]).all()
    assert np.abs(found.harms()[0]).max() > 1e-3
    assert found.harms()[0, 0] == pytest.approx(found.harms()[0, 1], abs=1e-6)
    for kind in ("loss", "accuracy"):
        assert own_above_other(found.harms(kind)[0]) == pytest.approx(np.zeros(8), abs=1e-6)
        assert diagonal_p(found.harms(kind)[0].mean(axis=1).round(6)) == (1.0, 0.5)
    assert found.shared_units() == 1
    with pytest.raises(ResultError, match="Language 'en' has 0 heads that are more important in it than on"):
        measure_ablation(loaded, twins, selection, read, count=1, prompt_format="none")


def test_units_are_selected_on_the_other_half_and_drawn_from_the_same_layers(facts, read):
    loaded = opened("qwen2")
    selection = selected(loaded, read)
    found = measure_ablation(loaded, facts, selection, read, count=5, draws=2)
    blocks = read.group_blocks(2)
    assert found.half.tolist() == [blocks[f.group] for f in facts]
    for half in (0, 1):
        own = top_units(selection.subset([1 - half]), 5)
        assert np.array_equal(found.removed[half, 0], own)
        for drawn in found.removed[half, 1:]:
            for owner in range(3):
                assert sorted((drawn[owner] // 48).tolist()) == sorted((own[owner] // 48).tolist())
                assert not set(drawn[owner].tolist()) & set(own[owner].tolist())
    assert not np.array_equal(found.removed[0, 1], found.removed[0, 2])
    assert not np.array_equal(top_units(selection.subset([0]), 5), top_units(selection.subset([1]), 5))


def test_facts_that_were_not_read_belong_to_a_half_by_their_group(read, facts):
    loaded = opened("qwen2")
    more = cldr_facts().filter(languages=facts.languages, limit=14)
    found = measure_ablation(loaded, more, selected(loaded, read), read, count=1, draws=1)
    assert set(found.half.tolist()) == {0, 1}
    inside = dict(zip((f.fact_id for f in more), found.half, strict=True))
    blocks = read.group_blocks(2)
    assert all(inside[f.fact_id] == blocks[f.group] for f in facts)
    halves = {f.group: h for f, h in zip(more, found.half, strict=True)}
    assert all(halves[f.group] == h for f, h in zip(more, found.half, strict=True))


def test_batches_and_the_order_of_facts_and_languages_change_nothing(facts, read):
    loaded = opened("olmo2")
    whole = measure_ablation(loaded, facts, selected(loaded, read), read, count=3, draws=1)
    small = measure_ablation(loaded, facts, selected(loaded, read), read, count=3, draws=1, batch_tokens=1)
    turned = FactSet(facts.name, facts.facts[::-1], facts.languages).filter(languages=facts.languages[::-1])
    again = prompts_from_facts(turned)
    other = measure_ablation(loaded, turned, selected(loaded, again), again, count=3, draws=1)
    for name in MEASURED:
        np.testing.assert_allclose(getattr(small, name), getattr(whole, name), atol=2e-4)
    np.testing.assert_allclose(other.loss, whole.loss[:, ::-1, ::-1, ::-1], atol=2e-4)
    np.testing.assert_allclose(other.scores, whole.scores[:, ::-1, ::-1, ::-1], atol=2e-3)


def test_an_interrupted_run_goes_on_to_the_same_result_and_memory_halves(facts, read, tmp_path, monkeypatch):
    loaded, file = opened("qwen2"), tmp_path / "a.partial"
    selection = selected(loaded, read)
    whole = measure_ablation(loaded, facts, selection, read, count=3, draws=1)
    original, calls = ablation.encode_questions, []

    def stopping(loaded, questions):
        calls.append(len(questions))
        if len(calls) == 5:
            signal.raise_signal(signal.SIGINT)
        return original(loaded, questions)

    monkeypatch.setattr(ablation, "encode_questions", stopping)
    with pytest.raises(Interrupted, match="Stopped after 5 of 14 batches"):
        measure_ablation(loaded, facts, selection, read, count=3, draws=1, resume=file)
    again = measure_ablation(loaded, facts, selection, read, count=3, draws=1, resume=file)
    assert len(calls) == 14
    for name in MEASURED:
        assert np.array_equal(getattr(again, name), getattr(whole, name))
    with pytest.raises(MeasurementError, match=r"is of another run \(mode: zero there, mean asked\)"):
        measure_ablation(loaded, facts, selection, read, count=3, draws=1, mode="mean", resume=file)

    def scarce(loaded, questions):
        if len(questions) > 2:
            raise torch.OutOfMemoryError
        return original(loaded, questions)

    monkeypatch.setattr(ablation, "encode_questions", scarce)
    halved = measure_ablation(loaded, facts, selection, read, count=3, draws=1)
    assert halved.provenance.run["largest_batch"] == 2
    np.testing.assert_allclose(halved.loss, whole.loss, atol=2e-4)


def test_every_argument_does_what_it_says(facts, read):
    loaded = opened("qwen2")
    selection = selected(loaded, read)
    base = measure_ablation(loaded, facts, selection, read, count=3, draws=1)
    assert base.removed.shape == (2, 2, 3, 3)
    assert measure_ablation(loaded, facts, selection, read, draws=2).removed.shape == (2, 3, 3, 1)
    seeded = measure_ablation(loaded, facts, selection, read, count=3, draws=1, seed=1)
    assert np.array_equal(seeded.loss[0], base.loss[0])
    assert not np.array_equal(seeded.loss[1], base.loss[1])
    mean = measure_ablation(loaded, facts, selection, read, count=3, draws=1, mode="mean")
    assert np.array_equal(mean.intact_loss, base.intact_loss)
    assert not np.allclose(mean.loss, base.loss)
    plain = measure_ablation(loaded, facts, selection, read, count=3, draws=1, prompt_format="none")
    assert not np.allclose(plain.intact_loss, base.intact_loss)
    assert base.provenance.settings["selected_on"] == read.digest


def test_what_cannot_be_measured_is_refused_with_a_reason(facts, read):
    loaded = opened("qwen2")
    selection = selected(loaded, read)

    def refused(match, asked=facts, chosen=selection, prompts=read, **options):
        with pytest.raises(MeasurementError, match=match):
            measure_ablation(loaded, asked, chosen, prompts, **options)

    english = facts.filter(languages=("en",))
    refused(r"One language \('en'\); at least 2", asked=english)
    refused("selected for en bn zh, the facts are asked in en zh", asked=facts.filter(languages=("en", "zh")))
    refused("The units were not selected on 'cldr'", prompts=read.sample(4))
    other = replace(selection, provenance=replace(selection.provenance, fingerprint="f" * 64))
    refused("The units were selected in another checkpoint", chosen=other)
    with pytest.raises(ConfigError, match=r"'mode' is 'none'\. Choose from: zero, mean"):
        measure_ablation(loaded, facts, selection, read, mode="none")
    with pytest.raises(ConfigError, match="'draws' is 0; a number of at least 1"):
        measure_ablation(loaded, facts, selection, read, draws=0)
    with pytest.raises(ResultError, match=r"Language 'en' has \d+ neurons that are .+; 144 are asked for"):
        measure_ablation(loaded, facts, selection, read, count=144)
    experts = opened("mixtral")
    heads = selected(experts, read, "heads")
    assert measure_ablation(experts, facts, heads, read, count=1, draws=1).unit == "heads"
    with pytest.raises(CapabilityError, match="has no site 'mlp_neuron'"):
        measure_ablation(experts, facts, selection, read)
    with torch.no_grad():
        loaded.model.model.norm.weight.fill_(float("nan"))
    refused(
        r"Question '.+' in '.+' \(\d+ tokens with its options\): log-probabilities are not finite", count=1
    )
