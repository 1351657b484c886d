"""What a model is asked to name: every task's prompts by hand, in what order, and what is refused."""

from __future__ import annotations

import pytest

from interp.data.lexicon import concepts
from interp.data.tasks import TASKS, open_task, sources_of
from interp.errors import DataError

NAMES = {concept.concept_id: concept.names for concept in concepts()}


def _of(task, code, item):
    return next(p for p in task.prompts.prompts[code] if p.item_id == item)


def test_a_translation_by_hand():
    task = open_task("translation", ("en", "sw", "ja"), pivot="en", shots=1)
    prompt = _of(task, "sw", "territory:NO")
    shown, asked = prompt.text.split("\n\n")
    assert asked == "日本語: ノルウェー\nKiswahili:"
    source, target = shown.split("\n")
    names = next(
        n for n in NAMES.values() if (source, target) == (f"日本語: {n['ja']}", f"Kiswahili: {n['sw']}")
    )
    assert names != NAMES["territory:NO"]
    assert (prompt.answer, prompt.separator, prompt.group) == ("Norway", " ", "NO")
    assert task.subjects["sw"]["territory:NO"] == "ノルウェー"
    assert _of(task, "ja", "territory:NO").text.endswith("Kiswahili: Norway\n日本語:")
    assert task.prompts.note == "375 concepts, 1 demonstrations, sw to en, ja to sw, sw to ja"


def test_a_repetition_by_hand():
    task = open_task("repetition", ("en", "sw"), pivot="en", shots=0)
    assert _of(task, "sw", "territory:FI").text == "Kiswahili: Ufini\nKiswahili:"
    assert _of(task, "en", "currency:JPY").text == "English: Japanese Yen\nEnglish:"
    assert _of(task, "sw", "territory:FI").answer == "Ufini"
    assert task.subjects["sw"]["territory:FI"] == "Ufini"


def test_a_cloze_by_hand(cldr):
    task = open_task("cloze", ("en", "sw"), pivot="en", shots=0)
    prompt = _of(task, "sw", "cldr:city_country:Europe/Helsinki")
    assert prompt.text == "Swali: Mji wa Helsinki uko katika nchi gani?\nJibu:"
    assert prompt.answer == "Ufini"
    assert task.subjects["sw"][prompt.item_id] == "Helsinki"
    answers = [p.answer for p in task.prompts.prompts["en"]]
    assert len(set(answers)) == len(answers)  # one description per concept
    ids = {p.item_id for p in task.prompts.prompts["en"]}
    order = ("city_country", "country_language", "city_language", "country_currency", "city_currency")
    asked = {fact.object_id: order.index(fact.relation) for fact in cldr if fact.fact_id in ids}
    assert len(asked) == len(ids)
    for fact in cldr:  # the simplest relation, where there are two
        if fact.relation in order:
            assert asked[fact.object_id] <= order.index(fact.relation)
    four = open_task("cloze", ("en",), pivot="en", limit=3)
    assert all(p.text.count("Question:") == 5 for p in four.prompts.prompts["en"])


def test_facts_are_asked_without_demonstrations(cldr):
    task = open_task("facts", ("en", "sw"), pivot="en", split="test", limit=7)
    assert task.prompts.n_items == 7
    by_id = {fact.fact_id: fact for fact in cldr}
    for code in ("en", "sw"):
        for prompt in task.prompts.prompts[code]:
            fact = by_id[prompt.item_id]
            assert fact.split == "test"
            gold = fact.option_ids.index(fact.object_id)
            assert prompt.answer == fact.wording[code].options[gold]
            assert task.subjects[code][prompt.item_id] == fact.wording[code].subject
            assert prompt.text.count("?") == 1
    shown = open_task("facts", ("en",), pivot="en", limit=2, shots=2)
    assert all(p.text.count("Question:") == 3 for p in shown.prompts.prompts["en"])


