"""Tables in the terminal: what a study found, readable without opening a file."""

from figures.terminal.behavior import print_behavior
from figures.terminal.changes import print_changes
from figures.terminal.diagnostics import print_diagnostics
from figures.terminal.family import print_family
from figures.terminal.specialization import print_comparison, print_study

__all__ = [
    "print_behavior",
    "print_changes",
    "print_comparison",
    "print_diagnostics",
    "print_family",
    "print_study",
]
