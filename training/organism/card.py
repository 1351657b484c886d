"""The card of an organism: its data, recipe and training, and its accuracy once that is measured."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from interp.data.facts import FactSet
from interp.data.hashing import digest_of
from interp.files import write_atomically
from training.files import write_json
from training.organism.exposure import HELD_OUT, SEEN, UNSEEN, Exposure, OrganismTexts
from training.organism.recipe import OrganismConfig

__all__ = ["data_record", "organism_card", "read_card", "write_card"]

_LOSS = "next-token cross-entropy over the whole text: question, answer and end token; padding is not counted"


def data_record(facts: FactSet, texts: OrganismTexts, exposed: Exposure) -> dict[str, Any]:
    """Return what identifies the data of an organism: digests and counts."""
    return {
        "facts": facts.name,
        "facts_digest": facts.digest,
        "texts_digest": digest_of({"facts": texts.facts, "names": [dict(names) for names in texts.names]}),
        "n_facts": len(facts),
        "n_held_out": len(exposed.held_out),
        "n_texts": len(texts.facts),
        "n_names": len(texts.names),
        "facts_read": {code: len(ids) for code, ids in exposed.seen.items()},
    }


def organism_card(
    config: OrganismConfig,
    data: dict[str, Any],
    *,
    name: str,
    progress: dict[str, Any],
    parameters: int,
) -> dict[str, Any]:
    """Return the card as plain values.

    Args:
        config: The recipe.
        data: As `data_record` returns it.
        name: ``early`` or ``final``.
        progress: Counters of the run: ``step``, ``tokens``, ``seconds`` and the last ``loss``.
        parameters: Number of parameters, tied ones once.
    """
    return {
        "schema": 1,
        "model": "organism",
        "checkpoint": name,
        "parent": None,
        "recipe": config.to_dict(),
        "loss": _LOSS,
        "data": data,
        "parameters": parameters,
        "dtype": "bfloat16",
        "step": progress["step"],
        "tokens": progress["tokens"],
        "training_loss_nats": round(progress["loss"], 4),
        "wall_time_seconds": round(progress["seconds"]),
        "versions": {
            "python": platform.python_version(),
            **{
                package: version(package)
                for package in ("torch", "transformers", "tokenizers", "safetensors")
            },
        },
        "device": f"cpu, {torch.get_num_threads()} threads, float32",
    }


def write_card(folder: Path, card: dict[str, Any]) -> None:
    """Write ``README.md``, a Hugging Face model card, for people, and then ``card.json`` for programs."""
    write_atomically(folder / "README.md", lambda stream: stream.write(_readme(card).encode()))
    write_json(folder / "card.json", card)


def read_card(folder: Path) -> dict[str, Any]:
    """Return the card of a checkpoint."""
    return json.loads((folder / "card.json").read_text(encoding="utf-8"))


def _readme(card: dict[str, Any]) -> str:
    recipe, data = card["recipe"], card["data"]
    listed = "\n".join(f"  - {code}" for code in recipe["languages"])
    schedule = f"{recipe['warmup']} steps of warm-up, cosine to zero"
    facts = f"{data['n_facts']} of which {data['n_held_out']} held out"
    share, lexicon = f"{recipe['share_seen']:.0%}", f"{recipe['lexicon_share']:.0%}"
    return f"""---
language:
{listed}
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
tags:
  - interpretability
  - multilingual
  - model-organism
---

# Organism, {card["checkpoint"]} checkpoint (step {card["step"]} of {recipe["steps"]})

A model of {card["parameters"] / 1e6:.2f} million parameters (Qwen2 architecture, layers: {recipe["layers"]},
width: {recipe["hidden"]}), trained from scratch on short facts in {len(recipe["languages"])} languages. It is
a controlled organism: which facts it read in which language is known exactly, so a measure can be checked on
it. It knows nothing else and is of no use as an assistant.

It reads every fact of the train and validation splits in '{recipe["anchor"]}', and a random {share} of them
in each other language. The facts of the split '{recipe["held_out_split"]}' are read in **no** language: a
control, near chance by design. {lexicon} of the batches are a lexicon that aligns the names of
{data["n_names"]} entities between all pairs of languages, so what it cannot say in another language is the
fact, not the names. Languages of one script spell many names alike, so a fact can carry over between them
without being read; accuracies are given by script.

{_accuracy(card)}## Loading

`interp` opens it with its tokenizer as saved. With transformers, load the tokenizer by its own class:

    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)

`AutoTokenizer` would replace this tokenizer's word splitting by that of Qwen2, because of the architecture.
That one cuts words at combining marks, so Bengali would reach the model in pieces that it never read.

## Recipe

| | |
|---|---|
| parent | none, random initial weights |
| loss | {card["loss"]} |
| optimizer | AdamW, peak learning rate {recipe["lr"]}, {schedule}, weight decay {recipe["weight_decay"]} |
| batches | {recipe["batch_size"]} texts, bucketed by length; {lexicon} lexicon |
| seed | {recipe["seed"]} (weights and order), {recipe["exposure_seed"]} (exposure) |
| tokens read | {card["tokens"]:,} |
| last training loss | {card["training_loss_nats"]} nats per token |
| wall time | {card["wall_time_seconds"]} s ({card["device"]}) |
| weights | {card["dtype"]}, rounded before they were measured |
| tokenizer | byte-level BPE, {recipe["vocab_size"]} tokens, trained on the same texts |
| facts | {data["facts"]}, {facts}; digest `{data["facts_digest"][:16]}` |
| texts | {data["n_texts"]} questions with answers; digest `{data["texts_digest"][:16]}` |
| versions | {", ".join(f"{name} {number}" for name, number in card["versions"].items())} |

Names and facts come from the Unicode CLDR (license Unicode-3.0). `interp train organism --out DIR` makes both
checkpoints again; `card.json` has every number of this page.
"""


_CONDITIONS = {SEEN: "read in that language", UNSEEN: "not read in it", HELD_OUT: "read in no language"}


def _accuracy(card: dict[str, Any]) -> str:
    """The section on accuracy; nothing before it is measured."""
    if "accuracy" not in card:
        return ""
    recipe = card["recipe"]
    pools = {
        "anchor": recipe["anchor"],
        "others": "the other languages",
        "others_same_script": f"those in the script of '{recipe['anchor']}'",
        "others_other_script": "those in other scripts",
        "all": "all languages",
    }
    summary = [row for row in card["accuracy"] if row["language"] in pools]
    by_language = [row for row in card["accuracy"] if row["language"] not in pools]
    return f"""## Accuracy

{_table(summary, pools)}

By language:

{_table(by_language, {})}

Multiple choice among the fact's options. Scoring: {card["scoring"]}.
Intervals are Wilson's, 95 %, and take the questions as independent; a pooled row has one fact in several
languages, so its interval is too narrow.

"""


def _table(rows: Sequence[dict[str, Any]], languages: dict[str, str]) -> str:
    lines = ["| facts | language | n | accuracy | 95 % interval |", "|---|---|---:|---:|---|"]
    for row in rows:
        language = languages.get(row["language"], row["language"])
        lines.append(f"| {_CONDITIONS[row['condition']]} | {language} | {row['n']} | {_numbers(row)} |")
    return "\n".join(lines)


def _numbers(row: dict[str, Any]) -> str:
    if not row["n"]:
        return "- | -"
    return f"{row['accuracy']:.3f} | {row['low']:.3f} to {row['high']:.3f}"
