"""Do translations meet: MEXA on known matrices and as its authors compute it, retrieval at chance, what must
not matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.spatial.distance import cosine

import probes.alignment
from analyses.comparison import compare
from interp.errors import DataError
from interp.model.loading import adopt_model
from interp.results import load_result
from probes.alignment import measure_alignment, retrieved, unit_vectors
from probes.alignment_results import AlignmentResult, AlignmentSettings
from probes.cka import linear_cka
from probes.collect import collect
from tests.support.activations import activations, fact_set, prompt_set
from tests.support.golden import golden
from tests.support.results.alignment import alignment_result, translations
from tests.support.tiny import byte_tokenizer, tiny_model


def mexa_by_loops(similarity: np.ndarray) -> float:
    """The authors' count: the diagonal against its row and its column, one element at a time."""
    n, count = len(similarity), 0
    for i in range(n):
        row = [similarity[i][j] for j in range(n) if j != i]
        column = [similarity[j][i] for j in range(n) if j != i]
        count += similarity[i][i] > max(row) and similarity[i][i] > max(column)
    return count / n


def known(similarity: list[list[float]]) -> tuple[list[bool], list[bool]]:
    """Found from the rows, and from the columns, of a matrix of similarities."""
    rows, columns = retrieved(np.array(similarity, dtype=float), np.eye(len(similarity)))
    return rows.tolist(), columns.tolist()


def test_known_matrices():
    yes, no = True, False
    assert known([[9, 1, 2], [3, 9, 4], [5, 6, 9]]) == ([yes] * 3, [yes] * 3)
    # 0 and 1 are swapped; 2 finds itself both ways
    assert known([[1, 9, 0], [9, 1, 0], [0, 0, 1]]) == ([no, no, yes], [no, no, yes])
    # the largest of row 0 is its own, but column 0 has a larger one
    assert known([[5, 1, 1], [7, 9, 1], [1, 1, 9]]) == ([yes] * 3, [no, yes, yes])
    assert known([[5, 7, 1], [1, 9, 1], [1, 1, 9]]) == ([no, yes, yes], [yes] * 3)
    # below zero the largest is still the largest
    assert known([[-1, -2], [-3, -1]]) == ([yes] * 2, [yes] * 2)


def test_a_tie_is_not_found():
    assert known([[5, 5, 1], [1, 9, 1], [1, 1, 9]]) == ([False, True, True], [True] * 3)
    assert known([[5, 1, 1], [5, 9, 1], [1, 1, 9]]) == ([True] * 3, [False, True, True])
    assert known([[0, 0], [0, 0]]) == ([False] * 2, [False] * 2)
    assert known([[1, 1 - 1e-9], [0, 1]])[0] == [False, True]  # nearer than float32 can tell
    assert known([[1, 1 - 1e-6], [0, 1]])[0] == [True, True]


@pytest.mark.parametrize("seed", range(5))
def test_shares_equal_the_authors_loops(seed, monkeypatch):
    random = np.random.default_rng(seed)
    a = random.normal(size=(30, 4))
    b = a + 0.7 * random.normal(size=(30, 4))
    similarity = np.array([[1 - cosine(x, y) for y in b] for x in a])
    both = np.logical_and(*retrieved(unit_vectors(a), unit_vectors(b)))
    assert both.mean() == pytest.approx(mexa_by_loops(similarity))
    assert 0 < both.mean() < 1
    whole = retrieved(unit_vectors(a), unit_vectors(b))
    monkeypatch.setattr(probes.alignment, "_ROWS", 7)
    assert np.array_equal(retrieved(unit_vectors(a), unit_vectors(b)), whole)


@pytest.mark.parametrize("embedding", ["weighted", "last"])
@pytest.mark.parametrize("family", ["llama", "gemma"])
def test_mexa_of_a_model_as_its_authors_compute_it(family, embedding):
    """One sentence per forward pass, hidden states by Hugging Face, the t-th token weighs t; all but the
    normed last."""
    model, tokenizer, prompts = tiny_model(family), byte_tokenizer(bos=True), prompt_set()
    texts = {
        code: [p.text + f" {i * i}" for i, p in enumerate(prompts.prompts[code])]
        for code in prompts.languages
    }
    changed = {
        code: tuple(replace(p, text=t) for p, t in zip(prompts.prompts[code], texts[code], strict=True))
        for code in texts
    }
    prompts = replace(prompts, prompts=changed)
    vectors = np.zeros((3, 3, 7, 32))
    for column, code in enumerate(texts):
        for row, text in enumerate(texts[code]):
            ids = tokenizer(text)["input_ids"]
            with torch.no_grad():
                states = model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states
            for layer in range(3):
                tokens = states[layer][0].double().numpy()
                total = sum((t + 1) * tokens[t] for t in range(len(ids))) / sum(range(1, len(ids) + 1))
                vectors[layer, column, row] = total if embedding == "weighted" else tokens[-1]
    expected = [
        [
            mexa_by_loops(
                np.array([[1 - cosine(x, y) for y in vectors[layer, b]] for x in vectors[layer, 0]])
            )
            for b in (1, 2)
        ]
        for layer in range(3)
    ]
    found = measure_alignment(collect(adopt_model(model, tokenizer), prompts, positions=embedding))
    assert found.mexa()[:3, 0, 1:].tolist() == expected
    assert 0 < np.mean(expected) < 1 or embedding == "last"


