"""Patching: a slow oracle, a planted circuit, all and nothing, laws, and what is refused."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from interp.data.facts import Fact, FactSet, Wording
from interp.errors import CapabilityError, ConfigError, Interrupted, MeasurementError
from interp.measure import runs
from interp.measure.behaviour import measure_behaviour
from interp.measure.patching import measure_patching
from interp.measure.prefix import SharedPrefix
from interp.measure.protocol import Protocol, find_pairs
from interp.model.hooks import editing, reading
from interp.model.loading import adopt_model
from interp.model.sites import Site
from interp.results.patching import PatchingResult
from interp.results.recovery import LEFT_OUT
from tests.planted_route import HEAD, NEURON_LAYER, NEURONS, route_facts, route_model
from tests.tiny import PLANTED_FAMILIES, byte_tokenizer, tiny_model

WITHIN = Protocol("within", ("en", "ja"), scaffold="none")
SITES = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "head", "mlp_neuron")


def short_facts(n: int = 24) -> FactSet:
    """Facts of two relations whose questions and subjects have all lengths from 1 to 3 letters."""
    facts = []
    for i in range(n):
        name = "abcdefghijklmnopqrstuvwxyz"[i] * (1 + i % 3)
        wording = {
            "en": Wording(f"of {name}?", name, ("do", "ri", "mi", "so")),
            "ja": Wording(f"{name.upper()}=", name.upper(), ("DO", "RI", "MI", "SO")),
        }
        options = tuple(f"option-{o}" for o in range(4))
        relation = ("one", "two")[i % 2]
        facts.append(
            Fact(f"fact-{i:02d}", relation, f"subject-{i}", options[i % 4], options, "test", f"g{i}", wording)
        )
    return FactSet("short", tuple(facts), ("en", "ja"))


@cache
def spacing_tokenizer() -> PreTrainedTokenizerFast:
    """Bytes, and a token for every letter with the space before it, so that answers differ in their first token."""
    plain = byte_tokenizer().backend_tokenizer
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = plain.get_vocab() | {f"\u0120{letter}": 259 + i for i, letter in enumerate(letters)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[("\u0120", letter) for letter in letters]))
    backend.pre_tokenizer, backend.decoder = plain.pre_tokenizer, plain.decoder
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>"
    )


@cache
def opened(family: str = "llama", seed: int = 0):
    return adopt_model(tiny_model(family, seed=seed, vocab_size=259 + 26), spacing_tokenizer())


class OneByOne:
    """The definition: one prompt, one cell and one forward pass at a time, with the whole model's logits."""

    def __init__(self, loaded, source=None):
        self.loaded, self.source = loaded, source or loaded

    def values(self, asked, site):
        kept = {}
        with (
            torch.no_grad(),
            reading(self.source.architecture, {site: lambda v, s: kept.update(v=v.clone())}),
        ):
            self.source.model(input_ids=torch.tensor([asked.tokens]))
        return kept["v"][0]

    def segments(self, group, span, site):
        """The mean over prompts of the mean over positions, per segment."""
        each = []
        for asked in group:
            values = self.values(asked, site)
            each.append([values[list(at)].mean(dim=0) for at in asked.segments(span)])
        return [torch.stack(parts).mean(dim=0) for parts in zip(*each, strict=True)]

    def patched(self, target, group, cell):
        last = 3 if cell.onward else cell.layer + 1
        sites = [Site(cell.site, layer) for layer in range(cell.layer, last)]
        new = {site: self.segments(group, cell.span, site) for site in sites}

        def edit(value, site):
            value = value.clone()
            for segment, at in zip(new[site], target.segments(cell.span), strict=True):
                at = list(at)
                here = value[0, at]
                moved = here + (segment - here.mean(dim=0))
                chosen = list(cell.units) or list(range(value.shape[2]))
                here = here.clone()
                here[:, chosen] = moved[:, chosen]
                value[0, at] = here
            return value

        with editing(self.loaded.architecture, dict.fromkeys(sites, edit)):
            return self.metrics(target)

    def metrics(self, asked):
        with torch.no_grad():
            logits = self.loaded.model(input_ids=torch.tensor([asked.tokens])).logits[0].double()
        last, logged = len(asked.ids) - 1, logits.log_softmax(-1)
        whole = sum(logged[last + i, token] for i, token in enumerate(asked.answer))
        names = [logged[last, t].exp() if t >= 0 else torch.tensor(torch.nan) for t in asked.first]
        first = logits[last, asked.answer[0]] - logits[last, asked.distractor]
        return torch.stack([first, whole, logged[last, asked.answer[0]].exp(), *names]).numpy()


