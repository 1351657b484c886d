"""The lens: closed forms, a slow oracle, planted directions, laws, TransformerLens, resumption and
refusals."""

from __future__ import annotations

import math
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from interp.data.lexicon import concepts
from interp.data.prompts import Prompt, PromptSet
from interp.data.tasks import open_task
from interp.errors import CapabilityError, ConfigError, Interrupted, MeasurementError
from interp.measure.lens.lens import LensReader, read_logits, subjects_context, token_energy
from interp.measure.lens.positions import encode_positions
from interp.measure.lens.token_sets import Vocabulary
from interp.measure.lens.tuned import Translators, TunedLens
from interp.model.final_norm import layer_readout
from interp.model.interop import to_transformer_lens
from interp.model.tokens import pad
from interp.results.settings.lens import LensSettings
from tests.support.extras import needed
from tests.support.measuring import measure_lens
from tests.support.planted.lens import (
    ALPHABETS,
    ANSWER_LAYER,
    LANGUAGE_LAYER,
    LANGUAGES,
    PIVOT,
    identity_model,
    planted_lens_model,
    planted_lens_prompts,
    token,
)
from tests.support.tiny import FAMILIES, PLANTED_FAMILIES, byte_tokenizer, opened

ARRAYS = ("probability", "rank", "mass", "entropy", "energy")


@pytest.fixture(scope="module")
def prompts():
    return open_task("facts", LANGUAGES, pivot="en", limit=5).prompts


# closed forms


@pytest.mark.parametrize("family", PLANTED_FAMILIES)
def test_every_layer_of_an_identity_says_what_the_output_says(family, prompts):
    loaded = identity_model(family)
    result = measure_lens(loaded, prompts, pivot="en")
    assert [n > 0 for n in result.mass_tokens] == [True, False, True]  # no byte begins only Swahili names
    for name in ARRAYS:
        value = getattr(result, name)
        np.testing.assert_allclose(value, np.broadcast_to(value[:, :, -1:], value.shape), rtol=1e-5)
    ids = torch.tensor(
        [
            byte_tokenizer()(prompts.prompts["sw"][0].full_text[: -len(prompts.prompts["sw"][0].answer)])[
                "input_ids"
            ]
        ]
    )
    said = loaded.model(input_ids=ids).logits[0, -1].softmax(-1)
    first = byte_tokenizer()(prompts.prompts["sw"][0].answer)["input_ids"][0]
    assert result.probability[0, 1, 0, 1] == pytest.approx(float(said[first]), rel=1e-4)


def test_probability_rank_mass_and_entropy_on_paper():
    logits = torch.log(torch.tensor([[[0.5, 0.25, 0.125, 0.125]]])) + 7.0
    sets = torch.tensor([[[0, -1], [1, 3], [3, 2], [-1, -1]]])
    found = read_logits(logits, sets, [[0, 3], [], [1], [0, 1, 2, 3]])
    assert found["mass"].flatten().tolist() == pytest.approx([0.625, np.nan, 0.25, 1], nan_ok=True)
    assert found["probability"].flatten().tolist() == pytest.approx([0.5, 0.375, 0.25, 0.0])
    assert found["rank"].flatten().tolist() == [
        1,
        2,
        3,
        5,
    ]  # of tied tokens none is above the other; nothing is last
    assert float(found["entropy"]) == pytest.approx(1.75 * math.log(2))


