"""importance.csv: one row a source frame."""

from __future__ import annotations

import csv
from pathlib import Path

from staa_cli.files import atomic_path
from staa_cli.results.document import report_dict
from staa_cli.results.writers.base import WRITERS, Writer


@WRITERS.register("csv")
class ImportanceCsv(Writer):
    """The report's frames as a table."""

    name, file = "csv", "importance.csv"

    def write(self, path: Path) -> None:
        """Write the table.

        Raises:
            OutputError: the file cannot be written, or a number in it is not finite.
        """
        columns = report_dict(self.explanation, reproducible=True)["frames"]
        names = ("index", "time_s", "score", "weighted_score", "seen")
        with atomic_path(path) as part, part.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(names)
            seen = ["true" if seen else "false" for seen in columns["seen"]]
            writer.writerows(zip(*(columns[name] for name in names[:-1]), seen, strict=True))
