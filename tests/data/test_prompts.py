from collections import Counter
from dataclasses import replace

import pytest

from interp.data.facts import FactSet
from interp.data.prompts import Prompt, PromptSet, prompts_from_facts
from interp.errors import ConfigError, DataError


def prompt(item, code="en", group="g", text="t"):
    return Prompt(item, code, text, "", "", group)


def prompt_set(groups, languages=("en",), parallel=True):
    """One item per letter of a group string: "aab" is two items of group a and one of b."""
    prompts = {
        code: tuple(
            prompt(f"i{n}" if parallel else f"{code}{n}", code, group) for n, group in enumerate(groups)
        )
        for code in languages
    }
    return PromptSet("made", tuple(languages), prompts, parallel)


def test_rendering_by_prompt_format(cldr):
    oslo = cldr.filter(relations=["capital"], languages=["en", "ja", "de", "zh"])
    index = [fact.fact_id for fact in oslo].index("cldr:capital:NO")

    def full(prompt_format, code):
        return prompts_from_facts(oslo, prompt_format=prompt_format).prompts[code][index].full_text

    assert full("native", "en") == "Question: What is the capital of Norway?\nAnswer: Oslo"
    assert full("native", "ja") == "質問：ノルウェーの首都はどこですか？\n回答：オスロ"
    assert (
        full("native", "de") == "Frage: Welche Stadt ist die Hauptstadt des Landes Norwegen?\nAntwort: Oslo"
    )
    assert full("english", "ja") == "Question: ノルウェーの首都はどこですか？\nAnswer: オスロ"
    assert full("none", "ja") == "ノルウェーの首都はどこですか？オスロ"
    assert full("none", "zh") == "挪威的首都是哪座城市？奥斯陆"
    assert full("none", "en") == "What is the capital of Norway? Oslo"


def test_without_answer_the_full_text_is_the_text(small):
    made = prompts_from_facts(small, answer=False)
    first = made.prompts["en"][0]
    assert first.answer == ""
    assert first.full_text == first.text == "Question: en question 0?\nAnswer:"


def test_prompts_carry_ids_groups_and_order(small):
    made = prompts_from_facts(small, languages=["de", "en"])
    assert made.languages == ("de", "en")
    assert made.parallel
    assert made.n_items == 10
    assert [each.item_id for each in made.prompts["de"]] == [fact.fact_id for fact in small]
    assert [each.group for each in made.prompts["en"]] == [fact.subject_id for fact in small]


def test_refusals(small):
    with pytest.raises(ConfigError, match=r"Unknown prompt_format 'nativ'\. Did you mean 'native'\?"):
        prompts_from_facts(small, prompt_format="nativ")
    with pytest.raises(DataError, match=r"'small' has no facts in Swahili \(sw\)"):
        prompts_from_facts(small, languages=["en", "sw"])
    with pytest.raises(DataError, match=r"has no prompts in fr\. Choose from: en, de"):
        prompts_from_facts(small).restrict(["en", "fr"])
    with pytest.raises(DataError, match="No prompts for de"):
        PromptSet("x", ("en", "de"), {"en": (prompt("a"),)}, parallel=True)
    with pytest.raises(DataError, match="has the item 'a' more than once"):
        PromptSet("x", ("en",), {"en": (prompt("a"), prompt("a"))}, parallel=True)


@pytest.mark.parametrize("other", [("b", "a"), ("a",), ("a", "c")])
def test_parallel_means_the_same_items_in_the_same_order(other):
    prompts = {"en": (prompt("a"), prompt("b")), "de": tuple(prompt(item, "de") for item in other)}
    with pytest.raises(DataError, match="'en' and 'de' do not have the same items"):
        PromptSet("x", ("en", "de"), prompts, parallel=True)
    assert PromptSet("x", ("en", "de"), prompts, parallel=False).parallel is False


@pytest.mark.parametrize("field", ["item_id", "text", "answer", "separator", "group"])
def test_digest_sees_every_value(field):
    before = prompt_set("aabb")
    first, *rest = before.prompts["en"]
    after = PromptSet("made", ("en",), {"en": (replace(first, **{field: "other"}), *rest)}, parallel=True)
    assert after.digest != before.digest


def test_digest_ignores_language_order_name_and_note_but_not_item_order(small):
    made = prompts_from_facts(small)
    assert replace(made.restrict(["de", "en"]), name="x", note="y").digest == made.digest
    assert made.restrict(["en"]).digest != made.digest
    turned = FactSet("small", small.facts[::-1], small.languages)
    assert prompts_from_facts(turned).digest != made.digest, "per-item results would be out of step"


def test_blocks_of_equal_groups_are_equal():
    blocks = prompt_set("abcdefgh").group_blocks(4)
    assert sorted(Counter(blocks.values()).items()) == [(0, 2), (1, 2), (2, 2), (3, 2)]


def test_a_large_group_is_balanced_by_small_ones():
    blocks = prompt_set("aaaabcde").group_blocks(2)
    assert blocks["a"] == 0
    assert {blocks[group] for group in "bcde"} == {1}


def test_blocks_do_not_depend_on_order_or_language():
    one, other = prompt_set("aabbbcdeff"), prompt_set("ffedcbbbaa", languages=("ja", "ar"))
    assert one.group_blocks(3) == other.group_blocks(3) == other.restrict(["ar"]).group_blocks(3)


def test_more_blocks_than_groups_is_refused():
    with pytest.raises(DataError, match="4 blocks were asked of 'made', which has 3 groups"):
        prompt_set("aabbc").group_blocks(4)
    with pytest.raises(DataError, match="0 blocks"):
        prompt_set("aab").group_blocks(0)
    assert set(prompt_set("aabbc").group_blocks(3).values()) == {0, 1, 2}


def test_cldr_blocks_are_nearly_equal_and_keep_countries_whole(cldr):
    made = prompts_from_facts(cldr, languages=["en", "sw"])
    blocks = made.group_blocks(8)
    sizes = Counter(blocks[each.group] for each in made.prompts["en"])
    assert set(sizes) == set(range(8))
    assert max(sizes.values()) - min(sizes.values()) <= 5  # measured: 3


def test_running_text_weighs_every_group_the_same():
    uneven = prompt_set("aaaabc", languages=("en",), parallel=False)
    assert sorted(Counter(uneven.group_blocks(3).values()).values()) == [1, 1, 1]
    assert Counter(uneven.group_blocks(2).values()) == {0: 2, 1: 1}


def test_sample_draws_the_same_items_in_every_language(small):
    made = prompts_from_facts(small).sample(4)
    assert made.n_items == 4
    assert [p.item_id for p in made.prompts["en"]] == [p.item_id for p in made.prompts["de"]]
    assert {p.item_id for p in prompts_from_facts(small).sample(3).prompts["en"]} < {
        p.item_id for p in made.prompts["en"]
    }
    with pytest.raises(DataError, match="The limit is 0 items"):
        made.sample(0)


def test_repr_shows_counts_and_note(small):
    text = repr(prompts_from_facts(small))
    assert "parallel" in text
    assert "en 10, de 10" in text
    assert "prompt_format native" in text
