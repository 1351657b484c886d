import dataclasses

import pytest

from interp.data.baselines import accuracy, model_free_baselines, rule_baselines
from interp.data.facts import FactSet, Wording
from interp.data.sources import open_facts
from interp.errors import DataError
from tests.support.benchmark_files import write_tsv
from tests.support.facts import make_fact
from tests.support.published import full, needs_full_files


def test_cldr_gives_nothing_away(cldr):
    """636 facts: one standard error at chance is 0.017. Measured extremes in the comments."""
    found = model_free_baselines(cldr)
    assert found.n == 636
    assert found.chance == 0.25
    assert 0.20 < found.least_frequent_gold < 0.30  # 0.243
    assert 0.20 < found.most_frequent_gold < 0.31  # 0.270
    assert all(0.19 < value < 0.29 for value in found.longest.values())  # 0.222 (bn) to 0.264 (sw)
    assert all(0.20 < value < 0.33 for value in found.shortest.values())  # 0.231 (en) to 0.301 (vi)
    assert all(0.19 < value < 0.32 for value in found.char_overlap.values())  # 0.223 (bn) to 0.288 (hu)


def known(
    number, right, wrong, split="test", subject="xyz", option_ids=("right", "wrong"), object_id="right"
):
    wording = {"en": Wording("Q?", subject, (right, wrong))}
    changes = {"split": split, "wording": wording, "option_ids": option_ids, "object_id": object_id}
    return make_fact(number, **changes)


def test_closed_forms():
    facts = FactSet(
        "made",
        (
            known(1, "long answer", "short"),  # longest
            known(2, "xyxy", "abcde", subject="xyz"),  # shortest and overlap
            known(3, "abc", "abd"),  # ties in everything: one half each
            known(7, "longest of all", "short"),
            known(4, "a", "b", split="train"),
            known(5, "a", "b", split="train"),
            known(6, "a", "b", split="train", object_id="wrong"),
        ),
        ("en",),
    )
    found = model_free_baselines(facts)
    assert found.n == 4
    assert found.chance == 0.5
    assert found.longest["en"] == pytest.approx((1 + 0 + 0.5 + 1) / 4)
    assert found.shortest["en"] == pytest.approx((0 + 1 + 0.5 + 0) / 4)
    assert found.char_overlap["en"] == pytest.approx((0.5 + 1 + 0.5 + 0.5) / 4)
    assert found.most_frequent_gold == 1.0  # "right" is right twice in train, "wrong" once
    assert found.least_frequent_gold == 0.0


def test_frequency_is_counted_within_a_relation():
    train = [known(n, "a", "b", split="train") for n in range(3)]
    other = make_fact(9, split="test", relation="other", languages=("en",))
    found = model_free_baselines(FactSet("made", (*train, other), ("en",)), ["en"])
    assert found.most_frequent_gold == found.least_frequent_gold == 0.5


def test_ties_share_the_credit(cldr):
    assert accuracy(list(cldr), lambda fact, option: 0.0) == pytest.approx(0.25)
    assert accuracy(list(cldr), lambda fact, option: option == fact.answer_index) == 1.0


def test_languages_are_those_asked_for(cldr):
    found = model_free_baselines(cldr, ["sw", "ja"])
    assert tuple(found.longest) == tuple(found.char_overlap) == ("sw", "ja")
    assert "636 validation and test facts (chance 0.250)" in repr(found)


def test_only_train_facts_cannot_be_scored(small):
    with pytest.raises(DataError, match="no validation or test fact"):
        model_free_baselines(small.split("train"))


def asked_of(
    places, names=("a", "b", "c", "d"), shared=True, relation="r", split="test", start=0, codes=("en",)
):
    """A fact per place: of four names the one there is right; ids are of entities, or of the fact."""
    facts = []
    for number, place in enumerate(places, start):
        ids = names if shared else tuple(f"f{number}:{slot}" for slot in range(len(names)))
        turned = names[number % len(names) :] + names[: number % len(names)]
        turned_ids = ids[number % len(names) :] + ids[: number % len(names)]
        facts.append(
            make_fact(
                number,
                relation=relation,
                split=split,
                option_ids=turned_ids,
                object_id=ids[place],
                wording={
                    code: Wording("Q?", f"s{number}", tuple(f"{code} {n}" for n in turned)) for code in codes
                },
            )
        )
    return facts


def prior_of(facts, known=None, codes=("en",), **options):
    asked = FactSet("asked", tuple(facts), codes)
    known = asked if known is None else FactSet("known", tuple(known), codes)
    return rule_baselines(asked, known, **options)["prior"]