def compare_with_loop(found, loaded, protocol, facts, source=None, onward=False):
    pairs = find_pairs(loaded, facts, protocol, source, 4096, None, None)
    slow = OneByOne(loaded, source)
    assert len(pairs.pairs) >= 2
    checked = 0
    for pair in pairs.pairs:
        at = pair.fact, pair.language
        own = OneByOne(source) if source else slow
        clean = np.mean([own.metrics(asked) for asked in pair.sources], axis=0)
        np.testing.assert_allclose(found.clean[at], clean, atol=1e-4)
        np.testing.assert_allclose(found.corrupt[at], slow.metrics(pair.target), atol=1e-4)
        for layer, unit, position in np.ndindex(*found.patched.shape[3:]):
            if (layer + unit + position + pair.fact) % 5:  # a fifth of all cells, each pair other ones
                continue
            chosen = found.units[unit]
            units = () if chosen == "all" else tuple(map(int, chosen.split(",")))
            cell = runs.Cell(found.site, layer, pairs.spans[position], units, onward)
            if isinstance(cell.span, int) and cell.span >= len(pair.target.ids):
                assert np.isnan(found.patched[*at, :, layer, unit, position]).all()
                continue
            for group, values in ((pair.sources, found.patched), (pair.controls, found.control)):
                if not group:
                    assert np.isnan(values[*at]).all()
                    continue
                expected = slow.patched(pair.target, group, cell)
                np.testing.assert_allclose(values[*at, :, layer, unit, position], expected, atol=1e-4)
                checked += 1
    assert checked > 3


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("family", PLANTED_FAMILIES)
def test_every_site_equals_one_run_per_cell(family, site):
    loaded, facts = opened(family), short_facts()
    protocol = Protocol(
        "within", ("en", "ja"), positions=("subject_last", "subject_mean", "last"), scaffold="none"
    )
    found = measure_patching(loaded, facts, protocol, site=site)
    compare_with_loop(found, loaded, protocol, facts)


@pytest.mark.parametrize("positions", [("all",), ("each",), ("last", "each")])
@pytest.mark.parametrize("family", ["llama", "olmo2"])
def test_every_position_equals_one_run_per_cell(family, positions):
    loaded, facts = opened(family), short_facts()
    protocol = Protocol("within", ("en", "ja"), positions=positions, scaffold="none")
    found = measure_patching(loaded, facts, protocol)
    assert found.reasons()["lengths differ"].sum() > 0  # and are said
    compare_with_loop(found, loaded, protocol, facts)


@pytest.mark.parametrize("onward", [False, True])
@pytest.mark.parametrize("mode", ["across", "concepts"])
def test_between_languages_equals_one_run_per_cell(mode, onward):
    loaded, facts = opened("llama", 5), with_third_language(short_facts())
    protocol = Protocol(mode, ("ja",), ("en", "zh"), ("subject_last", "last"), "none")
    found = measure_patching(loaded, facts, protocol, onward=onward)
    assert found.sources == ("en", "zh")
    compare_with_loop(found, loaded, protocol, facts, onward=onward)


def with_third_language(facts: FactSet) -> FactSet:
    changed = []
    for fact in facts:
        said = fact.wording["ja"]
        name = said.subject.lower()
        options = tuple(option.lower() for option in said.options)
        wording = {**fact.wording, "zh": Wording(f"<{name}>", name, options)}
        changed.append(dataclasses.replace(fact, wording=wording))
    return FactSet("three", tuple(changed), ("en", "ja", "zh"))


