"""Base class of writers, and their registry."""

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

    Each format has one class in a separate module, which imports heavy packages only when needed.
    It first receives the frames that it requests, then `write` is called.

    Args:
        explanation: to write.
        settings: of output and rendering.
        reproducible: omit what differs between runs.
    """

    name: ClassVar[str]
    """Name of the format; requested by the setting `output.NAME`, or else by `output.formats`."""
    file: ClassVar[str]
    """Name of the file."""

    def __init__(
        self, explanation: Explanation, settings: Settings, *, reproducible: bool = False
    ) -> None:
        self.explanation, self.settings = explanation, settings
        self.reproducible = reproducible

    @classmethod
    def is_wanted(cls, output: OutputSettings) -> bool:
        """Whether the settings request it."""
        return bool(getattr(output, cls.name, False)) or cls.name in output.others

    @classmethod
    def frames(cls, explanation: Explanation) -> Sequence[int]:
        """Positions in the video of the frames that it needs: none, some, or all."""
        return ()

    def add(self, index: int, picture: UInt8) -> None:
        """Receive a requested frame, upright RGB [H, W, 3]; in ascending order, each once.

        A frame that does not decode is substituted.
        """
        raise NotImplementedError(f"{self.name} does not request frames")

    @abstractmethod
    def write(self, path: Path) -> None:
        """Write the file, completely or not at all.

        Raises:
            OutputError: it cannot be written.
        """


def _accept(name: str, declared: Any) -> type[Writer]:
    if not isinstance(declared, type) or not issubclass(declared, Writer):
        raise TypeError("expected a class derived from staa_cli.results.writers.base.Writer")
    declared.name = name
    return declared


WRITERS: Registry[type[Writer]] = Registry("format", entry_points.WRITERS, _accept)
"""Writers by name, in order of declaration."""
register_writer = WRITERS.register
"""A decorator that registers a `Writer` under a name in the running program."""


def wanted_writers(output: OutputSettings) -> list[type[Writer]]:
    """The requested formats, the report last.

    Raises:
        UsageError: an unknown format.
    """
    for name in output.others:
        WRITERS.get(name)
    wanted = [writer for _, writer in WRITERS.items() if writer.is_wanted(output)]
    return sorted(wanted, key=lambda writer: writer.file == REPORT)


def wanted_files(output: OutputSettings) -> list[str]:
    """Names of the requested files, the report last."""
    return [writer.file for writer in wanted_writers(output)]