@pytest.mark.parametrize("family", FAMILIES)
def test_token_energy_is_its_definition(family):
    """Root mean square of cosines to the directions, over that among the directions, by loops over tokens."""
    loaded = opened(family)
    readout = layer_readout(loaded)
    norm = loaded.model.model.norm
    norm.weight.copy_(torch.linspace(0.2, 3, len(norm.weight)))
    gain = norm.weight + 1 if family == "gemma" else norm.weight
    rows = [(row * gain).tolist() for row in readout.weight[:40]]
    loaded.architecture.unembedding.weight = torch.nn.Parameter(readout.weight[:40], requires_grad=False)
    stream = torch.randn(2, loaded.model.config.hidden_size, generator=torch.Generator().manual_seed(0))

    def cosine(a, b):
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))

    among = math.sqrt(sum(cosine(a, b) ** 2 for a in rows for b in rows) / len(rows) ** 2)
    expected = [math.sqrt(sum(cosine(h, u) ** 2 for u in rows) / len(rows)) / among for h in stream.tolist()]
    assert token_energy(readout)(stream).tolist() == pytest.approx(expected, rel=1e-4)


def test_a_stream_that_no_token_sees_has_no_energy():
    readout = layer_readout(identity_model())
    weight = readout.weight
    weight[:, 0] = 0
    unseen = torch.zeros(3, weight.shape[1])
    unseen[:, 0] = 5.0
    assert token_energy(readout)(unseen).tolist() == [0, 0, 0]


# planted


@pytest.mark.parametrize("family", PLANTED_FAMILIES)
def test_the_curves_switch_where_the_directions_are_planted(family):
    result = measure_lens(planted_lens_model(family), planted_lens_prompts(), pivot=PIVOT)
    assert result.left_out() == dict.fromkeys(LANGUAGES, 0)
    for code in ("sw", "ja"):
        own, pivot = result.curve(code, code), result.curve(code, PIVOT)
        assert (result.takeover(code) == LANGUAGE_LAYER).all()
        assert (pivot[:, : LANGUAGE_LAYER + 1] > own[:, : LANGUAGE_LAYER + 1]).all()
        third = result.curve(code, "ja" if code == "sw" else "sw")
        assert (third[:, -1] < own[:, -1] / 2).all()
    ranks = np.stack([result.rank[:, i, :, 0] for i in range(3)])
    assert (
        ranks[:, :, ANSWER_LAYER] == 1
    ).all()  # all eight letters of the pivot tie: none is above the answer
    spread = result.probability[:, 0, :, 0]
    np.testing.assert_allclose(spread[:, 0], spread[0, 0], rtol=1e-5)
    assert (spread[:, ANSWER_LAYER + 1] > 2 * spread[:, 0]).all()
    rises = np.diff(spread, axis=1)
    assert (rises.argmax(axis=1) == ANSWER_LAYER).all()


def test_the_first_probability_of_the_planted_model_on_paper():
    """What enters: fact, language and pivot at 1 of 32 dimensions, so the norm multiplies by sqrt(32 / 3);
    the pivot's letters
    have a logit of 3 sqrt(32 / 3), the other 251 tokens of 0."""
    result = measure_lens(planted_lens_model("llama"), planted_lens_prompts(), pivot=PIVOT)
    letter = math.exp(3 * math.sqrt(32 / 3))
    assert result.probability[:, :, 0, 0] == pytest.approx(letter / (8 * letter + 251), rel=1e-3)
    assert result.probability[:, :, 0, 1] == pytest.approx(1 / (8 * letter + 251), rel=1e-3)


# the definition, slowly


def _lexicon(vocabulary, languages):
    """Per language the tokens that begin one of its names, and a name in no other language."""
    begins = {
        code: {t for c in concepts() for t in vocabulary.beginning(c.names[code])} for code in languages
    }
    return {
        code: [t for t in begins[code] if not any(t in begins[other] for other in languages if other != code)]
        for code in languages
    }


