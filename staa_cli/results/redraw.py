"""Draw an explanation again from its result folder and its video, without the model.

`redraw` keeps the settings that are not given explicitly; for `stored_explanation`, all are given,
as in `staa explain`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

from staa_cli.config.settings import Loaded, OutputSettings, RenderSettings, Settings
from staa_cli.errors import InputError
from staa_cli.explain.provenance import fingerprint, relevant
from staa_cli.files import REPORT, sha256_of
from staa_cli.results.arrays import load_explanation
from staa_cli.results.folder import ResultFolder
from staa_cli.results.save import Saved, save
from staa_cli.results.stored import check_finished
from staa_cli.schema import Explanation, OnProgress, VideoInfo
from staa_cli.video.folders import absolute

S = TypeVar("S", RenderSettings, OutputSettings)

_MEASURED = ("faithfulness", "quick_faithfulness")
"""Settings of the output that take passes of the model."""


def redraw(
    folder: Path,
    loaded: Loaded,
    *,
    video: Path | None = None,
    into: Path | None = None,
    force: bool = False,
    on_progress: OnProgress = lambda stage, done, total: None,
) -> Saved:
    """Draw a result again with changed settings; other settings are kept.

    Args:
        folder: with a report and its maps.
        loaded: settings, of which explicitly set ones of pictures and output are used.
        video: current path of the video; by default that in the report.
        into: the folder to write to; by default `folder`.
        force: replace the result of another video in `into`.
        on_progress: called with (stage, done, total).

    Raises:
        InputError: the report, the maps, or the video is missing, it is another video, or the
            result is of an interrupted run.
        OutputError: a file cannot be written, or is in the way.
    """
    check_finished(folder / REPORT)
    explanation = load_explanation(folder)
    info = _video(explanation, folder, video)
    render = _changed(RenderSettings, "render", explanation, loaded)
    output = _changed(OutputSettings, "output", explanation, loaded)
    wanted = loaded.settings.output
    output = replace(output, annotated=wanted.annotated, html=wanted.html, npz=True)
    if explanation.faithfulness is None:
        output = replace(output, faithfulness=False, quick_faithfulness=False)
    new_settings = Settings(render=render, output=output, threads=loaded.settings.threads)
    drawn_with = relevant(new_settings)
    settings = explanation.settings | {name: drawn_with[name] for name in ("render", "output")}
    drawn = replace(
        explanation,
        video=info,
        settings=settings,
        fingerprint=_fingerprint(explanation, settings),
    )
    return save(
        drawn,
        into or folder,
        new_settings,
        reproducible=not explanation.run,
        force=force,
        on_progress=on_progress,
    )


def stored_explanation(
    folder: Path,
    source: Path,
    settings: Settings,
    fingerprint_of: Callable[[str, Mapping[str, Any]], str],
) -> Explanation | None:
    """The explanation in a folder, with these settings, if they differ only in what is drawn.

    Args:
        folder: of a result.
        source: the video.
        settings: requested ones.
        fingerprint_of: from the video's SHA-256 and relevant settings.

    Returns:
        The explanation, ready to be saved; None if the video has to be explained.

    Raises:
        VideoError: the video does not open.
    """
    result, wanted = ResultFolder(folder), relevant(settings)
    report = result.report()
    if report is None or result.interrupted:
        return None
    before = {name: report.settings.get(name, {}) for name in ("output", "render")}
    if any(wanted["output"][name] != before["output"].get(name) for name in _MEASURED):
        return None
    as_before = wanted | before
    if fingerprint_of(report.video.sha256, as_before) != report.fingerprint:
        return None
    try:
        explanation = load_explanation(folder)
    except InputError:  # the maps are missing or damaged
        return None
    info = _probed(source, explanation.video)
    if info.sha256 != explanation.video.sha256:
        return None
    run = explanation.run and replace(explanation.run, folder=str(Path.cwd()))
    return replace(
        explanation,
        video=info,
        settings=wanted,
        fingerprint=fingerprint_of(info.sha256, wanted),
        run=run,
    )


def _changed(kind: type[S], section: str, explanation: Explanation, loaded: Loaded) -> S:
    """A section of settings: explicitly set values, otherwise those of the report."""
    stored, current = explanation.settings.get(section, {}), getattr(loaded.settings, section)
    names = [field.name for field in fields(kind)]
    values: dict[str, Any] = {name: stored[name] for name in names if name in stored}
    explicit = [name for name in names if loaded.origins[f"{section}.{name}"] != "default"]
    return kind(**values | {name: getattr(current, name) for name in explicit})


def _fingerprint(explanation: Explanation, settings: Mapping[str, Any]) -> str:
    """The fingerprint with the new settings; a distinct one if it cannot be computed."""
    if settings == explanation.settings:
        return explanation.fingerprint
    model, sha256 = explanation.model, explanation.video.sha256
    facts = sha256, model.weights_sha256, model.output, model.labels
    if fingerprint(*facts, explanation.settings) == explanation.fingerprint:
        return fingerprint(*facts, settings)
    text = json.dumps([explanation.fingerprint, settings], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _video(explanation: Explanation, folder: Path, named: Path | None) -> VideoInfo:
    """Find and probe the explained video.

    Raises:
        InputError: it is missing, or is another video.
    """
    explained = explanation.video
    candidates = ResultFolder(folder).places_of(explained)
    existing = [path for path in ([named] if named else candidates) if path.is_file()]
    if not existing:
        missing = explained.url if named is None else None
        raise InputError(
            f"its video is missing: {missing or absolute(named or candidates[-1])}",
            "give its new place with --video PATH",
        )
    matching = [path for path in existing if _sha256(path) == explained.sha256]
    if not matching:
        raise InputError(
            f"{absolute(existing[0])} is not the video that was explained",
            "explain this one, or give the original with --video PATH",
        )
    return _probed(matching[0], explained)


def _probed(path: Path, explained: VideoInfo) -> VideoInfo:
    """The facts of a video, with the problems that were found in explaining it."""
    from staa_cli.video.probe import probe

    info = probe(path)
    return replace(
        info,
        packets_bad=max(info.packets_bad, explained.packets_bad),
        truncated=info.truncated or explained.truncated,
        url=explained.url if str(path) == explained.path else None,
    )


def _sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
