from collections import Counter
from dataclasses import replace

import pytest

from interp.data.languages import LANGUAGES
from interp.data.prompts import prompts_from_facts
from interp.errors import DataError
from training.organism.batches import EOS, PAD, Batches, train_tokenizer
from training.organism.exposure import organism_texts


@pytest.fixture(scope="module")
def texts(few, toy):
    return organism_texts(few, toy)


@pytest.fixture(scope="module")
def tokenizer(texts, toy):
    return train_tokenizer(texts, toy)


def decoded(tokenizer, rows):
    return [tokenizer.decode(row).replace(PAD, "") for row in rows.tolist()]


def test_the_tokenizer_keeps_every_text_and_adds_nothing(texts, tokenizer):
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id) == (0, 1)
    for text in [*texts.facts, *texts.name_lines(), "łódź 🦆 שלום\n\n  12"]:
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.decode(ids) == text
        assert not {0, 1} & set(ids)


def test_question_and_answer_never_share_a_token(few, tokenizer):
    for prompts in prompts_from_facts(few).prompts.values():
        for prompt in prompts:
            apart = (
                tokenizer(prompt.text)["input_ids"] + tokenizer(prompt.separator + prompt.answer)["input_ids"]
            )
            assert apart == tokenizer(prompt.full_text)["input_ids"], prompt


def test_tokenizer_training_is_repeatable(texts, tokenizer, toy):
    again = train_tokenizer(texts, toy)
    assert again.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()


def test_a_step_does_not_depend_on_the_steps_before(texts, tokenizer, toy):
    forward = [Batches(texts, tokenizer, toy).step(step).tolist() for step in range(30)]
    one = Batches(texts, tokenizer, toy)
    assert [one.step(step).tolist() for step in reversed(range(30))] == forward[::-1]


def test_the_seed_changes_the_order(texts, tokenizer, toy):
    other = replace(toy, seed=1)
    steps = [[Batches(texts, tokenizer, c).step(s).tolist() for s in range(6)] for c in (toy, other)]
    assert sum(a != b for a, b in zip(*steps, strict=True)) >= 5  # an epoch's last, small batch may agree


def test_an_epoch_reads_every_fact_once(texts, tokenizer, toy):
    plain = replace(toy, lexicon_share=0.0)
    batches = Batches(texts, tokenizer, plain)
    per_epoch = -(-len(texts.facts) // plain.batch_size)
    for epoch in range(2):
        rows = [batches.step(epoch * per_epoch + step) for step in range(per_epoch)]
        read = Counter(text for batch in rows for text in decoded(tokenizer, batch))
        assert read == Counter(text + EOS for text in texts.facts)
    first, second = ([batches.step(e * per_epoch + s).tolist() for s in range(per_epoch)] for e in range(2))
    assert first != second


def test_a_third_of_the_batches_is_lexicon(texts, tokenizer, toy):
    batches = Batches(texts, tokenizer, toy)
    known = {text + EOS for text in texts.facts}
    lexicon = [
        rows for rows in (decoded(tokenizer, batches.step(s)) for s in range(90)) if not known & set(rows)
    ]
    assert len(lexicon) == 30
    labels = {LANGUAGES[code].endonym for code in toy.languages}
    for text in (text for rows in lexicon for text in rows):
        first, second = (line.split(": ")[0] for line in text.splitlines())
        assert first != second
        assert {first, second} <= labels
    # 240 draws of 6 pairs
    pairs = Counter(
        tuple(line.split(": ")[0] for line in text.splitlines()) for rows in lexicon for text in rows
    )
    assert len(pairs) == 6
    assert min(pairs.values()) > 15


def test_a_text_longer_than_the_context_is_refused(texts, tokenizer, toy):
    with pytest.raises(DataError, match=r"longest text has \d+ tokens, but the organism's context is 8"):
        Batches(texts, tokenizer, replace(toy, context=8))
