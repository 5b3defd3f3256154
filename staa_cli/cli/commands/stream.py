"""`staa stream`: explain a live stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from staa_cli.cli.options import SETTINGS, command
from staa_cli.cli.process import Terminated, abandon_threads, ended_by_signals, use_threads
from staa_cli.cli.terminal import Console, table
from staa_cli.config.settings import Loaded
from staa_cli.errors import ExitCode, UsageError, VideoError
from staa_cli.formatting import counted
from staa_cli.paths import as_text

if TYPE_CHECKING:
    from staa_cli.live.outputs import Outputs
    from staa_cli.live.run import Live

_EXAMPLES = """
staa stream v4l2:/dev/video0 -o live.mp4       a camera, into a file that plays while it grows
staa stream rtsp://camera/1 --serve 8000       a page for browsers on this machine
staa stream rtsp://camera/1 --json             a line of JSON for each window
staa stream rtsp://camera/1 -o - | ffplay -    MPEG-TS for a player
staa stream video.mp4 --realtime -o live.mkv   a file at its own rate
staa stream rtsp://camera/1 --alert 'label == "spin" and p > 0.8 for 2 s' --exec ./notify
"""
_SETTINGS = {
    "Model": tuple(name for name in SETTINGS["Model"] if name != "batch_size"),
    "Sampling": ("sampling.frames", "sampling.size", "sampling.stride"),
    "Attribution": SETTINGS["Attribution"],
    "Picture": tuple(name for name in SETTINGS["Picture"] if name != "render.encoder"),
}

_MOST_SECONDS = 1_000_000


def _option(text: str, panel: str, *names: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel, metavar=metavar)


_Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A camera (v4l2:DEVICE, avfoundation:NAME, dshow:NAME), a URL (rtsp, http, udp), a "
        "file, or - for stdin.",
    ),
]
_Realtime = Annotated[
    bool | None,
    _option(
        "Newer frames replace those that wait, which bounds the delay; a file is played at its own "
        "rate. --no-realtime waits instead. [yes, but for a file without --serve]",
        "Source",
        "--realtime/--no-realtime",
    ),
]
_Follow = Annotated[
    bool, _option("The file is still being written: read it as it grows.", "Source", "--follow")
]
_Timeout = Annotated[
    float,
    _option("Seconds to wait for a frame. [10]", "Source", "--timeout", metavar="SECONDS"),
]
_Reconnect = Annotated[
    float,
    _option(
        "Seconds to try to reach a camera or a server again that was lost. [300]",
        "Source",
        "--reconnect",
        metavar="SECONDS",
    ),
]
_SourceOptions = Annotated[
    list[str] | None,
    _option(
        "Option of FFmpeg for the source, such as video_size=1280x720; may be given several times.",
        "Source",
        "--source-option",
        metavar="NAME=VALUE",
    ),
]
_Hop = Annotated[
    str,
    _option(
        "Frames from window to window; auto is as often as the device allows. [auto]",
        "Sampling",
        "--hop",
        metavar="N|auto",
    ),
]
_Outputs = Annotated[
    list[str] | None,
    _option(
        "Where the annotated stream goes: a file (.mp4, .mkv, .ts), - for MPEG-TS on stdout, or "
        "udp://HOST:PORT; may be given several times.",
        "Output",
        "--output",
        "-o",
        metavar="TARGET",
    ),
]
_Json = Annotated[
    bool,
    _option("Print a line of JSON for each window and alert, and a summary.", "Output", "--json"),
]
_Ndjson = Annotated[
    str | None, _option("Write these lines to a file.", "Output", "--ndjson", metavar="FILE")
]
_Serve = Annotated[
    str | None,
    _option(
        "Serve a page with the stream and its heat for browsers; only for this machine unless a "
        "host is given. Port 0 is any free one.",
        "Output",
        "--serve",
        metavar="[HOST:]PORT",
    ),
]
_TokenFile = Annotated[
    Path | None,
    _option(
        "File with the token that viewers of the page need; for other machines, one is made by "
        "default. Also from STAA_STREAM_TOKEN.",
        "Output",
        "--token-file",
        metavar="FILE",
    ),
]
_Force = Annotated[bool, _option("Replace output files that exist.", "Output", "--force")]
_AlertTexts = Annotated[
    list[str] | None,
    _option(
        "Condition over the fields of a window, possibly with a time, such as 'p > 0.8 for 2 s': "
        "prints a line of JSON, and keeps the last seconds; may be given several times.",
        "Alerts",
        "--alert",
        metavar="EXPR",
    ),
]
_Pause = Annotated[
    float,
    _option(
        "Seconds after an alert in which the same condition gives no other one. [10]",
        "Alerts",
        "--alert-pause",
        metavar="SECONDS",
    ),
]
_Keep = Annotated[
    float,
    _option(
        "Seconds that are kept as a result: before an alert, or by the page of --serve. [10]",
        "Alerts",
        "--keep",
        metavar="SECONDS",
    ),
]
_KeepDir = Annotated[
    str,
    _option("Folder that receives what is kept. [staa-out]", "Alerts", "--keep-dir", metavar="DIR"),
]
_Exec = Annotated[
    str | None,
    _option(
        "Command to run for each alert, with the folder of the result as its last argument; "
        "without a shell.",
        "Alerts",
        "--exec",
        metavar="CMD",
    ),
]
_ExecTimeout = Annotated[
    float,
    _option(
        "Seconds after which the command is ended. [30]",
        "Alerts",
        "--exec-timeout",
        metavar="SECONDS",
    ),
]


def add(app: typer.Typer) -> None:
    """Register the command."""
    command(app, _EXAMPLES, settings=_SETTINGS)(stream)


def stream(
    source: _Source,
    *,
    realtime: _Realtime = None,
    follow: _Follow = False,
    timeout: _Timeout = 10.0,
    reconnect: _Reconnect = 300.0,
    source_option: _SourceOptions = None,
    hop: _Hop = "auto",
    output: _Outputs = None,
    json: _Json = False,
    ndjson: _Ndjson = None,
    serve: _Serve = None,
    token_file: _TokenFile = None,
    force: _Force = False,
    alert: _AlertTexts = None,
    alert_pause: _Pause = 10.0,
    keep: _Keep = 10.0,
    keep_dir: _KeepDir = "staa-out",
    exec_: _Exec = None,
    exec_timeout: _ExecTimeout = 30.0,
    console: Console,
    loaded: Loaded,
) -> None:
    """Explain a live stream: the newest maps on every frame, with the delay measured."""
    for name, seconds in (
        *(("--timeout", timeout), ("--keep", keep), ("--exec-timeout", exec_timeout)),
        *(("--reconnect", reconnect), ("--alert-pause", alert_pause)),
    ):
        _check_seconds(name, seconds, or_none=name in ("--reconnect", "--alert-pause"))
    if exec_ is not None and not alert:
        raise UsageError("--exec runs for alerts, but there is no --alert", "add --alert EXPR")
    every = None if hop == "auto" else _count(hop)
    from staa_cli.explain.pipeline import open_model
    from staa_cli.live.capture import Capture, Waits
    from staa_cli.live.explainer import WindowExplainer
    from staa_cli.live.outputs import Asked, outputs_of
    from staa_cli.live.run import Live
    from staa_cli.video.stream_address import StreamAddress

    with _naming(source):
        address = StreamAddress.parse(source, follow=follow)
    waits = (address.waits and serve is None) if realtime is None else not realtime
    asked = Asked(
        tuple(output or ()),
        json,
        ndjson,
        force,
        tuple(alert or ()),
        alert_pause,
        keep,
        keep_dir,
        exec_,
        exec_timeout,
        serve,
        token_file,
    )
    say, warn = console.message, console.warning
    with outputs_of(asked, address, loaded.settings, say, warn) as outputs:
        use_threads(loaded.settings.threads)
        model = open_model(loaded.settings, console.message)
        explainer = WindowExplainer(model, loaded.settings)
        live = Live(
            Capture(
                address,
                Waits(timeout, reconnect),
                dict(_pair(text) for text in source_option or []),
                takes_all=waits,
                paced=not waits and address.kind == "file",
                on_message=console.message,
            ),
            explainer,
            loaded.settings,
            outputs.sinks(explainer),
            hop=every,
            waits=waits,
            keep_s=keep if alert or serve is not None else 0.0,
        )
        code = _run(live, outputs, address.shown, console)
    raise typer.Exit(code)


def _run(live: Live, outputs: Outputs, source: str, console: Console) -> int:
    """Run a stream to its end, and tell what happens; returns the exit code."""
    from staa_cli.cli.status import News, status_line
    from staa_cli.live.rows import summary_row

    news = News(console)
    try:
        with ended_by_signals(), _naming(source), console.status() as status:

            def tick(running: Live) -> None:
                news.tell(running)
                status.show(status_line(running))

            live.run(tick)
        return ExitCode.OK if outputs.complete else ExitCode.INPUT_FAILED
    except Terminated as error:
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    finally:
        outputs.close(summary_row(live))
        news.tell(live)
        _conclude(live, console)
        if live.crew.busy:
            abandon_threads()


@contextmanager
def _naming(source: str) -> Iterator[None]:
    """A context in which errors of a source name it."""
    try:
        yield
    except VideoError as error:
        raise VideoError(f"{as_text(source)}: {error.cause}", error.hint) from error


def _conclude(live: Live, console: Console) -> None:
    """Tell what happened."""
    from staa_cli.cli.status import delay_rows, status_line

    if not live.counts.frames:
        return
    console.message(status_line(live))
    if live.silence:
        console.warning(live.silence)
    for sink in live.summary()["sinks"]:
        if sink.get("frames_written") and sink["frames_dropped"]:
            lost, name = sink["frames_dropped"], sink["output"]
            console.warning(f"{name}: {counted(lost, 'frame')} dropped, as writing was too slow")
    rows = delay_rows(live)
    if console.verbosity >= 0 and rows:
        console.write(table(["delay", "P50", "P95", "P99", "max"], rows))


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise UsageError(f"--source-option: expected NAME=VALUE, not {text!r}")
    return name, value


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text[:6]) > 0 and len(text) < 6):
        raise UsageError(f"--hop: expected auto, or a number from 1 to 99,999, not {text!r}")
    return int(text)


def _check_seconds(name: str, seconds: float, *, or_none: bool) -> None:
    """Check a number of seconds above 0, or from 0."""
    if not (0 < seconds <= _MOST_SECONDS or (or_none and seconds == 0)):  # also not a number
        least = "from 0" if or_none else "above 0"
        raise UsageError(
            f"{name}: expected a number of seconds {least}, at most {_MOST_SECONDS:,}, not "
            f"{seconds:g}"
        )
