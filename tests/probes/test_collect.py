"""One pass: every vector as the model gives it alone, whatever the batches; kept on disk, interrupted and
continued."""

from __future__ import annotations

import copy
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from interp.data.prompts import PromptSet
from interp.errors import CapabilityError, ConfigError, DataError, Interrupted, MeasurementError
from interp.model.checkpoints import resolve_checkpoint
from interp.model.loading import LoadedModel, open_checkpoint
from interp.model.sites import locate
from interp.model.tokens import encode
from probes.collect import Collector, collect, parse_layers
from probes.positions import POSITIONS, position_weights
from tests.support.activations import LANGUAGES, N_PROMPTS, prompt_set
from tests.support.tiny import PLANTED_FAMILIES, byte_tokenizer, opened

SUBJECTS = {(column, f"f{i}"): "Lima" * (1 + i % 3) + str(i) for column in range(3) for i in range(N_PROMPTS)}


def one_by_one(
    loaded: LoadedModel, prompts: PromptSet, positions: str, site: str, layers: range
) -> np.ndarray:
    """Every prompt alone, its positions's weights from `probes.positions`, its sites from modules by name."""
    encoded = encode(prompts, loaded.tokenizer, n_blocks=1, context=256)
    weights = position_weights(positions, prompts, encoded, loaded.tokenizer, SUBJECTS)
    found = np.zeros((len(layers), N_PROMPTS, len(LANGUAGES), 32))
    rows = {p.item_id: i for i, p in enumerate(prompts.prompts["en"])}
    for item in encoded.items:
        kept: dict[int, torch.Tensor] = {}
        handles = []
        for number, layer in enumerate(loaded.model.model.layers):
            if site == "resid_post":
                if number == 0:
                    handles.append(
                        layer.register_forward_pre_hook(
                            lambda m, args, kwargs, kept=kept: kept.update(
                                {-1: args[0] if args else kwargs["hidden_states"]}
                            ),
                            with_kwargs=True,
                        )
                    )
                module = layer
            else:
                module = layer.self_attn.o_proj if site == "attn_out" else layer.mlp.down_proj
            handles.append(
                module.register_forward_hook(
                    lambda m, a, out, number=number, kept=kept: kept.update(
                        {number: out[0] if isinstance(out, tuple) else out}
                    )
                )
            )
        with torch.no_grad():
            loaded.model(input_ids=torch.tensor([item.ids]))
        for handle in handles:
            handle.remove()
        for index, layer in enumerate(layers):
            value = kept[layer][0].double().numpy()
            total = sum(w * v for w, v in zip(weights[item.language, item.item_id], value, strict=True))
            found[index, rows[item.item_id], item.language] = total
    return found


@pytest.mark.parametrize("family", PLANTED_FAMILIES)
def test_vectors_equal_those_of_every_prompt_alone(family):
    loaded = opened(family, bos=True)
    for positions in POSITIONS:
        found = collect(loaded, prompt_set(), positions=positions, subjects=SUBJECTS, batch_tokens=150)
        assert found.layers == (-1, 0, 1, 2)
        expected = one_by_one(loaded, prompt_set(), positions, "resid_post", range(-1, 3))
        np.testing.assert_allclose(found.values, expected, atol=2e-5)


@pytest.mark.parametrize("site", ["attn_out", "mlp_out"])
@pytest.mark.parametrize("family", ["qwen2", "olmo2"])
def test_other_sites_have_no_embedding(family, site):
    loaded = opened(family)
    found = collect(loaded, prompt_set(), site=site)
    assert found.layers == (0, 1, 2)
    np.testing.assert_allclose(
        found.values, one_by_one(loaded, prompt_set(), "last", site, range(3)), atol=2e-5
    )
    with pytest.raises(ConfigError, match=rf"The embedding has no site '{site}'\. Leave 'embedding' out"):
        collect(loaded, prompt_set(), site=site, layers=(-1, 0))


def test_the_residual_stream_equals_hidden_states_up_to_the_final_norm():
    loaded = opened()
    found = collect(loaded, prompt_set()).values
    for row, prompt in enumerate(prompt_set().prompts["sw"]):
        ids = torch.tensor([loaded.tokenizer(prompt.text)["input_ids"]])
        with torch.no_grad():
            states = loaded.model(input_ids=ids, output_hidden_states=True).hidden_states
            last = loaded.model.model.norm(torch.from_numpy(found[3, row, 1]))
        for layer in range(3):
            np.testing.assert_allclose(found[layer, row, 1], states[layer][0, -1], atol=2e-5)
        np.testing.assert_allclose(last, states[3][0, -1], atol=2e-5)
        assert np.abs(found[3, row, 1] - states[3][0, -1].numpy()).max() > 0.1


