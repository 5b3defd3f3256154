"""annotated.mp4: all frames annotated, with their times and the source's sound."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from staa_cli.files import ANNOTATED, atomic_path
from staa_cli.results.writers.base import Writer
from staa_cli.schema import Explanation, UInt8

if TYPE_CHECKING:
    from staa_cli.video.table import DecodeReport


class AnnotatedMp4(Writer):
    """The annotated video.

    It needs every frame and the sound packets between them, so it decodes the video itself and
    passes frames on to other writers.
    """

    file = ANNOTATED

    @classmethod
    def frames(cls, explanation: Explanation) -> Sequence[int]:
        """All explained frames."""
        return explanation.part

    def write(self, path: Path) -> None:
        """Draw the video.

        Raises:
            VideoError: no frame decodes.
            OutputError: the file cannot be written.
        """
        self.decode(path)

    def decode(
        self,
        path: Path,
        watched: Collection[int] = (),
        on_picture: Callable[[int, UInt8], object] = lambda index, picture: None,
        on_frame: Callable[[int], None] | None = None,
    ) -> DecodeReport:
        """Draw the video, and pass on decoded frames.

        Args:
            path: of the video.
            watched: positions of frames that other writers need.
            on_picture: called with each of these, like `Writer.add`.
            on_frame: called with the position of every written frame.

        Returns:
            Statistics and problems of decoding.

        Raises:
            VideoError: no frame decodes.
            OutputError: the file cannot be written.
        """
        from staa_cli.render.painter import Painter
        from staa_cli.video.annotate import annotate
        from staa_cli.video.frame_source import source_of
        from staa_cli.video.table import DecodeReport

        style, report = self.settings.render, DecodeReport()
        painter = Painter(self.explanation, style)
        with atomic_path(path) as part:
            annotate(
                source_of(self.explanation),
                part,
                painter.draw,
                size=painter.size,
                preset=style.preset,
                crf=style.crf,
                repeatable=self.reproducible,
                frames=self.explanation.part,
                on_frame=on_frame,
                watched=watched,
                on_picture=on_picture,
                report=report,
            )
        return report
