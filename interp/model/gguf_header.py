"""What the header of a GGUF file says, every count and size checked against the file before anything is
read by it.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import mmap
import re
import struct
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

from interp.characters import visible
from interp.errors import CapabilityError, CheckpointError

__all__ = ["GgufHeader", "read_gguf_header"]

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MOST_DIMENSIONS = 4
_MOST_ENTRIES = 2**22  # tensors, or keys


@dataclass(frozen=True)
class GgufHeader:
    """The parts of a header that decide whether a file can be read.

    Attributes:
        quantization: Such as ``Q4_K_M``, as llama.cpp names its mixtures.
        architecture: As llama.cpp names it.
        n_elements: Numbers in all tensors together.
        n_layers: One more than the largest layer that a tensor is of.
    """

    quantization: str
    architecture: str
    n_elements: int
    n_layers: int


def read_gguf_header(file: Path) -> GgufHeader:
    """Read the header of a GGUF file.

    Raises:
        CheckpointError: It is not such a file, truncated, or a size in it is more than there is.
        CapabilityError: The package ``gguf`` is not installed.
    """
    stat = file.stat()
    return _header(file, stat.st_size, stat.st_mtime_ns)


@cache
def _header(file: Path, size: int, changed: int) -> GgufHeader:
    constants = _constants()
    with file.open("rb") as stream:
        if stream.read(4) != b"GGUF":
            raise CheckpointError(f"{file} does not begin with 'GGUF', so it is not a GGUF file.")
        try:
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return _parsed(_Reader(content), constants)
        except (ValueError, KeyError, struct.error, OverflowError) as error:
            reason = visible(error.args[0] if error.args else type(error).__name__)
            raise CheckpointError(
                f"{file}: its header and its {size} bytes do not agree ({reason}); the file is "
                f"damaged; copy or "
                "download it again."
            ) from None


def _constants() -> Any:
    try:
        from gguf import constants
    except ImportError:
        raise CapabilityError("A GGUF file needs the package gguf: pip install 'interp[gguf]'.") from None
    return constants


class _Reader:
    """Values one after the other; struct.error where the file ends."""

    def __init__(self, content: mmap.mmap):
        self.content = content
        self.at = 4

    def number(self, form: str) -> Any:
        value = struct.unpack_from(f"<{form}", self.content, self.at)[0]
        self.at += struct.calcsize(form)
        return value

    def skip(self, n_bytes: int) -> None:
        self.at += n_bytes
        if self.at > len(self.content):
            raise ValueError(f"it needs {self.at} bytes")

    def text(self) -> str:
        length, start = self.number("Q"), self.at
        self.skip(length)
        return self.content[start : self.at].decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        """A scalar or a string; an array is passed over."""
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind == _STRING:
            return self.text()
        if kind != _ARRAY:
            raise ValueError(f"a value of type {kind}")
        item, count = self.number("I"), self.number("Q")
        if item in _SCALARS:
            self.skip(count * struct.calcsize(_SCALARS[item]))
        elif item == _STRING and count <= len(self.content) // 8:
            for _ in range(count):
                self.skip(self.number("Q"))
        else:
            raise ValueError(f"{count} values of type {item}")
        return None


def _parsed(reader: _Reader, constants: Any) -> GgufHeader:
    if (version := reader.number("I")) not in (2, 3):
        raise ValueError(f"version {version}")
    n_tensors, n_keys = reader.number("Q"), reader.number("Q")
    if not 0 < n_tensors <= _MOST_ENTRIES or n_keys > _MOST_ENTRIES:
        raise ValueError(f"{n_tensors} tensors, {n_keys} keys")
    keys: dict[str, Any] = {}
    for _ in range(n_keys):
        name = reader.text()
        if name in keys:
            raise ValueError(f"'{name}' twice")
        keys[name] = reader.value(reader.number("I"))
    tensors = dict(_tensor(reader, constants) for _ in range(n_tensors))
    if len(tensors) < n_tensors:
        raise ValueError("two tensors of one name")
    _require_data(reader, keys, tensors.values())
    layers = [int(found[1]) for name in tensors if (found := re.match(r"blk\.(\d{1,9})\.", name))]
    return GgufHeader(
        quantization=_quantization(
            keys.get("general.file_type"), [t[0] for t in tensors.values()], constants
        ),
        architecture=str(keys.get("general.architecture")),
        n_elements=sum(n for _, n, _, _ in tensors.values()),
        n_layers=max(layers, default=-1) + 1,
    )


def _tensor(reader: _Reader, constants: Any) -> tuple[str, tuple[str, int, int, int]]:
    """Name, and type, numbers, bytes and offset of a tensor."""
    name, n_dimensions = reader.text(), reader.number("I")
    if not 0 < n_dimensions <= _MOST_DIMENSIONS:
        raise ValueError(f"'{name}' of {n_dimensions} dimensions")
    sizes = [reader.number("Q") for _ in range(n_dimensions)]
    kind, offset = constants.GGMLQuantizationType(reader.number("I")), reader.number("Q")
    per_block, block_bytes = constants.GGML_QUANT_SIZES[kind]
    if not all(sizes) or sizes[0] % per_block:
        raise ValueError(f"'{name}' of {sizes} as {kind.name}")
    return name, (kind.name, prod(sizes), prod(sizes) // per_block * block_bytes, offset)


def _require_data(reader: _Reader, keys: dict[str, Any], tensors: Any) -> None:
    """Every tensor lies in the file, and no two share bytes, so that a small file stays small."""
    step = keys.get("general.alignment", 32)
    if type(step) is not int or step <= 0 or step & (step - 1):
        raise ValueError(f"alignment {step}")
    end = -(-reader.at // step) * step
    start = end
    for offset, n_bytes in sorted((offset, n_bytes) for _, _, n_bytes, offset in tensors):
        if start + offset < end:
            raise ValueError("tensors that share bytes")
        end = start + offset + n_bytes
    if end > len(reader.content):
        raise ValueError(f"its tensors need {end} bytes")


def _quantization(declared: Any, kinds: list[str], constants: Any) -> str:
    """The mixture that the file declares; else the type of most of its matrices."""
    names = {int(kind): kind.name for kind in constants.LlamaFileType}
    if type(declared) is int and declared in names and declared != constants.LlamaFileType.GUESSED:
        return names[declared].removeprefix("MOSTLY_").removeprefix("ALL_")
    return max(sorted(set(kinds)), key=lambda kind: (kind not in ("F32", "F16"), kinds.count(kind)))
