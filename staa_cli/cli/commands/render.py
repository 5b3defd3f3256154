"""`staa render`: draw results again, without the model."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from staa_cli.cli.options import SETTINGS, as_argument, command, put
from staa_cli.cli.terminal import Console, shown
from staa_cli.config.settings import Loaded
from staa_cli.errors import ExitCode, InputError, UsageError
from staa_cli.failures import understood

_EXAMPLES = """
staa render staa-out/video --view contour --gif
staa render staa-out/* --colormap viridis --strip over -o again/
staa render staa-out/video --video moved/video.mp4 --storyboard
"""
_NAMES = ("annotated", "html", "plot", "storyboard", "gif", "csv", "formats")
_SETTINGS = {
    "Picture": SETTINGS["Picture"],
    "Output": tuple(f"output.{name}" for name in _NAMES),
}


def add(app: typer.Typer) -> None:
    """Register the command."""
    command(app, _EXAMPLES, settings=_SETTINGS)(render)


def render(
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER", help="Result folders that contain maps.npz.")
    ],
    *,
    video: Annotated[
        Path | None,
        typer.Option(
            "--video",
            metavar="FILE",
            help="Where the video is now. [the path in the report]",
            rich_help_panel="Inputs",
        ),
    ] = None,
    output_dir: Annotated[
        Path | None,
        typer.Option(
            "--output-dir",
            "-o",
            metavar="DIR",
            help="Write to folders of the same names there, and leave the originals unchanged.",
            rich_help_panel="Output",
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Replace results of another video in --output-dir.",
            rich_help_panel="Output",
        ),
    ] = False,
    console: Console,
    loaded: Loaded,
) -> None:
    """Draw results again without the model; settings not given as options stay unchanged."""
    if video is not None and len(folders) > 1:
        raise UsageError("--video applies to a single result", "give one FOLDER")
    from staa_cli.results.redraw import redraw
    from staa_cli.results.writers.annotated_mp4 import check_encoder

    check_encoder(loaded.settings)
    failed = False
    with console.progress(len(folders)) as progress:
        for folder, into in _targets(folders, output_dir):
            name = shown(folder.name or str(folder))
            try:
                if isinstance(into, InputError):
                    raise into
                paths = redraw(
                    folder,
                    loaded,
                    video=video,
                    into=into,
                    force=force,
                    on_progress=functools.partial(progress.stage, name),
                ).paths
            except Exception as error:
                failed = True
                console.trace(error)
                console.error(understood(error), str(folder))
                continue
            finally:
                progress.finished(name)
            for path in paths:
                put(console, as_argument(path))
    if failed:
        raise typer.Exit(ExitCode.INPUT_FAILED)


def _targets(
    folders: list[Path], output_dir: Path | None
) -> Iterator[tuple[Path, Path | InputError]]:
    """Each folder once with its target folder, or an error if that is used already."""
    owners: dict[Path, Path] = {}
    unique: dict[Path, Path] = {}
    for folder in folders:
        unique.setdefault(folder.resolve(), folder)
    for folder in unique.values():
        into = folder if output_dir is None else output_dir / folder.resolve().name
        owner = owners.setdefault(into, folder)
        if owner is folder:
            yield folder, into
        else:
            hint = "render it in a separate call with another --output-dir"
            yield folder, InputError(f"{into} is already used for {owner}", hint)
