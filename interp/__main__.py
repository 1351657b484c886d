"""The `interp` command, also as `python -m interp`."""

from __future__ import annotations

import sys

from interp.characters import visible
from interp.errors import ConfigError
from interp.interruption import end_at_once, finish_quietly, resume_command
from interp.shadowing import require_own_packages

__all__ = ["main"]


def main() -> None:
    """Run the command, unless a folder of the user's hides one of our packages."""
    end_at_once(lambda: f"interp: Stopped. Resume with: {resume_command(sys.argv[1:])}")
    code: object = 1
    try:
        require_own_packages()
        from interp.cli import main as run

        run()
        code = 0
    except ConfigError as error:
        print(f"interp: {visible(error, None)}", file=sys.stderr)
        sys.exit(code := error.exit_code)
    except SystemExit as end:
        code = end.code
        raise
    finally:
        finish_quietly(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    main()
