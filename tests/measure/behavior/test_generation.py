"""Free generation: what is written is what the model's greedy choice gives; matched by every rule; laws,
refusals."""

from __future__ import annotations

import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from interp.data.demonstrations import prompts_with_demonstrations
from interp.data.facts import Fact, FactSet, Wording
from interp.data.prompts import prompts_from_facts
from interp.data.sources.cldr import cldr_facts
from interp.errors import Interrupted, MeasurementError, ResultError
from interp.measure.behavior import generation
from interp.measure.behavior.generation import measure_generation
from interp.model.generation import Completion
from interp.model.loading import open_checkpoint
from interp.results import load_result
from interp.results.generation import MATCHES
from interp.results.settings.evaluation import EvaluationSettings
from tests.support.tiny import opened

LANGUAGES = ("en", "ru", "zh")
SHORT = EvaluationSettings(mode="generate", new_tokens=8)
ENDS = EvaluationSettings(mode="generate", stop="end")


@pytest.fixture(scope="module")
def organism():
    return open_checkpoint("organism:final", dtype="float32")


@pytest.fixture(scope="module")
def facts() -> FactSet:
    return cldr_facts().filter(languages=LANGUAGES, splits=["train"], relations=["capital"], limit=12)


def says(monkeypatch, texts: dict[str, str]) -> None:
    """Let the model write a text for each end of a prompt."""

    def complete(model, tokenizer, prompts, sampler):
        return [Completion(next(t for end, t in texts.items() if p.endswith(end)), 3, True) for p in prompts]

    monkeypatch.setattr(generation, "complete", complete)


