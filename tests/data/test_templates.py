import pytest

from interp.data.languages import LANGUAGES
from interp.data.templates import prompt_format, question, relations, template
from interp.errors import DataError

ALL = [(relation, code) for relation in relations() for code in LANGUAGES]
QUESTION_MARKS = {"ar": "؟", "fa": "؟", "ja": "？", "zh": "？", "el": ";", "th": ""}


def test_ten_relations_in_every_language():
    assert len(relations()) == 10
    for code, record in LANGUAGES.items():
        assert tuple(record.templates) == relations(), code


@pytest.mark.parametrize(("relation", "code"), ALL)
def test_template_form(relation, code):
    text = template(relation, code)
    assert text.count("{s}") == 1
    assert text.replace("{s}", "").count("{") == 0
    assert text.endswith(QUESTION_MARKS.get(code, "?"))
    assert text == " ".join(text.split()), "double or trailing space"


def test_templates_of_a_language_differ():
    for code in LANGUAGES:
        assert len({template(relation, code) for relation in relations()}) == len(relations())


def test_no_review_is_claimed():
    assert not any(record.reviewed_by for record in LANGUAGES.values())


@pytest.mark.parametrize("code", LANGUAGES)
def test_prompt_format_ends_in_a_colon_and_spaces_follow_the_script(code):
    words = prompt_format(code)
    assert words.question.count("{q}") == 1
    assert words.answer_label[-1] in ":："
    assert words.separator == ("" if code in ("ja", "zh") else " ")


def test_prompt_format_renders_two_lines():
    assert prompt_format("en").render("Why?") == "Question: Why?\nAnswer:"
    assert prompt_format("ja").render("なぜ？") == "質問：なぜ？\n回答："
    assert prompt_format("fr").render("Pourquoi ?").splitlines()[1] == "Réponse :"


@pytest.mark.parametrize(
    ("relation", "code", "subject", "subject_id", "expected"),
    [
        (
            "capital",
            "en",
            "Netherlands",
            "territory:NL",
            "What is the capital of the Netherlands?",
        ),
        ("capital", "en", "Norway", "territory:NO", "What is the capital of Norway?"),
        (
            "capital",
            "de",
            "Niederlande",
            "territory:NL",
            "Welche Stadt ist die Hauptstadt des Landes Niederlande?",
        ),
        ("country_continent", "ko", "노르웨이", "territory:NO", "노르웨이는 어느 대륙에 있습니까?"),
        ("country_continent", "ko", "독일", "territory:DE", "독일은 어느 대륙에 있습니까?"),
        ("city_country", "ko", "오슬로", "city:Europe/Oslo", "오슬로라는 도시는 어느 나라에 있습니까?"),
        ("city_country", "ko", "서울", "city:Asia/Seoul", "서울이라는 도시는 어느 나라에 있습니까?"),
        ("tld_country", "ko", ".no", "tld:.no", "인터넷 국가 도메인 .no을(를) 사용하는 나라는 어디입니까?"),
    ],
)
def test_question(relation, code, subject, subject_id, expected):
    assert question(relation, code, subject, subject_id) == expected


def test_a_subject_with_braces_is_not_a_format_string():
    assert question("capital", "en", "{0.__class__}{q}", "x") == "What is the capital of {0.__class__}{q}?"


def test_unknown_relation_names_the_nearest():
    with pytest.raises(DataError, match=r"No template for the relation 'capitol'\. Did you mean 'capital'\?"):
        template("capitol", "en")
    with pytest.raises(DataError, match="Unknown language 'xx'"):
        prompt_format("xx")


def test_a_language_without_templates_says_what_to_do(few_words):
    with pytest.raises(
        DataError, match=r"Amharic \('am'\) has no question templates\. Give facts that bring their"
    ):
        template("capital", "am")
    with pytest.raises(
        DataError, match=r"Amharic \('am'\) has no words around a question\. Ask with the prompt format"
    ):
        prompt_format("am")
