"""The commands whose numbers must stay the same, and how flags, words and columns were spelled before."""

from __future__ import annotations

import re

__all__ = ["CASES", "DECIDED", "SPELLINGS", "VOLATILE", "translated"]

SPELLINGS: dict[str, tuple[str, ...]] = {
    "--data": ("--prompts", "--facts", "--benchmark"),
    "--positions": ("--spans", "--span", "--position", "--embedding"),
    "--scoring": ("--normalization", "--as"),
    "--prompt-format": ("--scaffold",),
    "--task": ("--prompts",),
    "specialized": ("specialised",),
}
"""A flag or choice of today, and what it was called before; a checkout gets the first that its help knows."""

WORDS: tuple[tuple[str, str], ...] = (
    (r"behaviour", "behavior"),
    (r"(speciali|normali|summari|penali)s(?=e|at|ing)", r"\1z"),
    (r"centred", "centered"),
    (r"scaffold", "prompt_format"),
    (r"remarks|doubts", "diagnostics"),
)
"""Words of earlier file names, columns, keys and labels, as patterns, and today's."""

VOLATILE = re.compile(r"seconds|hours|per_second|runtime|memory|versions|device|commit|\bdate\b|\bout\b|wall")
"""Keys and columns that differ between two runs of one checkout."""

DECIDED: dict[tuple[str, str], str] = {
    **{
        (
            "evaluate-*",
            f"{stem}.*.csv:*",
        ): "a figure's data is the numbers on the axes of all its panels, tidy"
        for stem in ("behaviour", "generation")
    },
    (
        "attribution-*",
        "*.attribution.csv:*",
    ): "the data has the rows of all panels, marked by the column shown",
    (
        "lens-*",
        "organism-final-to-*.csv:[ba]*",
    ): "takeover layers count from 0 = the first layer, so are one less",
    ("lens-*", "organism-final-to-*.json:quantities*.[ba]*"): "takeover layers are one less, as above",
    ("align*", "*cka_shuffled*"): "the level of chance of CKA is the mean over all orders, not one order",
    ("align*", "*calibrated*"): "CKA is calibrated beside the plain one",
    ("lens-*", "*.csv:layer"): "layers are numbered from 0 = the first; what enters it is -1, the embedding",
}
"""Differences that are meant: (pattern of commands, pattern of names) to the reason, which is printed."""

_PAIR = "--ckpt organism:final --ckpt organism:grpo"
_ONE = "--ckpt organism:final"
_ASK = "--languages en,sw,ja --device cpu --dtype float32 --figure"
_INTO = "--languages sw,ja --device cpu --dtype float32 --figure"
_TRAIN = (
    "--model organism:final --languages en,sw,ja --limit 24 --steps 4 --lr 1e-4 --eval-facts 8 --eval-every 2"
    " --device cpu --dtype float32"
)
_ROLL = "--generations 4 --new-tokens 8"

