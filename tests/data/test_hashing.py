import hashlib
import json
import statistics

import pytest

from interp.characters import control_characters, is_control, visible
from interp.data.hashing import digest_of, hash_sample, hash_uniform


def test_digest_is_sha256_of_canonical_json():
    assert digest_of({"b": 1, "a": "é"}) == hashlib.sha256(b'{"a":"\\u00e9","b":1}').hexdigest()
    assert digest_of({"a": 1, "b": 2}) == digest_of(json.loads('{"b": 2, "a": 1}'))
    assert digest_of(["a", "b"]) != digest_of(["b", "a"])
    assert digest_of("\ud800")  # a lone surrogate has a digest too


def test_uniform_is_uniform_and_fixed():
    values = [hash_uniform("x", str(n)) for n in range(10_000)]
    assert all(0 < value < 1 for value in values)
    assert statistics.mean(values) == pytest.approx(0.5, abs=0.0101)  # 3.5 standard errors of 1/sqrt(12 n)
    assert hash_uniform("split", "NO") == hash_uniform("split", "NO")
    assert hash_uniform("a", "b") != hash_uniform("b", "a")


def test_sample_is_nested_and_ordered():
    items = [str(n) for n in range(100)]
    some, more = hash_sample(items, 10, str), hash_sample(items, 20, str)
    assert set(some) < set(more)
    assert some == sorted(some, key=int)
    assert set(hash_sample(reversed(items), 10, str)) == set(some)


@pytest.mark.parametrize("control", list("\u202e\u2066\u200f\u061c\ufeff\u200b\x00\x1b\n\x7f\x85"))
def test_controls_are_seen_and_shown(control):
    assert is_control(control)
    assert control_characters(f"a{control}b{control}") == [f"U+{ord(control):04X}"]
    assert control not in visible(f"a{control}b")


@pytest.mark.parametrize("text", ["Côte d’Ivoire", "می‌شود", "ক্‍ষ", "東京", "Кот-д\u02bcІвуар", "<script>"])
def test_spelling_is_not_a_control(text):
    assert control_characters(text) == []
    assert visible(text) == text


def test_long_texts_are_cut_with_their_length():
    assert visible("x" * 300) == "x" * 200 + "... (300 characters)"
    assert visible("x" * 300, limit=3) == "xxx... (300 characters)"
