"""Tables of a run on disk: answers of an evaluation, rollouts of a step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from interp.files import write_atomically

__all__ = ["write_table"]


def write_table(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows as Parquet, whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist(list(rows))
    write_atomically(file, lambda stream: pq.write_table(table, stream))
