"""Damaged and hostile versions of a saved result: flipped bits, edited descriptions, other arrays."""

from __future__ import annotations

import copy
import io
import json
import random
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

__all__ = ["KINDS", "mutated"]

_VALUES: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 3, 1.5, 10**30, 10**400, float("nan"), float("inf"), "", "x", "en",
    "\x1b[31mred", "\u202eabc", "a\u200bb", "\n", "\ud800", "x" * 20_000, [], [[]], {}, {"a": 1},
    [1, "a", None], ["en"], [[["x"]]],
)  # fmt: skip
_DTYPES = (
    "bool",
    "int8",
    "int16",
    "int64",
    "uint8",
    "float16",
    "float32",
    "float64",
    "complex64",
    "S3",
    "U2",
    ">f8",
    ">i4",
)

Parts = dict[str, bytes]


def _parts(content: bytes) -> Parts:
    with zipfile.ZipFile(io.BytesIO(content)) as whole:
        return {name: whole.read(name) for name in whole.namelist()}


def _packed(parts: Parts) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as whole:
        for name, content in parts.items():
            whole.writestr(name, content)
    return stream.getvalue()


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=True)
    return stream.getvalue()


def _array(content: bytes) -> np.ndarray:
    return np.load(io.BytesIO(content), allow_pickle=False)


# bytes


def flip_bit(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))]


def overwrite(content: bytes, rng: random.Random) -> bytes:
    start, length = rng.randrange(len(content)), rng.choice((1, 8, 64, 512))
    filling = rng.choice((b"\0" * length, b"\xff" * length, rng.randbytes(length)))
    return content[:start] + filling + content[start + length :]


def insert(content: bytes, rng: random.Random) -> bytes:
    at = rng.choice((0, len(content), rng.randrange(len(content))))
    return content[:at] + rng.randbytes(rng.choice((1, 30, 400))) + content[at:]


def flip_within(content: bytes, rng: random.Random) -> bytes:
    """A bit of a part, packed anew: no checksum tells."""
    parts = _parts(content)
    name = rng.choice(sorted(parts))
    return _packed({**parts, name: flip_bit(parts[name], rng)})


# the description


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from _paths(each, (*path, key))


def edit_description(content: bytes, rng: random.Random) -> bytes:
    parts = _parts(content)
    meta = json.loads(_array(parts["meta.npy"]).tobytes())
    by_depth: dict[int, list[tuple[Any, ...]]] = {}
    for path in _paths(meta):
        by_depth.setdefault(len(path), []).append(path)
    depth = rng.choice([d for d in sorted(by_depth) if d])
    *before, last = rng.choice(by_depth[depth])
    holder = meta
    for key in before:
        holder = holder[key]
    act = rng.choice(
        ("replace", "replace", "replace", "delete", "shuffle", "repeat", "rename", "deepen", "twice")
    )
    text = None
    if act == "replace":
        holder[last] = copy.deepcopy(rng.choice(_VALUES))
    elif act == "delete":
        del holder[last]
    elif act == "shuffle" and isinstance(holder, list):
        rng.shuffle(holder)
    elif act == "repeat" and isinstance(holder, list):
        holder.append(holder[last])
    elif act == "rename" and isinstance(holder, dict):
        holder[rng.choice(("x", "Languages", "", "\x1b[0m", "schema "))] = holder.pop(last)
    elif act == "twice" and isinstance(holder, dict):
        text = json.dumps(meta)[:-1] + f', "{rng.choice(sorted(meta))}": {json.dumps(rng.choice(_VALUES))}}}'
    else:
        for _ in range(rng.choice((1, 9, 300))):
            holder[last] = [holder[last]]
    encoded = (text or json.dumps(meta)).encode("utf-8", "surrogatepass")
    if rng.random() < 0.05:
        encoded = encoded.replace(b'"', b'"\xff\xfe', 1)
    return _packed({**parts, "meta.npy": _npy(np.frombuffer(encoded, dtype=np.uint8))})


# arrays