def _slow(loaded, prompts, vocabulary, position_of):
    """One prompt at a time from Hugging Face's own hidden states, whose last is normed already."""
    norm, head = loaded.model.model.norm, loaded.model.lm_head
    lexicon = _lexicon(vocabulary, prompts.languages)
    found = {}
    for column, code in enumerate(prompts.languages):
        for row, prompt in enumerate(prompts.prompts[code]):
            ids, at = position_of(prompt)
            states = loaded.model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states
            for depth, state in enumerate(states):
                state = state[0, at]
                logits = head(state if depth == len(states) - 1 else norm(state)).double()
                p = logits.softmax(-1).tolist()
                entropy = -sum(x * math.log(x) for x in p if x > 0)
                for answer, other in enumerate(prompts.languages):
                    own = [p[t] for t in vocabulary.beginning(prompts.prompts[other][row].answer)]
                    rank = 1 + sum(x > max(own) for x in p)
                    mass = sum(p[t] for t in lexicon[other]) if lexicon[other] else math.nan
                    found[row, column, depth, answer] = (sum(own), rank, entropy, mass)
    return found


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
def test_the_lens_is_its_definition(family, prompts):
    loaded = opened(family)
    vocabulary = Vocabulary(loaded.tokenizer, loaded.n_embeddings)
    result = measure_lens(loaded, prompts, pivot="en")

    def before_the_answer(prompt):
        ids = byte_tokenizer()(prompt.text + prompt.separator)["input_ids"]
        return ids, len(ids) - 1

    for (row, column, depth, answer), expected in _slow(
        loaded, prompts, vocabulary, before_the_answer
    ).items():
        at = (row, column, depth)
        assert result.probability[(*at, answer)] == pytest.approx(expected[0], rel=2e-4)
        assert result.entropy[at] == pytest.approx(expected[2], rel=1e-4)
        assert result.mass[(*at, answer)] == pytest.approx(expected[3], rel=2e-4, nan_ok=True)
        assert abs(int(result.rank[(*at, answer)]) - expected[1]) <= 1  # neighbors within rounding


@torch.no_grad()
def test_the_subject_is_read_at_its_last_token():
    task = open_task("facts", LANGUAGES, pivot="en", limit=3)
    loaded = opened("qwen2")
    vocabulary = Vocabulary(loaded.tokenizer, loaded.n_embeddings)
    result = measure_lens(loaded, task.prompts, pivot="en", position="subject_last", subjects=task.subjects)

    def after_the_subject(prompt):
        subject = task.subjects[prompt.language][prompt.item_id]
        end = prompt.text.rindex(subject) + len(subject)
        return byte_tokenizer()(prompt.text)["input_ids"], len(prompt.text[:end].encode()) - 1

    for (*at, answer), expected in _slow(loaded, task.prompts, vocabulary, after_the_subject).items():
        assert result.probability[(*at, answer)] == pytest.approx(expected[0], rel=2e-4)
    assert result.provenance.run["read_after_space"] == 0


# laws


def test_batches_neighbors_and_chunks_do_not_matter(prompts, monkeypatch):
    loaded = opened("olmo2")
    one = measure_lens(loaded, prompts, pivot="en", batch_tokens=1)
    for batch_tokens, chunk in ((4096, 2**21), (700, 1)):
        monkeypatch.setattr("interp.measure.lens.lens._CHUNK", chunk)
        other = measure_lens(loaded, prompts, pivot="en", batch_tokens=batch_tokens)
        for name in ("probability", "entropy", "energy"):
            np.testing.assert_allclose(getattr(other, name), getattr(one, name), rtol=2e-4, atol=1e-7)


@pytest.mark.parametrize("family", PLANTED_FAMILIES)
def test_the_padding_side_does_not_matter(family, prompts):
    loaded = opened(family)
    vocabulary = Vocabulary(loaded.tokenizer, loaded.n_embeddings)
    encoded = encode_positions(loaded, prompts, vocabulary).encoded
    sets = [[vocabulary.beginning(prompts.prompts[c][i].answer) for c in LANGUAGES] for i in range(5)]
    found = []
    for side in ("left", "right"):
        reader = LensReader(loaded, encoded, sets)
        reader.add(pad(encoded.items, pad_id=256, side=side, device=torch.device("cpu")))
        found.append(reader.state())
    np.testing.assert_allclose(found[0]["probability"], found[1]["probability"], rtol=2e-4)
    np.testing.assert_allclose(found[0]["entropy"], found[1]["entropy"], rtol=1e-4)


