import json
from collections import Counter

import pytest

from interp.data.text import load_text
from interp.errors import DataError


@pytest.fixture
def folder(tmp_path):
    def write(**files):
        for name, content in files.items():
            stem, _, suffix = name.partition("_")
            data = content if isinstance(content, bytes) else content.encode()
            (tmp_path / f"{stem}.{suffix or 'txt'}").write_bytes(data)
        return tmp_path

    return write


def test_equal_counts_are_parallel_by_line(folder):
    read = load_text(folder(de="eins\nzwei\n\ndrei\n", en="one\ntwo\n\nthree\n"))
    assert read.parallel
    assert read.languages == ("en", "de"), "the order of the known languages"
    assert [each.item_id for each in read.prompts["de"]] == ["line-1", "line-2", "line-4"]
    assert [each.full_text for each in read.prompts["de"]] == ["eins", "zwei", "drei"]
    assert "parallel by line, since all counts agree; texts: en 3, de 3; 2 blank lines skipped" in read.note


def test_other_counts_are_not_parallel(folder):
    read = load_text(folder(en="one\ntwo\n", de="eins\n"), ["de", "en"])
    assert not read.parallel
    assert read.languages == ("de", "en")
    assert read.n_items == 3
    assert [each.item_id for each in read.prompts["en"]] == ["en:line-1", "en:line-2"]
    assert read.note.startswith("not parallel, since the counts of texts differ; texts: de 1, en 2; 0 blank")


def test_blank_lines_in_different_places_are_refused(folder):
    with pytest.raises(DataError, match="line 1 of 'en' would be paired with line 2 of 'de'"):
        load_text(folder(en="one\n\nthree\n", de="\nzwei\ndrei\n"))


def test_json_lines_and_text_give_the_same_texts(folder):
    texts = ["one", "zwei — два", 'with "quotes" \u2028 and a separator that is no line break']
    lines = "\n".join(json.dumps({"text": text, "source": "x"}) for text in texts)
    read = load_text(folder(en_jsonl=lines, de="\n".join(texts)))
    assert [each.text for each in read.prompts["en"]] == texts
    assert [each.text for each in read.prompts["de"]] == texts


def test_windows_files_are_read(folder):
    read = load_text(folder(en=b"\xef\xbb\xbfone\r\ntwo\r\n\r\n"))
    assert [each.text for each in read.prompts["en"]] == ["one", "two"]


def test_segments_are_contiguous_and_equal(folder):
    lines = [f"{n}\n" for n in range(640)]
    read = load_text(folder(en="".join(lines), de="".join(lines[:500])))
    groups = [each.group for each in read.prompts["en"]]
    assert groups == sorted(groups)
    assert Counter(groups) == {f"segment-{n:02d}": 10 for n in range(64)}
    assert read.group_blocks(8) == read.restrict(["de"]).group_blocks(8)


def test_a_short_file_has_as_many_segments_as_the_shortest_has_texts(folder):
    read = load_text(folder(en="1\n2\n3\n4\n5\n6\n", de="1\n2\n3\n"))
    assert [each.group for each in read.prompts["en"]] == [f"segment-0{n // 2}" for n in range(6)]
    assert [each.group for each in read.prompts["de"]] == ["segment-00", "segment-01", "segment-02"]


def test_files_that_are_not_read_are_named(folder):
    path = folder(en="one\n", README="notes\n")
    assert load_text(path).note.endswith("not read: README.txt")


@pytest.mark.parametrize(
    ("files", "languages", "message"),
    [
        (
            {"en": "one\n"},
            ["en", "sw"],
            r"No text for sw in .*which holds: en\.txt\. Expected .*such as sw\.txt",
        ),
        ({"README": "x"}, None, r"No text for any known language in .*holds: README\.txt"),
        ({}, None, "holds: nothing"),
        ({"en": "one\n", "en_jsonl": "{}"}, None, r"both en\.txt and en\.jsonl"),
        ({"en": "one\n\nzw\xf6lf\n".encode("latin-1")}, None, r"en\.txt, line 3: byte 3 of the line is 0xf6"),
        ({"en": " \n\n"}, None, r"en\.txt has no text: all of its 2 lines are blank"),
        ({"en_jsonl": '{"text": "a"}\n{"text": 1}\n'}, None, r'en\.jsonl, line 2: expected \{"text"'),
        ({"en_jsonl": "text\n"}, None, r"en\.jsonl, line 1 is not JSON"),
        ({"en": "one\n"}, ["../../x"], "Unknown language"),
        ({"en": "one\n"}, [], "No text for any known language"),
    ],
)
def test_refusals(folder, files, languages, message):
    with pytest.raises(DataError, match=message):
        load_text(folder(**files), languages)


def test_a_missing_folder_says_where_it_looked(tmp_path):
    with pytest.raises(DataError, match=rf"No such folder of text: .*nowhere \(looked in {tmp_path}\)"):
        load_text(tmp_path / "nowhere")
