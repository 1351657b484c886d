"""Tables in the terminal that are not yet part of a measure."""

from figures.terminal.family import print_family

__all__ = ["print_family"]
