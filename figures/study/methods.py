"""The methods section of a study, from what its record says, and the references of its measures."""

from __future__ import annotations

from dataclasses import dataclass

from analyses.study.effects import Effects
from analyses.study.record import Record
from figures.study.latex import latex_text

__all__ = ["Methods", "methods_text", "references"]

_HOW = {
    "evaluate": (
        "Facts were asked as multiple choice or by generation; accuracy per language and Total Consistency "
        "(the share of facts that are right in every language), and RankC where options are aligned",
        ("qi2023",),
    ),
    "specialization": (
        "Language specialization of a neuron is the mutual information between language and whether it "
        "fires, of a head that between language and its share of importance, in nats, "
        "bias-corrected by a jackknife over blocks of facts",
        ("tang2024",),
    ),
    "patch": (
        "Activations were replaced by those of another forward pass; recovery is the ratio of mean logit "
        "differences",
        ("dumas2024",),
    ),
    "routing": (
        "Answers were attributed to heads and neurons, and the overlap between languages set beside chance",
        (),
    ),
    "ablate": (
        "Language-specific units were set to their mean, beside random units of the same layers",
        ("tang2024",),
    ),
    "lens": ("Hidden states of each layer were decoded with the unembedding (logit lens)", ("wendler2024",)),
    "probe": ("Linear probes were trained on hidden states of one language and tested on the others", ()),
    "align": ("Hidden states of parallel sentences were compared between languages", ("kargaran2024",)),
}

_BIB = {
    "qi2023": (
        "Qi, Jirui and Fern{\\'a}ndez, Raquel and Bisazza, Arianna",
        "Cross-Lingual Consistency of Factual Knowledge in Multilingual Language Models",
        "2310.10378",
        2023,
    ),
    "tang2024": (
        "Tang, Tianyi and others",
        "Language-Specific Neurons: The Key to Multilingual Capabilities in Large Language Models",
        "2402.16438",
        2024,
    ),
    "dumas2024": (
        "Dumas, Cl{\\'e}ment and others",
        "Separating Tongue from Thought: Activation Patching Reveals Language-Agnostic Concept "
        "Representations in Transformers",
        "2411.08745",
        2024,
    ),
    "wendler2024": (
        "Wendler, Chris and others",
        "Do Llamas Work in English? On the Latent Language of Multilingual Transformers",
        "2402.10588",
        2024,
    ),
    "kargaran2024": (
        "Kargaran, Amir Hossein and others",
        "{MEXA}: Multilingual Evaluation of English-Centric {LLM}s via Cross-Lingual Alignment",
        "2410.05873",
        2024,
    ),
}


@dataclass(frozen=True)
class Methods:
    """The section, twice.

    Attributes:
        markdown: As Markdown.
        latex: As LaTeX.
    """

    markdown: str
    latex: str


def methods_text(record: Record, effects: Effects) -> Methods:
    """What was measured of what, how intervals and p-values were made; versions, digests, sample sizes."""
    paragraphs = []
    names = [f"{m.name} ({len(m.checkpoints)} seed{'s' * (len(m.checkpoints) > 1)})" for m in record.members]
    paragraphs.append(
        f"We compared {', '.join(names[1:]) or 'no other checkpoint'} with {names[0]}, using interp "
        f"{record.version}."
    )
    for measure in record.measures:
        how, keys = _HOW.get(measure.command, ("", ()))
        if how:
            cited = "".join(f" [{key}]" for key in keys)
            given = ", ".join(f"{k} = {v}" for k, v in measure.options.items()) or "default settings"
            paragraphs.append(f"{how}{cited} ({measure.name}: {given}).")
    counts = [(each.n, each.n_clusters) for each in effects.all]
    if counts:
        n, clusters = max(counts)
        paragraphs.append(
            f"Changes are paired over the same facts (up to {n} in {clusters} clusters), with 95 % "
            "intervals by Student's t over clusters of facts (CR2 variance, Bell-McCaffrey degrees of "
            "freedom), or over blocks by the jackknife. p-values are Holm's over all "
            f"{effects.n_tests} changes that the study looked at, of which the headlines share one half of "
            f"the error rate; the family-wise level is {record.claims.alpha:g}. With fewer than three seeds "
            "a claim speaks of these checkpoints only."
        )
    paragraphs.append(
        f"Weights, by SHA-256 of weights, configuration and tokenizer: {_fingerprints(record)}."
    )
    latex = "\n\n".join(_latex(text) for text in paragraphs)
    return Methods("## Methods\n\n" + "\n\n".join(paragraphs) + "\n", f"\\section{{Methods}}\n\n{latex}\n")


def references(record: Record) -> str:
    """BibTeX entries of the measures that were used."""
    used = [key for measure in record.measures for key in _HOW.get(measure.command, ("", ()))[1]]
    return "\n".join(_entry(key, *_BIB[key]) for key in dict.fromkeys(used))


def _entry(key: str, author: str, title: str, arxiv: str, year: int) -> str:
    return (
        f"@misc{{{key},\n  author = {{{author}}},\n  title = {{{title}}},\n  year = {{{year}}},\n"
        f"  eprint = {{{arxiv}}},\n  archivePrefix = {{arXiv}}\n}}\n"
    )


def _fingerprints(record: Record) -> str:
    known = {cell.checkpoint: cell.fingerprint for cell in record.cells if cell.fingerprint}
    return ", ".join(f"{name} {fingerprint[:16]}" for name, fingerprint in known.items()) or "none"


def _latex(text: str) -> str:
    escaped = latex_text(text)
    for key in _BIB:
        escaped = escaped.replace(f" [{key}]", f"~\\citep{{{key}}}")
    return escaped
