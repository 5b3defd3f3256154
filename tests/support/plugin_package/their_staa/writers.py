from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from staa_cli.files import atomic_path
from staa_cli.results.writers.base import Writer
from staa_cli.schema import Explanation


class PeakText(Writer):
    """When the curve is highest, as text, and how bright the first frame is."""

    file = "peak.txt"

    @classmethod
    def frames(cls, explanation: Explanation) -> Sequence[int]:
        return explanation.part[:1]

    def add(self, index: int, picture: np.ndarray) -> None:
        self.brightness = picture.mean()

    def write(self, path: Path) -> None:
        with atomic_path(path) as part:
            part.write_text(f"{self.explanation.temporal.peak_s} {self.brightness:.0f}\n")
