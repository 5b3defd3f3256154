"""Two runs of artificial results, and the page that compares them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from staa_cli.results.diff.document import Diff
from staa_cli.results.diff.gate import Gate
from staa_cli.results.diff.run import diff
from staa_cli.results.pages.diff import diff_page


def compared(folder: Path, gates: Sequence[Gate] = (), **options: Any) -> Diff:
    """The comparison of the runs `old` and `new` in a folder."""
    return diff(folder / "old", folder / "new", gates, **options)


def write_diff(folder: Path, gates: Sequence[Gate] = (), **options: Any) -> Path:
    """Write diff.html beside the runs `old` and `new`."""
    path = folder / "diff.html"
    path.write_text(diff_page(compared(folder, gates, **options), folder), encoding="utf-8")
    return path
