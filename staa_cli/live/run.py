"""Run a stream: capture, explain, draw, and write, in threads with bounded hand-overs.

Every frame is drawn at once, with the latest maps that there are, and never waits for an
explanation. Between capture and model there is one slot: a newer window replaces one that waits.
Where the source itself waits, as a file does, nothing is replaced: each window is explained before
the frame that completed it is drawn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event
from typing import Any, Protocol

from staa_cli.config.settings import Settings
from staa_cli.errors import InputError, UnavailableError
from staa_cli.live.capture import Capture
from staa_cli.live.delay import Delays
from staa_cli.live.explainer import ExplainedWindow, Recent, WindowExplainer
from staa_cli.live.frames import LiveFrame, Ring, Window
from staa_cli.live.handover import Crew, Handover
from staa_cli.live.keep import Moments
from staa_cli.live.overlay import LatestMaps, Overlay, live_look
from staa_cli.live.timeline import Timeline
from staa_cli.schema import ReportWarning, VideoInfo
from staa_cli.video.pixels import YuvPlanes

_FRAMES_WAITING = 8
"""Frames that may wait to be drawn, a quarter of a second at 30 a second."""
_CLOSING_S = 10.0
"""Time that threads have to write what is left, or to notice that they were stopped."""
_READ_S, _PASS_S = 1.0, 2.0
"""Time that a read from the source, and a pass, have to end when the stream is stopped."""
RECENT_S = 10.0
"""Seconds of the curve."""
OVERLAP = 4
"""Windows over the same frames that are enough for the curve of a source that does not wait."""
_WORK = {"capture", "explain", "combine", "draw"}
"""Threads that end with the source."""
_LATE_S = 120.0
"""Longest time from the last frame of a window to its explanation."""


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A frame that is ready to be written."""

    frame: LiveFrame
    info: VideoInfo
    plain: YuvPlanes
    annotated: YuvPlanes
    latest: LatestMaps | None


class Sink(Protocol):
    """Receives what a stream gives; calls come from several threads, and must not wait long."""

    def start(self, live: Live) -> None:
        """Called once, before anything else, with the running stream."""

    def show(self, drawn: Drawn, *, wait: bool) -> None:
        """Take the next frame; with `wait`, wait for room instead of dropping one."""

    def explained(self, latest: LatestMaps) -> None:
        """Take a new explanation."""

    def finish(self) -> None:
        """Called once after the last frame: write what is left."""

    def summary(self) -> dict[str, Any]:
        """What it has to say about itself at the end."""


@dataclass
class Counts:
    """What happened so far."""

    frames: int = 0
    """Frames that arrived."""
    shown: int = 0
    """Frames that were drawn."""
    windows: int = 0
    """Windows that were explained."""
    due: int = 0
    """Windows that were due by the hop."""
    started_s: float = field(default_factory=time.monotonic)
    """When the source was opened, by `time.monotonic`."""


