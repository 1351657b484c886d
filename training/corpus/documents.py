"""Documents for continued pre-training: facts with their answers and aligned names, counted in real tokens.

Everything is a pure function of the facts and the seed. Each kind of choice has one random generator for the
whole corpus: one made anew per document would draw the same value each time, and one direction of a pair
would never occur.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from interp.data.facts import FactSet
from interp.data.hashing import digest_of
from interp.data.languages import language
from interp.data.prompts import Prompt, prompts_from_facts
from interp.errors import ConfigError, DataError

__all__ = [
    "Corpus",
    "Document",
    "Documents",
    "encode",
    "fact_documents",
    "require_shares",
    "shuffled",
]

T = TypeVar("T")


@dataclass(frozen=True)
class Document:
    """One text; it does not see any other.

    Attributes:
        text: Without an end token.
        languages: Languages that it has words of.
        kind: ``fact``, ``switched`` (a fact with names of another language), ``names`` or ``lines``.
    """

    text: str
    languages: tuple[str, ...]
    kind: str


@dataclass(frozen=True)
class Documents:
    """All documents of a corpus, in the order in which a budget takes them.

    Attributes:
        languages: All of them.
        documents: Shuffled.
        notes: Counts for the card.
    """

    languages: tuple[str, ...]
    documents: tuple[Document, ...]
    notes: Mapping[str, int]


@dataclass(frozen=True)
class Corpus:
    """Documents as tokens.

    Attributes:
        rows: Token ids per document, the end token included.
        counts: For the card: documents by kind, tokens, documents left out, a digest.
    """

    rows: tuple[list[int], ...]
    counts: dict[str, Any]


def shuffled(documents: list[Document], seed: int) -> tuple[Document, ...]:
    """Return documents in an order that the seed decides."""
    return tuple(random.Random(f"{seed} order").sample(documents, len(documents)))


def require_shares(n_languages: int, lexicon: float, code_switch: float) -> None:
    """Refuse shares that no corpus of facts can have.

    Raises:
        ConfigError: A share is out of range, or needs a second language.
    """
    if not 0 <= lexicon < 1:
        raise ConfigError(f"lexicon is {lexicon}; a share of the documents from 0 to below 1 is expected.")
    if not 0 <= code_switch <= 1:
        raise ConfigError(f"code_switch is {code_switch}; a share from 0 to 1 is expected.")
    for name, share in (("lexicon", lexicon), ("code_switch", code_switch)):
        if share and n_languages < 2:
            raise ConfigError(
                f"{name} is {share}, but there is one language. Set it to 0, or add a language."
            )


def fact_documents(
    facts: FactSet,
    *,
    lexicon: float = 0.0,
    code_switch: float = 0.0,
    seed: int = 0,
    prompt_format: str = "native",
) -> Documents:
    """Return each fact in each language, and aligned names of what the facts are about.

    Args:
        facts: Facts to train on; none that is evaluated.
        lexicon: Share of all documents that are aligned names, 0 or more and below 1. Every ordered pair of
            languages occurs equally often (give or take one), so both directions of a pair are read.
        code_switch: Share of the facts' documents in which subject and answer are named in another language,
            drawn uniformly. The other words stay as they are, articles and particles included. A document
            whose question does not have the subject's name exactly once is left unchanged and counted.
        seed: Seed of every choice and of the order.
        prompt_format: See `interp.data.prompts.prompts_from_facts`.

    Raises:
        ConfigError: A share is out of range, or needs a second language.
    """
    require_shares(len(facts.languages), lexicon, code_switch)
    prompts = prompts_from_facts(facts, prompt_format=prompt_format).prompts
    plain = [prompt for code in facts.languages for prompt in prompts[code]]
    made, notes = _switched(plain, facts, round(code_switch * len(plain)), random.Random(f"{seed} switch"))
    n_names = round(len(plain) * lexicon / (1 - lexicon))
    made += _names(facts, n_names, random.Random(f"{seed} names"))
    return Documents(facts.languages, shuffled(made, seed), notes)


def encode(
    documents: Documents,
    tokens: Callable[[list[str]], list[list[int]]],
    end: int,
    *,
    longest: int,
    budget: int = 0,
) -> Corpus:
    """Turn documents into tokens, as many as the budget allows.

    Args:
        documents: In the order in which they are taken.
        tokens: Texts to ids, as the model reads them.
        end: The token that ends a document: appended once, unless ``tokens`` does so.
        longest: Longer documents are left out and counted; none is cut.
        budget: Most tokens per language; 0 for no limit. All tokens of a document count for each of its
            languages. A document that would exceed the budget of one of them is left out and counted, and
            later ones are tried.

    Raises:
        DataError: Nothing is left of a language.
    """
    tokenized = tokens([document.text for document in documents.documents])
    spent: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    encoded: list[tuple[Document, list[int]]] = []
    for document, ids in zip(documents.documents, tokenized, strict=True):
        row = ids if ids[-1:] == [end] else [*ids, end]
        if len(row) > longest:
            left_out["too_long"] += 1
        elif budget and any(spent[code] + len(row) > budget for code in document.languages):
            left_out["over_budget"] += 1
        else:
            encoded.append((document, row))
            spent.update(dict.fromkeys(document.languages, len(row)))
    _require_all(documents.languages, spent, left_out, longest, budget)
    counts = {
        "documents": len(encoded),
        "kinds": dict(sorted(Counter(document.kind for document, _ in encoded).items())),
        "tokens": sum(len(row) for _, row in encoded),
        "tokens_per_language": {code: spent[code] for code in documents.languages},
        "left_out": {reason: left_out[reason] for reason in ("too_long", "over_budget")},
        **documents.notes,
        "digest": digest_of([document.text for document, _ in encoded]),
    }
    return Corpus(tuple(row for _, row in encoded), counts)


def _switched(
    plain: list[Prompt], facts: FactSet, n: int, drawn: random.Random
) -> tuple[list[Document], dict[str, int]]:
    """Documents of facts, up to n of them with another language's names."""
    selected = set(drawn.sample(range(len(plain)), n))
    wording = {fact.fact_id: fact for fact in facts}
    made, notes = [], Counter(switched=0, switched_same_names=0, not_switchable=0)
    for number, prompt in enumerate(plain):
        if number not in selected:
            made.append(Document(prompt.full_text, (prompt.language,), "fact"))
            continue
        other = drawn.choice([code for code in facts.languages if code != prompt.language])
        fact = wording[prompt.item_id]
        here, there = fact.wording[prompt.language], fact.wording[other]
        if here.question.count(here.subject) != 1:
            notes["not_switchable"] += 1
            made.append(Document(prompt.full_text, (prompt.language,), "fact"))
            continue
        question = here.question.replace(here.subject, there.subject)
        switched = prompt.text.replace(here.question, question)
        text = f"{switched}{prompt.separator}{fact.answer(other)}"
        notes["switched"] += 1
        notes["switched_same_names"] += text == prompt.full_text
        made.append(Document(text, (prompt.language, other), "switched"))
    return made, dict(notes)


