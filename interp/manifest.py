"""A folder that proves itself: sizes and SHA-256 of all its files, written last."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from interp.errors import CheckpointError
from interp.files import file_digest, sync_folder, write_atomically

__all__ = ["COMPLETE", "damage", "require_sizes", "seal"]

COMPLETE = "complete.json"
"""A saved folder counts only when it holds this file, which is written last."""


_EDITED = (".md", "config.json", "card.json")


def seal(folder: Path, **more: Any) -> None:
    """Bring all files of a folder to the disk, then write what they are, and ``more``, into its manifest."""
    sync_folder(folder)
    files = _files(folder)
    with ThreadPoolExecutor(max_workers=4) as pool:
        digests = list(pool.map(file_digest, files))
    table = {
        file.relative_to(folder).as_posix(): {"bytes": file.stat().st_size, "sha256": digest}
        for file, digest in zip(files, digests, strict=True)
    }
    content = json.dumps({**more, "files": table}, indent=1) + "\n"
    write_atomically(folder / COMPLETE, lambda stream: stream.write(content.encode()))
    sync_folder(folder)


def damage(folder: Path, *, contents: bool = True) -> str:
    """What is not as it was written, the first such file; empty if all is.

    Args:
        folder: With a manifest.
        contents: Also compare SHA-256. Without, compare sizes alone, and not of what people edit: cards, and
            configurations, which say where an adapter's base is.
    """
    try:
        table = json.loads((folder / COMPLETE).read_bytes())["files"]
        written = {str(name): (int(row["bytes"]), str(row["sha256"])) for name, row in table.items()}
    except OSError:
        return f"{COMPLETE} is missing"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{COMPLETE} does not list its files"
    for name, (size, digest) in sorted(written.items(), key=lambda row: row[1][0]):
        file = folder / name
        if not file.is_file():
            return f"{name} is missing"
        if not contents and file.name.endswith(_EDITED):
            continue
        if file.stat().st_size != size:
            return f"{name} has {file.stat().st_size} bytes, {size} were written"
        if contents and file_digest(file) != digest:
            return f"{name} has other content than was written"
    return ""


def require_sizes(folder: Path) -> None:
    """Refuse a folder with a manifest whose files have other sizes; one without is not ours.

    Raises:
        CheckpointError: Names the first file that differs.
    """
    if (folder / COMPLETE).is_file() and (reason := damage(folder, contents=False)):
        raise CheckpointError(
            f"{folder.absolute()} is not as it was written: {reason}. Copy it again, or delete its "
            f"{COMPLETE} if you changed it on purpose."
        )


def _files(folder: Path) -> list[Path]:
    return sorted(
        file
        for file in folder.rglob("*")
        if file.is_file() and file.name != COMPLETE and not file.name.endswith(".tmp")
    )