SKEWED = [0, 0, 0, 0, 0, 1, 1, 1, 2, 2]


def test_the_prior_is_the_same_whether_or_not_options_have_ids():
    """By hand: left out, a 5 of 5 leads with 4 against 3; of the others none leads."""
    with_ids, without = (prior_of(asked_of(SKEWED, shared=shared)) for shared in (True, False))
    assert with_ids == without == {"en": pytest.approx(0.5)}
    free = [prior_of(asked_of(SKEWED, shared=shared), offered=False)["en"] for shared in (True, False)]
    assert free == [0.5, 0.5]


def test_ids_of_one_fact_do_not_make_the_right_answer_stand_out():
    """Right answers with ids of entities, wrong ones numbered in their fact, as PolyFact v1 is read."""
    facts = []
    for fact, place in zip(asked_of([0, 1, 2, 3] * 5), [0, 1, 2, 3] * 5, strict=True):
        ids = tuple(i if i == "abcd"[place] else f"{fact.fact_id}:{n}" for n, i in enumerate(fact.option_ids))
        facts.append(dataclasses.replace(fact, option_ids=ids))
    assert prior_of(facts) == {"en": 0.25}


@pytest.mark.parametrize("counts", [(1, 1, 1, 1), (5, 5, 5, 5), (5, 5, 5, 4), (6, 5, 5, 5)])
@pytest.mark.parametrize("shared", [True, False])
def test_leaving_one_out_of_even_answers_is_chance_not_zero(counts, shared):
    places = [place for place, count in enumerate(counts) for _ in range(count)]
    assert prior_of(asked_of(places, shared=shared)) == {"en": 0.25}
    if min(counts) > 1:
        assert prior_of(asked_of(places, shared=shared), offered=False) == {"en": 0.25}


def test_an_even_relation_does_not_hide_a_skewed_one():
    even, skewed = asked_of([0, 1, 2, 3] * 2), asked_of(SKEWED, relation="skewed", start=10)
    assert prior_of([*even, *skewed]) == {"en": pytest.approx((8 * 0.25 + 5) / 18)}


def test_facts_that_are_not_counted_meet_the_counts_as_they_are():
    train = asked_of([0, 1, 2, 3, 3], split="train", shared=False)
    test = asked_of([0, 3, 3], start=20, shared=False)
    assert prior_of(test, [*train, *test]) == {"en": pytest.approx(2 / 3)}
    assert model_free_baselines(FactSet("m", (*train, *test), ("en",))).most_frequent_gold == pytest.approx(
        2 / 3
    )


def test_names_are_compared_in_each_language():
    """In the second language two answers have one name, so that it is right more often than any other."""
    facts = asked_of([0, 0, 0, 1, 1, 1], shared=False, codes=("en", "de"))
    merged = []
    for fact in facts:
        options = tuple(o.replace("de b", "de a") for o in fact.wording["de"].options)
        wording = dict(fact.wording) | {"de": dataclasses.replace(fact.wording["de"], options=options)}
        merged.append(dataclasses.replace(fact, wording=wording))
    assert prior_of(merged, codes=("en", "de")) == {"en": 0.0, "de": 0.5}


def test_bmlama_numbers_its_candidates_by_row(tmp_path):
    rows = [(f"{s} lies in <mask>.", "Peru", "Peru, Chad, Laos", s) for s in ("Lima", "Cuzco", "Ica")]
    rows += [("Bol lies in <mask>.", "Chad", "Peru, Chad, Laos", "Bol")]
    write_tsv(tmp_path / "en.tsv", rows)
    facts = open_facts(f"bmlama:{tmp_path}")
    assert rule_baselines(facts, facts)["prior"] == {"en": 0.75}


@needs_full_files
def test_the_published_sample_has_the_prior_of_its_names(tmp_path):
    """37.75 of 100, counted by hand over names: 73 x 1/4 and 4 x 0, 14 + 1 + 2 + 1, and three ties of two."""
    for code in ("en", "fr", "de", "ar"):
        (tmp_path / f"{code}.json").symlink_to(full(f"polyfact_samples/{code}.json"))
    for alignment in (None, full("polyfact_samples/alignment_full.json")):
        facts = open_facts(f"polyfact:{tmp_path}", alignment=alignment)
        assert rule_baselines(facts, facts)["prior"] == dict.fromkeys(facts.languages, pytest.approx(0.3775))
