"""A folder of the user's own videos."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from staa_cli.benchmark.datasets.base import Dataset, Question, Sample
from staa_cli.config.settings import OutputSettings, SamplingSettings
from staa_cli.errors import NothingMatched
from staa_cli.explain.sampling import plan
from staa_cli.models.load import LoadedModel
from staa_cli.video.decode import iter_frames
from staa_cli.video.folders import absolute, walk_videos
from staa_cli.video.probe import probe


class Videos(Dataset):
    """The middle clip of every video in a folder and below; asked for is what the model says.

    What `staa explain` has written there is left out.

    Raises:
        NothingMatched: there is no video.
    """

    truth = False

    def __init__(self, folder: Path, model: LoadedModel) -> None:
        self.name, self._given = str(folder), model.input
        results = absolute(folder / OutputSettings().dir)
        self.paths = list(walk_videos(folder, recursive=True, skip=results))
        if not self.paths:
            raise NothingMatched(f"no video in {folder}")
        self.count = len(self.paths)

    def sample(self, number: int) -> Sample:
        """The middle clip of one of the videos; one question.

        Raises:
            VideoError: the video does not open or decode.
        """
        info = probe(self.paths[number])
        clip = plan(
            info.times_s,
            frames=self._given.frames,
            interval_s=self._given.interval_s,
            settings=SamplingSettings(strategy="segments", clips=1),
        ).clips[0]
        pictures = dict(iter_frames(info, clip.frame_indices))
        return Sample(np.stack([pictures[n] for n in clip.frame_indices]), (Question(),))

    def describe(self, number: int) -> str:
        """The video's path."""
        return str(self.paths[number])

    def fingerprint(self) -> list[tuple[str, int]]:
        """What tells these videos from others: each one's path below the folder, and its size."""
        below = [path.relative_to(self.name).as_posix() for path in self.paths]
        sizes = (path.stat().st_size if path.is_file() else 0 for path in self.paths)
        return list(zip(below, sizes, strict=True))
