"""The numbers of a run on disk: a line per event in ``metrics.jsonl``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from interp.files import write_atomically

__all__ = ["MetricsFile"]


class MetricsFile:
    """One JSON object per line, with its step; a resumed run removes the lines after its saved state."""

    def __init__(self, file: Path):
        self.file = file

    def add(self, record: dict[str, Any]) -> None:
        """Append a record; numbers that are not finite become null, as JSON has none."""
        clean = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(clean, ensure_ascii=False) + "\n")

    def records(self) -> list[dict[str, Any]]:
        """Return all records; a last line that a killed run left incomplete is skipped."""
        if not self.file.exists():
            return []
        records = []
        for line in self.file.read_text(encoding="utf-8").splitlines():
            try:
                records.append(json.loads(line))
            except ValueError:
                continue
        return records

    def truncate(self, step: int) -> None:
        """Remove the records after a step."""
        lines = [
            json.dumps(record, ensure_ascii=False) + "\n"
            for record in self.records()
            if record["step"] <= step
        ]
        if self.file.exists():
            write_atomically(self.file, lambda stream: stream.write("".join(lines).encode()))
