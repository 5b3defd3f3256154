"""`python -m staa_cli` is `staa`, and this is where both begin."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """The console script; whoever stops it while it is still being imported hears one word."""
    try:
        from staa_cli.cli.app import main as run
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
