"""The configurations of outside data, in a folder or file of this machine or on the hub."""

from __future__ import annotations

import os
import re
from pathlib import Path

from interp.characters import visible
from interp.data.sources.folders import folder_configs
from interp.data.sources.hub import hub_configs
from interp.data.sources.rows import Configs
from interp.errors import DataError

__all__ = ["open_configs"]

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")


def open_configs(source: str) -> Configs:
    """Return the configurations of a folder or a file on this machine, or of a data set on the hub.

    Raises:
        DataError: There is neither, or it has no rows that we can read.
        CapabilityError: `datasets` or pyarrow is needed and missing.
    """
    if source and os.path.exists(source):
        return folder_configs(Path(source))
    if _HUB_ID.fullmatch(source) and not source.startswith("."):
        return hub_configs(source)
    raise DataError(
        f"No folder of rows at {visible(Path(source).absolute())}, and '{visible(source)}' is no hub id "
        "(owner/name or owner/name@revision)."
    )