def test_the_order_of_languages_and_items_only_moves_the_axes(prompts):
    loaded = opened("llama")
    one = measure_lens(loaded, prompts, pivot="en")
    turned = PromptSet(
        "x", ("ja", "en", "sw"), {code: prompts.prompts[code][::-1] for code in LANGUAGES}, parallel=True
    )
    other = measure_lens(loaded, turned, pivot="en")
    axes = [2, 0, 1]
    np.testing.assert_allclose(
        other.probability, one.probability[::-1][:, axes][..., axes], rtol=2e-4, atol=1e-8
    )
    assert (other.overlap == one.overlap[::-1][:, axes][..., axes]).all()
    assert other.fact_ids == one.fact_ids[::-1]


class Flipped(Translators):
    """Reads the layers in reverse."""

    def __call__(self, streams):
        return streams.flip(0)


def test_a_translation_before_the_norm_changes_what_is_read(prompts):
    loaded = opened("llama")
    plain = measure_lens(loaded, prompts, pivot="en")
    shifted = measure_lens(
        loaded,
        prompts,
        pivot="en",
        tuned=TunedLens(
            Flipped(torch.zeros(1, 1, 1), torch.zeros(1, 1)), np.zeros(4), np.zeros(4), (0, 0, 0), {}, "none"
        ),
    )
    np.testing.assert_allclose(shifted.probability, plain.probability[:, :, ::-1], rtol=1e-4)
    assert shifted.provenance.settings["lens"] == "tuned"
    assert plain.provenance.settings["lens"] == "logit"


# TransformerLens


@pytest.mark.tl
@pytest.mark.parametrize("family", FAMILIES)
def test_the_lens_is_that_of_transformer_lens(family, prompts):
    analysis = needed("transformer_lens.tools.analysis")
    loaded = opened(family)
    bridge = to_transformer_lens(loaded)
    vocabulary = Vocabulary(loaded.tokenizer, loaded.n_embeddings)
    result = measure_lens(loaded, prompts, pivot="en")
    encoded = encode_positions(loaded, prompts, vocabulary).encoded
    for number, item in list(enumerate(encoded.items))[::3]:
        row = number % 5
        sets = [sorted(vocabulary.beginning(prompts.prompts[code][row].answer)) for code in LANGUAGES]
        with torch.no_grad():
            theirs = analysis.logit_lens(
                bridge,
                torch.tensor([item.ids]),
                targets=[t for one in sets for t in one],
                return_type="probs",
            )
        ends = np.cumsum([len(one) for one in sets])[:-1]
        said = np.split(theirs.values.flatten(1).numpy(), ends, axis=1)
        ranks = np.split(
            theirs.readout.target_ranks.flatten(1).numpy() + 1, ends, axis=1
        )  # theirs count from 0
        for answer in range(3):
            assert result.probability[row, item.language, :, answer] == pytest.approx(
                said[answer].sum(axis=1), rel=1e-3
            )
            apart = result.rank[row, item.language, :, answer] - ranks[answer].min(axis=1)
            assert np.abs(apart).max() <= 1  # neighbors within rounding
        assert result.entropy[row, item.language] == pytest.approx(
            theirs.readout.entropy.flatten().numpy(), rel=1e-4
        )


# interruption


def test_an_interrupted_pass_continues_to_the_same_bits(prompts, tmp_path):
    loaded = opened("llama")
    whole = measure_lens(loaded, prompts, pivot="en", batch_tokens=300)
    resume = tmp_path / "partial"
    seen = []

    def stop(done, total):
        seen.append(done)
        if done == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match="Stopped after 2 of"):
        measure_lens(loaded, prompts, pivot="en", batch_tokens=300, resume=resume, progress=stop)
    seen.clear()
    again = measure_lens(
        loaded, prompts, pivot="en", batch_tokens=300, resume=resume, progress=lambda d, t: seen.append(d)
    )
    assert seen[0] == 3
    for name in ARRAYS:
        assert np.array_equal(getattr(again, name), getattr(whole, name), equal_nan=True)
    with pytest.raises(MeasurementError, match=r"is of another run \(tokens: prefix there, first asked\)"):
        measure_lens(loaded, prompts, pivot="en", tokens="first", batch_tokens=300, resume=resume)


