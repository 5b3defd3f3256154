"""Descriptions of the workload before a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from staa_cli.config.settings import Loaded, load_settings
from staa_cli.formatting import clock, counted

if TYPE_CHECKING:
    from staa_cli.jobs.outcome import Workload

_LONG_S = 300.0
_PRESET = "long-video"


def in_words(work: Workload) -> str:
    """Clips and passes: `4 clips, 356 passes (4 explain, up to 352 measure faithfulness)`."""
    clips = counted(work.clips, "clip")
    passes = work.total
    text = f"{clips}, {passes:,} pass{'es'[: 2 * (passes != 1)]}"
    if not work.faithfulness_passes:
        return text
    measure = f"up to {work.faithfulness_passes:,} measure faithfulness"
    return f"{text} ({work.passes:,} explain, {measure})"


def long_video_hint(work: Workload, loaded: Loaded) -> str | None:
    """A cheaper option for a long video, if the user has not chosen a sampling."""
    chosen = loaded.config is not None or loaded.origins["sampling.strategy"] != "default"
    if chosen or work.dense_s is None or work.dense_s <= _LONG_S:
        return None
    clips = load_settings(_PRESET, {}, {}).settings.sampling.clips
    passes = round(work.passes / work.clips * clips)
    return (
        f"clips cover all {clock(work.dense_s, work.dense_s, 0)} of the video; "
        f"--config {_PRESET} needs {clips} clips, {passes:,} passes"
    )
