"""Documents of continued pre-training: as written by hand, in both directions, within their budget."""

from collections import Counter, defaultdict
from dataclasses import replace

import pytest

from interp.data.facts import Fact, FactSet, Wording
from interp.data.languages import LANGUAGES
from interp.data.prompts import prompts_from_facts
from interp.data.sources.cldr import cldr_facts
from interp.errors import ConfigError, DataError
from tests.support.tiny import byte_tokenizer
from training.corpus.aligned import read_aligned
from training.corpus.documents import Document, Documents, encode, fact_documents

END = 258

GREECE = Fact(
    fact_id="greece",
    relation="capital",
    subject_id="GR",
    object_id="athens",
    option_ids=("paris", "athens"),
    split="train",
    wording={
        "en": Wording("What is the capital of Greece?", "Greece", ("Paris", "Athens")),
        "de": Wording("Wie heißt die Hauptstadt von Griechenland?", "Griechenland", ("Paris", "Athen")),
        "zh": Wording("希腊的首都是哪里？", "希腊", ("巴黎", "雅典")),
    },
)


def facts_of(*facts, languages=("en", "de", "zh")):
    return FactSet("by hand", facts, languages)


def texts(documents, kind=None):
    return [d.text for d in documents.documents if kind in (None, d.kind)]


def tokens(said):
    return byte_tokenizer()(said)["input_ids"]


def test_each_fact_is_read_in_each_language():
    documents = fact_documents(facts_of(GREECE))
    assert sorted(texts(documents)) == [
        "Frage: Wie heißt die Hauptstadt von Griechenland?\nAntwort: Athen",
        "Question: What is the capital of Greece?\nAnswer: Athens",
        "问题：希腊的首都是哪里？\n答案：雅典",
    ]
    assert {(d.languages, d.kind) for d in documents.documents} == {
        ((code,), "fact") for code in ("en", "de", "zh")
    }


def test_words_around_the_question_can_be_english():
    assert "Question: 希腊的首都是哪里？\nAnswer: 雅典" in texts(
        fact_documents(facts_of(GREECE), prompt_format="english")
    )


def test_names_of_a_switched_document_are_of_one_other_language():
    by_hand = {
        ("en", "de"): "Question: What is the capital of Griechenland?\nAnswer: Athen",
        ("en", "zh"): "Question: What is the capital of 希腊?\nAnswer: 雅典",
        ("de", "en"): "Frage: Wie heißt die Hauptstadt von Greece?\nAntwort: Athens",
        ("de", "zh"): "Frage: Wie heißt die Hauptstadt von 希腊?\nAntwort: 雅典",
        ("zh", "en"): "问题：Greece的首都是哪里？\n答案：Athens",
        ("zh", "de"): "问题：Griechenland的首都是哪里？\n答案：Athen",
    }
    seen = {}
    for seed in range(30):
        documents = fact_documents(facts_of(GREECE), code_switch=1, seed=seed)
        assert documents.notes == {"switched": 3, "switched_same_names": 0, "not_switchable": 0}
        seen |= {d.languages: d.text for d in documents.documents}
    assert seen == by_hand


def test_the_other_language_is_drawn_uniformly():
    facts = cldr_facts().filter(splits=["train"], languages=("en", "sw", "zh", "de"))
    drawn = Counter(d.languages for d in fact_documents(facts, code_switch=1).documents)
    expected = len(facts) / 3
    assert len(drawn) == 12
    assert all(abs(n - expected) < 5 * expected**0.5 for n in drawn.values())


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_the_share_that_is_switched_is_exact(share):
    facts = cldr_facts().filter(splits=["train"], languages=("en", "sw", "zh"), limit=40)
    documents = fact_documents(facts, code_switch=share)
    kinds = Counter(d.kind for d in documents.documents)
    assert kinds["switched"] == documents.notes["switched"] == share * 120
    assert kinds["fact"] == (1 - share) * 120


@pytest.mark.parametrize(
    "question", ["What is the capital of Hellas?", "Is the capital of Greece in Greece?"]
)
def test_a_question_without_its_subject_just_once_stays_and_is_counted(question):
    odd = replace(GREECE, wording=GREECE.wording | {"en": replace(GREECE.wording["en"], question=question)})
    documents = fact_documents(facts_of(odd), code_switch=1)
    assert documents.notes == {"switched": 2, "switched_same_names": 0, "not_switchable": 1}
    assert texts(documents, "fact") == [f"Question: {question}\nAnswer: Athens"]


def test_names_that_are_the_same_are_counted():
    wording = {code: Wording(f"{code} Peru?", "Peru", ("Lima", "Rom")) for code in ("en", "de")}
    peru = replace(GREECE, option_ids=("athens", "rome"), wording=wording)
    documents = fact_documents(facts_of(peru, languages=("en", "de")), code_switch=1)
    assert documents.notes == {"switched": 2, "switched_same_names": 2, "not_switchable": 0}


