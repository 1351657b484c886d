"""`interp data check`: it ends with 2 for whatever a command would refuse."""

import sys

import pytest

from interp import cli
from tests.support.benchmark_files import flat_row, write_klar, write_lines


@pytest.fixture
def check(monkeypatch, capsys):
    def call(source):
        monkeypatch.setattr(sys, "argv", ["interp", "data", "check", str(source)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        out = capsys.readouterr()
        return code, out.out + out.err

    return call


def test_a_file(check, row, jsonl):
    assert check(jsonl(row))[0] == 0
    row["wording"]["en"]["options"] = ["Paris", "paris"]
    code, out = check(jsonl(row))
    assert code == 2
    assert "row 1 (f1): wording.en.options[0] and [1] are 'Paris' and 'paris'" in out


def test_an_empty_file(check, tmp_path):
    (tmp_path / "f.jsonl").write_text("\n")
    assert check(tmp_path / "f.jsonl") == (
        2,
        f"{tmp_path}/f.jsonl: 0 rows, 0 without fault, languages none; 1 violations in 0 rows\n"
        "  the file has no facts\n",
    )


def test_a_benchmark(check, tmp_path):
    code, out = check(f"klar:{write_klar(tmp_path / 'klar')}")
    assert code == 0
    assert "FactSet 'klar': 6 facts in 2 languages" in out
    assert "note       template 0; a fact has only its right answer as option" in out
    write_lines(tmp_path / "p" / "en" / "test.jsonl", [flat_row(1, "en") | {"option_a": "x"}])
    code, out = check(f"polyfact:{tmp_path / 'p'}")
    assert code == 2
    assert "en test row 1: " in out
    assert check("klar:none")[0] == 2
