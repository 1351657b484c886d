"""From facts to examples: prompts as written, entities that all languages share, facts that stay whole."""

import pytest

from interp.config import to_plain
from interp.data.demonstrations import demonstrations, prompts_with_demonstrations
from interp.data.languages import LANGUAGES, POLYFACT_LANGUAGES
from interp.data.sources.cldr import cldr_facts
from interp.data.templates import prompt_format
from interp.errors import ConfigError, DataError
from training.data import load_data
from training.examples import make_examples
from training.methods import GrpoConfig


@pytest.fixture(scope="module")
def facts():
    return cldr_facts().filter(languages=["en", "ja", "ar"], limit=30)


def test_a_question_ends_where_the_answer_begins(facts):
    fact = make_examples(facts, facts).facts[0]
    english, japanese, arabic = fact
    assert english.prompt == f"Question: {facts.facts[0].wording['en'].question}\nAnswer:"
    assert (english.separator, japanese.separator, arabic.separator) == (" ", "", " ")
    assert english.answer == " " + facts.facts[0].answer("en")
    assert not any(example.prompt[-1].isspace() for example in fact)


def test_shown_options_are_one_set_of_entities_in_every_language(facts):
    for source, fact in zip(facts, make_examples(facts, facts, "options").facts, strict=True):
        for example in fact:
            wording = source.wording[example.language].options
            assert example.options == tuple(wording[entity] for entity in example.entities)
            assert sorted(example.entities) == [0, 1, 2, 3]
            assert example.gold_entity == source.answer_index
            assert example.options[example.answer_index] == source.answer(example.language)
            listed = [f"{letter}. {option}" for letter, option in zip("ABCD", example.options, strict=True)]
            assert example.prompt.splitlines()[-6:-2] == listed
            assert source.answer(example.language) not in example.others


def test_no_letter_means_the_same_entity_everywhere(facts):
    made = make_examples(facts, facts, "options").facts
    assert len({example.entities for example in made[0]} | {e.entities for e in made[1]}) > 1
    places = [example.answer_index for fact in made for example in fact]
    assert set(places) == {0, 1, 2, 3}
    assert made == make_examples(facts, facts, "options").facts


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_language_has_instructions_of_its_own(code):
    frame = prompt_format(code)
    assert len(frame.instructions) == 4
    assert all(line == line.strip() and line for line in frame.instructions)
    assert code == "en" or not set(frame.instructions) & set(prompt_format("en").instructions)
    shown = frame.render_options("Q?", ["one", "two"])
    assert shown.startswith("\n".join(frame.instructions) + "\n\n")
    assert shown.endswith(f"A. one\nB. two\n\n{frame.answer_label}")
    assert frame.render_options("Q?", ["one"], instructions=False).count("\n") == 2


def test_english_words_leave_the_question_alone(facts):
    native, english = (
        make_examples(facts, facts, "question", words).facts[0][1].prompt for words in ("native", "english")
    )
    question = facts.facts[0].wording["ja"].question
    assert question in native
    assert english == f"Question: {question}\nAnswer:"


@pytest.mark.parametrize("words", ["native", "english"])
def test_demonstrations_are_those_of_evaluations(facts, words):
    """The same facts in the same words, of the train split, never about the subject of the question."""
    shown = make_examples(facts, cldr_facts(), "question", words, shots=2).facts
    train = cldr_facts().split("train")
    expected = prompts_with_demonstrations(facts, pool=train, shots=2, prompt_format=words).prompts
    for number, (fact, source) in enumerate(zip(shown, facts, strict=True)):
        assert [e.prompt for e in fact] == [expected[e.language][number].text for e in fact]
        for example in fact:
            before = example.prompt.removesuffix(make_examples_of(source, example.language, words))
            assert before.count("\n\n") == 2
            assert source.wording[example.language].question not in before


def make_examples_of(source, code, words):
    frame = prompt_format("en" if words == "english" else code)
    return frame.render(source.wording[code].question)


@pytest.mark.parametrize("letters", [False, True])
def test_demonstrations_with_options_are_answered_as_the_question_is_to_be(facts, letters):
    plain = make_examples(facts, cldr_facts(), "options", letters=True).facts
    train = {f.fact_id: f for f in cldr_facts().split("train")}
    for fact, bare, source in zip(
        make_examples(facts, cldr_facts(), "options", shots=2, letters=letters).facts,
        plain,
        facts,
        strict=True,
    ):
        before = demonstrations(source, cldr_facts().split("train"), 2)
        for example, question in zip(fact, bare, strict=True):
            frame = prompt_format(example.language)
            blocks = example.prompt.split("\n\n")
            assert blocks[-1] == question.prompt
            if not letters:
                assert blocks[0] == "\n".join(frame.instructions)
            assert len(blocks) == 3 + (not letters)
            for block, other in zip(blocks[-3:-1], before, strict=True):
                answer = train[other.fact_id].answer(example.language)
                listed = next(line for line in block.splitlines() if line.endswith(f". {answer}"))
                told = listed[0] if letters else answer
                assert block.endswith(frame.answer_label + frame.separator + told)


def test_the_test_split_is_out_of_reach():
    data = load_data(GrpoConfig(languages="en"))
    split = {fact.fact_id: fact.split for fact in data.facts}
    for examples, name in ((data.train, "train"), (data.validation, "validation")):
        assert {split[fact[0].fact_id] for fact in examples.facts} == {name}
    assert "test" in split.values()


def test_language_files_are_registered_before_the_facts_are_opened(monkeypatch, tmp_path):
    files = []
    monkeypatch.setattr("training.data.register_language_file", files.append)
    monkeypatch.setattr(
        "training.data.open_facts", lambda source: pytest.fail("opened first") if not files else cldr_facts()
    )
    given = (tmp_path / "th.toml", tmp_path / "yo.toml")
    load_data(GrpoConfig(language_file=given, languages="en", limit=1))
    assert tuple(files) == given
    assert to_plain(GrpoConfig(language_file=given))["language_file"] == [str(file) for file in given]


def test_a_configuration_names_facts_languages_and_limit(tmp_path, facts):
    """auto: of the embedded facts the paper's languages, of others those that they have."""
    assert load_data(GrpoConfig(limit=7)).languages == POLYFACT_LANGUAGES
    assert len(load_data(GrpoConfig(limit=7)).train) == 7
    file = facts.save(tmp_path / "facts.jsonl")
    data = load_data(GrpoConfig(data=str(file)))
    assert data.languages == ("en", "ar", "ja")
    assert data.facts.digest == facts.digest
    assert load_data(GrpoConfig(data=str(file), languages="ja,en")).languages == ("ja", "en")
    with pytest.raises(ConfigError, match="has no fact of the split 'train'"):
        load_data(GrpoConfig(data=str(facts.split("test").save(tmp_path / "test.jsonl"))))


def test_a_long_prompt_takes_its_fact_with_it_and_is_counted(facts):
    made = make_examples(facts, facts)
    lengths = {fact[0].fact_id: [len(e.prompt.encode()) for e in fact] for fact in made.facts}
    longest = sorted(max(each) for each in lengths.values())[15]
    kept = made.fitting(lambda text: len(text.encode()), longest)
    assert {fact[0].fact_id for fact in kept.facts} == {
        i for i, each in lengths.items() if max(each) <= longest
    }
    counted = {
        code: sum(each[n] > longest for each in lengths.values()) for n, code in enumerate(made.languages)
    }
    assert kept.dropped == {code: count for code, count in counted.items() if count}
    with pytest.raises(DataError, match="All 30 facts have a prompt of more than 3 tokens"):
        made.fitting(len, 3)