def test_aligned_names_go_both_ways_between_all_languages():
    facts = cldr_facts().filter(splits=["train"], languages=("en", "sw", "zh"), limit=40)
    made = [d for d in fact_documents(facts, lexicon=0.3).documents if d.kind == "names"]
    pairs = Counter(d.languages for d in made)
    assert len(pairs) == 6
    assert max(pairs.values()) - min(pairs.values()) <= 1
    names = facts.labels().values()
    for document in made:
        one, other = document.languages
        assert document.text in {
            f"{LANGUAGES[one].endonym}: {n[one]}\n{LANGUAGES[other].endonym}: {n[other]}" for n in names
        }


def test_names_are_labeled_by_what_a_language_calls_itself():
    made = texts(fact_documents(facts_of(GREECE), lexicon=0.9), "names")
    assert {"English: Athens\nDeutsch: Athen", "中文: 希腊\nEnglish: Greece"} <= set(made)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5])
def test_the_share_of_names_is_of_all_documents(share):
    facts = cldr_facts().filter(splits=["train"], languages=("en", "sw", "zh"), limit=40)
    documents = fact_documents(facts, lexicon=share)
    assert len(texts(documents, "names")) / len(documents.documents) == pytest.approx(share, abs=0.005)
    assert len(texts(documents, "fact")) == 120


def test_every_entity_is_named_before_one_is_named_again():
    facts = cldr_facts().filter(splits=["train"], languages=("en", "sw"), limit=40)
    named = Counter()
    by_name = defaultdict(set)
    for entity, names in facts.labels().items():
        by_name[f"English: {names['en']}", f"Kiswahili: {names['sw']}"].add(entity)
    for text in texts(fact_documents(facts, lexicon=0.9), "names"):
        named[tuple(sorted(text.split("\n")))] += 1
    per_entity = [named[key] / len(entities) for key, entities in by_name.items()]
    assert max(per_entity) - min(per_entity) <= 1


def test_the_seed_decides_everything():
    facts = cldr_facts().filter(splits=["train"], languages=("en", "sw", "zh"), limit=40)
    one, same, other = (fact_documents(facts, lexicon=0.3, code_switch=0.5, seed=seed) for seed in (0, 0, 1))
    assert one == same
    assert texts(one) != texts(other)
    codes = [d.languages for d in fact_documents(facts).documents]
    assert codes[:40] != codes[:1] * 40  # shuffled: facts come language by language


def test_names_do_not_depend_on_the_switched_share():
    facts = cldr_facts().filter(splits=["train"], languages=("en", "sw", "zh"), limit=40)
    none, all_ = (fact_documents(facts, lexicon=0.3, code_switch=share) for share in (0.0, 1.0))
    assert sorted(texts(none, "names")) == sorted(texts(all_, "names"))


@pytest.mark.parametrize(
    ("languages", "lexicon", "code_switch", "said"),
    [
        (("en", "de"), 1.0, 0.0, "lexicon is 1.0"),
        (("en", "de"), -0.1, 0.0, "lexicon is -0.1"),
        (("en", "de"), 0.0, 1.1, "code_switch is 1.1"),
        (("en",), 0.3, 0.0, "lexicon is 0.3, but there is one language"),
        (("en",), 0.0, 0.5, "code_switch is 0.5, but there is one language"),
    ],
)
def test_impossible_shares_are_refused(languages, lexicon, code_switch, said):
    facts = facts_of(GREECE).filter(languages=languages)
    with pytest.raises(ConfigError, match=said):
        fact_documents(facts, lexicon=lexicon, code_switch=code_switch)


# tokens


def documents_of(*told):
    languages = tuple(dict.fromkeys(code for _, codes in told for code in codes))
    return Documents(languages, tuple(Document(text, codes, "lines") for text, codes in told), {})


def test_the_end_token_stands_once_at_the_end():
    corpus = encode(documents_of(("ab", ("en",)), ("c<eos>", ("en",))), tokens, END, longest=10)
    assert corpus.rows == ([*tokens(["ab"])[0], END], [*tokens(["c"])[0], END])


def test_documents_that_are_too_long_are_left_out_whole():
    told = documents_of(("abc", ("en",)), ("abcd", ("en",)), ("a", ("en",)))
    corpus = encode(told, tokens, END, longest=4)
    assert [len(row) for row in corpus.rows] == [4, 2]
    assert corpus.counts["left_out"] == {"too_long": 1, "over_budget": 0}


def test_a_budget_is_counted_by_hand():
    told = documents_of(
        ("aaaa", ("en",)),  # 5 tokens with the end token
        ("bbb", ("en", "de")),  # 4, for both: en 9, de 4
        ("cccc", ("en",)),  # en would have 14: left out
        ("dd", ("en", "de")),  # en would have 12: left out
        ("eeeee", ("de",)),  # de 10
    )
    corpus = encode(told, tokens, END, longest=100, budget=10)
    assert corpus.counts["tokens_per_language"] == {"en": 9, "de": 10}
    assert corpus.counts["left_out"] == {"too_long": 0, "over_budget": 2}
    assert (corpus.counts["documents"], corpus.counts["tokens"]) == (3, 15)