def _poked(array: np.ndarray, rng: random.Random) -> np.ndarray:
    changed = array.copy()
    value = rng.choice((0, -1, 1, 2, 127, 1e6, float("nan"), float("inf"), -float("inf"), 1e300))
    where = rng.choice(("one", "row", "all"))
    with np.errstate(all="ignore"):
        filled = np.array(value).astype(changed.dtype)
    if not changed.size:
        return changed
    if where == "one":
        changed.flat[rng.randrange(changed.size)] = filled
    elif where == "row" and changed.ndim:
        changed[rng.randrange(len(changed))] = filled
    else:
        changed[...] = filled
    return changed


def _reshaped(array: np.ndarray, rng: random.Random) -> np.ndarray:
    if not array.ndim:
        return array.reshape(1)
    axis = rng.randrange(array.ndim)
    return rng.choice(
        (
            array.T,
            array.ravel(),
            array[None],
            np.repeat(array, 2, axis=axis),
            np.delete(array, 0, axis=axis),
            np.take(array, [], axis=axis),
            np.roll(array, 1, axis=axis),
            array.reshape(1, -1),
        )
    )  # fmt: skip


def edit_array(content: bytes, rng: random.Random) -> bytes:
    parts = _parts(content)
    name = rng.choice(sorted(set(parts) - {"meta.npy"}))
    array = _array(parts[name])
    act = rng.choice(("poke", "poke", "poke", "shape", "shape", "type", "drop", "surplus", "swap"))
    with np.errstate(all="ignore"):
        if act == "poke":
            array = _poked(array, rng)
        elif act == "shape":
            array = _reshaped(array, rng)
        elif act == "type":
            array = array.astype(rng.choice(_DTYPES))
    if act == "drop":
        del parts[name]
        return _packed(parts)
    if act == "surplus":
        name = rng.choice(("extra.npy", "languages.npy", "../x.npy", "x", "\x1b[31m.npy"))
    if act == "swap":
        array = _array(parts[rng.choice(sorted(set(parts) - {"meta.npy"}))])
    return _packed({**parts, name: _npy(array)})


def edit_archive(content: bytes, rng: random.Random) -> bytes:
    """What archive and arrays say of themselves: doubled names, sizes beyond memory, objects."""
    parts = _parts(content)
    name = rng.choice(sorted(parts))
    act = rng.choice(("double", "shape", "object", "foreign", "bomb", "header"))
    if act == "double":
        return _doubled(parts, name)
    if act == "shape":
        shape = rng.choice(((10**12,), (2**62, 2**62), (-1,), (0,), (10**6, 10**6), (True,)))
        header = io.BytesIO()
        described = {"descr": rng.choice(("<f8", "|u1", "<i8")), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(header, described)
        return _packed({**parts, name: header.getvalue() + b"\0" * 16})
    if act == "object":
        return _packed({**parts, name: _npy(np.array([{}, ()], dtype=object))})
    if act == "foreign":
        return _packed(
            {
                **parts,
                name: rng.choice(
                    (b"", b"PK\x03\x04", b"\x93NUMPY", b"\x93NUMPY\x09\x00", rng.randbytes(300))
                ),
            }
        )
    if act == "bomb":
        return _packed({**parts, name: _npy(np.zeros(10**8, dtype=np.uint8))})
    text = rng.choice((b"{" * 5000, b"{'descr': '<f8'}", b"[]", b"\xff" * 40, b"1" * 9000))
    return _packed({**parts, name: b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text})


def _doubled(parts: Parts, name: str) -> bytes:
    import warnings

    stream = io.BytesIO(_packed(parts))
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "a") as whole:
        warnings.simplefilter("ignore")
        whole.writestr(name, parts[name])
    return stream.getvalue()


KINDS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "flip a bit": flip_bit,
    "cut": cut,
    "overwrite": overwrite,
    "insert": insert,
    "flip a bit within": flip_within,
    "edit the description": edit_description,
    "edit an array": edit_array,
    "edit the archive": edit_archive,
}
"""Name of a way to damage a file to the function that does it."""


def mutated(content: bytes, seed: int) -> tuple[str, bytes]:
    """A damaged version of a file, and the way in which it was damaged; the same for the same seed."""
    rng = random.Random(seed)
    kind = rng.choice([*list(KINDS), "edit the description", "edit an array"])
    return kind, KINDS[kind](content, rng)