def test_every_source_must_be_right_and_the_target_wrong():
    """And the answer stands against the wrong option that the target prefers."""
    loaded, facts = (
        opened("llama", 5),
        with_third_language(short_facts()).filter(languages=("en", "zh", "ja")),
    )
    protocol = Protocol("across", ("ja",), ("en", "zh"), scaffold="none")
    answers = measure_behaviour(loaded, facts, scaffold="none")
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
    loaded, source, facts = opened("llama"), opened("llama", 3), short_facts()
    protocol = Protocol("checkpoints", ("en", "ja"), scaffold="none")
    found = measure_patching(loaded, facts, protocol, site="head", source=source)
    compare_with_loop(found, loaded, protocol, facts, source=source)


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("family", ["llama", "gemma"])
def test_a_prefix_that_rows_share_changes_nothing(family, broken, monkeypatch):
    """Questions of over eight tokens before the subject are run behind a cache; one that fails is noticed and left."""
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
    found = measure_patching(opened(family), facts, WITHIN, site="resid_mid")
    assert used
    compare_with_loop(found, opened(family), WITHIN, facts)


def best(found: PatchingResult, **where: object) -> set[tuple]:
    """Cells that recover everything; all others must recover nothing."""
    table = found.recovery()
    full = table[(table.recovery - 1).abs() < 1e-3]
    assert (table.drop(full.index).recovery.abs() < 1e-3).all()
    assert full.low.min() > 0.99
    assert full.high.max() < 1.01
    return set(zip(full.layer, full.unit, full.position, strict=True))


@pytest.mark.parametrize("family", PLANTED_FAMILIES)
def test_a_planted_circuit_is_found_and_nothing_else(family):
    loaded, facts = route_model(family), route_facts()
    protocol = Protocol("within", ("ja", "zh"), scaffold="none")

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
    found = measure_patching(route_model(family), route_facts(), Protocol("within", ("ja",), scaffold="none"))
    table = found.recovery()
    full = table[table.recovery > 0.5]
    floor = full.floor.to_numpy()
    assert (np.abs(floor - floor[0]) < 1e-2).all()  # the same at every place of the route
    clean, corrupt = found.clean[:, 0, 0], found.corrupt[:, 0, 0]
    each = (found.control[:, 0, 0, 0, 0, 0] - corrupt) / (clean - corrupt)  # layer 0, the subject
    assert (
        (each > 0.3) & (each < 0.7)
    ).all()  # it takes the wrong answer away, which is half of the difference
    assert (full.beyond_low > 0.2).all()


def test_a_broken_circuit_cannot_be_patched_because_it_knows_nothing():
    with pytest.raises(
        MeasurementError, match=r"No pair is left of 32 facts and languages \(32 source wrong\)"
    ):
        measure_patching(
            route_model("llama", blind=True),
            route_facts(),
            Protocol("within", ("ja", "zh"), scaffold="none"),
        )


@pytest.mark.parametrize("family", PLANTED_FAMILIES)
def test_another_language_rescues_the_one_that_cannot_read_its_subjects(family):
    """Chinese letters all say class 0, so three quarters of its facts are wrong; the route behind them is shared."""
    loaded, facts = route_model(family, deaf="zh"), route_facts(dashes=(1, 2))
    found = measure_patching(
        loaded, facts, Protocol("across", ("zh",), ("ja",), scaffold="none"), site="head"
    )
    assert found.reasons().loc["zh", ["used", "target right"]].tolist() == [12, 4]
    table = found.recovery("rescued")
    cell = table[(table.layer == HEAD[0]) & (table.unit == str(HEAD[1])) & (table.position == "last")]
    assert (cell.patched.item(), cell.corrupt.item()) == (1, 0)
    others = table.drop(cell.index)
    assert (others.patched == 0).all()


@pytest.mark.parametrize("family", PLANTED_FAMILIES)
def test_patching_everything_recovers_all_and_patching_nothing_none(family):
    loaded, facts = opened(family), short_facts()
    protocol = Protocol("within", ("en", "ja"), positions=("all",), scaffold="none")
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
    loaded, facts = opened("qwen2"), short_facts()
    protocol = Protocol("within", ("en",), positions=("all",), scaffold="none")
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
    loaded = opened("llama")
    with pytest.raises(MeasurementError, match=r"source wrong, \d+ target right\)"):
        measure_patching(
            loaded, short_facts(), Protocol("checkpoints", ("en",), scaffold="none"), source=opened("llama")
        )


