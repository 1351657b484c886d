"""Traditional and simplified Chinese characters as one, so that a name is simple in either."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from pathlib import Path

from interp.errors import CapabilityError
from interp.files import write_atomically

__all__ = ["build_characters", "simplified"]

_RESOURCE = "chinese_characters.json"
_ABOUT = "One simplified character for each traditional one, by place; derived from OpenCC (Apache-2.0)."
_BLOCKS = ((0x2E80, 0x2FDF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF))  # of the basic plane
_FROM = ("t2s", "tw2s", "hk2s")  # OpenCC's: traditional, and as written in Taiwan and Hong Kong


def simplified(text: str) -> str:
    """Return a text with each traditional character replaced by its simplified one.

    Character by character, whatever the word, for comparison and not for reading: a converter leaves the
    emperor 乾隆 as he is, and here he becomes 干隆, in a text as in the name that is looked for in it. Words
    that differ by region stay different (紐西蘭 becomes 纽西兰, and New Zealand is 新西兰 on the mainland).
    """
    return text.translate(_table())


@cache
def _table() -> dict[int, int]:
    file = resources.files("interp.data") / "resources" / _RESOURCE
    rows = json.loads(file.read_text(encoding="utf-8"))
    return str.maketrans(rows["traditional"], rows["simplified"])


def build_characters(path: Path) -> Path:
    """Write the table of characters anew from OpenCC's dictionaries.

    Raises:
        CapabilityError: OpenCC is missing.
        WriteError: The file cannot be written.
    """
    try:
        from opencc import OpenCC
    except ImportError as error:
        raise CapabilityError("The table needs OpenCC: pip install 'interp[data]'.") from error
    converters = [OpenCC(name) for name in _FROM]
    simple = {}
    for first, last in _BLOCKS:
        for character in map(chr, range(first, last + 1)):
            others = [converter.convert(character) for converter in converters]
            changed = [
                other for other in others if other != character and len(other) == 1 and ord(other) < 0x10000
            ]
            if changed:
                simple[character] = changed[0]
    for character, other in simple.items():
        while other in simple:  # 麼 is 么, and 么 is 幺
            other = simple[other]
        simple[character] = other
    rows = {
        "about": _ABOUT,
        "traditional": "".join(simple),
        "simplified": "".join(simple.values()),
    }
    text = json.dumps(rows, ensure_ascii=False, indent=1) + "\n"
    write_atomically(path, lambda stream: stream.write(text.encode()))
    return path