def test_the_same_vectors_in_all_languages_meet():
    result = alignment_result(np.tile(translations(noise=0)[:, :, :1], (2, 1, 3, 1)))
    assert result.retrieved.all()
    assert result.cka == pytest.approx(np.ones_like(result.cka))
    assert result.curves()["CKA en-x"] == pytest.approx(np.ones((2, 40)))
    assert (result.cka_shuffled[:, 0, 1] < 0.6).all()


def test_facts_that_are_told_alike_are_not_found():
    """The first two facts have the same vector."""
    values = translations(noise=0)
    values[0, 1] = values[0, 0]
    found = alignment_result(np.tile(values[:, :, :1], (1, 1, 3, 1))).mutual[0, 0, :, 0, 1]
    assert found.tolist() == [False] * 2 + [True] * 38


def test_independent_vectors_are_found_at_the_rate_of_chance():
    """One way 1 / n; both ways 1 / (2 n - 1): the diagonal is the largest of n, or of 2 n - 1, alike
    elements."""
    n, found = 20, []
    for seed in range(40):
        values = np.random.default_rng(seed).normal(size=(1, n, 3, 200))
        found.append(alignment_result(values))
    one_way = np.mean([r.retrieved[:, :, :, ~np.eye(3, dtype=bool)].mean() for r in found])
    both = np.mean([r.mexa()[0, [0, 0, 1], [1, 2, 2]].mean() for r in found])
    assert one_way == pytest.approx(1 / n, abs=0.01)
    assert both == pytest.approx(1 / (2 * n - 1), abs=0.008)


def test_an_offset_of_the_language_hides_what_centring_shows():
    """A common offset of two languages makes all cosines large and equal; that of the third is of no
    account."""
    values = translations(noise=0.01)
    values[:, :, 1] += 1000 * np.random.default_rng(1).normal(size=16)
    result = alignment_result(values)
    assert result.mexa("centered")[0].tolist() == np.ones((3, 3)).tolist()
    assert result.mexa()[0, 0, 2] == 1
    assert (result.mexa()[0, 1, [0, 2]] < 0.4).all()
    assert result.cka[0, 0, 1] > 0.99


def test_rotation_and_scale_of_all_do_not_matter_and_rotation_of_one_does():
    values = translations()
    rotation, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(16, 16)))
    result, turned = alignment_result(values), alignment_result(3 * values @ rotation)
    assert np.array_equal(result.retrieved, turned.retrieved)
    np.testing.assert_allclose(result.cka, turned.cka, rtol=1e-5)
    values[:, :, 1] = values[:, :, 1] @ rotation
    one = alignment_result(values)
    assert one.mexa()[0, 0, 1] < 0.5 * result.mexa()[0, 0, 1]
    np.testing.assert_allclose(one.cka, result.cka, rtol=1e-5)


def test_the_order_of_facts_and_languages_does_not_matter():
    values = translations()
    facts = fact_set(["a"] * 40)
    order = np.random.default_rng(2).permutation(40)
    result = alignment_result(values)
    turned = measure_alignment(
        activations(values[:, order], replace(facts, facts=tuple(facts.facts[i] for i in order)))
    )
    assert np.array_equal(turned.retrieved, result.retrieved[:, :, order])
    np.testing.assert_allclose(turned.cka, result.cka)
    back = alignment_result(values[:, :, ::-1], ("ja", "sw", "en"))
    assert np.array_equal(back.retrieved, result.retrieved[..., ::-1, ::-1])
    np.testing.assert_allclose(back.cka, result.cka[:, ::-1, ::-1])