@pytest.mark.parametrize("batch_tokens", [1, 40, 100_000])
def test_batches_change_nothing(batch_tokens):
    loaded, facts = opened("olmo2"), short_facts()
    whole = measure_patching(loaded, facts, WITHIN, site="head")
    found = measure_patching(loaded, facts, WITHIN, site="head", batch_tokens=batch_tokens)
    for name in ("clean", "corrupt", "patched", "control"):
        np.testing.assert_allclose(getattr(found, name), getattr(whole, name), atol=1e-4)


def test_facts_and_languages_in_another_order_give_the_same_in_that_order():
    loaded, facts = opened("llama"), short_facts()
    turned = dataclasses.replace(facts, facts=facts.facts[::-1])
    found = measure_patching(loaded, facts, WITHIN)
    other = measure_patching(loaded, turned, Protocol("within", ("ja", "en"), scaffold="none"))
    order = [found.metrics.index(name) for name in other.metrics]
    np.testing.assert_allclose(other.patched[::-1, ::-1], found.patched[:, :, order], atol=1e-4)
    assert found.recovery().recovery.to_numpy() == pytest.approx(
        other.recovery().recovery.to_numpy(), abs=1e-4
    )


def test_memory_that_runs_out_halves_the_rows(monkeypatch):
    loaded, facts = opened("llama"), short_facts()
    whole = measure_patching(loaded, facts, WITHIN)
    sweep, sizes = runs.Targets.sweep, []

    def scarce(self, patches, activations):
        if len(patches) > 5:
            raise torch.OutOfMemoryError
        sizes.append(len(patches))
        return sweep(self, patches, activations)

    monkeypatch.setattr(runs.Targets, "sweep", scarce)
    found = measure_patching(loaded, facts, WITHIN)
    assert max(sizes) == found.provenance.run["largest_batch"] <= 5
    np.testing.assert_allclose(found.patched, whole.patched, atol=1e-4)
    monkeypatch.setattr(runs.Targets, "sweep", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError()))
    with pytest.raises(
        MeasurementError, match=r"A patched run of 'fact-\d+' in '..' \(\d+ tokens\) does not fit"
    ):
        measure_patching(loaded, facts, WITHIN)


def test_an_interrupted_run_continues_to_the_same_bits(monkeypatch, tmp_path):
    loaded, facts = opened("llama"), short_facts()
    whole = measure_patching(loaded, facts, WITHIN, batch_tokens=60)
    sweep, done = runs.Targets.sweep, []

    def stopped(self, patches, activations):
        done.append(1)
        if len(done) == 5:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGINT)
        return sweep(self, patches, activations)

    monkeypatch.setattr(runs.Targets, "sweep", stopped)
    state = tmp_path / "r.partial"
    with pytest.raises(Interrupted):
        measure_patching(loaded, facts, WITHIN, batch_tokens=60, resume=state)
    first = len(done)
    found = measure_patching(loaded, facts, WITHIN, batch_tokens=60, resume=state)
    assert len(done) > first
    for name in ("clean", "corrupt", "patched", "control"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))
    with pytest.raises(MeasurementError, match="is of another run"):
        measure_patching(loaded, facts, WITHIN, site="head", batch_tokens=60, resume=state)


def test_pairs_that_would_mean_nothing_are_left_out_and_counted():
    facts = short_facts()
    alike = []
    for fact in facts:
        said = fact.wording["en"]
        same = tuple(f"x{option}" for option in said.options)
        alike.append(
            dataclasses.replace(
                fact, wording={**fact.wording, "en": Wording(said.question, said.subject, same)}
            )
        )
    loaded = opened("llama")
    found = measure_patching(loaded, dataclasses.replace(facts, facts=tuple(alike)), WITHIN).reasons()
    assert found.loc["en", "used"] == 0
    assert found.loc["en", "same first token"] > 0
    assert found.loc["ja", "used"] > 0
    only = tuple(fact for fact in facts if fact.object_id == "option-0")
    with pytest.raises(MeasurementError, match="no other answer"):
        measure_patching(loaded, dataclasses.replace(facts, facts=only), WITHIN)
    assert set(found.columns) == set(LEFT_OUT)


