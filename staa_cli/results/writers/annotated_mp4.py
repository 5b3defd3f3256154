"""annotated.mp4: all frames annotated, with their times and the source's sound."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from staa_cli.config.settings import Settings
from staa_cli.files import ANNOTATED, atomic_path
from staa_cli.results.writers.base import Writer
from staa_cli.schema import Explanation, UInt8

if TYPE_CHECKING:
    from staa_cli.video.table import DecodeReport


def check_encoder(settings: Settings, *, reproducible: bool = False) -> None:
    """Check, before any work, that the encoder that the settings name can be used.

    Raises:
        UsageError, UnavailableError: it cannot.
    """
    if settings.output.annotated and settings.render.encoder not in ("auto", "x264"):
        from staa_cli.video.encoder_choice import encoders_for

        encoders_for(settings.render.encoder, repeatable=reproducible)


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
            UnavailableError: the encoder in the settings does not work here.
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
            VideoError, OutputError, UnavailableError: as `write`.
        """
        from staa_cli.render.painter import Painter
        from staa_cli.video.annotate import annotate
        from staa_cli.video.encoder_choice import encoders_for
        from staa_cli.video.encoders import Quality
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
                encoders=encoders_for(style.encoder, repeatable=self.reproducible),
                quality=Quality(
                    style.preset,
                    style.crf,
                    repeatable=self.reproducible,
                    threads=self.settings.threads,
                ),
                frames=self.explanation.part,
                on_frame=on_frame,
                watched=watched,
                on_picture=on_picture,
                report=report,
            )
        return report
