"""annotated.mp4: every frame drawn on, with its time and the source's sound."""

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

    It wants every frame, and packets of sound between them: so it decodes by itself, and others may
    watch.
    """

    file = ANNOTATED

    @classmethod
    def frames(cls, explanation: Explanation) -> Sequence[int]:
        """All that are explained."""
        return explanation.part

    def write(self, path: Path) -> None:
        """Draw the video, unwatched.

        Raises:
            VideoError: nothing decodes any more.
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
        """Draw the video, and show what is decoded on the way.

        Args:
            path: of the video.
            watched: positions of frames that others want.
            on_picture: called with each of those, as `Writer.add` is.
            on_frame: called with the position of every frame that is done.

        Returns:
            What decoding met.

        Raises:
            VideoError: nothing decodes any more.
            OutputError: the file cannot be written.
        """
        from staa_cli.render.painter import Painter
        from staa_cli.video.annotate import annotate
        from staa_cli.video.frame_source import source_of
        from staa_cli.video.table import DecodeReport

        look, report = self.settings.render, DecodeReport()
        painter = Painter(self.explanation, look)
        with atomic_path(path) as part:
            annotate(
                source_of(self.explanation),
                part,
                painter.draw,
                size=painter.size,
                preset=look.preset,
                crf=look.crf,
                repeatable=self.reproducible,
                frames=self.explanation.part,
                on_frame=on_frame,
                watched=watched,
                on_picture=on_picture,
                report=report,
            )
        return report
