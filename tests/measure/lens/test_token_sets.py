"""Token sets by hand, for the two kinds of tokenizers; what they do not tell apart; the token that is
read."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from interp.data.prompts import Prompt, PromptSet
from interp.data.tasks import open_task
from interp.errors import CapabilityError, MeasurementError
from interp.measure.lens.positions import encode_positions
from interp.measure.lens.token_sets import Vocabulary, overlaps, unshared
from interp.model.checkpoints import resolve_checkpoint
from interp.model.loading import LoadedModel, adopt_model
from interp.model.sites import locate
from interp.model.weights import load_tokenizer
from tests.support.tiny import byte_tokenizer, opened, tiny_model


def _bytelevel(merges):
    """A byte-level BPE of all bytes and what the merges make."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = ["".join(pair) for pair in merges]
    backend = Tokenizer(models.BPE({token: i for i, token in enumerate([*alphabet, *made])}, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend)


def _marked():
    """As SentencePiece has it: a mark for spaces, byte tokens, and a few pieces."""
    pieces = [
        "<unk>",
        *(f"<0x{byte:02X}>" for byte in range(256)),
        "▁",
        "▁P",
        "P",
        "Pa",
        "ris",
        "▁Paris",
        "东",
    ]
    backend = Tokenizer(
        models.BPE({piece: i for i, piece in enumerate(pieces)}, [], unk_token="<unk>", byte_fallback=True)
    )
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>"), {
        p: i for i, p in enumerate(pieces)
    }


def _named(tokenizer, ids):
    return {tokenizer.convert_ids_to_tokens(number) for number in ids}


def test_prefixes_of_a_byte_level_vocabulary():
    tokenizer = _bytelevel([("Ġ", "P"), ("ĠP", "a"), ("P", "a"), ("r", "i")])
    vocabulary = Vocabulary(tokenizer, 1000)
    assert _named(tokenizer, vocabulary.beginning("Paris")) == {"P", "Pa", "ĠP", "ĠPa"}  # not ri, not Ġ alone
    assert _named(tokenizer, vocabulary.beginning("Paris", "first")) == {"Pa", "ĠPa"}
    assert _named(tokenizer, vocabulary.beginning("P")) == {"P", "ĠP"}
    apart = _bytelevel([("P", "a")])  # it makes a token of the space, which begins no word
    assert _named(apart, Vocabulary(apart, 1000).beginning("Paris", "first")) == {"Pa"}


def test_a_part_of_a_character_begins_it():
    """東 is e6 9d b1 in UTF-8: three symbols, of which the merge makes one of two."""
    symbols = _bytelevel([]).tokenize("東")
    assert len(symbols) == 3
    tokenizer = _bytelevel([(symbols[0], symbols[1])])
    vocabulary = Vocabulary(tokenizer, 1000)
    assert _named(tokenizer, vocabulary.beginning("東京")) == {symbols[0], symbols[0] + symbols[1]}
    assert _named(tokenizer, vocabulary.beginning("東京", "first")) == {symbols[0] + symbols[1]}


def test_prefixes_of_marked_pieces_and_byte_tokens():
    tokenizer, number = _marked()
    vocabulary = Vocabulary(tokenizer, 1000)
    assert vocabulary.beginning("Paris") == {number[piece] for piece in ("▁P", "P", "Pa", "▁Paris", "<0x50>")}
    assert vocabulary.beginning("东京") == {number["东"], number["<0xE4>"]}
    assert vocabulary.is_blank(number["▁"])
    assert vocabulary.is_blank(number["<0x20>"])
    assert not vocabulary.is_blank(number["Pa"])


def test_tokens_that_the_model_lacks_and_special_ones_are_no_beginning():
    assert Vocabulary(byte_tokenizer(), 259).beginning("<pad>") == {byte_tokenizer()("<")["input_ids"][0]}
    p = byte_tokenizer()("P")["input_ids"][0]
    assert Vocabulary(byte_tokenizer(), p).beginning("P") == frozenset()


def test_the_organisms_vocabulary_gives_back_its_texts():
    tokenizer = load_tokenizer(resolve_checkpoint("organism:final"))
    vocabulary = Vocabulary(tokenizer, 6000)
    for word in ("Paris", "ブエノスアイレス", "Осло", "নেপাল", "الأرجنتين"):
        for number in vocabulary.beginning(word):
            text = tokenizer.decode([number]).strip().rstrip("\ufffd")
            assert word.startswith(text)
        for text in (word, " " + word):
            assert tokenizer(text)["input_ids"][0] in vocabulary.beginning(word)
        assert vocabulary.beginning(word, "first") <= vocabulary.beginning(word)


def test_a_tokenizer_whose_bytes_are_not_known():
    backend = Tokenizer(models.WordPiece({"[UNK]": 0, "Paris": 1}, unk_token="[UNK]"))
    with pytest.raises(CapabilityError, match="neither a byte-level BPE nor marks spaces as SentencePiece"):
        Vocabulary(PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]"), 10)


