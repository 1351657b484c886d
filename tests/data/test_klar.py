"""The published matcher and prompts: their rules by hand, and the published records reproduced."""

import json
import random
import unicodedata

import pytest

from interp.data.klar import klar_match, published_prompts, upstream_prompts
from interp.errors import DataError
from tests.support.benchmark_files import change_json, write_klar
from tests.support.published import full, needs_full_files, read_full


@pytest.mark.parametrize(
    ("prediction", "gold", "expected"),
    [
        ("france", "France", True),
        ("the france.", "France", True),
        ("nigeria", "Niger", True),  # no word boundary after a prefix
        ("the united states", "United States", False),  # several words count at the beginning only
        ("serbo-croata", "croata", False),  # the hyphen does not part words
        ("東京。", "東京", True),
        ("1055 مونتريال،", "مونتريال", False),  # nor does the Arabic comma
        ("いわゆる「歴史", "歴史", False),  # a published record; nor do corner brackets
        ("「歴史」", "歴史", False),
        ("100%paris", "Paris", False),
        ("x=paris", "Paris", False),
        ("new…paris", "Paris", False),
        ("x/paris", "Paris", False),
        ("(paris) *", "Paris", True),
        ('"«париж»', "Париж", True),
        ("’tis paris", "Paris", True),
        ("是 巴黎，法国", "巴黎", True),
        ("x《巴黎》", "巴黎", False),
        ("", "Paris", False),
        ("Paris", "", False),
    ],
)
def test_klar_rules(prediction, gold, expected):
    assert klar_match(prediction, gold) is expected


@needs_full_files
@pytest.mark.parametrize(
    ("name", "correct"), [("OLMo-2-1124-7B", 2856), ("Qwen-2.5-7B-grpo-consistent", 7055)]
)
def test_klar_records_are_reproduced(name, correct):
    records = read_full(f"klar_runs/{name}.json")["records"]
    assert len(records) == 6 * 2619
    found = [klar_match(record["pred"], record["target"]) for record in records]
    assert found == [record["correct"] for record in records]
    assert sum(found) == correct


def test_these_characters_part_words_and_no_others():
    """Of all punctuation and symbols the published 27; and the Greek question mark, in NFC a semicolon."""
    parting = {
        chr(code)
        for code in range(0x10000)
        if unicodedata.category(chr(code))[0] in "PS" and klar_match(f"x{chr(code)}paris", "Paris")
    }
    assert parting == set(".,!?:;\"'()[]{}«»“”‘’、。，！？；：\u037e")
    assert all(klar_match(f"x{space}paris", "Paris") for space in " \t\n\u00a0\u3000")


def filled(template, row):
    return template.replace("<subject>", row["subject"]).replace(" <mask>", "").replace("<mask>", "").rstrip()


def test_published_prompts_follow_one_stream(tmp_path):
    write_klar(tmp_path, ("en", "de"))
    found = published_prompts(tmp_path, ("de", "en"), template=1, shots=2, seed=7)
    stream, expected = random.Random(7), []
    for code in ("de", "en"):
        for relation in ("capital", "continent"):
            values = json.loads((tmp_path / code / f"{relation}.json").read_text())
            template, rows = values["prompt_templates"][1], values["samples"]
            for i, row in enumerate(rows):
                shown = stream.sample([j for j in range(3) if j != i], 2)
                lines = [f"{filled(template, rows[j])} {rows[j]['object']}\n" for j in shown]
                expected.append(
                    (code, f"{relation}/{row['index']}", "".join(lines) + filled(template, row) + " ")
                )
    assert [(prompt.language, prompt.fact_id, prompt.prompt) for prompt in found] == expected
    # the suffix stands before the answer
    assert "It is:. de answer 11\n" in found[0].prompt
    assert published_prompts(tmp_path, ("en", "de"), template=1, shots=2, seed=7)[6:] != found[:6]


def test_published_prompts_wrap_templates_and_take_all_rows_that_there_are(tmp_path):
    write_klar(tmp_path, ("en",))
    found = published_prompts(tmp_path, ("en",), template=2, shots=5)
    assert found == published_prompts(tmp_path, ("en",), template=0, shots=5)
    assert found[0].prompt.count("\n") == 2


def test_upstream_prompts_fill_the_mask_and_show_the_same_rows_in_every_language(tmp_path):
    write_klar(tmp_path, ("en", "zh"), templates=1)
    change_json(
        tmp_path / "zh" / "capital.json", lambda v: v.update(prompt_templates=["<subject> 的首都是<mask>。"])
    )
    found = upstream_prompts(tmp_path, ("zh", "en"), shots=1)
    shown = random.Random(26).sample([1, 2], 1)[0]
    row = {"en": [11, 11, 12], "zh": [11, 11, 12]}
    assert found[6].prompt == (
        f"en capital 0 of en capital {row['en'][shown]}? It is: en answer {10 + shown}. "
        "en capital 0 of en capital 11? It is:"
    )
    assert found[0].prompt == (
        f"zh capital {row['zh'][shown]}的首都是zh answer {10 + shown}。。zh capital 11的首都是"
    )
    assert upstream_prompts(tmp_path, ("en",), shots=1) == found[6:]
    with pytest.raises(DataError, match=r"en/capital\.json has 3 rows, too few for 3 demonstrations"):
        upstream_prompts(tmp_path, ("en",))


@needs_full_files
def test_published_prompts_ask_what_the_records_answer():
    records = read_full("klar_runs/OLMo-2-1124-7B.json")
    found = published_prompts(full("klar"), records["langs"])
    keys = ("language", "relation", "index", "subject", "target")
    assert [tuple(getattr(prompt, key) for key in keys) for prompt in found] == [
        tuple(record[key] for key in keys) for record in records["records"]
    ]
    assert sum(":. " in prompt.prompt.splitlines()[-1] for prompt in found if prompt.language == "fr") == 433
