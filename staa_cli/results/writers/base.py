"""What a writer of a format is, and all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from staa_cli.files import REPORT
from staa_cli.registry import Registry

if TYPE_CHECKING:
    from staa_cli.config.settings import OutputSettings, Settings
    from staa_cli.schema import Explanation, UInt8

_FORMATS = """
annotated_mp4 storyboard_png annotated_gif importance_csv curve_png faithfulness_png maps_npz
report_json
"""

WRITERS: Registry[type[Writer]] = Registry(
    "format", [f"staa_cli.results.writers.{module}" for module in _FORMATS.split()]
)
"""By name, in the order in which they are told."""


class Writer(ABC):
    """Writes one file for one explanation.

    Of each format there is one class, in a file of its own, which imports what is heavy when it is
    needed. It is fed the frames that it asks for, and then told to write.

    Args:
        explanation: what is written.
        settings: what to write and how it looks.
        reproducible: leave out what differs from one run to the next.
    """

    name: ClassVar[str]
    """Of the format; the setting `output.NAME` asks for it, where there is one."""
    file: ClassVar[str]
    """Name of what is written."""

    def __init__(
        self, explanation: Explanation, settings: Settings, *, reproducible: bool = False
    ) -> None:
        self.explanation, self.settings = explanation, settings
        self.reproducible = reproducible

    @classmethod
    def is_wanted(cls, output: OutputSettings) -> bool:
        """Whether the settings ask for it."""
        return bool(getattr(output, cls.name))

    @classmethod
    def frames(cls, explanation: Explanation) -> Sequence[int]:
        """Positions in the video of the frames that it wants to be fed: none, some, or all."""
        return ()

    def add(self, index: int, picture: UInt8) -> None:
        """Take one of those frames, upright RGB [H, W, 3]; they come rising, each once.

        A frame that does not decode has a stand-in.
        """
        raise NotImplementedError(f"{self.name} asks for no frames")

    @abstractmethod
    def write(self, path: Path) -> None:
        """Write the file, whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """


def wanted_writers(output: OutputSettings) -> list[type[Writer]]:
    """The formats that the settings ask for, the report last."""
    wanted = [writer for _, writer in WRITERS.items() if writer.is_wanted(output)]
    return sorted(wanted, key=lambda writer: writer.file == REPORT)


def wanted_files(output: OutputSettings) -> list[str]:
    """Names of the files that the settings ask for, the report last."""
    return [writer.file for writer in wanted_writers(output)]
