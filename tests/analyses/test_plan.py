"""Which languages a request asks, whoever names them: the user, the data, or a file that describes one."""

import pytest

from analyses.plan import facts_of, languages_of, prompts_of
from interp.config import DataOptions
from interp.data.facts import FactSet, Wording
from interp.data.languages import EMBEDDED_LANGUAGES, LANGUAGES, POLYFACT_LANGUAGES, register_language_file
from interp.errors import DataError
from tests.support.facts import make_fact

AMHARIC = """
code = "am"
name = "Amharic"
endonym = "አማርኛ"
script = "Ethi"
resource = "low"
letters = ["ETHIOPIC"]
"""


@pytest.fixture
def language_file(registration, tmp_path):
    path = tmp_path / "am.toml"
    path.write_text(AMHARIC, encoding="utf-8")
    return path


def test_languages_of_the_embedded_facts():
    for given, expected in (
        ("auto", POLYFACT_LANGUAGES),
        ("polyfact", POLYFACT_LANGUAGES),
        ("all", EMBEDDED_LANGUAGES),
        ("sw,en", ("sw", "en")),
    ):
        data = DataOptions(languages=given, limit=2)
        assert languages_of(data) == facts_of(data).languages == prompts_of(data).languages == expected


def test_a_language_file_serves_a_folder_of_text(language_file, tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    for code in ("en", "am"):
        (folder / f"{code}.txt").write_text("a\nb\n")
    asked = DataOptions(data=str(folder), languages="am,en")
    with pytest.raises(DataError, match="Unknown language 'am'"):
        prompts_of(asked)
    described = DataOptions(data=str(folder), languages="am,en", language_file=(language_file,))
    assert prompts_of(described).languages == ("am", "en")


def test_facts_that_describe_their_language_need_no_file(language_file, tmp_path):
    register_language_file(language_file)
    words = Wording("Q", "S", ("A", "B"))
    facts = FactSet("x", (make_fact(1, wording={"en": words, "am": words}),), ("en", "am"))
    path = facts.save(tmp_path / "x.jsonl")
    for given in ("en,am", "auto", "all"):
        del LANGUAGES["am"]
        data = DataOptions(data=str(path), languages=given, prompt_format="english")
        assert languages_of(data) == ("en", "am")
        del LANGUAGES["am"]
        assert prompts_of(data).languages == ("en", "am")
        assert facts_of(data).languages == ("en", "am")
