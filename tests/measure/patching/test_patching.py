"""Patching: a slow oracle, a planted circuit, all and nothing, and laws."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from interp.errors import MeasurementError
from interp.measure.patching.prefix import SharedPrefix
from interp.results.patching import PatchingResult
from interp.results.recovery import LEFT_OUT
from tests.support.measuring import Protocol, find_pairs, measure_behavior, measure_patching
from tests.support.planted.route import HEAD, NEURON_LAYER, NEURONS, route_facts, route_model
from tests.support.slow_patching import (
    WITHIN,
    compare_with_loop,
    short_facts,
    spacing_model,
    with_third_language,
)
from tests.support.tiny import PLANTED_FAMILIES

SITES = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "head", "mlp_neuron")


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("family", PLANTED_FAMILIES)
def test_every_site_equals_one_run_per_cell(family, site):
    loaded, facts = spacing_model(family), short_facts()
    protocol = Protocol(
        "within", ("en", "ja"), positions=("subject_last", "subject_mean", "last"), prompt_format="none"
    )
    found = measure_patching(loaded, facts, protocol, site=site)
    compare_with_loop(found, loaded, protocol, facts)


@pytest.mark.parametrize("family", ["bloom", "opt", "gpt2", "mixtral", "llama4_text"])
def test_other_architectures_equal_one_run_per_cell(family):
    """ALiBi has rows of its own per head, OPT has prompts and tokens in one axis."""
    loaded, facts = spacing_model(family), short_facts(12)
    protocol = Protocol("within", ("en", "ja"), positions=("last",), prompt_format="none")
    compare_with_loop(measure_patching(loaded, facts, protocol, site="resid_mid"), loaded, protocol, facts)


@pytest.mark.parametrize("positions", [("all",), ("each",), ("last", "each")])
@pytest.mark.parametrize("family", ["llama", "olmo2"])
def test_every_position_equals_one_run_per_cell(family, positions):
    loaded, facts = spacing_model(family), short_facts()
    protocol = Protocol("within", ("en", "ja"), positions=positions, prompt_format="none")
    found = measure_patching(loaded, facts, protocol)
    assert found.reasons()["lengths differ"].sum() > 0  # and are said
    compare_with_loop(found, loaded, protocol, facts)


@pytest.mark.parametrize("onward", [False, True])
@pytest.mark.parametrize("mode", ["across", "concepts"])
def test_between_languages_equals_one_run_per_cell(mode, onward):
    loaded, facts = spacing_model("llama", 5), with_third_language(short_facts())
    protocol = Protocol(mode, ("ja",), ("en", "zh"), ("subject_last", "last"), "none")
    found = measure_patching(loaded, facts, protocol, onward=onward)
    assert found.sources == ("en", "zh")
    compare_with_loop(found, loaded, protocol, facts, onward=onward)


def test_every_source_must_be_right_and_the_target_wrong():
    """And the answer stands against the wrong option that the target prefers."""
    loaded, facts = (
        spacing_model("llama", 5),
        with_third_language(short_facts()).filter(languages=("en", "zh", "ja")),
    )
    protocol = Protocol("across", ("ja",), ("en", "zh"), prompt_format="none")
    answers = measure_behavior(loaded, facts, prompt_format="none")
    right, scores = answers.right("sum"), answers.log_probability
    found = find_pairs(loaded, facts, protocol, None, 4096, None, None)
    reason = np.array(LEFT_OUT)[found.left_out[:, 0]]
    both = right[:, 0] & right[:, 1]
    assert 0 < both.sum() < (right[:, 0] | right[:, 1]).sum()
    np.testing.assert_array_equal(reason == "source wrong", ~both)
    np.testing.assert_array_equal(reason == "target right", both & right[:, 2])
    assert found.pairs
    for pair in found.pairs:
        preferred = int(scores[pair.fact, 2].argmax())
        first = facts.facts[pair.fact].wording["ja"].options[preferred][0]
        assert pair.target.distractor == loaded.tokenizer(first)["input_ids"][0]


def test_between_checkpoints_equals_one_run_per_cell():
    loaded, source, facts = spacing_model("llama"), spacing_model("llama", 3), short_facts()
    protocol = Protocol("checkpoints", ("en", "ja"), prompt_format="none")
    found = measure_patching(loaded, facts, protocol, site="head", source=source)
    compare_with_loop(found, loaded, protocol, facts, source=source)


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("family", ["llama", "gemma"])
def test_a_prefix_that_rows_share_changes_nothing(family, broken, monkeypatch):
    """Questions of over eight tokens before the subject are run behind a cache; one that fails is noticed and
    left."""
    used, rows = [], SharedPrefix._rows

    def spied(self, old, new):
        used.append(len(new))
        return rows(self, old, new) * (0.5 if broken else 1)

    monkeypatch.setattr(SharedPrefix, "_rows", spied)
    facts = short_facts(16)
    changed = []
    for fact in facts:
        wording = {
            code: dataclasses.replace(said, question="what is said here " + said.question)
            for code, said in fact.wording.items()
        }
        changed.append(dataclasses.replace(fact, wording=wording))
    facts = dataclasses.replace(facts, facts=tuple(changed))
    found = measure_patching(spacing_model(family), facts, WITHIN, site="resid_mid")
    assert used
    compare_with_loop(found, spacing_model(family), WITHIN, facts)


def best(found: PatchingResult, **where: object) -> set[tuple]:
    """Cells that recover everything; all others must recover nothing."""
    table = found.recovery()
    full = table[(table.recovery - 1).abs() < 1e-3]
    assert (table.drop(full.index).recovery.abs() < 1e-3).all()
    assert full.recovery.min() > 0.99
    assert full.recovery.max() < 1.01
    return set(zip(full.layer, full.unit, full.position, strict=True))


@pytest.mark.parametrize("family", PLANTED_FAMILIES)
def test_a_planted_circuit_is_found_and_nothing_else(family):
    loaded, facts = route_model(family), route_facts()
    protocol = Protocol("within", ("ja", "zh"), prompt_format="none")

    def cells(site, **options):
        return best(measure_patching(loaded, facts, protocol, site=site, **options))

    subject, last = "subject_last", "last"
    assert cells("resid_pre") == {(0, "all", subject), (1, "all", subject), (2, "all", last)}
    assert cells("resid_mid") == {(0, "all", subject), (1, "all", last), (2, "all", last)}
    assert cells("resid_post") == {(0, "all", subject), (1, "all", last), (2, "all", last)}
    assert cells("head") == {(HEAD[0], str(HEAD[1]), last)}
    assert cells("attn_out") == {(HEAD[0], "all", last)}
    assert cells("mlp_neuron") == cells("mlp_out") == {(NEURON_LAYER, "all", last)}
    sets = (NEURONS, tuple(range(4, 48)))
    assert cells("mlp_neuron", units=sets) == {(NEURON_LAYER, "0,1,2,3", last)}


@pytest.mark.parametrize("family", PLANTED_FAMILIES)
def test_an_unrelated_fact_recovers_nothing_of_a_planted_circuit(family):
    """Of another class than source and target, it says nothing for either."""
    found = measure_patching(
        route_model(family), route_facts(), Protocol("within", ("ja",), prompt_format="none")
    )
    table = found.recovery()
    full = table[table.recovery > 0.5]
    floor = full.floor.to_numpy()
    assert (np.abs(floor - floor[0]) < 1e-2).all()  # the same at every place of the route
    clean, corrupt = found.clean[:, 0, 0], found.corrupt[:, 0, 0]
    each = (found.control[:, 0, 0, 0, 0, 0] - corrupt) / (clean - corrupt)  # layer 0, the subject
    assert (
        (each > 0.3) & (each < 0.7)
    ).all()  # it takes the wrong answer away, which is half of the difference
    assert (full.beyond > 0.2).all()


def test_a_broken_circuit_cannot_be_patched_because_it_knows_nothing():
    with pytest.raises(
        MeasurementError, match=r"No pair is left of 32 facts and languages \(32 source wrong\)"
    ):
        measure_patching(
            route_model("llama", blind=True),
            route_facts(),
            Protocol("within", ("ja", "zh"), prompt_format="none"),
        )


@pytest.mark.parametrize("family", PLANTED_FAMILIES)
def test_another_language_rescues_the_one_that_cannot_read_its_subjects(family):
    """Chinese letters all say class 0, so three quarters of its facts are wrong; the route behind them is
    shared."""
    loaded, facts = route_model(family, deaf="zh"), route_facts(dashes=(1, 2))
    found = measure_patching(
        loaded, facts, Protocol("across", ("zh",), ("ja",), prompt_format="none"), site="head"
    )
    assert found.reasons().loc["zh", ["used", "target right"]].tolist() == [12, 4]
    table = found.recovery("rescued")
    cell = table[(table.layer == HEAD[0]) & (table.unit == str(HEAD[1])) & (table.position == "last")]
    assert (cell.patched.item(), cell.corrupt.item()) == (1, 0)
    others = table.drop(cell.index)
    assert (others.patched == 0).all()


@pytest.mark.parametrize("family", PLANTED_FAMILIES)
def test_patching_everything_recovers_all_and_patching_nothing_none(family):
    loaded, facts = spacing_model(family), short_facts()
    protocol = Protocol("within", ("en", "ja"), positions=("all",), prompt_format="none")
    for site in ("resid_pre", "resid_mid"):
        found = measure_patching(loaded, facts, protocol, site=site)
        whole = np.broadcast_to(found.clean[..., None], found.patched.shape[:4])
        np.testing.assert_allclose(found.patched[..., 0, 0], whole, atol=1e-4)
        assert (found.left_out == 0).sum() >= 2
        nothing = dataclasses.replace(
            found, patched=np.broadcast_to(found.corrupt[..., None, None, None], found.patched.shape)
        )
        if found.recovery().recovery.notna().all():  # where the source is better in the mean
            assert found.recovery().recovery.to_numpy() == pytest.approx(1, abs=1e-4)
            assert nothing.recovery().recovery.to_numpy() == pytest.approx(0)


def test_feeding_the_source_s_stream_is_patching_all_of_it():
    """Layers from l on, run by hand on the source's stream, answer as the target patched at layer l does."""
    loaded, facts = spacing_model("qwen2"), short_facts()
    protocol = Protocol("within", ("en",), positions=("all",), prompt_format="none")
    found = measure_patching(loaded, facts, protocol)
    for pair in find_pairs(loaded, facts, protocol, None, 4096, None, None).pairs:
        ids = torch.tensor([pair.sources[0].tokens])
        with torch.no_grad():
            body = loaded.architecture.body
            streams = loaded.model(input_ids=ids, output_hidden_states=True).hidden_states
            rotations = body.rotary_emb(streams[0], torch.arange(ids.shape[1]).unsqueeze(0))
            for layer in range(3):
                hidden = streams[layer]
                for block in body.layers[layer:]:
                    hidden = block(hidden, position_embeddings=rotations, attention_mask=None)
                logits = loaded.model.lm_head(body.norm(hidden))[0, len(pair.target.ids) - 1]
                expected = logits[pair.target.answer[0]] - logits[pair.target.distractor]
                assert found.patched[pair.fact, 0, 0, layer, 0, 0] == pytest.approx(float(expected), abs=1e-4)


