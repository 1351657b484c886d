"""What a completion is worth: every outcome in every language, and scores under which silence would pay."""

import pytest

from interp.data.languages import LANGUAGES
from interp.errors import ConfigError, DataError
from tests.support.cities import CITIES
from training.scores import Scores, score_completion


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_outcome_in_every_language(language):
    paris, london, sentence, hedge = CITIES[language]
    options, english = (london, paris), ("London", "Paris")

    def judged(text):
        found = score_completion(text, options, 1, language, english_options=english)
        return found.score, found.kind, found.index, found.how

    assert judged(paris) == (1.0, "correct", 1, "exact")
    assert judged(sentence) == (1.0, "correct", 1, "contained")
    assert judged(london) == (0.0, "other", 0, "exact")
    assert judged(hedge) == (-0.5, "unresolved", None, "ambiguous")
    assert judged("B") == (-0.5, "unresolved", None, "letter")
    assert judged(" \n") == (-1.0, "empty", None, "empty")
    if paris != "Paris":
        assert judged("Paris") == (-0.5, "wrong_language", None, "none")


@pytest.mark.parametrize(
    ("language", "text", "options", "kind"),
    [
        ("en", "a", ("Niger", "Nigeria"), "unresolved"),
        ("en", "(B)", ("Niger", "Nigeria"), "unresolved"),
        ("en", "C.", ("Niger", "Nigeria"), "unresolved"),
        ("en", "It is Nigeria.", ("Niger", "Nigeria"), "other"),
        ("en", "Niger", ("Niger", "Nigeria"), "correct"),
        ("en", "Niger or Nigeria", ("Niger", "Nigeria"), "unresolved"),
        ("ar", "النيجر؟", ("النيجر", "مالي"), "correct"),
        ("ar", "مالي،", ("النيجر", "مالي"), "other"),
        ("zh", "几内亚比绍。", ("几内亚", "几内亚比绍"), "other"),
        ("ja", "「パリ」、", ("パリ", "ロンドン"), "correct"),
        ("bn", "প্যারিস।", ("প্যারিস", "লন্ডন"), "correct"),
        ("bn", "The capital is Paris.", ("প্যারিস", "লন্ডন"), "wrong_language"),
        ("zh", "　\n", ("几内亚", "几内亚比绍"), "empty"),
        ("en", " …。!\n", ("Niger", "Nigeria"), "empty"),
    ],
)
def test_what_models_really_say(language, text, options, kind):
    assert score_completion(text, options, 0, language).kind == kind


def test_wrong_language_may_have_its_own_score():
    scores = Scores(wrong_language=-0.75)
    bengali = ("লন্ডন", "প্যারিস")
    assert score_completion("It is Paris.", bengali, 1, "bn", scores).score == -0.75
    assert score_completion("B", bengali, 1, "bn", scores).score == -0.5  # letters are Latin in every prompt
    spanish = ("Londres", "París")
    assert score_completion("Paris", spanish, 1, "es", scores).score == -0.5
    english = ("London", "Paris")
    assert score_completion("Paris", spanish, 1, "es", scores, english_options=english).score == -0.75
    assert score_completion("Rome", english, 1, "en", scores, english_options=english).score == -0.5


def test_settings_reach_the_matcher():
    def kind(text, options, **settings):
        return score_completion(text, options, 0, "en", **settings).kind

    assert kind("Korea", ("South Korea", "Japan")) == "unresolved"
    assert kind("Korea", ("South Korea", "Japan"), minimum_coverage=0.4) == "correct"
    assert kind("It is Papua New Guinea", ("Guinea", "Mali")) == "correct"
    assert kind("It is Papua New Guinea", ("Guinea", "Mali"), others=["Papua New Guinea"]) == "unresolved"


def test_each_score_is_used():
    scores = Scores(correct=5, other=4, unresolved=3, empty=1, wrong_language=2)
    texts = ("প্যারিস", "লন্ডন", "ঢাকা", "", "Paris")
    found = [score_completion(text, ("প্যারিস", "লন্ডন"), 0, "bn", scores).score for text in texts]
    assert found == [5, 4, 3, 1, 2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"empty": 0.0}, "Training would then drift to empty.*Set empty below all others.*-1"),
        ({"empty": -0.5}, "which is not the lowest of correct 1, other 0, unresolved -0.5, empty -0.5"),
        ({"unresolved": -2.0}, "Training would then drift"),
        ({"wrong_language": -1.0}, "Training would then drift"),
        (
            {"other": 1.0},
            "correct > other >= unresolved >= wrong_language > empty; they are correct 1, other 1",
        ),
        ({"unresolved": 0.5}, "Scores must be in the order"),
        ({"wrong_language": -0.25}, "Scores must be in the order"),
        ({"correct": float("nan")}, "finite"),
        ({"empty": float("-inf")}, "finite"),
    ],
)
def test_scores_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        Scores(**changes)


def test_scores_may_be_equal_in_the_middle():
    assert Scores(other=-0.5, wrong_language=-0.5).other == -0.5


def test_an_answer_outside_the_options_is_refused():
    with pytest.raises(DataError, match="number 2 from 0, but there are 2 options"):
        score_completion("Paris", ("Paris", "London"), 2, "en")
