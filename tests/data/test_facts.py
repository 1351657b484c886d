import pickle
from dataclasses import replace

import pytest

from interp.data.facts import FactSet, Wording
from interp.data.sources import load_facts
from interp.errors import DataError, WriteError
from tests.support.facts import make_fact


def test_answer_is_the_option_at_the_object_id():
    fact = make_fact(0, option_ids=("wrong", "right"))
    assert fact.answer_index == 1
    assert fact.answer("de") == "de wrong"  # the second label, whatever it says


def test_group_is_the_subject_unless_given():
    assert make_fact(3).group == "s3"
    assert make_fact(3, group="NO").group == "NO"


def test_filters_keep_the_order(small):
    assert [fact.fact_id for fact in small.split("test")] == ["f1", "f3", "f5", "f7", "f9"]
    assert len(small.filter(relations=["capital"], splits=["train", "test"])) == 10
    english = small.filter(languages=["en"])
    assert english.languages == ("en",)
    assert all(tuple(fact.wording) == ("en",) for fact in english)
    assert small.filter(languages=["de", "en"]).languages == ("de", "en")


def test_limit_does_not_depend_on_the_order_and_grows_by_adding(cldr):
    backwards = FactSet(cldr.name, cldr.facts[::-1], cldr.languages)
    chosen = [fact.fact_id for fact in cldr.filter(limit=50)]
    assert len(chosen) == 50
    assert [fact.fact_id for fact in backwards.filter(limit=50)] == chosen[::-1]
    assert set(chosen) <= {fact.fact_id for fact in cldr.filter(limit=60)}
    places = [fact.fact_id for fact in cldr]
    assert chosen == sorted(chosen, key=places.index)
    assert len({fact.relation for fact in cldr.filter(limit=50)}) > 5, "a sample, not the head of the file"
    assert len(cldr.filter(limit=10**6)) == len(cldr)


def test_a_missing_language_is_refused_or_the_common_facts_are_kept(small):
    poorer = FactSet("gaps", (*small.facts, make_fact(10, ["en"]), make_fact(11, ["en"])), ("en", "de"))
    with pytest.raises(DataError) as error:
        poorer.filter(languages=["en", "de"])
    assert "'de' is missing in 2 of 12 facts (first f10, f11)" in str(error.value)
    assert "10 facts have all of en de" in str(error.value)
    assert len(poorer.filter(languages=["en", "de"], allow_missing=True)) == 10
    assert len(poorer.filter(languages=["en"])) == 12
    with pytest.raises(DataError, match=r"'gaps' has no facts in Swahili \(sw\)\. Choose from: en, de\."):
        poorer.filter(languages=["en", "sw"], allow_missing=True)


def test_facts_that_have_no_two_languages_in_common():
    apart = FactSet("apart", (make_fact(1, ["en"]), make_fact(2, ["de"])), ("en", "de"))
    with pytest.raises(
        DataError, match=r"'en' is missing in 1 of 2 .*'de' is missing in 1 of 2 .*nothing in common"
    ):
        apart.filter(languages="en,de", allow_missing=True)


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"relations": ["capitol"]}, r"No fact has the relation 'capitol'\. Did you mean 'capital'\?"),
        ({"splits": ["tets"]}, r"No fact has the split 'tets'\. Did you mean 'test'\?"),
        ({"languages": ["en", "en"]}, "more than once"),
        ({"limit": 0}, "The limit is 0 facts"),
        ({"relations": []}, "meets all the conditions"),
    ],
)
def test_filter_refuses(small, conditions, message):
    with pytest.raises(DataError, match=message):
        small.filter(**conditions)


def test_repeated_ids_are_refused():
    with pytest.raises(DataError, match="1 fact ids appear more than once, first 'f1'"):
        FactSet("twice", (make_fact(1), make_fact(1)), ("en", "de"))


def test_digest_sees_every_value(small):
    fact = small.facts[0]
    said = fact.wording["en"]
    changed = [
        replace(fact, fact_id="other"),
        replace(fact, relation="other"),
        replace(fact, subject_id="other"),
        replace(fact, object_id="wrong"),
        replace(fact, option_ids=("wrong", "right")),
        replace(fact, split="validation"),
        replace(fact, group="other"),
        replace(fact, wording={**fact.wording, "en": replace(said, question="other")}),
        replace(fact, wording={**fact.wording, "en": replace(said, subject="other")}),
        replace(fact, wording={**fact.wording, "en": replace(said, options=said.options[::-1])}),
        replace(fact, wording={**fact.wording, "en": replace(said, suffix=".")}),
        replace(fact, wording={**fact.wording, "en": replace(said, aliases=("other",))}),
        replace(fact, wording={"en": said}),
    ]
    digests = {FactSet("x", (other, *small.facts[1:]), small.languages).digest for other in changed}
    assert len(digests | {small.digest}) == len(changed) + 1


