"""A result folder and its video -> the same explanation drawn again, without the model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from staa_cli.config.settings import Loaded, OutputSettings, RenderSettings, Settings
from staa_cli.errors import InputError
from staa_cli.explain.provenance import fingerprint
from staa_cli.files import sha256_of
from staa_cli.results.arrays import load_explanation
from staa_cli.results.folder import ResultFolder
from staa_cli.results.save import Saved, save
from staa_cli.schema import Explanation, OnProgress, VideoInfo
from staa_cli.video.folders import absolute

S = TypeVar("S", RenderSettings, OutputSettings)


def redraw(
    folder: Path,
    loaded: Loaded,
    *,
    video: Path | None = None,
    into: Path | None = None,
    force: bool = False,
    on_progress: OnProgress = lambda stage, done, total: None,
) -> Saved:
    """Draw a result again, where and as somebody says; what nobody says is as it was.

    Args:
        folder: with a report and its maps.
        loaded: settings, of which those of pictures and output count where they were set.
        video: where the video is now; where the report says it is, if None.
        into: the folder that is written; `folder` itself where None.
        force: replace what `into` holds of another video.
        on_progress: called with (stage, done, total).

    Raises:
        InputError: the report, the maps, or the video is not there, or the video is another one.
        OutputError: a file cannot be written, or is in the way.
    """
    explanation = load_explanation(folder)
    info = _video(explanation, folder, video)
    look = _changed(RenderSettings, "render", explanation, loaded)
    output = _changed(OutputSettings, "output", explanation, loaded)
    output = replace(output, annotated=loaded.settings.output.annotated, npz=True)
    if explanation.faithfulness is None:
        output = replace(output, faithfulness=False, quick_faithfulness=False)
    written = {name: value for name, value in asdict(output).items() if name != "dir"}
    settings = explanation.settings | {"render": asdict(look), "output": written}
    drawn = replace(
        explanation,
        video=info,
        settings=settings,
        fingerprint=_fingerprint(explanation, settings),
    )
    asked = Settings(render=look, output=output)
    return save(
        drawn,
        into or folder,
        asked,
        reproducible=not explanation.run,
        force=force,
        on_progress=on_progress,
    )


def _changed(kind: type[S], section: str, explanation: Explanation, loaded: Loaded) -> S:
    """A section of settings: what somebody has set now, else what the report says."""
    before, now = explanation.settings.get(section, {}), getattr(loaded.settings, section)
    names = [field.name for field in fields(kind)]
    was: dict[str, Any] = {name: before[name] for name in names if name in before}
    given = [name for name in names if loaded.origins[f"{section}.{name}"] != "default"]
    return kind(**was | {name: getattr(now, name) for name in given})


def _fingerprint(explanation: Explanation, settings: Mapping[str, Any]) -> str:
    """That of explaining with the new settings; one of its own where not all is known for that."""
    if settings == explanation.settings:
        return explanation.fingerprint
    model, sha256 = explanation.model, explanation.video.sha256
    facts = sha256, model.weights_sha256, model.output, model.labels
    if fingerprint(*facts, explanation.settings) == explanation.fingerprint:
        return fingerprint(*facts, settings)
    text = json.dumps([explanation.fingerprint, settings], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _video(explanation: Explanation, folder: Path, named: Path | None) -> VideoInfo:
    """The video that was explained, opened.

    Raises:
        InputError: it is gone, or what is there is another one.
    """
    from staa_cli.video.probe import probe

    before = explanation.video
    source = ResultFolder(folder).source()
    places = [Path(before.path), *([source.file] if source and source.file else [])]
    there = [place for place in ([named] if named else places) if place.is_file()]
    if not there:
        gone = absolute(named or places[-1])
        raise InputError(f"its video is missing: {gone}", "give its new place with --video PATH")
    same = [place for place in there if _content(place) == before.sha256]
    if not same:
        raise InputError(
            f"{absolute(there[0])} is not the video that was explained",
            "explain this one, or give the original with --video PATH",
        )
    info = probe(same[0])
    return replace(
        info,
        packets_bad=max(info.packets_bad, before.packets_bad),
        truncated=info.truncated or before.truncated,
    )


def _content(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
