"""report.json: the data of an explanation; written last, it shows that the result is complete."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from staa_cli.files import REPORT
from staa_cli.results.files import write_json
from staa_cli.results.writers.base import Writer

if TYPE_CHECKING:
    from staa_cli.config.settings import OutputSettings
    from staa_cli.results.document import Report


class ReportJson(Writer):
    """The report, which is always written."""

    file = REPORT

    report: Report
    """The written report."""

    @classmethod
    def is_wanted(cls, output: OutputSettings) -> bool:
        """Always."""
        return True

    def write(self, path: Path) -> None:
        """Write the report.

        Raises:
            OutputError: the file cannot be written, or a number in it is not finite.
        """
        self.report = write_json(self.explanation, path, reproducible=self.reproducible)
