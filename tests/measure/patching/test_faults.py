"""Patching when something goes wrong: memory, interruption, pairs that mean nothing, and what is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from interp.data.facts import Wording
from interp.errors import CapabilityError, ConfigError, Interrupted, MeasurementError
from interp.measure.patching import protocol as patching
from interp.measure.patching import runs
from interp.results.patching import PatchingResult
from interp.results.recovery import LEFT_OUT
from tests.support.measuring import Protocol, find_pairs, measure_patching
from tests.support.planted.route import route_facts, route_model
from tests.support.slow_patching import (
    WITHIN,
    short_facts,
    spacing_model,
)
from tests.support.tiny import opened


def test_memory_that_runs_out_halves_the_rows_and_says_so(monkeypatch, caplog):
    loaded, facts = spacing_model("llama"), short_facts()
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
    assert "Memory ran out with 9 rows; going on with halves." in caplog.text
    np.testing.assert_allclose(found.patched, whole.patched, atol=1e-4)
    monkeypatch.setattr(runs.Targets, "sweep", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError()))
    with pytest.raises(
        MeasurementError, match=r"A patched run of 'fact-\d+' in '..' \(\d+ tokens\) does not fit"
    ):
        measure_patching(loaded, facts, WITHIN)


def test_an_interrupted_run_continues_to_the_same_bits(monkeypatch, tmp_path):
    loaded, facts = spacing_model("llama"), short_facts()
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
    loaded = spacing_model("llama")
    found = measure_patching(loaded, dataclasses.replace(facts, facts=tuple(alike)), WITHIN).reasons()
    assert found.loc["en", "used"] == 0
    assert found.loc["en", "same first token"] > 0
    assert found.loc["ja", "used"] > 0
    only = tuple(fact for fact in facts if fact.object_id == "option-0")
    with pytest.raises(MeasurementError, match="no other answer"):
        measure_patching(loaded, dataclasses.replace(facts, facts=only), WITHIN)
    assert set(found.columns) == set(LEFT_OUT)


def test_what_cannot_be_patched_is_refused():
    loaded, facts = spacing_model("llama"), short_facts()

    def refused(error, text, protocol=WITHIN, model=loaded, asked=facts, **options):
        with pytest.raises(error, match=text):
            measure_patching(model, asked, protocol, **options)

    refused(ConfigError, "'site' is 'resid'.*Choose from: resid_pre", site="resid")
    refused(CapabilityError, "'cohere' has no site 'resid_mid'", model=opened("cohere"), site="resid_mid")
    refused(CapabilityError, r"No head 4: a layer of this 'llama' has 0 to 3", site="head", units=((4,),))
    refused(ConfigError, "Units '0;' are not numbers", site="mlp_neuron", units=((0,), ()))
    refused(ConfigError, "Site 'resid_pre' has no units", units=((0,),))
    alone = Protocol("checkpoints", ("en",), prompt_format="none")
    refused(ConfigError, "Mode 'checkpoints' without a source checkpoint", alone)
    refused(ConfigError, "Mode 'within' with a source checkpoint", source=spacing_model("llama", 1))
    other = opened("llama", num_hidden_layers=2)
    checkpoints = Protocol("checkpoints", ("en",), prompt_format="none")
    refused(CapabilityError, "n_layers is 2 in the source and 3 in the target", checkpoints, source=other)
    between = Protocol("across", ("ja",), ("en",), prompt_format="none")
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
    long = Wording("of a" + "?" * 600, "a", ("do", "ri", "mifa", "sol"))
    asked = dataclasses.replace(
        facts, facts=(dataclasses.replace(facts.facts[0], wording={"en": long, "ja": long}), *facts.facts[1:])
    )
    refused(MeasurementError, "the model's context is 512", asked=asked)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (r"'mode' is 'acros'. Did you mean 'across'\? Choose from: across", ("acros", ("en",))),
        (r"No position 'subject'", ("within", ("en",), (), ("subject",))),
        (r"each of one or more is expected once", ("within", ("en",), (), ("last", "last"))),
        (r"(?i)from languages 'fr' into 'ja': .* there are none in fr", ("across", ("ja",), ("fr",))),
        (r"(?i)from languages 'en' into '': facts in at least one of each", ("concepts", (), ("en",))),
        (r"Source languages \(en\) have no meaning in mode 'within'", ("within", ("ja",), ("en",))),
    ],
)
def test_protocols_that_contradict_themselves(text, values):
    asked = Protocol(*values)
    languages = tuple(dict.fromkeys((*(code for code in asked.sources if code != "fr"), *asked.targets)))
    with pytest.raises(ConfigError, match=text):
        patching.Protocol.of(asked.settings(), short_facts().filter(languages=languages))


def test_weights_that_give_no_numbers_are_refused():
    loaded, facts = route_model("llama"), route_facts()
    pairs = find_pairs(
        loaded, facts, Protocol("within", ("ja",), prompt_format="none"), None, 4096, None, None
    )
    kept = runs.Runs(loaded, pairs.pairs, [runs.Cell("mlp_out", 1, "last")])
    with torch.no_grad():
        loaded.model.model.layers[1].mlp.down_proj.weight[0, 0] = torch.nan
    with pytest.raises(MeasurementError, match=r"A patched run of 'fact-\d+' in 'ja' is not finite.*float32"):
        kept.add([runs.Run(0, False, 0)])


def test_it_is_saved_and_read_back(tmp_path):
    found = measure_patching(spacing_model("llama"), short_facts(), WITHIN, site="head")
    again = PatchingResult.load(found.save(tmp_path / "r.npz"))
    assert repr(again) == repr(found)
    for name in ("clean", "corrupt", "patched", "control", "left_out"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