CASES: dict[str, str] = {
    "specialization": f"specialization {_PAIR} --limit 40 --min-tokens 100 --head-items 16 --blocks 4 {_ASK}",
    "specialization-trained-mask": (
        f"specialization {_ONE} --units heads --mask trained --limit 24 --head-items 16 --blocks 4 {_ASK}"
    ),
    "specialization-bare-names": (
        f"specialization {_ONE} --units neurons --prompt-format none --limit 40 --min-tokens 50 {_ASK}"
    ),
    "evaluate-mcq": f"evaluate {_PAIR} --limit 40 {_ASK}",
    "evaluate-english-format": (
        f"evaluate {_PAIR} --split validation --prompt-format english --scoring token --cluster fact"
        f" --limit 40 {_ASK}"
    ),
    "evaluate-generate": f"evaluate {_PAIR} --mode generate --shots 2 --limit 24 {_ASK}",
    "rescore-mcq": "rescore {evaluate-mcq:behavior} --scoring sum",
    "rescore-generate": "rescore {evaluate-generate:generation} --scoring anywhere --cluster answer",
    "patch-across": f"patch {_ONE} --mode across --sources en --site resid_post --limit 24 {_INTO}",
    "patch-across-onward": (
        f"patch {_ONE} --mode across --sources en --site attn_out --onward --limit 24 {_INTO}"
    ),
    "patch-within-heads": f"patch {_ONE} --mode within --site head --limit 24 {_ASK}",
    "patch-within-neurons": f"patch {_ONE} --mode within --site mlp_neuron --units 0,3,5 --limit 24 {_ASK}",
    "patch-within-each-position": (
        f"patch {_ONE} --mode within --site resid_pre --positions each --metric probability --limit 16 {_ASK}"
    ),
    "patch-concepts": f"patch {_PAIR} --mode concepts --sources en --site mlp_out --limit 24 {_INTO}",
    "patch-checkpoints": (
        f"patch {_ONE} --mode checkpoints --source-ckpt organism:grpo --site resid_mid --limit 40 {_ASK}"
    ),
    "attribution-heads": f"patch {_ONE} --mode within --site head --attribution --verify 4 --limit 24 {_ASK}",
    "attribution-neurons": (
        f"patch {_ONE} --mode across --sources en --site mlp_neuron --attribution --verify 4 --limit 24"
        f" {_INTO}"
    ),
    "routing": f"routing {_PAIR} --limit 24 {_ASK}",
    "ablate-neurons": f"ablate {_PAIR} --units neurons --limit 24 --read 40 --min-tokens 100 {_ASK}",
    "ablate-neurons-mean": (
        f"ablate {_ONE} --units neurons --mode mean --count 20 --limit 24 --read 40 --min-tokens 100 {_ASK}"
    ),
    "ablate-heads": f"ablate {_ONE} --units heads --rule specialized --limit 24 --read 40 {_ASK}",
    "ablate-heads-important": f"ablate {_ONE} --units heads --rule important --limit 24 --read 40 {_ASK}",
    "lens-tuned": f"lens {_PAIR} --tuned --tuned-steps 20 --tuned-positions 1024 --limit 40 {_ASK}",
    "lens-translation": f"lens {_ONE} --task translation --limit 24 {_ASK}",
    "lens-cloze-first-token": (
        f"lens {_ONE} --task cloze --tokens first --positions subject_last --limit 24 {_ASK}"
    ),
    "probe-language": f"probe {_PAIR} --task language --limit 40 {_ASK}",
    "probe-answer": f"probe {_PAIR} --task answer --folds 2 --limit 200 {_ASK}",
    "probe-right": f"probe {_PAIR} --task right --positions mean --limit 40 {_ASK}",
    "align": f"align {_PAIR} --limit 40 {_ASK}",
    "align-last": f"align {_PAIR} --positions last --layers 0,2 --limit 40 {_ASK}",
    "compare-neurons": "compare {specialization:specialization}",
    "compare-heads": "compare {specialization:heads}",
    "compare-answers": "compare {evaluate-mcq:behavior}",
    "compare-routing": "compare {routing:routing}",
    "export-lm-eval": "export-lm-eval --languages en,sw,ja --limit 24",
    "train-grpo": f"train grpo {_TRAIN} {_ROLL} --rollouts-every 1",
    "train-grpo-consistency": f"train grpo {_TRAIN} {_ROLL} --pooling consistency --kl 0.05 --loss dapo",
    "train-sft": f"train sft {_TRAIN}",
    "train-sft-letter": f"train sft {_TRAIN} --target letter --prompt options --consistency 0.5",
    "train-cpt": f"train cpt {_TRAIN} --block-tokens 64 --rows-per-step 4 --code-switch 0.3",
    "train-calm": f"train calm {_TRAIN} {_ROLL} --pairs-per-step 4 --sample-batch 24",
    "train-cm-align": f"train cm-align {_TRAIN} {_ROLL} --pairs-per-step 4 --sample-batch 24",
    "train-dco": f"train dco {_TRAIN} --instances 64 --instances-per-step 4",
}
"""Name of a run to its command in the words of today; ``{run:kind}``: the saved results of an earlier run."""


def translated(name: str) -> str:
    """A file name, column, key or label of an earlier version in the words of today."""
    for old, new in WORDS:
        name = re.sub(old, new, name)
    return name