@pytest.mark.parametrize("positions", POSITIONS)
def test_batches_padding_and_order_do_not_matter(positions):
    loaded = opened("qwen2", bos=True)
    whole = collect(loaded, prompt_set(), positions=positions, subjects=SUBJECTS).values
    for options in ({"batch_tokens": 1}, {"batch_tokens": 200}, {"padding": "left"}):
        again = collect(loaded, prompt_set(), positions=positions, subjects=SUBJECTS, **options).values
        np.testing.assert_allclose(again, whole, atol=2e-5)
    order = (3, 1, 6, 0, 2, 5, 4)
    turned = collect(loaded, prompt_set(order), positions=positions, subjects=SUBJECTS).values
    np.testing.assert_allclose(turned, whole[:, list(order)], atol=2e-5)
    fewer = collect(loaded, prompt_set().restrict(("ja", "en")), positions="last").values
    np.testing.assert_allclose(fewer, collect(loaded, prompt_set()).values[:, :, [2, 0]], atol=2e-5)


def test_what_a_model_makes_of_padding_is_not_read():
    loaded = opened()
    encoded = encode(prompt_set(), loaded.tokenizer, n_blocks=1, context=256)
    for positions in ("last", "mean"):
        collector = Collector(loaded, encoded, {}, [], positions, np.zeros((0, 0, 0, 0), np.float32))
        value = torch.tensor([[[float("nan")] * 2, [1.0, 2.0], [3.0, 4.0]]])
        weights = torch.tensor([[0, 0, 1.0]] if positions == "last" else [[0, 0.5, 0.5]])
        expected = [[3, 4]] if positions == "last" else [[2, 3]]
        assert collector._pooled(value, weights).tolist() == expected


def test_some_layers_are_those_of_all():
    loaded = opened()
    every = collect(loaded, prompt_set()).values
    some = collect(loaded, prompt_set(), layers=(-1, 2))
    assert some.layers == (-1, 2)
    assert np.array_equal(some.values, every[[0, 3]])
    with pytest.raises(CapabilityError, match=r"No layer 3: 'llama' has layers 0 to 2\."):
        collect(loaded, prompt_set(), layers=(0, 3))


def test_layers_as_words():
    assert parse_layers("all") is None
    assert parse_layers(" 7,0, 3") == (0, 3, 7)
    assert parse_layers("embedding,1") == (-1, 1)
    for text in ("", "x", "-1", "1-3", "1,,2", "1.5"):
        with pytest.raises(
            ConfigError, match=r"all, or numbers from 0 such as 0,3,7 are expected, or 'embed"
        ):
            parse_layers(text)
    with pytest.raises(ConfigError, match="names a layer more than once"):
        parse_layers("1,2,01")


def test_layers_that_add_nothing_keep_the_embedding():
    loaded = opened()
    silent = copy.deepcopy(loaded.model)
    with torch.no_grad():
        for layer in silent.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
    still = replace(loaded, model=silent, architecture=locate(silent))
    for positions in ("mean", "weighted"):
        found = collect(still, prompt_set(), positions=positions).values
        assert (found == found[:1]).all()
        assert np.array_equal(found[0], collect(loaded, prompt_set(), positions=positions).values[0])
        assert len(np.unique(found[0].reshape(-1, 32), axis=0)) > 1


# on disk


@pytest.fixture
def file(tmp_path):
    return tmp_path / "a.npy"


def test_what_is_large_is_kept_on_disk_and_used_again(file, checkpoints, monkeypatch):
    loaded, other = (
        open_checkpoint(resolve_checkpoint(str(checkpoints[name]))) for name in ("llama", "other")
    )
    small = collect(loaded, prompt_set(), file=file)
    assert not isinstance(small.values, np.memmap)
    assert list(file.parent.iterdir()) == []
    large = collect(loaded, prompt_set(), file=file, in_memory=0)
    assert isinstance(large.values, np.memmap)
    assert np.array_equal(large.values, small.values)
    assert sorted(p.name for p in file.parent.iterdir()) == ["a.npy", "a.npy.json"]
    monkeypatch.setattr(Collector, "add", lambda *a: pytest.fail("a model was run"))
    again = collect(loaded, prompt_set(), file=file, in_memory=0)
    assert np.array_equal(again.values, small.values)
    assert again.provenance.settings == small.provenance.settings
    for changed in ({"positions": "mean"}, {"site": "mlp_out"}, {"layers": (0, 1)}):
        with pytest.raises(MeasurementError, match=rf"holds other activations \(.*{next(iter(changed))}: "):
            collect(loaded, prompt_set(), file=file, in_memory=0, **changed)
    with pytest.raises(MeasurementError, match="holds other activations"):
        collect(other, prompt_set(), file=file, in_memory=0)


