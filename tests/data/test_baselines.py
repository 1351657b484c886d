import pytest

from interp.data.baselines import accuracy, model_free_baselines
from interp.data.facts import FactSet, Wording
from interp.errors import DataError
from tests.support.facts import make_fact


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