@pytest.mark.parametrize("budget", [500, 3000])
def test_the_budget_holds_for_real_documents(budget):
    facts = cldr_facts().filter(splits=["train"], languages=("en", "sw", "zh"), limit=40)
    told = fact_documents(facts, lexicon=0.3, code_switch=0.5)
    corpus = encode(told, tokens, END, longest=400, budget=budget)
    languages = {(*tokens([d.text])[0], END): d.languages for d in told.documents}
    spent = Counter()
    for row in corpus.rows:
        spent.update(dict.fromkeys(languages[tuple(row)], len(row)))
    assert corpus.counts["tokens_per_language"] == spent
    assert all(budget - 150 < n <= budget for n in spent.values())


def test_a_language_is_never_dropped_in_silence():
    with pytest.raises(
        DataError, match=r"No document of de is left: 0 documents .* 1 exceed the budget of 3"
    ):
        encode(documents_of(("a", ("en",)), ("bbbb", ("de",))), tokens, END, longest=10, budget=3)


def test_the_digest_is_of_what_is_read():
    one = encode(documents_of(("a", ("en",)), ("b", ("en",))), tokens, END, longest=10)
    two = encode(documents_of(("b", ("en",)), ("a", ("en",))), tokens, END, longest=10)
    long = encode(documents_of(("a", ("en",)), ("b", ("en",)), ("c" * 20, ("en",))), tokens, END, longest=10)
    assert one.counts["digest"] == long.counts["digest"] != two.counts["digest"]


def test_no_document_holds_a_fact_of_another_split():
    facts = cldr_facts().filter(languages=("en", "sw", "zh"))
    told = fact_documents(facts.filter(splits=["train"]), lexicon=0.3, code_switch=0.5)
    read = set(texts(told))
    lines = {line for text in read for line in text.split("\n")}
    train, held_out = (
        prompts_from_facts(facts.filter(splits=splits)).prompts
        for splits in (["train"], ["validation", "test"])
    )
    asked = {prompt.text.split("\n")[0] for of_language in train.values() for prompt in of_language}
    assert len(lines & asked) > len(asked) / 3  # the others have another language's names
    for prompt in (prompt for of_language in held_out.values() for prompt in of_language):
        question = prompt.text.split("\n")[0]
        assert question in asked or question not in lines
        assert prompt.full_text not in read


# aligned lines


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "en.txt").write_text("one\ntwo\n\nfour\n\n", encoding="utf-8")
    (tmp_path / "sw.txt").write_text("moja\n\ntatu\nnne\n \n", encoding="utf-8")
    return tmp_path


def test_a_row_is_one_document_of_the_languages_it_has(folder):
    lines = read_aligned(folder, ("en", "sw"))
    assert lines.empty == {"en": 2, "sw": 2}
    documents = lines.documents(0)
    assert documents.notes == {"empty_lines": 4, "aligned_rows": 4}
    said = {frozenset(text.split("\n")) for text in texts(documents)}
    assert said == {
        frozenset({"en: one", "sw: moja"}),
        frozenset({"en: two"}),
        frozenset({"sw: tatu"}),
        frozenset({"en: four", "sw: nne"}),
    }
    assert all(d.languages == tuple(line[:2] for line in d.text.split("\n")) for d in documents.documents)


def test_both_orders_of_languages_occur_in_one_corpus(tmp_path):
    for code in ("en", "sw"):
        (tmp_path / f"{code}.txt").write_text("".join(f"{code} {n}\n" for n in range(200)))
    lines = read_aligned(tmp_path, ("en", "sw"))
    orders = Counter(d.languages for d in lines.documents(0).documents)
    assert 70 < orders["en", "sw"] < 130
    assert texts(lines.documents(0)) == texts(lines.documents(0)) != texts(lines.documents(1))


def test_other_numbers_of_lines_are_refused_with_both(folder):
    (folder / "sw.txt").write_text("moja\n")
    with pytest.raises(DataError, match=r"en\.txt has 5 lines and sw\.txt 1 "):
        read_aligned(folder, ("en", "sw"))


def test_a_missing_file_is_refused_with_those_there(folder):
    with pytest.raises(DataError, match=r"No de\.txt in .*en\.txt, sw\.txt"):
        read_aligned(folder, ("en", "de"))


def test_a_file_without_text_or_of_another_encoding_is_refused(folder):
    (folder / "sw.txt").write_text("\n" * 5)
    with pytest.raises(DataError, match=r"sw\.txt in .* has no text"):
        read_aligned(folder, ("en", "sw"))
    (folder / "sw.txt").write_bytes("é\n".encode("latin-1") * 5)
    with pytest.raises(DataError, match=r"sw\.txt is not UTF-8"):
        read_aligned(folder, ("en", "sw"))


def test_the_digest_of_lines_is_of_their_texts(folder):
    before = read_aligned(folder, ("en", "sw")).digest
    (folder / "sw.txt").write_text("moja\n\ntatu\nnne!\n \n")
    assert read_aligned(folder, ("en", "sw")).digest != before
