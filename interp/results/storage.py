"""Our own archives: arrays and a JSON description in one .npz, without pickle.

A file is read as if it were hostile. Its description comes first, then what each array says of itself; only
when both are as expected is an array inflated, and never more than the memory there is.
"""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from interp.characters import visible
from interp.errors import ResultError
from interp.files import write_atomically

__all__ = ["Archive", "Header", "open_archive", "read_archive", "write_archive"]

_META = "meta"
_RATIO = 500  # inflated to stored bytes, of what is large
_LARGE = 2**26  # bytes
_MOST_META = 2**30  # bytes
_CHUNK = 2**24  # bytes
_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_DO = "Take an undamaged copy, or measure again."


@dataclass(frozen=True)
class Header:
    """What an array says of itself.

    Attributes:
        shape: Length of every axis.
        dtype: Of its elements.
        fortran: Whether the first axis varies fastest.
        offset: Where its elements begin.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    offset: int

    @property
    def nbytes(self) -> int:
        """Of its elements."""
        size = self.dtype.itemsize
        for length in self.shape:
            size *= length
        return size


@dataclass(frozen=True)
class Archive:
    """An open archive of which nothing but the description is inflated.

    Attributes:
        path: Of the file.
        meta: The description.
        headers: Of every array, by name.
    """

    path: Path
    meta: dict[str, Any]
    headers: dict[str, Header]
    _zip: zipfile.ZipFile = field(repr=False)

    def read(self) -> dict[str, np.ndarray]:
        """Inflate all arrays.

        Raises:
            ResultError: They are larger than memory, compressed beyond what numbers can be, or damaged.
        """
        self._require_memory()
        return {name: self._array(name, header) for name, header in self.headers.items()}

    def _require_memory(self) -> None:
        needed = sum(header.nbytes for header in self.headers.values())
        there = _available()
        if needed > there:
            raise ResultError(
                f"{self.path} holds arrays of {needed / 1e9:.1f} GB, and {there / 1e9:.1f} GB of memory are "
                "available. Read it on a larger machine, or take an undamaged copy."
            )
        stored = sum(info.compress_size for info in self._zip.infolist())
        _require_ratio(self.path, "arrays", needed, stored)

    def _array(self, name: str, header: Header) -> np.ndarray:
        with _reading(self.path), self._zip.open(f"{name}.npy") as stream:
            stream.read(header.offset)
            content = bytearray(header.nbytes)
            done = 0
            while part := stream.read(min(_CHUNK, len(content) - done)):
                content[done : done + len(part)] = part
                done += len(part)
            if done < len(content) or stream.read(1):  # the checksum is compared at the end
                raise ValueError("cut short")
            flat = np.frombuffer(content, dtype=header.dtype)
            return flat.reshape(header.shape, order="F" if header.fortran else "C")


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
    """Read all that `write_archive` wrote, whatever it is of.

    Raises:
        ResultError: The file is missing, damaged or not ours.
    """
    with open_archive(path) as archive:
        return archive.meta, archive.read()


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open what `write_archive` wrote.

    Raises:
        ResultError: The file is missing, damaged or not ours.
    """
    with _opened(path) as whole:
        with _reading(path):
            names = [info.filename.removesuffix(".npy") for info in whole.infolist()]
            if len(set(names)) < len(names):
                raise ValueError("two parts of one name")
            if _META not in names:
                raise ValueError("no description")
            headers = {name: _header(whole, name) for name in names}
        meta = _description(path, whole, headers.pop(_META))
        yield Archive(path, meta, headers, whole)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    stream: IO[bytes] | None = None
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        raise ResultError(f"No result at {path.absolute()}.") from None
    except (OSError, ValueError) as error:  # a name with a zero is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise ResultError(f"{path} cannot be read: {reason}.") from None
    with stream:
        with _reading(path):
            whole = zipfile.ZipFile(stream)
        yield whole


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Whatever a damaged file makes zipfile, numpy or json raise is one line; numpy warns of some."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield
    except ResultError:
        raise
    except Exception as error:
        reason = str(error) or type(error).__name__
        reason = type(error).__name__ if " at 0x" in reason else visible(reason, 120).rstrip(".")
        raise ResultError(f"{path} is not a result of interp, or is damaged ({reason}). {_DO}") from None


def _header(whole: zipfile.ZipFile, name: str) -> Header:
    info = whole.getinfo(f"{name}.npy")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"'{name}' is compressed in a way that is not ours")
    with whole.open(info) as stream:
        read = _READERS.get(np.lib.format.read_magic(stream))
        if read is None:
            raise ValueError(f"'{name}' has another array format")
        shape, fortran, dtype = read(stream)
        header = Header(shape, dtype, fortran, stream.tell())
    if dtype.kind not in "biuf" or not dtype.isnative:
        raise ValueError(f"'{name}' has type {dtype}")
    if any(type(length) is not int or length < 0 for length in shape):
        raise ValueError(f"'{name}' has shape {shape}")
    if header.offset + header.nbytes != info.file_size:
        raise ValueError(f"'{name}' is not as large as it says")
    return header


def _description(path: Path, whole: zipfile.ZipFile, header: Header) -> dict[str, Any]:
    if header.dtype != np.uint8 or len(header.shape) != 1:
        raise ResultError(f"{path} is not a result of interp: its description is no text. {_DO}")
    _require_ratio(path, "a description", header.nbytes, whole.getinfo(f"{_META}.npy").compress_size)
    if header.nbytes > min(_MOST_META, _available()):
        raise ResultError(f"{path} has a description of {header.nbytes / 1e9:.1f} GB. {_DO}")
    text = Archive(path, {}, {}, whole)._array(_META, header).tobytes()
    with _reading(path):
        meta = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
        if b"\\ud" in text or b"\\uD" in text:
            json.dumps(meta, ensure_ascii=False).encode("utf-8")  # refuses half a character
    if not isinstance(meta, dict):
        raise ResultError(f"{path} is not a result of interp: its description is no table. {_DO}")
    return meta


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key '{visible(twice, 40)}' stands twice")
    return made


def _require_ratio(path: Path, what: str, inflated: int, stored: int) -> None:
    if inflated > max(_LARGE, _RATIO * stored):
        raise ResultError(
            f"{path} holds {what} of {inflated / 1e6:.0f} MB in {stored / 1e6:.1f} MB, which no measurement "
            f"compresses to. {_DO}"
        )


def _available() -> int:
    """Bytes of memory that can be used now; where the system does not say, more than any file."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):
        return 2**62