class Live:
    """A running stream.

    Args:
        capture: its frames.
        explainer: explains its windows.
        settings: of drawing.
        sinks: receive frames and explanations, and are finished in reverse order: each may still
            tell those before it something.
        hop: frames from window to window; None for as often as the device allows, or, where the
            source waits, as in dense sampling of a file.
        waits: whether the source waits, so that nothing is dropped.
        recent_s: seconds whose windows make the curve, and the scale, of what is drawn.
        keep_s: seconds of frames to keep.
    """

    def __init__(
        self,
        capture: Capture,
        explainer: WindowExplainer,
        settings: Settings,
        sinks: Sequence[Sink],
        *,
        hop: int | None,
        waits: bool,
        recent_s: float = RECENT_S,
        keep_s: float = 0.0,
    ) -> None:
        self.capture, self.explainer, self.settings = capture, explainer, settings
        self.delays, self.counts = Delays(), Counts()
        self.crew = Crew(capture.stopped)
        stopped = capture.stopped
        self._sinks, self._hop, self._waits = sinks, hop, waits
        self._started: list[Sink] = []
        self._look = live_look(settings.render)
        spacing = explainer.spacing(hop, dense=waits)
        self.ring = Ring(spacing, keep_s)
        self._timeline = Timeline(recent_s + _LATE_S)
        apart_s = 0.0 if waits else spacing.span_s / OVERLAP
        self._recent = Recent(recent_s, max(recent_s, keep_s), apart_s)
        self._windows = Handover[tuple[Window, Event]](1, stopped)
        self._explained = Handover[tuple[ExplainedWindow, float, Event]](1, stopped)
        self._frames = Handover[tuple[LiveFrame, LatestMaps | None]](_FRAMES_WAITING, stopped)
        self.latest: LatestMaps | None = None
        self.warnings: dict[str, ReportWarning] = {}
        """The first of each code that an explanation had."""
        self.is_warm = False
        """Whether the first pass, which takes several times as long as later ones, is over."""

    def run(self, on_tick: Callable[[Live], None] = lambda live: None, tick_s: float = 1.0) -> None:
        """Run until the source ends, or `stopped` is set; errors of any thread are raised.

        Args:
            on_tick: called from time to time.
            tick_s: how often.
        """
        crew = self.crew
        try:
            crew.start("explain", self._explain, patience_s=_PASS_S)
            self._wait_while(lambda: not self.is_warm, on_tick, tick_s)
            self.counts.started_s = time.monotonic()
            for sink in self._sinks if self.is_warm else ():
                sink.start(self)
                self._started.append(sink)
            crew.start("capture", self._capture, patience_s=_READ_S)
            crew.start("combine", self._combine)
            crew.start("draw", self._draw)
            self._wait_while(lambda: bool(_WORK & {*crew.busy}), on_tick, tick_s)
        except BaseException:
            crew.stopped.set()
            raise
        finally:
            for sink in reversed(self._started):
                sink.finish()
            crew.join(_CLOSING_S)
            crew.stopped.set()
        if crew.error is not None:
            raise crew.error

    def _wait_while(
        self, is_going: Callable[[], bool], on_tick: Callable[[Live], None], tick_s: float
    ) -> None:
        """Wait while something goes on, unless a thread has failed."""
        ticked_s = time.monotonic()
        while is_going() and not self.crew.stopped.wait(0.05):
            if time.monotonic() - ticked_s >= tick_s:
                ticked_s = time.monotonic()
                on_tick(self)

    @property
    def dropped(self) -> dict[str, int]:
        """Windows and frames that newer ones replaced."""
        by_hop = self._hop is not None or self._waits
        return {
            "windows": self._windows.dropped if by_hop else 0,
            "frames": self._frames.dropped,
        }

    @property
    def silence(self) -> str:
        """Why no window was explained; empty if one was."""
        if self.counts.windows or not self.counts.frames:
            return ""
        if self.counts.due:
            return "no window was explained: the first one takes longer than the stream"
        span_s = self.explainer.spacing(self._hop).span_s
        return f"no window was explained: one takes {span_s:.3g} s of a stream, this was shorter"

    def moments(self, seconds: float) -> Moments:
        """The last seconds, as far as they are kept; what is written of them does not change.

        Raises:
            InputError: no frame has come yet.
        """
        frames, info = self.ring.latest(seconds), self.capture.info
        if not frames or info is None:
            raise InputError("no frame has come yet")
        first, last = frames[0].number, frames[-1].number
        windows = [
            explained
            for explained in self._recent.windows()
            if explained.window.clip.frame_indices[0] >= first
            and explained.window.completed.number <= last
        ]
        return Moments(frames, windows, info, datetime.now(UTC))

    def summary(self) -> dict[str, Any]:
        """What happened, as plain data."""
        counts, seconds = self.counts, time.monotonic() - self.counts.started_s
        dropped = self.dropped
        return {
            "seconds": seconds,
            "frames": counts.frames,
            "frames_shown": counts.shown,
            "frames_dropped": dropped["frames"],
            "windows": counts.windows,
            "windows_dropped": dropped["windows"],
            "windows_per_second": counts.windows / seconds if seconds > 0 else 0.0,
            "connections": self.capture.connections,
            "packets_bad": self.capture.packets_bad,
            "times_repaired": self.capture.times_repaired,
            "delay": {stage: dict(row) for stage, row in self.delays.summary().items()},
            "sinks": [sink.summary() for sink in self._started],
        }

    def _capture(self) -> None:
        for frame, continues in self.capture.frames():
            self.counts.frames += 1
            self.delays.add("decode", frame.decoded_s - frame.arrived_s)
            windows = self.ring.add(frame, continues=continues)
            self._timeline.add(frame)
            for window in windows:
                self.counts.due += 1
                done = Event()
                self._windows.put((window, done))
                if self._waits:
                    self._wait(done)
            self._frames.put((frame, self.latest if self._waits else None), wait=self._waits)
        self._windows.close()
        self._frames.close()

    def _wait(self, done: Event) -> None:
        while not done.wait(0.1) and not self.crew.stopped.is_set():
            pass

    def _explain(self) -> None:
        self.explainer.warm_up()
        self.is_warm = True
        while (item := self._windows.get()) is not None:
            window, done = item
            taken_s = time.monotonic()
            info = self.capture.info
            assert info is not None, "a frame has come"
            self.delays.add("window wait", taken_s - window.completed.decoded_s)
            explained = self.explainer.explain(window, info)
            self.delays.add("model", explained.model_s)
            self._explained.put((explained, taken_s, done), wait=True)
        self._explained.close()

    def _combine(self) -> None:
        """Beside the passes, which then follow each other at once."""
        while (item := self._explained.get()) is not None:
            explained, taken_s, done = item
            info = self.capture.info
            assert info is not None, "a frame has come"
            self._publish(explained, info)
            now = time.monotonic()
            self.delays.add("explain", now - taken_s)
            self.delays.add("capture to maps", now - explained.window.completed.arrived_s)
            self.counts.windows += 1
            done.set()

    def _publish(self, explained: ExplainedWindow, info: VideoInfo) -> None:
        self._recent.add(explained)
        windows = self._recent.shown()
        first = windows[0].window.clip.frame_indices[0]
        source = self._timeline.span(first, explained.window.completed.number, info)
        if source is None:
            raise UnavailableError(
                f"explaining a window takes longer than {_LATE_S:g} s",
                "choose a smaller model, or another --method",
            )
        recent = self.explainer.together(windows, source, first)
        self.warnings = {warning.code: warning for warning in recent.warnings} | self.warnings
        self.latest = latest = LatestMaps(explained, recent, self._look)
        for sink in self._sinks:
            sink.explained(latest)

    def _draw(self) -> None:
        overlay: Overlay | None = None
        while (item := self._frames.get()) is not None:
            frame, known = item
            info = self.capture.info
            assert info is not None, "a frame has come"
            overlay = overlay or Overlay(info)
            latest = known if self._waits else self.latest
            plain, annotated = overlay.draw(frame, latest)
            self.delays.add("capture to overlay", time.monotonic() - frame.arrived_s)
            if latest is not None:
                self.delays.add("age of maps", latest.age_s(frame.time_s))
            drawn = Drawn(frame, info, plain, annotated, latest)
            self.counts.shown += 1
            for sink in self._sinks:
                sink.show(drawn, wait=self._waits)
