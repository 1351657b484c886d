"""Which tests hold which row of the contract for faults and bad input; every one of them is there."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROWS = {
    "13: facts that are duplicated or contradict themselves": (
        "data/test_check.py::test_each_fault_is_reported_with_its_row",
        "data/test_check.py::test_reading_refuses_what_the_check_reports",
        "data/test_check.py::test_a_file_without_facts_is_no_sound_file",
        "data/test_contradictions.py::test_a_polyfact_row_that_contradicts_itself_or_english",
    ),
    "21: control characters and other payloads": (
        "test_terminal.py::test_whoever_writes_it",
        "test_terminal.py::test_arguments",
        "test_terminal.py::test_a_name_in_a_result",
        "test_terminal.py::test_an_output_name",
        "test_terminal.py::test_a_real_terminal_gets_our_colors_and_no_others",
    ),
    "24: results of another schema, or edited by hand": (
        "results/test_golden.py::test_the_golden_file_of_schema_1_loads",
        "results/test_hostile_files.py::test_a_schema_is_a_number_that_we_know",
        "results/test_hostile_files.py::test_languages_are_those_of_the_settings_in_their_order",
        "results/test_base.py::test_unknown_keys_of_a_later_minor_version_do_not_hurt",
    ),
    "27: a saved result with any bytes": (
        "results/test_hostile_files.py::test_every_plain_field_has_its_type",
        "results/test_hostile_files.py::test_shapes_and_types_are_the_declared_ones",
        "results/test_hostile_files.py::test_surplus_arrays_are_refused",
        "results/test_hostile_files.py::test_nothing_is_inflated_before_it_is_checked",
        "results/test_hostile_files.py::test_numbers_that_none_can_be",
        "results/test_hostile_files.py::test_values_that_contradict_each_other",
        "faults/test_mutated_results.py::test_no_damaged_result_ends_in_a_traceback",
        "faults/test_mutated_results.py::test_damaged_bytes_never_give_another_value",
    ),
    "29: odd numbers in any flag or key": (
        "commands/test_numeric_flags.py::test_odd_numbers_are_refused_in_one_line_or_within_what_help_states",
        "commands/test_numeric_flags.py::test_settings_made_in_python_are_as_strict",
        "test_config.py::test_a_key_in_two_spellings_is_refused",
    ),
}
"""Row of the contract to the tests that hold it."""


@pytest.mark.parametrize(("row", "tests"), ROWS.items(), ids=ROWS)
def test_every_row_has_its_tests(row, tests):
    for test in tests:
        file, _, name = test.partition("::")
        tree = ast.parse((Path(__file__).parent / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, test
