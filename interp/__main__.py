"""The `interp` command, also as `python -m interp`."""

from __future__ import annotations

import sys

from interp.characters import visible
from interp.errors import ConfigError
from interp.shadowing import require_own_packages

__all__ = ["main"]


def main() -> None:
    """Run the command, unless a folder of the user's hides one of our packages."""
    try:
        require_own_packages()
    except ConfigError as error:
        print(f"interp: {visible(error, None)}", file=sys.stderr)
        sys.exit(error.exit_code)
    from interp.cli import main as run

    run()


if __name__ == "__main__":
    main()
