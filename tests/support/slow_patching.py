"""Patching by its definition: one prompt, one cell and one forward pass at a time; and short facts to
patch."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import torch
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from interp.data.facts import Fact, FactSet, Wording
from interp.measure.patching import runs
from interp.model.hooks import editing, reading
from interp.model.loading import adopt_model
from interp.model.sites import Site
from tests.support.measuring import Protocol, find_pairs
from tests.support.tiny import byte_tokenizer, tiny_model

WITHIN = Protocol("within", ("en", "ja"), prompt_format="none")
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


def with_third_language(facts: FactSet) -> FactSet:
    changed = []
    for fact in facts:
        said = fact.wording["ja"]
        name = said.subject.lower()
        options = tuple(option.lower() for option in said.options)
        wording = {**fact.wording, "zh": Wording(f"<{name}>", name, options)}
        changed.append(dataclasses.replace(fact, wording=wording))
    return FactSet("three", tuple(changed), ("en", "ja", "zh"))


@cache
def spacing_tokenizer() -> PreTrainedTokenizerFast:
    """Bytes, and a token for every letter with the space before it, so that answers differ in their first
    token."""
    plain = byte_tokenizer().backend_tokenizer
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = plain.get_vocab() | {f"\u0120{letter}": 259 + i for i, letter in enumerate(letters)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[("\u0120", letter) for letter in letters]))
    backend.pre_tokenizer, backend.decoder = plain.pre_tokenizer, plain.decoder
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>"
    )


@cache
def spacing_model(family: str = "llama", seed: int = 0):
    return adopt_model(tiny_model(family, seed=seed, vocab_size=259 + 26), spacing_tokenizer())


class OneByOne:
    """The definition: one prompt, one cell and one forward pass at a time, with the whole model's logits."""

    def __init__(self, loaded, source=None):
        self.loaded, self.source = loaded, source or loaded
        self.read = {}  # values of a prompt at a site, which many cells need

    def values(self, asked, site):
        if (asked.tokens, site) not in self.read:
            kept = {}
            with (
                torch.no_grad(),
                reading(self.source.architecture, {site: lambda v, s: kept.update(v=v.clone())}),
            ):
                self.source.model(input_ids=torch.tensor([asked.tokens]))
            self.read[asked.tokens, site] = kept["v"][0]
        return self.read[asked.tokens, site]

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
