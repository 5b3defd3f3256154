"""What `staa stream` gives: encoded video, lines of JSON, alerts, and the live page."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from staa_cli.config.settings import Settings
from staa_cli.errors import OutputError, UsageError
from staa_cli.files import output_errors
from staa_cli.live.alerts import Alert, AlertRule
from staa_cli.live.explainer import WindowExplainer
from staa_cli.live.keep import Moments, folder_of, keep
from staa_cli.live.run import Sink
from staa_cli.live.server.access import Access, Place, given_token
from staa_cli.live.server.sink import PageSink, check_installed
from staa_cli.live.sinks.alerts import AlertSink, Command
from staa_cli.live.sinks.lines import LinesSink
from staa_cli.live.sinks.video import VideoSink
from staa_cli.results.stream_rows import Row, SummaryRow
from staa_cli.video.live_encode import STDOUT, Target
from staa_cli.video.stream_address import StreamAddress

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """Options of the command about its output, as given."""

    targets: tuple[str, ...]
    json: bool
    ndjson: str | None
    force: bool
    alerts: tuple[str, ...]
    alert_pause_s: float
    keep_s: float
    keep_dir: str
    command: str | None
    command_limit_s: float
    serve: str | None
    token_file: Path | None


class Outputs:
    """The outputs of a stream.

    Args:
        asked: options.
        address: of the source.
        settings: of drawing, and of what is kept.
        warn: receives a line about what went wrong.
        lines: where lines of JSON go: all of them, or only those of alerts.
        access: where the live page is served, if it is.
    """

    def __init__(
        self,
        asked: Asked,
        address: StreamAddress,
        settings: Settings,
        warn: Say,
        lines: list[LinesSink],
        access: Access | None,
    ) -> None:
        self._asked, self._settings, self._warn = asked, settings, warn
        self._lines, self._access = lines, access
        self._targets = [Target.parse(text) for text in asked.targets]
        self._rules = [AlertRule.parse(text) for text in asked.alerts]
        self._alerts: AlertSink | None = None
        self._folder = Path(asked.keep_dir) / folder_of(address.shown)

    def sinks(self, explainer: WindowExplainer) -> list[Sink]:
        """All sinks, for a stream with that explainer."""
        asked = self._asked
        sinks: list[Sink] = [VideoSink(target, self._settings.render) for target in self._targets]
        sinks += self._lines
        if self._rules:
            self._alerts = AlertSink(
                [Alert(rule, asked.alert_pause_s) for rule in self._rules],
                partial(self._keep, explainer),
                asked.keep_s,
                self._tell,
                self._warn,
                _command(asked),
            )
            sinks.append(self._alerts)
        if self._access is not None:
            look, keeps = self._settings.render, partial(self._keep, explainer)
            sinks.append(PageSink(self._access, look, keeps, asked.keep_s))
        return sinks

    @property
    def complete(self) -> bool:
        """Whether all that was to be kept is."""
        return self._alerts is None or not self._alerts.failed

    def close(self, summary: SummaryRow) -> None:
        """Write the summary, where windows are written."""
        for sink in self._lines:
            if sink.with_windows:
                sink.put(summary)

    def _keep(self, explainer: WindowExplainer, moments: Moments) -> Path:
        return keep(moments, explainer, self._settings, self._folder)

    def _tell(self, row: Row) -> None:
        for sink in self._lines:
            sink.tell(row)


@contextmanager
def outputs_of(
    asked: Asked, address: StreamAddress, settings: Settings, say: Say, warn: Say
) -> Iterator[Outputs]:
    """A context with the outputs, whose files are open.

    Args:
        asked: options.
        address: of the source.
        settings: of drawing, and of what is kept.
        say: receives the address of the live page.
        warn: receives a line about what went wrong.

    Raises:
        UsageError: outputs that contradict each other, or are not supported.
        UnavailableError: the page cannot be served.
        OutputError: a file exists, or cannot be written.
    """
    to_stdout = STDOUT in asked.targets
    if asked.json and to_stdout:
        raise UsageError("--json and --output - both write to stdout", "use --ndjson FILE")
    if len(set(asked.targets)) < len(asked.targets):
        raise UsageError("--output: the same target is given twice", "leave one out")
    if asked.token_file is not None and asked.serve is None:
        raise UsageError("--token-file is for viewers of the page", "add --serve PORT")
    with ExitStack() as stack:
        lines = []
        if asked.json or (asked.alerts and not to_stdout):
            lines.append(LinesSink(sys.stdout, "standard output", with_windows=asked.json))
        for target in map(Target.parse, asked.targets):
            if target.is_file:
                _check_new(target.name, "--output", address, force=asked.force)
        if to_stdout and sys.stdout.isatty():
            raise UsageError("--output - writes video, which a terminal cannot show", "add a pipe")
        if asked.alerts:
            _check_folder(Path(asked.keep_dir))
        access = None
        if asked.serve is not None:
            check_installed()
            access = Access(Place.parse(asked.serve), given_token(asked.token_file))
            stack.callback(access.close)
            say(f"live page: {access.url}")
        outputs = Outputs(asked, address, settings, warn, lines, access)
        _command(asked)
        if asked.ndjson is not None:
            _check_new(asked.ndjson, "--ndjson", address, force=asked.force)
            with output_errors(Path(asked.ndjson)):
                file = stack.enter_context(Path(asked.ndjson).open("w", encoding="utf-8"))
            lines.append(LinesSink(file, asked.ndjson))
        yield outputs


def _check_new(name: str, option: str, address: StreamAddress, *, force: bool) -> None:
    """Check that a file may be written, and is not the source."""
    path = Path(name)
    with output_errors(path):
        if address.is_local and path.exists() and path.samefile(address.name):
            raise UsageError(f"{option}: {name} is the source itself", "choose another name")
        if path.is_dir():
            raise OutputError(f"{option}: {name} is a folder", "give the name of a file in it")
        if not path.absolute().parent.is_dir():
            raise OutputError(f"{option}: there is no folder {path.parent}", "make it first")
        if path.exists() and not force:
            raise OutputError(f"{option}: {name} exists already", "--force replaces it")


def _check_folder(path: Path) -> None:
    """Check that a folder is there, or can be made, before there is something to keep in it."""
    present = next((each for each in (path, *path.absolute().parents) if each.exists()), path)
    if not present.is_dir() or not os.access(present, os.W_OK):
        raise OutputError(f"--keep-dir: cannot write to {path}", "choose another folder")


def _command(asked: Asked) -> Command | None:
    if asked.command is None:
        return None
    try:
        arguments = tuple(shlex.split(asked.command))
    except ValueError as error:
        raise UsageError(f"--exec: cannot read {asked.command!r}: {str(error).lower()}") from error
    if not arguments:
        raise UsageError("--exec: expected a command, not ''")
    if shutil.which(arguments[0]) is None:
        raise UsageError(f"--exec: no program {arguments[0]!r}", "give its path")
    return Command(arguments, asked.command_limit_s)