def _names(facts: FactSet, n: int, drawn: random.Random) -> list[Document]:
    """Documents that name one entity in two languages; none comes twice before all came once."""
    codes = facts.languages
    pairs = _rounds([(one, other) for one in codes for other in codes if one != other], drawn)
    entities = _rounds(list(facts.labels().values()), drawn)
    made = []
    for _ in range(n):
        (one, other), names = next(pairs), next(entities)
        text = f"{language(one).endonym}: {names[one]}\n{language(other).endonym}: {names[other]}"
        made.append(Document(text, (one, other), "names"))
    return made


def _rounds(items: list[T], drawn: random.Random) -> Iterator[T]:
    """All items in a random order, again and again."""
    while True:
        yield from drawn.sample(items, len(items))


def _require_all(
    languages: Sequence[str], spent: Mapping[str, int], left_out: Mapping[str, int], longest: int, budget: int
) -> None:
    missing = [code for code in languages if not spent.get(code)]
    if missing:
        raise DataError(
            f"No document of {', '.join(missing)} is left: {left_out.get('too_long', 0)} documents have "
            f"more than {longest} tokens (block_tokens), {left_out.get('over_budget', 0)} exceed the budget "
            f"of {budget or 'all'} tokens per language. Raise block_tokens or budget, or drop the language."
        )
