"""`interp checkpoint ...`: make a folder of safetensors of a GGUF file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from interp.console import interruptible, say_files
from interp.errors import CheckpointError, ConfigError, nearest

__all__ = ["checkpoint_app"]

checkpoint_app = typer.Typer(no_args_is_help=True, help="Checkpoints: convert a GGUF file to safetensors.")

_DTYPES = ("float32", "bfloat16", "float16")


@checkpoint_app.command("convert")
def checkpoint_convert(
    source: Annotated[str, typer.Argument(metavar="SRC", help="A .gguf file, or a folder with exactly one.")],
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder to make; it must not exist, or be empty.")
    ],
    dtype: Annotated[
        str, typer.Option(help="Type of the weights: float32 (exact), bfloat16 or float16.")
    ] = "float32",
) -> None:
    """Dequantize a GGUF file into a folder as save_pretrained writes it, to train from or to give to other
    tools.

    Example: `interp checkpoint convert model-Q4_K_M.gguf model`
    """
    from interp.model.checkpoints import resolve_checkpoint

    if dtype not in _DTYPES:
        raise ConfigError(f"No dtype '{dtype}'.{nearest(dtype, _DTYPES)} Choose from: {', '.join(_DTYPES)}.")
    checkpoint = resolve_checkpoint(source)
    if checkpoint.gguf is None or checkpoint.adapter is not None:
        raise CheckpointError(
            f"'{source}' is not a GGUF file, nor a folder with one and nothing else to open."
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is there and not empty. Give a new folder.")
    import torch

    from interp.model.dequantize import convert_gguf

    with interruptible() as progress:
        convert_gguf(checkpoint.gguf, folder, getattr(torch, dtype), progress)
    say_files(sorted(folder.iterdir()))
