"""Which reader a word before the colon means, and which options it takes."""

import pytest

from interp.data.sources import open_facts, open_prompts
from interp.errors import ConfigError, DataError
from tests.support.benchmark_files import (
    mmlu_row,
    parallel_row,
    write_json,
    write_klar,
    write_lines,
    write_tsv,
)


@pytest.fixture
def folders(tmp_path):
    write_klar(tmp_path / "klar")
    for code in ("en", "de"):
        write_tsv(tmp_path / "bmlama" / f"{code}.tsv", [(f"{code} <mask>", "b", "a, b", code)])
        write_lines(tmp_path / "global-mmlu" / f"{code}.jsonl", [mmlu_row(1, code)])
    write_lines(tmp_path / "polyfact" / "parallel.jsonl", [parallel_row(1, {"en": 0, "de": 1})])
    return tmp_path


@pytest.mark.parametrize("kind", ["klar", "bmlama", "global-mmlu", "polyfact"])
def test_every_benchmark_opens_by_its_name(folders, kind):
    facts = open_facts(f"{kind}:{folders / kind}")
    assert facts.name == kind
    assert facts.languages == ("en", "de")
    for named in (["de"], "de"):
        assert open_facts(f"{kind}:{folders / kind}", languages=named).languages == ("de",)
    for by_the_data in ("auto", "all", None):
        assert open_facts(f"{kind}:{folders / kind}", languages=by_the_data).languages == ("en", "de")
    prompts = open_prompts(f"{kind}:{folders / kind}", ("de",), prompt_format="none", split="test")
    assert prompts.n_items == len(facts)
    assert prompts.note.endswith("; template 0; a fact has only its right answer as option") == (
        kind == "klar"
    )


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("cldr", {"template": 1}, "template 1 does not apply to 'cldr'; it is an option of klar:DIR"),
        (
            "cldr",
            {"alignment": "a.json"},
            "alignment a.json does not apply to 'cldr'; it is an option of polyfact:DIR",
        ),
        ("klar:x", {"alignment": "a.json"}, "alignment a.json does not apply to 'klar:x'"),
        ("polyfact:x", {"template": 2}, "template 2 does not apply to 'polyfact:x'"),
        ("bmlama:x", {"template": 2}, "template 2 does not apply to 'bmlama:x'"),
        ("global-mmlu:x", {"alignment": "a.json"}, "alignment a.json does not apply to 'global-mmlu:x'"),
    ],
)
def test_options_of_another_benchmark_are_refused(source, options, message):
    with pytest.raises(ConfigError, match=message):
        open_facts(source, **options)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "klarr:x",
            r"No data named 'klarr:x'\. Did you mean 'klar:'\? Choose from: cldr .*, klar:DIR, bmlama:DIR",
        ),
        ("globalmmlu:x/y", r"Did you mean 'global-mmlu:'\?"),
        ("klar:", r"'klar:' names no folder\. Give klar:DIR"),
        ("a/klar:x", r"Looked at /.*a/klar:x"),
        ("zzz:x", r"No data named 'zzz:x'\. Choose from: "),
    ],
)
def test_unknown_names(source, message):
    with pytest.raises(DataError, match=message):
        open_facts(source)


def test_an_alignment_reaches_polyfact(tmp_path):
    write_lines(tmp_path / "d" / "parallel.jsonl", [parallel_row(1, {"en": 0, "de": 1}, ids=False)])
    write_json(tmp_path / "a.json", {"Q1|P36|Q100": {"en": [0, 1, 2, 3], "de": [1, 2, 3, 0]}})
    assert open_facts(f"polyfact:{tmp_path / 'd'}", alignment=tmp_path / "a.json").aligned
    assert not open_facts(f"polyfact:{tmp_path / 'd'}").aligned
