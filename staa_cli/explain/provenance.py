"""Where a result comes from: the settings that shaped it, its fingerprint, and its run."""

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
from staa_cli.explain.timing import Stopwatch
from staa_cli.memory import peak_memory_bytes
from staa_cli.paths import path_fields
from staa_cli.schema import Output, VideoInfo
from staa_cli.video.table import DecodeReport

if TYPE_CHECKING:
    from staa_cli.models.load import LoadedModel


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
    """One line for input, weights, what the logits mean, class names, settings, and version.

    Settings are all of them, or the relevant ones as a report has them.
    """
    plain = relevant(settings) if isinstance(settings, Settings) else settings
    parts = [video_sha256, weights_sha256, output, list(labels), plain, __version__]
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def with_decoding(info: VideoInfo, report: DecodeReport) -> VideoInfo:
    """What decoding met, added to what probing had seen."""
    return replace(
        info,
        packets_bad=max(info.packets_bad, report.packets_bad),
        truncated=info.truncated or report.truncated,
    )


def run_details(model: LoadedModel, stopwatch: Stopwatch) -> dict[str, Any]:
    """What differs from one run to the next."""
    import torch  # late: who draws again needs none

    details: dict[str, Any] = path_fields(Path.cwd(), "folder") | {
        "device": str(model.device),
        "precision": model.precision,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "host": platform.node(),
        "platform": platform.platform(),
        "started_at": stopwatch.started.isoformat(timespec="seconds"),
        "seconds": dict(stopwatch.seconds),
    }
    if sys.platform != "win32":  # which does not tell
        details["peak_memory_bytes"] = peak_memory_bytes()
    return details
