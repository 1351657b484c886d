"""Rows by the `datasets` library, of the hub or a saved data set. Code of others never runs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from interp.characters import visible
from interp.data.sources.rows import Configs, Row, split_named
from interp.errors import CapabilityError, DataError

__all__ = ["hub_configs", "saved_rows"]

_AT_ONCE = 1000


def hub_configs(source: str) -> Configs:
    """Return the configurations of a data set, each downloaded when it is read.

    Args:
        source: ``owner/name`` or ``owner/name@revision``.

    Raises:
        DataError: It cannot be reached, or reading it would run its authors' code.
        CapabilityError: `datasets` is missing.
    """
    name, _, revision = source.partition("@")
    try:
        configs = _datasets().get_dataset_config_names(name, revision=revision or None)
    except CapabilityError:
        raise
    except Exception as error:  # the library, its clients and the network raise many unrelated types
        raise _unreachable(source, error) from error
    return {"" if config == "default" else config: partial(_rows, source, config) for config in configs}


def saved_rows(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a data set that `datasets` saved in a folder.

    Raises:
        DataError: The folder is damaged.
        CapabilityError: `datasets` is missing.
    """
    library = _datasets()
    try:
        yield from _unpacked(library.load_from_disk(str(folder)))
    except Exception as error:
        raise DataError(f"{visible(folder)} cannot be read by datasets: {visible(error)}") from error


def _rows(source: str, config: str) -> Iterator[Row]:
    name, _, revision = source.partition("@")
    try:
        splits = _datasets().load_dataset(name, config, revision=revision or None)
    except Exception as error:
        raise _unreachable(source, error) from error
    shown = "" if config == "default" else config
    for split, rows in splits.items():
        for number, values in enumerate(_unpacked(rows), start=1):
            yield Row(shown, split_named(str(split)), number, values)


def _unpacked(rows: Any) -> Iterator[dict[str, Any]]:
    """Yield rows of a table, a thousand in memory at once."""
    for start in range(0, len(rows), _AT_ONCE):
        columns = rows[start : start + _AT_ONCE]
        for values in zip(*columns.values(), strict=True):
            yield dict(zip(columns, values, strict=True))


def _unreachable(source: str, error: Exception) -> DataError:
    return DataError(
        f"'{visible(source)}' is no folder here, and datasets cannot open it: {type(error).__name__}: "
        f"{visible(error)} Check the name and the network, or give a folder that holds its files."
    )


def _datasets() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise CapabilityError(
            "Rows of the hub and saved data sets need datasets: pip install 'interp[train]'."
        ) from error
    return datasets