def test_it_writes_the_most_probable_tokens(organism, facts):
    prompts = prompts_from_facts(facts)
    found = measure_generation(organism, facts, prompts, EvaluationSettings(mode="generate", new_tokens=6))
    tokenizer, ends = organism.tokenizer, {organism.tokenizer.eos_token_id}
    for row in (0, 5):
        for column, code in enumerate(LANGUAGES):
            ids = tokenizer(prompts.prompts[code][row].text)["input_ids"]
            start = len(ids)
            while len(ids) < start + 6 and not (len(ids) > start and ids[-1] in ends):
                with torch.no_grad():
                    ids.append(int(organism.model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
            text = tokenizer.decode(ids[start:], skip_special_tokens=True).partition("\n")[0]
            assert found.texts[row][column].partition("\n")[0] == text
    assert found.by_language().set_index("language").accuracy["en"] == 1.0
    assert found.by_language().set_index("language").ended.min() > 0.9


@pytest.mark.parametrize("batch_tokens", [1, 300, 100_000])
def test_batches_change_no_text(organism, facts, batch_tokens):
    prompts = prompts_with_demonstrations(facts, shots=1)
    whole = measure_generation(organism, facts, prompts, SHORT)
    other = measure_generation(organism, facts, prompts, SHORT, batch_tokens=batch_tokens)
    assert other.texts == whole.texts
    np.testing.assert_array_equal(other.hits, whole.hits)


def test_permuting_facts_or_languages_permutes_the_result(organism, facts):
    found = measure_generation(organism, facts, prompts_from_facts(facts), SHORT)
    turned = replace(facts, facts=facts.facts[::-1]).filter(languages=LANGUAGES[::-1])
    other = measure_generation(organism, turned, prompts_from_facts(turned), SHORT)
    np.testing.assert_array_equal(other.hits, found.hits[::-1, ::-1])
    assert other.consistency() == pytest.approx(found.consistency())


def two_facts() -> FactSet:
    def fact(number: int, gold: str, options: tuple[str, str]) -> Fact:
        wording = {
            code: Wording(f"{code}{number}?", "s", options, aliases=("Nippon",) if gold == "Japan" else ())
            for code in ("en", "de")
        }
        return Fact(f"f{number}", "r", f"s{number}", gold, options, "test", wording=wording)

    return FactSet(
        "two", (fact(0, "Niger", ("Niger", "Nigeria")), fact(1, "Japan", ("Peru", "Japan"))), ("en", "de")
    )


def test_every_rule_reads_the_text_its_way(monkeypatch):
    facts = two_facts()
    says(
        monkeypatch, {"en0?": " Nigeria", "de0?": " It is Niger.", "en1?": "nippon", "de1?": " Peru or Japan"}
    )
    found = measure_generation(opened(), facts, prompts_from_facts(facts, prompt_format="none"), ENDS)
    hits = {name: found.credit(name).astype(int).tolist() for name in MATCHES}
    assert hits == {
        "strict": [[0, 0], [1, 0]],
        "boundary": [[0, 1], [1, 1]],
        "anywhere": [[1, 1], [1, 1]],
        "prefix": [[1, 0], [0, 0]],  # Nigeria begins with Niger
        "published": [[1, 1], [0, 1]],
    }
    assert found.named.tolist() == [[1, 0], [-1, -1]]  # an alias names no option here; "or" is none
    assert found.consistency("boundary") == {"total_consistency": 0.5, "agree_wrong": 0.0, "agreement": 0.0}
    with pytest.raises(ResultError, match=r"has no scoring 'boundry'\..* mean 'boundary'"):
        found.credit("boundry")


def test_only_the_first_line_counts_except_anywhere(monkeypatch):
    facts = two_facts()
    says(monkeypatch, {"en0?": " Chad\nNiger", "de0?": "", "en1?": "?!", "de1?": "Peru\nJapan"})
    found = measure_generation(opened(), facts, prompts_from_facts(facts, prompt_format="none"), ENDS)
    assert found.credit("anywhere").tolist() == [[1, 0], [0, 1]]
    assert not found.hits[
        ..., [MATCHES.index(m) for m in ("strict", "boundary", "prefix", "published")]
    ].any()
    assert found.empty.tolist() == [[False, True], [True, False]]
    table = found.by_language().set_index("language")
    assert table["empty"].tolist() == [0.5, 0.5]
    assert table.resolved.tolist() == [0.0, 0.5]


def test_texts_that_agree_and_are_wrong(monkeypatch):
    facts = two_facts()
    says(monkeypatch, {"en0?": "Nigeria", "de0?": "Nigeria", "en1?": "Japan", "de1?": "Japan"})
    found = measure_generation(opened("qwen2"), facts, prompts_from_facts(facts, prompt_format="none"))
    assert found.consistency() == {"total_consistency": 0.5, "agree_wrong": 0.5, "agreement": 1.0}
    assert found.summary().set_index("quantity")["mean"]["pairs that agree"] == 1.0


def test_facts_without_options_have_no_agreement(monkeypatch):
    facts = two_facts()
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
    says(monkeypatch, {"0?": "Niger", "1?": "x"})
    asked = replace(facts, facts=only)
    found = measure_generation(opened("qwen2"), asked, prompts_from_facts(asked, prompt_format="none"))
    assert found.consistency() == {"total_consistency": 0.5}
    assert "resolved" not in found.by_language()


def test_a_stop_at_the_line_ends_there(organism, facts, monkeypatch):
    seen = []
    plain = generation.complete
    monkeypatch.setattr(
        generation, "complete", lambda *given: seen.append(given[3].stop_ids) or plain(*given)
    )
    for stop in ("line", "end"):
        measure_generation(
            organism,
            facts,
            prompts_from_facts(facts),
            EvaluationSettings(mode="generate", new_tokens=2, stop=stop),
        )
    assert set(seen[0]) > set(seen[-1]) == {organism.tokenizer.eos_token_id}


def test_it_is_saved_and_read_back(organism, facts, tmp_path):
    found = measure_generation(organism, facts, prompts_from_facts(facts), SHORT)
    read = load_result(found.save(tmp_path / "g.npz"))
    assert read.texts == found.texts
    assert repr(read) == repr(found)
    assert (read.to_frame() == found.to_frame()).all(axis=None)


def test_an_interrupted_run_continues_to_the_same_texts(organism, facts, tmp_path, monkeypatch):
    prompts, plain, written = prompts_from_facts(facts), generation.complete, []
    whole = measure_generation(organism, facts, prompts, SHORT, batch_tokens=400)

    def stopped(model, tokenizer, texts, sampler):
        written.extend(texts)
        if len(written) == len(texts):
            signal.raise_signal(signal.SIGTERM)
        return plain(model, tokenizer, texts, sampler)

    monkeypatch.setattr(generation, "complete", stopped)
    how = {"batch_tokens": 400, "resume": tmp_path / "g.partial"}
    with pytest.raises(Interrupted):
        measure_generation(organism, facts, prompts, SHORT, **how)
    first = len(written)
    found = measure_generation(organism, facts, prompts, SHORT, **how)
    assert found.texts == whole.texts
    assert 0 < first < len(written) == 36


def test_a_prompt_that_leaves_no_room_is_named(facts):
    loaded = opened("qwen2", max_position_embeddings=60)
    with pytest.raises(
        MeasurementError, match=r"with 16 new ones that is more than the model's context of 60 \(\d+ such"
    ):
        measure_generation(loaded, facts, prompts_from_facts(facts))
