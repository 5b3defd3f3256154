"""A folder of the user's own videos."""

from __future__ import annotations

from pathlib import Path

from staa_cli.benchmark.datasets.base import Dataset, Question, Sample
from staa_cli.config.settings import OutputSettings
from staa_cli.errors import NothingMatched
from staa_cli.footage.clips import middle_clip, read_clip
from staa_cli.models.load import LoadedModel
from staa_cli.video.folders import absolute, walk_videos
from staa_cli.video.probe import probe


class Videos(Dataset):
    """The middle clip of every video in a folder and below; the target is the predicted class.

    The output folder of `staa explain` is skipped.

    Raises:
        NothingMatched: the folder holds no video.
    """

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
        frames = read_clip(info, middle_clip(info, self._given), self._given)
        return Sample(frames, (Question(),), viewed=True)

    def describe(self, number: int) -> str:
        """The video's path."""
        return str(self.paths[number])

    def fingerprint(self) -> list[tuple[str, int]]:
        """Identity of the videos: their paths below the folder, and their sizes."""
        return path_sizes(Path(self.name), self.paths)


def path_sizes(folder: Path, paths: list[Path]) -> list[tuple[str, int]]:
    """Paths of files below the folder, and their sizes; 0 for a missing file."""
    below = [path.relative_to(folder).as_posix() for path in paths]
    sizes = (path.stat().st_size if path.is_file() else 0 for path in paths)
    return list(zip(below, sizes, strict=True))
