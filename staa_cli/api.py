"""The Python API: load a model, explain a clip or a video, save and draw the explanation.

It prints nothing and has no global state: it writes files only on request, sets no environment
variable, and does not change the number of threads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from staa_cli import schema
from staa_cli.config.settings import Settings, keys
from staa_cli.config.values import convert
from staa_cli.errors import InputError, UnavailableError, UsageError
from staa_cli.evaluation.measure import measure_faithfulness
from staa_cli.explain.pipeline import explain_one, open_model
from staa_cli.explain.single_clip import ClipExplanation, explain_clip
from staa_cli.models.load import LoadedModel, load_model
from staa_cli.results.arrays import load_explanation
from staa_cli.results.report import from_explanation, plain_document, typed_settings
from staa_cli.results.save import save
from staa_cli.schema import Float64, OnProgress, UInt8
from staa_cli.video.frame_source import FrameArray, FrameSource, SeekableSource, source_of

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from staa_cli.render.pictures import Pictures

__all__ = [
    "ClipExplanation",
    "Explanation",
    "LoadedModel",
    "explain_clip",
    "explain_video",
    "load_model",
]

Frames = UInt8 | Tensor | Iterable[UInt8 | Tensor]
"""uint8 [N, H, W, 3] RGB, or N pictures uint8 [H, W, 3] of equal size."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Explanation(schema.Explanation):
    """An explanation with methods to save, load, and draw it."""

    asked: Settings = field(default_factory=Settings)
    """All settings it was computed with; `settings` has only those that affect its content."""

    def save(
        self, folder: str | Path, settings: Settings | None = None, *, force: bool = False
    ) -> tuple[Path, ...]:
        """Write the same files as the command into `folder`; returns their paths.

        Args:
            folder: created if it does not exist.
            settings: what to write and how it looks; by default those it was computed with.
            force: replace the result of another video in the folder.

        Raises:
            OutputError: a file cannot be written, a file not written by staa is in the way, or the
                folder contains the result of another video.
        """
        return save(self, Path(folder), settings or self.asked, force=force).paths

    def _repr_html_(self) -> str:
        """HTML for notebooks: under 300 kB, without scripts; works without the video."""
        from staa_cli.render.card import POSTER_PX, card
        from staa_cli.render.pictures import annotated_pictures
        from staa_cli.render.storyboard import highest

        look = replace(self.asked.render, view="heat", strip="none")
        peak = [highest(self)]
        try:
            frames = source_of(self).read(peak)
            poster = annotated_pictures(self, frames, peak, look, POSTER_PX).pictures[0]
        except InputError as error:
            return card(self, error)
        return card(self, poster)

    def to_dict(self) -> dict[str, Any]:
        """The content of `report.json` as plain JSON values.

        Raises:
            OutputError: a value is not finite.
        """
        return plain_document(from_explanation(self))

    def to_frame(self) -> pandas.DataFrame:
        """The scores as a pandas DataFrame with one row per frame, not rounded.

        Its columns are those of `importance.csv`: index, time_s, score, weighted_score, seen. The
        scores of frames that no clip covers are NaN.

        Raises:
            UnavailableError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise UnavailableError(
                f"a table needs {error.name or 'pandas'}, which is not installed",
                "pip install pandas",
            ) from error
        scores = self.frames
        columns = {
            "index": self.part,
            "time_s": scores.times_s,
            "score": scores.score,
            "weighted_score": scores.weighted_score,
            "seen": scores.seen,
        }
        return pandas.DataFrame(columns)

    def plot(self, ax: Axes | None = None) -> Figure:
        """Plot score and weighted score over time, with the moments shaded.

        The figure is not managed by pyplot: a notebook shows it, and it need not be closed.

        Args:
            ax: axes to draw on; by default those of a new figure of 1600 x 720 pixels, as in
                `curve.png`.

        Returns:
            The figure that contains the axes.

        Raises:
            UsageError: `ax` belongs to no figure.
        """
        from staa_cli.render.plot import curve_chart, draw_curve

        if ax is None:
            return curve_chart(self).figure
        figure = ax.get_figure(root=True)
        if figure is None:
            raise UsageError("ax= has been removed from its figure")
        draw_curve(ax, self)
        return figure

    def pictures(
        self,
        view: str | None = None,
        *,
        count: int | None = None,
        indices: Sequence[int] | None = None,
        longest: int = 640,
    ) -> Pictures:
        """Annotated frames as in `annotated.mp4`, uint8 [n, H, W, 3] RGB, with their times.

        Args:
            view: how the map is shown with the picture, a value of `--view`; by default the view
                in `asked`.
            count: maximum number of frames, taken from the highest moments and ordered by time; 6
                if neither this nor `indices` is given. Without moments, the frames are spread over
                the covered part of the video.
            indices: positions in the video, instead of a count.
            longest: maximum length of the longer side of a frame in pixels, without the strip below
                or the panel next to it. Apart from the result, only one frame is in memory at a
                time.

        Raises:
            UsageError: an unknown view, no frame, a frame that is not explained, or both `count`
                and `indices`.
            InputError: the video file, or the frames in memory, no longer exist.
        """
        from staa_cli.render.pictures import annotated_pictures
        from staa_cli.render.storyboard import storyboard_indices

        if count is not None and indices is not None:
            raise UsageError("count= and indices= both say which frames", "give one of them")
        if indices is None:
            if count is not None and count < 1:
                raise UsageError(f"count= must be at least 1, not {count}")
            indices = storyboard_indices(self, *([] if count is None else [count]))
        outside = [index for index in indices if index not in self.part]
        if outside or len(indices) == 0:
            cause = f"frame {outside[0]} is not explained" if outside else "indices= names no frame"
            raise UsageError(cause, f"{self.part.start} to {self.part.stop - 1} are")
        if longest < 2:
            raise UsageError(f"longest= must be at least 2 pixels, not {longest}")
        look = self.asked.render
        if view is not None:
            look = replace(look, view=convert(keys()["render.view"], view, "view=", UsageError))
        frames = source_of(self).read(indices)
        return annotated_pictures(self, frames, indices, look, longest)

    @classmethod
    def load(cls, folder: str | Path) -> Explanation:
        """Load a saved explanation without its model and without opening the video.

        All arrays are equal to the saved ones. The explanation can be saved in other formats;
        drawing needs the video at its original path.

        Args:
            folder: contains `report.json` and `maps.npz`.

        Returns:
            The explanation; settings that do not affect the result have their defaults.

        Raises:
            InputError: a file is missing, corrupt, not written by staa, or of another version.
        """
        plain = load_explanation(Path(folder))
        return cls._of(plain, typed_settings(plain.settings))

    @classmethod
    def _of(cls, plain: schema.Explanation, asked: Settings) -> Explanation:
        values = {item.name: getattr(plain, item.name) for item in fields(schema.Explanation)}
        return cls(**values, asked=asked)


def explain_video(
    video: str | PathLike[str] | SeekableSource | Frames,
    model: LoadedModel | str | nn.Module | None = None,
    *,
    rate: float | None = None,
    times_s: Sequence[float] | Float64 | None = None,
    target: str | int | None = None,
    method: str | None = None,
    settings: Settings | None = None,
    on_progress: OnProgress | None = None,
) -> Explanation:
    """Explain a video file or frames in memory; every covered frame gets a score.

    Writes no files. Frames in memory are not copied; the explanation keeps them for drawing.

    Args:
        video: path of a file; or frames uint8 [N, H, W, 3] RGB, as an array, a tensor, or N
            pictures [H, W, 3]; or an open frame source.
        model: from `load_model`, or an argument for it; by default that of the settings.
        rate: frames per second of frames in memory.
        times_s: start times of N frames in memory, instead of a rate.
        target: class to explain; overrides the settings.
        method: method to use; overrides the settings.
        settings: everything else; defaults if None.
        on_progress: called with (stage, done, total); the first stage is `planning`, whose total is
            the number of clips.

    Raises:
        VideoError: the file cannot be opened or decoded.
        InputError: no frames, or frames of another type or shape.
        UsageError: an unknown class or method, a method that does not support the model, or frames
            without exactly one of `rate` and `times_s`.
        UnavailableError: the model or the device is not available.
    """
    source = _source(video, rate, times_s)
    settings = settings or Settings()
    if target is not None:
        settings = replace(settings, target=str(target))
    if method is not None:
        settings = replace(settings, method=replace(settings.method, name=method))
    if isinstance(model, nn.Module):
        model = load_model(model, device=settings.device, precision=settings.precision)
    if isinstance(model, LoadedModel):
        if settings.model == Settings().model:  # the settings name no other model
            settings = replace(settings, model=model.info.name)
    else:
        settings = settings if model is None else replace(settings, model=str(model))
        model = open_model(settings)
    # Not `on_progress or ...`: a callable may be falsy.
    report_progress = _no_progress if on_progress is None else on_progress
    plain = explain_one(source, model, settings, report_progress, measure=measure_faithfulness)
    return Explanation._of(plain, settings)


def _no_progress(stage: str, done: int, total: int) -> None:
    """Ignore progress."""


def _source(
    video: str | PathLike[str] | SeekableSource | Frames,
    rate: float | None,
    times_s: Sequence[float] | Float64 | None,
) -> str | SeekableSource:
    """A path or a source unchanged, frames in memory as a source."""
    if isinstance(video, str | PathLike | SeekableSource):
        if rate is not None or times_s is not None:
            raise UsageError(
                "rate= and times_s= apply only to frames in memory; a video file has "
                "its own timestamps",
                "leave them out",
            )
        return video if isinstance(video, SeekableSource) else fspath(video)
    if isinstance(video, FrameSource):
        raise InputError(
            "a source that can be read only once cannot be used as a video",
            "collect frames from it and pass them with times_s=",
        )
    if isinstance(video, Tensor):
        pictures: UInt8 | Iterable[UInt8] = _pixels(video)
    elif isinstance(video, np.ndarray | bytes) or not isinstance(video, Iterable):
        pictures = video
    else:
        pictures = [_pixels(frame) if isinstance(frame, Tensor) else frame for frame in video]
    return FrameArray(pictures, rate=rate, times_s=times_s)


def _pixels(frames: Tensor) -> UInt8:
    """A uint8 tensor on any device as an array."""
    if frames.dtype != torch.uint8:  # some torch types, such as bfloat16, have no numpy type
        shape = list(frames.shape)
        raise InputError(f"frames must be uint8 [N, H, W, 3], not {frames.dtype} {shape}")
    return np.asarray(frames.cpu())
