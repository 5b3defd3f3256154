"""report.json: all that is known of an explanation, and the mark that the rest is there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from staa_cli.files import REPORT
from staa_cli.results.files import write_json
from staa_cli.results.writers.base import WRITERS, Writer

if TYPE_CHECKING:
    from staa_cli.config.settings import OutputSettings


@WRITERS.register("json")
class ReportJson(Writer):
    """The report, which is always written."""

    name, file = "json", REPORT

    @classmethod
    def is_wanted(cls, output: OutputSettings) -> bool:
        """Always."""
        return True

    def write(self, path: Path) -> None:
        """Write the report.

        Raises:
            OutputError: the file cannot be written, or a number in it is not finite.
        """
        write_json(self.explanation, path, reproducible=self.reproducible)
