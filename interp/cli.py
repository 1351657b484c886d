"""The `interp` command: its subcommands are in `interp.commands`.

Nothing heavy is imported before a command runs, and nothing there cannot be done in a notebook.
"""

from __future__ import annotations

import os
import shlex
import sys
from typing import Annotated, NoReturn

import typer

from interp import __version__
from interp.commands.compare import compare
from interp.commands.data import data_app
from interp.commands.demo import demo
from interp.commands.lm_eval import export_lm_eval, import_lm_eval
from interp.commands.measures import measure_commands
from interp.commands.rescore import rescore
from interp.commands.study import study_app
from interp.commands.train import train_app
from interp.errors import InterpError, Interrupted


def _print_version(requested: bool | None) -> None:
    if requested:
        print(f"interp {__version__}")
        raise typer.Exit


app = typer.Typer(
    name="interp",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="What does post-training do to the way a language model routes languages? Start with: interp demo",
)
app.command()(demo)
for name, command in measure_commands():
    app.command(name)(command)
for command in (compare, rescore, export_lm_eval, import_lm_eval):
    app.command()(command)
app.add_typer(data_app, name="data")
app.add_typer(train_app, name="train")
app.add_typer(study_app, name="study")


@app.callback()
def _options_of_all(
    version: Annotated[
        bool | None,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = None,
) -> None:
    """What can stand before a subcommand; `_print_version` acts on it."""


def main() -> None:
    """Run the command; an error that a user can act on is one line and its exit code."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # ours are the only bars
    try:
        app(prog_name="interp")  # also for python -m interp
    except Interrupted as error:
        _fail(f"{error} Resume with: {_resume_command(sys.argv[1:])}", error.exit_code)
    except InterpError as error:
        _fail(str(error), error.exit_code)


def _resume_command(arguments: list[str]) -> str:
    """The same command, without what would discard the work that is to be resumed."""
    repeated = [a for a in arguments if a != "--fresh"]
    from_file = any(a.startswith("--config") for a in repeated)
    return shlex.join(["interp", *repeated, *(["--no-fresh"] if from_file else [])])


def _fail(message: str, exit_code: int) -> NoReturn:
    from interp.data.characters import visible

    print(f"interp: {visible(message, limit=10_000)}", file=sys.stderr)
    sys.exit(exit_code)


if __name__ == "__main__":
    main()
