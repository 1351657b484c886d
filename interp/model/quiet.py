"""Other libraries' reports are kept off the screen; what matters in them is said in our words."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from transformers.utils import logging

from interp.characters import visible

__all__ = ["first_line", "quiet_transformers"]


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without transformers' progress bars, load reports and warnings of renamed arguments."""
    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()


def first_line(error: Exception) -> str:
    """The first line of an error's text that says something."""
    lines = (line.strip() for line in str(error).splitlines())
    return visible(next((line for line in lines if line), type(error).__name__), limit=300)