def test_a_checkpoint_patched_with_itself_has_no_pair():
    loaded = spacing_model("llama")
    with pytest.raises(MeasurementError, match=r"source wrong, \d+ target right\)"):
        measure_patching(
            loaded,
            short_facts(),
            Protocol("checkpoints", ("en",), prompt_format="none"),
            source=spacing_model("llama"),
        )


@pytest.mark.parametrize("batch_tokens", [1, 40, 100_000])
def test_batches_change_nothing(batch_tokens):
    loaded, facts = spacing_model("olmo2"), short_facts(12)
    whole = measure_patching(loaded, facts, WITHIN, site="head")
    found = measure_patching(loaded, facts, WITHIN, site="head", batch_tokens=batch_tokens)
    for name in ("clean", "corrupt", "patched", "control"):
        np.testing.assert_allclose(getattr(found, name), getattr(whole, name), atol=1e-4)


def test_facts_and_languages_in_another_order_give_the_same_in_that_order():
    loaded, facts = spacing_model("llama"), short_facts()
    turned = dataclasses.replace(facts, facts=facts.facts[::-1])
    found = measure_patching(loaded, facts, WITHIN)
    other = measure_patching(loaded, turned, Protocol("within", ("ja", "en"), prompt_format="none"))
    order = [found.metrics.index(name) for name in other.metrics]
    np.testing.assert_allclose(other.patched[::-1, ::-1], found.patched[:, :, order], atol=1e-4)
    assert found.recovery().recovery.to_numpy() == pytest.approx(
        other.recovery().recovery.to_numpy(), abs=1e-4
    )
