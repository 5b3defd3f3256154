from pathlib import Path

from staa_cli.files import atomic_path
from staa_cli.results.writers.base import Writer


class PeakText(Writer):
    """When the curve is highest, as text, and how bright the first frame is."""

    file = "peak.txt"

    @classmethod
    def frames(cls, explanation):
        return explanation.part[:1]

    def add(self, index, picture):
        self.brightness = picture.mean()

    def write(self, path: Path) -> None:
        with atomic_path(path) as part:
            part.write_text(f"{self.explanation.temporal.peak_s} {self.brightness:.0f}\n")