# refusals


def test_what_cannot_be_asked_is_refused(prompts):
    loaded = opened("llama")
    with pytest.raises(ConfigError, match=r"'tokens' is 'prefixes'\. Did you mean 'prefix'\?"):
        measure_lens(loaded, prompts, pivot="en", tokens="prefixes")
    with pytest.raises(ConfigError, match=r"is 'lost'\. Did you mean 'last'\?"):
        measure_lens(loaded, prompts, pivot="en", position="lost")
    with pytest.raises(MeasurementError, match="The pivot 'de' is not one of the languages en sw ja"):
        measure_lens(loaded, prompts, pivot="de")
    with pytest.raises(
        MeasurementError, match="the question does not mention its subject '' as it is written"
    ):
        measure_lens(loaded, prompts, pivot="en", position="subject_last")
    bare = {code: tuple(replace(p, answer="") for p in prompts.prompts[code]) for code in LANGUAGES}
    with pytest.raises(MeasurementError, match="is not parallel or lacks answers"):
        measure_lens(loaded, replace(prompts, prompts=bare), pivot="en")
    with pytest.raises(MeasurementError, match="compares at least one other with the pivot"):
        measure_lens(loaded, prompts.restrict(["en"]), pivot="en")


def test_answers_that_no_token_set_separates():
    loaded = identity_model()
    same = {
        code: tuple(Prompt(f"i{n}", code, f"{code}?", word, " ", "g") for n, word in enumerate(words))
        for code, words in {
            "en": ("Paris", "Oman"),
            "fr": ("Paris", "Omanais"),
            "ja": ("パリ", "オマーン"),
        }.items()
    }
    alike = PromptSet("alike", ("en", "fr", "ja"), same, parallel=True)
    with pytest.raises(
        MeasurementError,
        match=r"No token set separates 'fr' from 'en' in any of 2 items: the answers in 'fr'",
    ):
        measure_lens(loaded, alike, pivot="en")
    assert measure_lens(loaded, alike.restrict(["en", "ja"]), pivot="en").left_out() == {"en": 0, "ja": 0}


def test_values_that_are_not_finite_are_named():
    loaded = planted_lens_model("llama")
    loaded.model.get_input_embeddings().weight[token("8")] = float("nan")
    with pytest.raises(MeasurementError, match="not finite from layer 0 on, first in item 'fact-0' in 'sw'"):
        measure_lens(loaded, planted_lens_prompts(), pivot=PIVOT)


def test_a_site_that_the_model_lacks(monkeypatch):
    loaded = planted_lens_model("llama")
    architecture = loaded.architecture
    lacking = replace(
        architecture,
        missing={"resid_pre": "layer 0 has no input"},
        present={**architecture.present, "resid_pre": ()},
    )
    with pytest.raises(CapabilityError, match="'llama' has no site 'resid_pre': layer 0 has no input"):
        measure_lens(replace(loaded, architecture=lacking), planted_lens_prompts(), pivot=PIVOT)


def test_the_alphabets_are_told_apart():
    letters = "".join(ALPHABETS.values())
    assert len(set(letters)) == len(letters) == 24


def test_another_subject_is_another_question_where_the_subject_is_read():
    one, other = {"en": {"a": "Norway"}}, {"en": {"a": "Sweden"}}
    subject, last = LensSettings(positions="subject_last"), LensSettings()
    assert subjects_context(subject, one) != subjects_context(subject, other)
    assert subjects_context(last, one) == subjects_context(last, other) == {}
