"""Entry point of `python -m staa_cli` and of the console script `staa`."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """The console script; Ctrl-C during its imports prints one word, not a traceback."""
    try:
        from staa_cli.cli.app import main as run
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
