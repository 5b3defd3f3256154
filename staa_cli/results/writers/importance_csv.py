"""importance.csv: one row per source frame."""

from __future__ import annotations

import csv
from pathlib import Path

from staa_cli.files import atomic_path
from staa_cli.results.report import from_explanation
from staa_cli.results.writers.base import Writer


class ImportanceCsv(Writer):
    """The report's frames as a table."""

    file = "importance.csv"

    def write(self, path: Path) -> None:
        """Write the table.

        Raises:
            OutputError: the file cannot be written, or a number in it is not finite.
        """
        frames = from_explanation(self.explanation, reproducible=True).frames
        seen = ["true" if seen else "false" for seen in frames.seen]
        columns = (frames.index, frames.time_s, frames.score, frames.weighted_score, seen)
        with atomic_path(path) as part, part.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("index", "time_s", "score", "weighted_score", "seen"))
            writer.writerows(zip(*columns, strict=True))
