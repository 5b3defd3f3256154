"""What a writer of a format is, and all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from staa_cli import entry_points
from staa_cli.files import REPORT
from staa_cli.registry import Registry

if TYPE_CHECKING:
    from staa_cli.config.settings import OutputSettings, Settings
    from staa_cli.schema import Explanation, UInt8


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
    """Of the format, under which it is filed; the setting `output.NAME` asks for it, or else
    `output.formats` does."""
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
        return bool(getattr(output, cls.name, False)) or cls.name in output.others

    @classmethod
    def frames(cls, explanation: Explanation) -> Sequence[int]:
        """Positions in the video of the frames that it wants to be fed: none, some, or all."""
        return ()

    def add(self, index: int, picture: UInt8) -> None:
        """Take one of those frames, upright RGB [H, W, 3]; they come rising, each once.

        A frame that does not decode has a stand-in.
        """
        raise NotImplementedError(f"{self.name} does not request frames")

    @abstractmethod
    def write(self, path: Path) -> None:
        """Write the file, whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """


def _accept(name: str, declared: Any) -> type[Writer]:
    if not isinstance(declared, type) or not issubclass(declared, Writer):
        raise TypeError("expected a class derived from staa_cli.results.writers.base.Writer")
    declared.name = name
    return declared


WRITERS: Registry[type[Writer]] = Registry("format", entry_points.WRITERS, _accept)
"""By name, in the order in which they are told."""
register_writer = WRITERS.register
"""A decorator that files a `Writer` under a name, for as long as the program runs."""


def wanted_writers(output: OutputSettings) -> list[type[Writer]]:
    """The formats that the settings ask for, the report last.

    Raises:
        UsageError: there is no such format.
    """
    for name in output.others:
        WRITERS.get(name)
    wanted = [writer for _, writer in WRITERS.items() if writer.is_wanted(output)]
    return sorted(wanted, key=lambda writer: writer.file == REPORT)


def wanted_files(output: OutputSettings) -> list[str]:
    """Names of the files that the settings ask for, the report last."""
    return [writer.file for writer in wanted_writers(output)]
