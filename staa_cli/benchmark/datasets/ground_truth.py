"""A folder of the user's own videos with a ground_truth.json beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from staa_cli.benchmark.datasets.base import Dataset, Question, Sample
from staa_cli.benchmark.datasets.videos import path_sizes
from staa_cli.errors import InputError, UsageError, VideoError
from staa_cli.evaluation.base import Known
from staa_cli.explain.pipeline import find_target
from staa_cli.files import sha256_of
from staa_cli.footage.clips import clip_around, middle_clip, read_clip
from staa_cli.formatting import raw
from staa_cli.models.load import LoadedModel
from staa_cli.models.preprocess import view_of_mask
from staa_cli.registry import did_you_mean
from staa_cli.results.ground_truth import FILE, Box, Mask, TrueVideo, load_ground_truth
from staa_cli.schema import Bool, Clip, VideoInfo
from staa_cli.video.probe import probe

TOLERANCE_S = 1e-3
"""Allowance for rounded times: a frame may start this much before a time and still count."""
_SAME_SHAPE = 0.02
_MASK = "a mask is a PNG file that shows the whole upright picture, at any size"
_LABELS = 5
"""Maximum number of unknown labels in a warning."""
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class _TrueClip:
    video: TrueVideo
    info: VideoInfo | None
    """None if the video does not open."""
    clip: Clip | None


class TrueVideos(Dataset):
    """Clips of the videos that a ground_truth.json lists: one around the middle of every event.

    An event within the clip of another one gets no clip of its own. A video without events has one
    clip, in the middle of the time that its boxes or masks cover, or else in the middle of the
    video. The target is the label if the model has it, or else the predicted class.

    Raises:
        InputError: the file is invalid, or names a file that does not exist.
    """

    def __init__(self, folder: Path, model: LoadedModel) -> None:
        self.name, self._folder, self._given = str(folder), folder, model.input
        videos = load_ground_truth(folder / FILE).videos
        self._targets = {video.file: _known_target(video.label, model) for video in videos}
        self.notes = _unknown_labels(videos, self._targets, model)
        self._check_files(videos)
        self._clips = [clip for video in videos for clip in self._clips_of(video)]
        self.count = len(self._clips)
        known: dict[Known, bool] = {
            "label": any(target is not None for target in self._targets.values()),
            "mask": any(video.places for video in videos),
            "event": any(video.events for video in videos),
        }
        self.truth = [name for name, is_known in known.items() if is_known]
        self._files = [folder / file for video in videos for file in _files(video)]

    def sample(self, number: int) -> Sample:
        """One of the clips; one question.

        Raises:
            VideoError: the video does not open or decode.
            InputError: a mask is not a PNG file, or its shape differs from the video's picture.
        """
        entry = self._clips[number]
        info = entry.info or probe(self._folder / entry.video.file)
        clip = entry.clip or middle_clip(info, self._given)
        times_s = np.array(clip.times_s) + TOLERANCE_S
        events, places = entry.video.events, entry.video.places
        mask = self._mask(places, times_s.tolist(), info) if places else None
        question = Question(
            self._targets[entry.video.file],
            mask if mask is not None and mask.any() else None,  # an empty mask cannot be scored
            np.any([(e.start_s <= times_s) & (times_s < e.end_s) for e in events], axis=0)
            if events
            else None,
        )
        return Sample(read_clip(info, clip, self._given), (question,), viewed=True)

    def describe(self, number: int) -> str:
        """The video's path, with the start of the clip if the video has several."""
        entry = self._clips[number]
        path = str(self._folder / entry.video.file)
        if entry.clip is None or sum(other.video is entry.video for other in self._clips) == 1:
            return path
        return f"{path} from {raw(entry.clip.start_s)} s"

    def fingerprint(self) -> list[tuple[str, Any]]:
        """Identity of the clips: the files with their sizes, and the hash of the ground truth."""
        truth = (FILE, sha256_of(self._folder / FILE))
        return [*path_sizes(self._folder, self._files), truth]

    def _check_files(self, videos: Sequence[TrueVideo]) -> None:
        for number, video in enumerate(videos):
            for position, file in enumerate(_files(video)):
                kind = "mask" if position else "video"
                entry = f"{self._folder / FILE}: videos[{number}] names the {kind} {file!r}, which"
                path = self._folder / file
                if not path.is_file():
                    problem = "is a folder" if path.is_dir() else "does not exist"
                    raise InputError(f"{entry} {problem}", f"paths start from {self._folder}")
                if kind == "mask" and not _is_png(path):
                    raise InputError(f"{entry} is not a PNG file", _MASK)

    def _clips_of(self, video: TrueVideo) -> Iterator[_TrueClip]:
        try:
            info = probe(self._folder / video.file)
        except VideoError:  # reported by `sample`, so that the other videos are still scored
            yield _TrueClip(video, None, None)
            return
        for field, time_s in video.times_s():
            if time_s > info.duration_s + 1 / info.rate:
                raise InputError(
                    f"{self._folder / FILE}: {video.file}: {field} is {raw(time_s)} s, but the "
                    f"video ends at {raw(info.duration_s)} s",
                    "times are seconds from the video's first frame",
                )
        shown: Clip | None = None
        for start_s, end_s in _stretches(video, info):
            if shown is None or not shown.start_s <= start_s <= end_s <= shown.end_s:
                shown = clip_around(info, (start_s + end_s) / 2, self._given)
                yield _TrueClip(video, info, shown)
        if shown is None:
            yield _TrueClip(video, info, middle_clip(info, self._given))

    def _mask(
        self, places: Sequence[Box | Mask], times_s: Sequence[float], info: VideoInfo
    ) -> Bool:
        """[T, h, w] the boxes or masks at these times, in the model's view."""
        views: dict[tuple[Box | Mask, ...], Bool] = {}
        frames = []
        for time_s in times_s:
            held = held_places(places, time_s)
            if held not in views:
                whole = np.zeros((info.height, info.width), np.bool_)
                for place in held:
                    if isinstance(place, Box):
                        _fill_box(whole, place)
                    else:
                        whole |= _read_mask(self._folder / place.file, info)
                views[held] = view_of_mask(whole, self._given)
            frames.append(views[held])
        return np.stack(frames)


