"""Provenance of a result: relevant settings, fingerprint, and run details."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from staa_cli import __version__
from staa_cli.config.settings import Settings, keys
from staa_cli.entry_points import METHODS, package_of
from staa_cli.explain.timing import Stopwatch
from staa_cli.memory import peak_memory_bytes
from staa_cli.references import code_sha256, is_reference, load_reference
from staa_cli.schema import Output, RunDetails, VideoInfo

if TYPE_CHECKING:  # fingerprints must not import torch
    from staa_cli.models.load import LoadedModel
    from staa_cli.video.table import DecodeReport


def relevant(settings: Settings) -> dict[str, Any]:
    """The settings that the result depends on, as nested plain data."""
    plain = asdict(settings)
    for key in keys().values():
        if not key.shapes_result:
            section, _, name = key.name.rpartition(".")
            del (plain[section] if section else plain)[name]
    return plain


def fingerprint(
    video_sha256: str,
    weights_sha256: str,
    output: Output,
    labels: Sequence[str],
    settings: Settings | Mapping[str, Any],
) -> str:
    """Hash of input, weights, output function, class names, settings, and version.

    It includes the code of a user's method, or the version of the package that declares it.
    `settings` are all settings, or the relevant ones from a report.
    """
    plain = relevant(settings) if isinstance(settings, Settings) else settings
    parts = [video_sha256, weights_sha256, output, list(labels), plain, __version__]
    method = plain["method"]["name"]
    if is_reference(method):
        parts.append(code_sha256(load_reference(method, "Class")))
    elif (package := package_of(METHODS, method)) is not None:
        parts.append(package)
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def with_decoding(info: VideoInfo, report: DecodeReport) -> VideoInfo:
    """Add the problems found in decoding to those found in probing."""
    return replace(
        info,
        packets_bad=max(info.packets_bad, report.packets_bad),
        truncated=info.truncated or report.truncated,
    )


def run_details(model: LoadedModel, stopwatch: Stopwatch) -> RunDetails:
    """Details that differ between runs."""
    import torch  # deferred: fingerprints do not need it

    return RunDetails(
        folder=str(Path.cwd()),
        device=str(model.device),
        precision=model.precision,
        threads=torch.get_num_threads(),
        torch=str(torch.__version__),
        host=platform.node(),
        platform=platform.platform(),
        started_at=stopwatch.started.isoformat(timespec="seconds"),
        seconds=dict(stopwatch.seconds),
        peak_memory_bytes=None if sys.platform == "win32" else peak_memory_bytes(),
    )
