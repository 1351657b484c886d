"""Facts made up for tests."""

from interp.data.facts import Fact, Wording


def make_fact(number, languages=("en", "de"), **changes):
    wording = {
        code: Wording(
            f"{code} question {number}?", f"{code} subject {number}", (f"{code} right", f"{code} wrong")
        )
        for code in languages
    }
    values = {
        "fact_id": f"f{number}",
        "relation": "capital",
        "subject_id": f"s{number}",
        "object_id": "right",
        "option_ids": ("right", "wrong"),
        "split": ("train", "test")[number % 2],
        "wording": wording,
    }
    return Fact(**(values | changes))