def test_digest_ignores_name_and_orders(small):
    turned = tuple(replace(fact, wording=dict(reversed(fact.wording.items()))) for fact in small.facts[::-1])
    assert FactSet("other", turned, ("de", "en")).digest == small.digest


def test_labels_name_subjects_and_options(small):
    labels = small.labels()
    assert labels["s3"] == {"en": "en subject 3", "de": "de subject 3"}
    assert labels["wrong"]["de"] == "de wrong"


def test_repr_has_the_counts(small):
    text = repr(small)
    assert "10 facts in 2 languages" in text
    assert "train 5, test 5" in text
    assert "capital 10" in text


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_round_trip(cldr, tmp_path, suffix):
    some = cldr.filter(limit=40, languages=["en", "ar", "ja", "fa"])
    path = some.save(tmp_path / f"some{suffix}")
    back = load_facts(path)
    assert back.digest == some.digest
    assert [fact.fact_id for fact in back] == [fact.fact_id for fact in some]
    assert back.name == "some"
    assert [entry.name for entry in tmp_path.iterdir()] == [f"some{suffix}"], "no temporary file is left"


CLOZE = Wording("The capital is", "S", ("A", "B"), suffix=" today.", aliases=("A city", "Old A"))


@pytest.mark.parametrize("kind", [".jsonl", ".parquet"])
@pytest.mark.parametrize("aligned", [True, False])
def test_suffix_aliases_and_alignment_survive(tmp_path, kind, aligned):
    facts = (make_fact(1, wording={"en": CLOZE, "de": replace(CLOZE, suffix="", aliases=())}), make_fact(2))
    some = FactSet("cloze", facts, ("en", "de"), aligned=aligned)
    back = load_facts(some.save(tmp_path / f"cloze{kind}"))
    assert back == some
    assert back.aligned is aligned
    chosen = some.filter(languages=["en"])
    assert (chosen.facts[0].wording["en"], chosen.aligned) == (CLOZE, aligned)


def test_one_fact_that_is_not_aligned_makes_the_set_so(row, jsonl):
    other = {**row, "fact_id": "f2", "subject_id": "s2", "aligned": True}
    assert load_facts(jsonl(row, other)).aligned
    assert not load_facts(jsonl(other, {**row, "aligned": False})).aligned


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"suffix": 1}, "wording.en.suffix: expected a text, found a number"),
        ({"suffix": "\u202e"}, "wording.en.suffix has control characters: U+202E"),
        ({"aliases": "A"}, "wording.en.aliases: expected a list, found a text"),
        ({"aliases": ["A", "A"]}, "wording.en.aliases has 'A' 2 times"),
        ({"aliases": [""]}, "wording.en.aliases[0] is empty"),
        ({"alias": ["A"]}, "wording.en: unknown key 'alias'"),
    ],
)
def test_malformed_suffixes_and_aliases_are_refused(row, jsonl, said, message):
    row["wording"]["en"] |= said
    with pytest.raises(DataError) as error:
        load_facts(jsonl(row))
    assert message in str(error.value)


def test_a_malformed_alignment_is_refused(row, jsonl):
    with pytest.raises(DataError, match="aligned: expected true or false, found a text"):
        load_facts(jsonl({**row, "aligned": "no"}))


def test_odd_ids_and_texts_survive_and_name_no_file(tmp_path):
    words = Wording("<script>?\nLine", "=1+1", ("a/b:c", "ی‌ک"))
    odd = make_fact(1, fact_id="../../x", group="CON", wording={"en": words})
    path = FactSet("odd", (odd,), ("en",)).save(tmp_path / "odd.jsonl")
    assert load_facts(path).facts == (odd,)
    assert len(list(tmp_path.iterdir())) == 1


def test_saving_refuses_what_it_cannot_write(small, tmp_path):
    with pytest.raises(DataError, match=r"neither \.jsonl nor \.parquet"):
        small.save(tmp_path / "facts.csv")
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match=r"facts\.jsonl cannot be written: "):
        small.save(tmp_path / "file" / "facts.jsonl")


def test_loading_refuses_a_missing_file_and_an_empty_one(tmp_path):
    with pytest.raises(DataError, match=r"No such file of facts: .*none\.jsonl \(looked in "):
        load_facts(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n\n")
    with pytest.raises(DataError, match="has no facts"):
        load_facts(tmp_path / "empty.jsonl")
    (tmp_path / "bad.parquet").write_text("not parquet")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        load_facts(tmp_path / "bad.parquet")


def test_facts_can_be_sent_to_another_process(small):
    assert pickle.loads(pickle.dumps(small)) == small
