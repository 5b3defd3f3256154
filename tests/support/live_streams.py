"""Streams that run in a test, and what they gave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from staa_cli.config.settings import Settings
from staa_cli.live.capture import Capture, Waits
from staa_cli.live.explainer import WindowExplainer
from staa_cli.live.overlay import LatestMaps
from staa_cli.live.run import Drawn, Live, Sink
from staa_cli.models.load import LoadedModel
from staa_cli.schema import UInt8
from staa_cli.video.stream_address import StreamAddress


class Collected:
    """A sink that keeps everything, or nothing."""

    def __init__(self, *, kept: bool = True) -> None:
        self.kept = kept
        self.drawn: list[Drawn] = []
        self.latest: list[LatestMaps] = []
        self.finished = False

    def start(self, live: Live) -> None:
        self.live = live

    def show(self, drawn: Drawn, *, wait: bool) -> None:
        if self.kept:
            self.drawn.append(drawn)

    def explained(self, latest: LatestMaps) -> None:
        if self.kept:
            self.latest.append(latest)

    def finish(self) -> None:
        self.finished = True

    def summary(self) -> dict[str, Any]:
        return {"output": "memory"}


def run_stream(
    source: str | Path,
    model: LoadedModel,
    settings: Settings | None = None,
    *,
    hop: int | None = None,
    waits: bool = True,
    takes_all: bool | None = None,
    follow: bool = False,
    nothing_s: float = 10.0,
    reconnect_s: float = 0.0,
    sink: Collected | None = None,
    more: Sequence[Sink] = (),
    on_tick: Callable[[Live], None] = lambda live: None,
    kept: bool = True,
    **options: Any,
) -> Collected:
    """Run a stream to its end."""
    settings, sink = settings or Settings(), sink or Collected(kept=kept)
    address = StreamAddress.parse(str(source), follow=follow)
    capture = Capture(
        address,
        Waits(nothing_s, reconnect_s),
        {},
        takes_all=waits if takes_all is None else takes_all,
        paced=not waits and address.kind == "file",
    )
    explainer = WindowExplainer(model, settings)
    live = Live(capture, explainer, settings, [sink, *more], hop=hop, waits=waits, **options)
    live.run(on_tick, tick_s=0.5)
    return sink


def write_ts(path: Path, frames: UInt8, *, rate: int = 30, start_s: float = 0.0) -> None:
    """Write frames uint8 [N, H, W, 3] as MPEG-TS, which can be joined end to end."""
    with av.open(str(path), "w", format="mpegts") as container:
        stream: Any = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number + round(start_s * rate), Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
