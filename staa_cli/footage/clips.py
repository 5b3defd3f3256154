"""One clip of a video, preprocessed for a model."""

from __future__ import annotations

import numpy as np

from staa_cli.config.settings import SamplingSettings
from staa_cli.explain.sampling import clip_at, plan
from staa_cli.models.preprocess import view_of
from staa_cli.schema import Clip, ModelInput, UInt8, VideoInfo
from staa_cli.video.decode import iter_frames


def middle_clip(info: VideoInfo, given: ModelInput) -> Clip:
    """The clip in the middle of a video, with the model's frame interval."""
    return plan(
        info.times_s,
        frames=given.frames,
        interval_s=given.interval_s,
        settings=SamplingSettings(strategy="segments", clips=1),
    ).clips[0]


def clip_around(info: VideoInfo, middle_s: float, given: ModelInput) -> Clip:
    """The clip with a frame at a time and as many before as after, or one fewer after.

    Near the video's start or end, the clip is shifted, but still contains the time.
    """
    start_s = middle_s - given.frames // 2 * given.interval_s
    return clip_at(info.times_s, start_s, frames=given.frames, interval_s=given.interval_s)


def read_clip(info: VideoInfo, clip: Clip, given: ModelInput) -> UInt8:
    """A clip's frames, preprocessed for the model: uint8 [T, h, w, 3], before normalization.

    Raises:
        VideoError: nothing decodes, or the file changed.
    """
    views = {
        index: view_of(picture, given) for index, picture in iter_frames(info, clip.frame_indices)
    }
    return np.stack([views[index] for index in clip.frame_indices])
