"""The `interp` command: its subcommands are in `interp.commands`.

Nothing heavy is imported before a command runs, and nothing there cannot be done in a notebook.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer import TyperException

from interp import __version__
from interp.characters import visible
from interp.commands.checkpoint import checkpoint_app
from interp.commands.compare import compare
from interp.commands.data import data_app
from interp.commands.demo import demo
from interp.commands.lm_eval import export_lm_eval, import_lm_eval
from interp.commands.measures import measure_commands
from interp.commands.rescore import rescore
from interp.commands.study import study_app
from interp.commands.train import train_app
from interp.console import visible_streams
from interp.errors import DataError, InterpError, Interrupted
from interp.files import disk_failure, refusal
from interp.interruption import resume_command

_QUIET = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "DATASETS_VERBOSITY": "error",
}
"""What other libraries are asked to keep to themselves: bars and reports are ours."""


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
app.add_typer(checkpoint_app, name="checkpoint")
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
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    with visible_streams():
        try:
            try:
                code = app(prog_name="interp", standalone_mode=False)  # prog_name: also for python -m interp
            finally:
                sys.stdout.flush()
            sys.exit(code if isinstance(code, int) else 0)
        except Interrupted as error:
            _fail(f"{error} Resume with: {resume_command(sys.argv[1:])}", error.exit_code)
        except typer.Abort:
            _fail(f"Stopped. Resume with: {resume_command(sys.argv[1:])}", Interrupted.exit_code)
        except InterpError as error:
            _fail(str(error), error.exit_code, lists=isinstance(error, DataError))
        except TyperException as error:
            _fail(_usage(error), 2)
        except BrokenPipeError:  # whoever read the output has had enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.exit(1)
        except Exception as error:
            _explain(error)
            raise


def _explain(error: Exception) -> None:
    """Fail in one line where the system refused; return where the error is our own."""
    if (failure := disk_failure(error)) is not None:
        refused = refusal(Path(failure.filename or "The output"), failure)
        _fail(str(refused), refused.exit_code)
    if isinstance(error, OSError) and error.strerror:
        _fail(f"{error.filename or 'The system'}: {error.strerror}.", 2)


def _usage(error: TyperException) -> str:
    """What is wrong with the arguments, in one line, and whose help to read."""
    said: Any = error
    context, message = getattr(said, "ctx", None), " ".join(said.format_message().split())
    command = context.command_path if context else "interp"
    if not message:  # no subcommand: its help is shown
        sys.exit(2)
    return f"{message.rstrip('.')}. See: {command} --help"


def _fail(message: str, exit_code: int, *, lists: bool = False) -> NoReturn:
    """One line, or one for each violation of facts that are listed."""
    lines = [visible(line, limit=10_000) for line in (message.split("\n") if lists else [message])]
    print("interp: " + "\n".join(lines), file=sys.stderr)
    sys.exit(exit_code)


if __name__ == "__main__":
    main()