def test_what_cannot_be_patched_is_refused():
    loaded, facts = opened("llama"), short_facts()

    def refused(error, text, protocol=WITHIN, model=loaded, asked=facts, **options):
        with pytest.raises(error, match=text):
            measure_patching(model, asked, protocol, **options)

    refused(CapabilityError, "No site 'resid'.*resid_", site="resid")
    refused(CapabilityError, "'cohere' has no site 'resid_mid'", model=opened("cohere"), site="resid_mid")
    refused(CapabilityError, r"No head 4: a layer of this 'llama' has 0 to 3", site="head", units=((4,),))
    refused(CapabilityError, "No mlp_neuron in an empty set", site="mlp_neuron", units=((),))
    refused(ConfigError, "Site 'resid_pre' has no units", units=((0,),))
    alone = Protocol("checkpoints", ("en",), scaffold="none")
    refused(ConfigError, "Mode 'checkpoints' without a source checkpoint", alone)
    refused(ConfigError, "Mode 'within' with a source checkpoint", source=opened("llama", 1))
    other = adopt_model(tiny_model("llama", num_hidden_layers=2), byte_tokenizer())
    checkpoints = Protocol("checkpoints", ("en",), scaffold="none")
    refused(CapabilityError, "n_layers is 2 in the source and 3 in the target", checkpoints, source=other)
    between = Protocol("across", ("ja",), ("en",), scaffold="none")
    refused(
        ConfigError, "not aligned between languages", between, asked=dataclasses.replace(facts, aligned=False)
    )
    nameless = dataclasses.replace(
        facts.facts[0],
        wording={**facts.facts[0].wording, "en": Wording("who?", "nobody", ("a", "b", "c", "d"))},
    )
    asked = dataclasses.replace(facts, facts=(nameless, *facts.facts[1:]))
    refused(
        MeasurementError, "'fact-00' in 'en': the question does not mention its subject 'nobody'", asked=asked
    )
    long = Wording("of a" + "?" * 300, "a", ("do", "ri", "mifa", "sol"))
    asked = dataclasses.replace(
        facts, facts=(dataclasses.replace(facts.facts[0], wording={"en": long, "ja": long}), *facts.facts[1:])
    )
    refused(MeasurementError, "the model's context is 256", asked=asked)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (r"No mode 'acros'; one of within, .* is expected. Did you mean 'across'\?", ("acros", ("en",))),
        (r"No span 'subject'", ("within", ("en",), (), ("subject",))),
        (r"each of one or more is expected once", ("within", ("en",), (), ("last", "last"))),
        (r"no language can be both", ("across", ("en", "ja"), ("en",))),
        (r"at least one of each is needed", ("concepts", ("ja",))),
        (r"Source languages \(en\) have no meaning in mode 'within'", ("within", ("ja",), ("en",))),
    ],
)
def test_protocols_that_contradict_themselves(text, values):
    with pytest.raises(ConfigError, match=text):
        Protocol(*values)


def test_weights_that_give_no_numbers_are_refused():
    loaded, facts = route_model("llama"), route_facts()
    pairs = find_pairs(loaded, facts, Protocol("within", ("ja",), scaffold="none"), None, 4096, None, None)
    kept = runs.Runs(loaded, pairs.pairs, [runs.Cell("mlp_out", 1, "last")])
    with torch.no_grad():
        loaded.model.model.layers[1].mlp.down_proj.weight[0, 0] = torch.nan
    with pytest.raises(MeasurementError, match=r"A patched run of 'fact-\d+' in 'ja' is not finite.*float32"):
        kept.add([runs.Run(0, False, 0)])


def test_it_is_saved_and_read_back(tmp_path):
    found = measure_patching(opened("llama"), short_facts(), WITHIN, site="head")
    again = PatchingResult.load(found.save(tmp_path / "r.npz"))
    assert repr(again) == repr(found)
    for name in ("clean", "corrupt", "patched", "control", "left_out"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