def held_places(places: Sequence[Box | Mask], time_s: float) -> tuple[Box | Mask, ...]:
    """Places that hold at a time: those with the latest start, unless they have ended."""
    last_s = max((p.time_s for p in places if p.time_s <= time_s), default=None)
    held = (p for p in places if p.time_s == last_s and (p.end_s is None or time_s < p.end_s))
    return tuple(held)


def _known_target(label: str | None, model: LoadedModel) -> int | None:
    """Index of the class that a label names; None if the model does not have it."""
    try:
        target, reason = find_target(label, model.labels)
    except UsageError:
        return None
    return target if reason == "named" else None


def _unknown_labels(
    videos: Sequence[TrueVideo], targets: Mapping[str, int | None], model: LoadedModel
) -> list[str]:
    """A warning about labels that count as absent because the model lacks their classes."""
    labels = {v.label for v in videos if v.label is not None and targets[v.file] is None}
    if not labels:
        return []
    shown = []
    for label in sorted(labels)[:_LABELS]:
        near = did_you_mean(label, model.labels)
        shown.append(f"{label!r} ({near})" if near else repr(label))
    more = f", and {len(labels) - _LABELS} more" if len(labels) > _LABELS else ""
    return [
        f"{FILE} has labels that name no class of the model and count as absent: "
        f"{', '.join(shown)}{more}"
    ]


def _files(video: TrueVideo) -> list[str]:
    return [video.file, *(mask.file for mask in video.masks or ())]


def _stretches(video: TrueVideo, info: VideoInfo) -> list[tuple[float, float]]:
    """Start and end of the intervals that need a clip, in order; empty if no time is known."""
    if video.events:
        return sorted((event.start_s, event.end_s) for event in video.events)
    if not video.places:
        return []
    last = max(video.places, key=lambda place: place.time_s)
    first_s = min(place.time_s for place in video.places)
    return [(first_s, info.duration_s if last.end_s is None else last.end_s)]


def _fill_box(mask: Bool, box: Box) -> None:
    """Set the pixels [H, W] of a box, at least one along each axis."""
    spans = []
    for start, length, pixels in ((box.y, box.height, 0), (box.x, box.width, 1)):
        size = mask.shape[pixels]
        first = min(round(start * size), size - 1)
        spans.append(slice(first, max(round((start + length) * size), first + 1)))
    mask[tuple(spans)] = True


def _is_png(path: Path) -> bool:
    """Whether a file has the PNG signature; True if unreadable, which `sample` reports later."""
    with suppress(OSError), path.open("rb") as file:
        return file.read(len(_PNG)) == _PNG
    return True


def _read_mask(path: Path, info: VideoInfo) -> Bool:
    """A PNG as a mask [H, W] over the upright picture of a video."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            values = np.asarray(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"the mask {path} cannot be decoded: {error}", _MASK) from error
    if values.ndim == 3:  # ignore the alpha channel
        colors = values.shape[2] - (values.shape[2] % 2 == 0)
        values = np.asarray(values[..., :colors].any(axis=2))
    height, width = values.shape
    aspect, pixels = width / height, info.sample_aspect_ratio[0] / info.sample_aspect_ratio[1]
    stored = info.width / info.height
    if all(abs(aspect / shape - 1) > _SAME_SHAPE for shape in (stored, stored * pixels)):
        raise InputError(
            f"the mask {path} is {width} x {height}, but the upright picture is "
            f"{info.width} x {info.height}",
            _MASK,
        )
    rows = (np.arange(info.height) + 0.5) * height / info.height
    columns = (np.arange(info.width) + 0.5) * width / info.width
    return np.asarray(values[rows.astype(int)][:, columns.astype(int)] != 0)
