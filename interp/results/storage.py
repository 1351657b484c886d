"""Our own archives: arrays and a JSON description in one .npz, without pickle."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from interp.errors import ResultError
from interp.files import write_atomically

__all__ = ["read_archive", "write_archive"]


def write_archive(
    path: Path, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray], *, compress: bool = True
) -> None:
    """Write arrays and a JSON description as one .npz; compress final files, not states of a run."""
    text = np.frombuffer(json.dumps(meta, ensure_ascii=False, sort_keys=True).encode(), dtype=np.uint8)
    savez = np.savez_compressed if compress else np.savez
    write_atomically(
        path,
        lambda stream: savez(stream, allow_pickle=False, meta=text, **arrays),
        expected_bytes=sum(a.nbytes for a in arrays.values()),
    )


def read_archive(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read what `write_archive` wrote.

    Raises:
        ResultError: The file is missing, damaged or not ours.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        meta = json.loads(arrays.pop("meta").tobytes())
    except FileNotFoundError:
        raise ResultError(f"No result at {path.absolute()}.") from None
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        raise ResultError(
            f"{path} is not a result of interp, or is damaged ({type(error).__name__})."
        ) from None
    return meta, arrays