def test_query_and_target_are_told_apart():
    """Both English facts are nearest to the first Swahili one; each Swahili fact is nearest to its own."""
    en, sw = np.array([[1.0, 0.1], [1.0, 0.2]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    found = alignment_result(np.stack([en, sw], axis=1)[None], ("en", "sw")).retrieved[0, 0]
    assert found[:, 0, 1].tolist() == [True, False]
    assert found[:, 1, 0].tolist() == [True, True]


def test_kinds_of_pairs():
    result = alignment_result(translations())
    assert {kind: np.argwhere(chosen).tolist() for kind, chosen in result.pairs.items()} == {
        "en-x": [[0, 1], [0, 2]],
        "x-y": [[1, 2]],
    }
    assert list(alignment_result(translations()[:, :, :2], ("sw", "ja")).pairs) == ["x-y"]
    assert list(alignment_result(translations()[:, :, :2], ("sw", "en")).pairs) == ["en-x"]
    mutual = result.mexa()[0]
    curves = {name: curve.mean() for name, curve in result.curves().items()}
    assert curves["mutual raw en-x"] == pytest.approx(mutual[0, 1:].mean())
    assert curves["mutual raw x-y"] == pytest.approx(mutual[1, 2])
    assert curves["mutual centered x-y"] == pytest.approx(result.mexa("centered")[0, 1, 2])
    assert curves["CKA en-x"] == pytest.approx(result.cka[0, 0, 1:].mean())
    assert curves["CKA x-y"] == pytest.approx(result.cka[0, 1, 2])
    assert result.shuffled("en-x") == pytest.approx(result.cka_shuffled[:, 0, 1:].mean(axis=1))
    assert set(curves) == {
        f"{c} {k}" for c in ("mutual raw", "mutual centered", "CKA") for k in ("en-x", "x-y")
    }


def test_the_interval_of_cka_equals_a_bootstrap_that_computes_it_of_every_resample():
    values = translations(200)
    row = alignment_result(values).summary().set_index("quantity").loc["CKA en-x layer 0"]
    scores, random = [], np.random.default_rng(0)
    for _ in range(400):
        rows = random.integers(200, size=200)
        scores.append(np.mean([linear_cka(values[0, rows, 0], values[0, rows, b]) for b in (1, 2)]))
    low, high = np.quantile(scores, [0.025, 0.975])
    assert row["mean"] == pytest.approx(
        np.mean([linear_cka(values[0, :, 0], values[0, :, b]) for b in (1, 2)]), rel=1e-5
    )
    assert row.high - row.low == pytest.approx(high - low, rel=0.2)


def test_a_layer_whose_vectors_are_all_the_same_has_no_cka():
    """As the last token's embedding, where all prompts end alike."""
    values = np.concatenate([np.ones((1, 40, 3, 16)), translations()])
    result = alignment_result(values)
    table = result.summary().set_index("quantity")
    assert np.isnan(table["mean"]["CKA en-x layer 0"])
    assert table["mean"]["CKA en-x, mean over layers"] == table["mean"]["CKA en-x layer 1"]
    assert table["mean"]["mutual raw en-x layer 0"] == 0
    assert not result.retrieved[:, 0][:, :, ~np.eye(3, dtype=bool)].any()


def test_the_table_has_a_row_per_layer_and_pair():
    result = alignment_result(np.concatenate([translations(), translations(seed=1)]))
    table = result.to_frame()
    assert len(table) == 2 * 3
    row = table.iloc[4]
    assert (row.layer, row.a, row.b) == ("1", "en", "ja")
    assert row.a_to_b_raw == pytest.approx(result.retrieved[0, 1, :, 0, 2].mean())
    assert row.b_to_a_centered == pytest.approx(result.retrieved[1, 1, :, 2, 0].mean())
    assert row.mutual_raw == pytest.approx(result.mexa()[1, 0, 2])
    assert (row.cka, row.cka_shuffled) == (result.cka[1, 0, 2], result.cka_shuffled[1, 0, 2])
    text = repr(result)
    assert text.startswith("AlignmentResult of made on prompts: 40 facts, 3 languages, 2 layers\n")
    assert "mutual raw en-x, mean over layers: " in text


def test_a_change_is_found_where_it_is():
    before = alignment_result(np.concatenate([translations(200, 0.8), translations(200, 0.8, seed=1)]))
    values = np.concatenate([translations(200, 0.8), translations(200, 0.1, seed=1)])
    after = alignment_result(values)
    table = compare(before, after).table.set_index("quantity")
    assert (table.loc[[name for name in table.index if name.endswith("layer 0")], "change"] == 0).all()
    assert table.low["mutual raw en-x layer 1"] > 0.1
    assert table.low["CKA en-x layer 1"] > 0.1
    assert table.change["mutual raw x-y, mean over layers"] == pytest.approx(
        table.change["mutual raw x-y layer 1"] / 2
    )


def test_one_language_and_one_prompt_are_refused():
    with pytest.raises(DataError, match=r"One language \(sw\); alignment compares at least 2\."):
        alignment_result(translations()[:, :, :1], ("sw",))
    with pytest.raises(
        DataError, match="One prompt in each language; retrieval among at least 2 is compared"
    ):
        alignment_result(translations(1))


def test_progress_and_settings():
    seen = []
    result = alignment_result(
        np.concatenate([translations()] * 3),
        settings=AlignmentSettings(layers="0,1,2"),
        progress=lambda *c: seen.append(c),
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert result.provenance.settings == {
        "languages": ["en", "sw", "ja"],
        "measure": "alignment",
        "positions": "weighted",
        "layers": "0,1,2",
        "site": "resid_post",
    }


def test_round_trip(tmp_path):
    result = alignment_result(translations())
    again = load_result(result.save(tmp_path / "r.npz"))
    assert type(again) is AlignmentResult
    for name in AlignmentResult.__dataclass_fields__:
        assert np.array_equal(getattr(again, name), getattr(result, name))
    pd.testing.assert_frame_equal(again.to_frame(), result.to_frame())


def test_the_golden_file_of_schema_1_loads():
    result, expected = golden("alignment")
    assert type(result) is AlignmentResult
    assert result.provenance.checkpoint == expected["checkpoint"]
    means = {name: float(values.mean()) for name, values in result.quantities().items()}
    assert means == pytest.approx(expected["means"], rel=1e-12)