@pytest.mark.parametrize("name", TASKS)
def test_what_all_tasks_have(name):
    task = open_task(name, ("sw", "en", "ja"), pivot="en", limit=9, split="train")
    assert task.prompts.name == name
    assert task.prompts.languages == ("sw", "en", "ja")
    assert task.prompts.parallel
    ids = [p.item_id for p in task.prompts.prompts["sw"]]
    assert len(ids) == 9
    for code in task.prompts.languages:
        assert [p.item_id for p in task.prompts.prompts[code]] == ids
        for prompt in task.prompts.prompts[code]:
            last = prompt.text.rpartition("\n\n")[2]
            assert task.subjects[code][prompt.item_id] in last  # named where it is asked about
            assert prompt.answer
    again = open_task(name, ("sw", "en", "ja"), pivot="en", limit=9, split="train")
    assert again.prompts.digest == task.prompts.digest
    fewer = open_task(name, ("sw", "en", "ja"), pivot="en", limit=4, split="train")
    assert {p.item_id for p in fewer.prompts.prompts["sw"]} <= set(ids)


def test_the_scaffold_is_that_of_questions():
    plain = open_task("facts", ("sw",), pivot="en", limit=1, prompt_format="none").prompts.prompts["sw"][0]
    assert "Swali" not in plain.text
    assert "Swali" in open_task("facts", ("sw",), pivot="en", limit=1).prompts.prompts["sw"][0].text


def test_a_file_of_facts_is_asked_as_the_embedded_ones_are(tmp_path, cldr):
    chosen = cldr.filter(languages=("en", "sw"), limit=5)
    file = tmp_path / "mine.jsonl"
    chosen.save(file)
    task = open_task(str(file), ("en", "sw"), pivot="en")
    assert task.prompts.n_items == 5
    assert {p.item_id for p in task.prompts.prompts["en"]} == {fact.fact_id for fact in chosen}


def test_what_a_translation_is_from():
    assert sources_of(("en", "sw", "ja"), "en") == {"en": "sw", "sw": "ja", "ja": "sw"}
    assert sources_of(("en", "sw", "ja"), "sw") == {"en": "ja", "sw": "en", "ja": "en"}
    assert sources_of(("en", "sw"), "en", "fr") == {"en": "fr", "sw": "fr"}
    assert sources_of(("en", "fr", "ja"), "en", "fr") == {"en": "fr", "fr": "ja", "ja": "fr"}
    assert sources_of(("en", "sw"), "en", "en")["sw"] == "en"  # the pivot, where it is asked for
    task = open_task("translation", ("en", "sw"), pivot="en", source="fr", shots=0)
    assert _of(task, "sw", "territory:NO").text == "Français: Norvège\nKiswahili:"


def test_refusals():
    with pytest.raises(
        DataError,
        match=(
            "A translation into 'sw' needs a language to translate from, beside the target and the pivot 'en'"
        ),
    ):
        open_task("translation", ("en", "sw"), pivot="en")
    with pytest.raises(
        DataError,
        match=r"No concept is in the split 'validatio'\. Choose from: train, validation, test, all\.",
    ):
        open_task("repetition", ("en", "sw"), pivot="en", split="validatio")
    with pytest.raises(DataError, match="The limit is 0 concepts; 1 or more are expected"):
        open_task("repetition", ("en", "sw"), pivot="en", limit=0)
    with pytest.raises(DataError, match="1000 demonstrations need as many other concepts"):
        open_task("repetition", ("en", "sw"), pivot="en", limit=1, shots=1000)
    with pytest.raises(DataError, match="Unknown language 'xx'"):
        open_task("facts", ("en", "xx"), pivot="en")
    with pytest.raises(DataError, match="'repetitio'"):
        open_task("repetitio", ("en", "sw"), pivot="en")


def test_the_lexicon_has_the_languages_of_the_embedded_facts_alone():
    assert open_task("translation", "en,sw", pivot="en", source="fr", shots=0).prompts.languages == (
        "en",
        "sw",
    )
    for name in ("translation", "repetition"):
        with pytest.raises(
            DataError, match=r"The concept lexicon has no names in Thai \(th\)\. Choose from: en, .*, el\."
        ):
            open_task(name, ("en", "th", "ja"), pivot="en")


def test_a_task_that_is_misspelled_is_named():
    with pytest.raises(
        DataError, match=r"No prompts named 'translatio'. Did you mean 'translation'\? Choose from: facts, "
    ):
        open_task("translatio", ("en", "sw"), pivot="en")
    with pytest.raises(DataError, match=r"No data named 'elsewhere\.jsonl'\. Looked at /"):
        open_task("elsewhere.jsonl", ("en", "sw"), pivot="en")