def test_those_of_a_model_without_a_checkpoint_are_not_taken_for_anothers(file):
    first = collect(opened(), prompt_set(), file=file, in_memory=0).values.copy()
    second = collect(opened("qwen2"), prompt_set(), file=file, in_memory=0).values
    assert np.array_equal(second, collect(opened("qwen2"), prompt_set()).values)
    assert not np.array_equal(first, second)


def stopping(after: int):
    """A progress that interrupts after some batches, as Ctrl-C does."""

    def progress(done: int, total: int) -> None:
        if done == after:
            os.kill(os.getpid(), signal.SIGINT)

    return progress


@pytest.mark.parametrize("in_memory", [0, 10**9])
def test_an_interrupted_collection_continues_to_the_same_bits(file, in_memory, monkeypatch):
    loaded = opened()
    options = {"batch_tokens": 100, "file": file, "in_memory": in_memory}
    whole = collect(loaded, prompt_set(), batch_tokens=100).values
    with pytest.raises(Interrupted, match="Stopped after 3 of "):
        collect(loaded, prompt_set(), progress=stopping(3), **options)
    there = {p.name for p in file.parent.iterdir()}
    assert there == {"a.partial"} | ({"a.npy.partial"} if in_memory == 0 else set())
    if in_memory == 0:  # the state has no vectors, so it is of no use to a pass in memory
        with pytest.raises(
            MeasurementError, match=r"a\.partial is of another run \(on_disk: True there, False"
        ):
            collect(loaded, prompt_set(), **{**options, "in_memory": 10**9})
    added = []
    real = Collector.add
    monkeypatch.setattr(
        Collector, "add", lambda self, batch: added.append(len(batch.items)) or real(self, batch)
    )
    found = collect(loaded, prompt_set(), **options)
    assert sum(added) < N_PROMPTS * 3
    assert np.array_equal(found.values, whole)
    assert not list(file.parent.glob("*.partial"))


def test_a_state_without_its_array_starts_again(file):
    loaded, options = opened(), {"batch_tokens": 100, "file": file, "in_memory": 0}
    with pytest.raises(Interrupted):
        collect(loaded, prompt_set(), progress=stopping(3), **options)
    file.with_name("a.npy.partial").unlink()
    assert np.array_equal(
        collect(loaded, prompt_set(), **options).values,
        collect(loaded, prompt_set(), batch_tokens=100).values,
    )


def test_memory_that_runs_out_halves_a_batch(monkeypatch):
    loaded = opened()
    whole, real, sizes = collect(loaded, prompt_set()).values, Collector.add, []

    def add(self, batch):
        sizes.append(len(batch.items))
        if len(batch.items) > 3:
            raise MemoryError
        real(self, batch)

    monkeypatch.setattr(Collector, "add", add)
    again = collect(loaded, prompt_set())
    np.testing.assert_allclose(again.values, whole, atol=2e-5)
    assert max(sizes) > 3
    assert again.provenance.run["largest_batch"] == 3


# refusals


def test_languages_that_do_not_correspond_are_refused():
    loose = replace(prompt_set(), parallel=False)
    with pytest.raises(DataError, match="'made' is not parallel: its languages do not have the same items"):
        collect(opened(), loose)


def test_values_that_are_not_finite_are_named():
    loaded = opened()
    broken = copy.deepcopy(loaded.model)
    with torch.no_grad():
        broken.get_input_embeddings().weight[byte_tokenizer()("6")["input_ids"][0]] = float("nan")
    with pytest.raises(MeasurementError, match=r"not finite from layer 0 on, first in item 'f6' in '\w+'"):
        collect(replace(loaded, model=broken, architecture=locate(broken)), prompt_set())


def test_a_subject_that_a_prompt_does_not_name():
    with pytest.raises(MeasurementError, match="does not mention its subject"):
        collect(opened(), prompt_set(), positions="subject_last", subjects={})
