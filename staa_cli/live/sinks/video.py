"""The annotated stream as encoded video: a file, standard output, or a receiver of UDP."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import Any

from staa_cli.config.settings import RenderSettings
from staa_cli.live.handover import Handover
from staa_cli.live.overlay import LatestMaps
from staa_cli.live.run import Drawn, Live
from staa_cli.video.annotate import color_of
from staa_cli.video.encode import CLOCK, Shape
from staa_cli.video.live_encode import LiveWriter, Target

_WAITING = 8
"""Frames that may wait to be encoded."""


class VideoSink:
    """Encodes annotated frames in a thread of its own.

    Args:
        target: where they go.
        settings: of the encoder.
    """

    def __init__(self, target: Target, settings: RenderSettings) -> None:
        self._target, self._settings = target, settings
        self._written = 0

    def start(self, live: Live) -> None:
        """Start the thread."""
        self._live = live
        self._frames = Handover[Drawn](_WAITING, live.crew.stopped)
        live.crew.start(f"write {self._target.shown}", self._write)

    def show(self, drawn: Drawn, *, wait: bool) -> None:
        """Take the next frame."""
        self._frames.put(drawn, wait=wait)

    def explained(self, latest: LatestMaps) -> None:
        """Frames are drawn already."""

    def finish(self) -> None:
        """No frame follows."""
        self._frames.close()

    def summary(self) -> dict[str, Any]:
        """Frames that were written, and dropped."""
        return {
            "output": self._target.shown,
            "frames_written": self._written,
            "frames_dropped": self._frames.dropped,
        }

    def _write(self) -> None:
        writer: LiveWriter | None = None
        delays = self._live.delays
        try:
            while (drawn := self._frames.get()) is not None:
                start = time.monotonic()
                writer = writer or LiveWriter(
                    self._target,
                    _shape(drawn, self._live.capture.frame_s),
                    preset=self._settings.preset,
                    crf=self._settings.crf,
                )
                writer.write(drawn.annotated, drawn.frame.time_s)
                now = time.monotonic()
                delays.add("encode", now - start)
                delays.add("capture to written", now - drawn.frame.arrived_s)
                self._written += 1
        except BaseException:
            if writer is not None:
                writer.abandon()  # closing it would fail, too, and hide why
            raise
        if writer is not None:
            writer.close()


def _shape(drawn: Drawn, frame_s: float) -> Shape:
    height, width = drawn.annotated.y.shape
    return Shape(
        width,
        height,
        CLOCK,
        rate=Fraction(1 / frame_s).limit_denominator(1001),
        variable_rate=True,
        color=color_of(drawn.frame.picture, drawn.info.transfer),
        aspect=Fraction(*drawn.info.sample_aspect_ratio),
    )