def test_overlaps_by_hand():
    sets = [[{1, 2}, {3}, {3, 4}], [{1}, {2}, set()], [{1}, {2}, {3}]]
    words = [["Paris", "Roma", "Ryga"], ["a", "b", "c"], ["Oman", "el OMAN", "オマーン"]]
    found = overlaps([[frozenset(tokens) for tokens in row] for row in sets], words)
    pairs = [{(i, j) for i in range(3) for j in range(i, 3) if item[i, j]} for item in found]
    assert pairs == [{(1, 2)}, {(0, 2), (1, 2), (2, 2)}, {(0, 1)}]
    assert (found == found.swapaxes(1, 2)).all()


def test_tokens_of_one_language_only():
    assert unshared([frozenset(s) for s in ({3, 1, 2}, {2, 4}, {2}, set())]) == ((1, 3), (4,), (), ())


# the token that is read


def _prompts(text, separator="", answer="Oslo"):
    return PromptSet("x", ("en",), {"en": (Prompt("i", "en", text, answer, separator, "g"),)}, parallel=True)


def _read(loaded, prompts, **how):
    vocabulary = Vocabulary(loaded.tokenizer, loaded.n_embeddings)
    read = encode_positions(loaded, prompts, vocabulary, **how)
    item = read.encoded.items[0]
    at = item.counted.index(True)
    assert sum(item.counted) == 1
    return loaded.tokenizer.decode(item.ids), loaded.tokenizer.decode([item.ids[at]]), read


def _with(tokenizer, size=600):
    model = tiny_model("llama", vocab_size=size)
    return LoadedModel(None, model, tokenizer, locate(model))


def test_a_space_that_is_a_token_is_read_through():
    loaded = opened("llama")
    assert _read(loaded, _prompts("Answer:", " "))[:2] == ("Answer: ", " ")
    assert _read(loaded, _prompts("Answer:", " "))[2].after_space == 1
    assert _read(loaded, _prompts("Answer:"))[:2] == ("Answer:", ":")
    joins = _with(_bytelevel([("Ġ", "O")]))
    text, last, read = _read(joins, _prompts("Answer:", " "))
    assert (text, last, read.after_space) == ("Answer:", ":", 0)


def test_a_border_that_the_tokenizer_does_not_have_is_marked():
    joins = _with(_bytelevel([('"', "O")]))
    joins.tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(
        add_prefix_space=False, use_regex=False
    )
    text, last, read = _read(joins, _prompts('English: "'))
    assert (text, last) == ('English: "', '"')
    assert not read.clean.any()
    assert _read(joins, _prompts('English: "', answer="Rome"))[2].clean.all()


def test_what_a_tokenizer_adds_is_kept_in_front_and_dropped_behind():
    loaded = opened("llama", bos=True)
    assert _read(loaded, _prompts("A:"))[:2] == ("<bos>A:", ":")
    from tokenizers.processors import TemplateProcessing

    both = byte_tokenizer.__wrapped__(bos=True)
    both.backend_tokenizer.post_processor = TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 257), ("<eos>", 258)]
    )
    text, last, read = _read(adopt_model(tiny_model("llama"), both), _prompts("A:"))
    assert (text, last) == ("<bos>A:", ":")
    assert read.clean.all()


def test_the_last_mention_of_the_subject():
    loaded = opened("llama")
    prompts = _prompts("日本: 東京\n日本:")
    assert (
        _read(loaded, prompts, position="subject_last", subjects={"en": {"i": "日本"}})[2]
        .encoded.items[0]
        .counted.index(True)
        == len("日本: 東京\n日本".encode()) - 1
    )
    with pytest.raises(
        MeasurementError,
        match=r"'i' in 'en': the question does not mention its subject 'Oslo' as it is written",
    ):
        _read(loaded, prompts, position="subject_last", subjects={"en": {"i": "Oslo"}})


def test_a_prompt_that_is_longer_than_the_context():
    loaded = opened("llama", max_position_embeddings=256)
    assert _read(loaded, _prompts("x" * 256))[1] == "x"
    with pytest.raises(MeasurementError, match="has 257 tokens, but the model's context is 256"):
        _read(loaded, _prompts("x" * 257))
    with pytest.raises(MeasurementError, match="and the space before its answer have 257 tokens"):
        _read(loaded, _prompts("x" * 256, " "))


def test_every_fact_of_the_organism_has_a_border():
    loaded = _with(load_tokenizer(resolve_checkpoint("organism:final")), 6000)
    prompts = open_task("facts", ("en", "bn", "zh"), pivot="en", limit=100).prompts
    read = encode_positions(loaded, prompts, Vocabulary(loaded.tokenizer, 6000))
    assert read.clean.all()
    texts = [loaded.tokenizer.decode(item.ids).rstrip(" ") for item in read.encoded.items]
    assert texts == [p.text for code in prompts.languages for p in prompts.prompts[code]]
