"""What a program may ask of staa: a model, a clip, a video, and an explanation that knows itself.

Silent, and without global state: nothing is written unasked, no environment variable is set, and
no thread count is changed.
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
"""uint8 [N, H, W, 3] RGB, or N pictures uint8 [H, W, 3] of one size."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Explanation(schema.Explanation):
    """An explanation that knows how to write itself, and to read itself back."""

    asked: Settings = field(default_factory=Settings)
    """All settings that it was made with; `settings` has those that its content depends on."""

    def save(
        self, folder: str | Path, settings: Settings | None = None, *, force: bool = False
    ) -> tuple[Path, ...]:
        """Write what the command would write into `folder`; returns the paths.

        Args:
            folder: made where it is missing.
            settings: what to write and how it looks; those that it was made with where None.
            force: replace what the folder holds of another video.

        Raises:
            OutputError: a file cannot be written, one that is not staa's is in the way, or the
                folder holds the result of another video.
        """
        return save(self, Path(folder), settings or self.asked, force=force).paths

    def _repr_html_(self) -> str:
        """What a notebook shows: under 300 kB, without a script, and without the video, too."""
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
        """The content of `report.json`, as plain values of JSON.

        Raises:
            OutputError: a number is not finite.
        """
        return plain_document(from_explanation(self))

    def to_frame(self) -> pandas.DataFrame:
        """The scores as a table of pandas', a row a frame, all digits kept.

        Its columns are those of `importance.csv`: index, time_s, score, weighted_score, seen. Where
        no clip reaches, a score is NaN.

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
        """The curve: score and weighted score over time, moments shaded.

        The figure is apart from pyplot: a notebook shows it, nobody has to close it.

        Args:
            ax: axes of a figure that is there already, to draw on; a figure of its own where None,
                1600 x 720 pixels, as in `curve.png`.

        Returns:
            The figure, `ax`'s own where that is given.

        Raises:
            UsageError: `ax` is in no figure.
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
            view: how the map meets the picture, a word of `--view`; as it was asked for where None.
            count: so many frames at most, of the highest moments, rising in time; 6 where neither
                this nor `indices` is given. Without moments they are spread over what clips reach.
            indices: positions in the video, in place of a count.
            longest: pixels that the longer side of a frame has at most; what stands below or beside
                it comes on top. More memory than for what is given back takes one frame alone.

        Raises:
            UsageError: an unknown view, no frame or one that is not explained, or both `count` and
                `indices`.
            InputError: the video is gone, or its frames were in memory and are there no more.
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
            named = f"frame {outside[0]} is not explained" if outside else "indices= names no frame"
            raise UsageError(named, f"{self.part.start} to {self.part.stop - 1} are")
        if longest < 2:
            raise UsageError(f"longest= must be at least 2 pixels, not {longest}")
        look = self.asked.render
        if view is not None:
            look = replace(look, view=convert(keys()["render.view"], view, "view=", UsageError))
        frames = source_of(self).read(indices)
        return annotated_pictures(self, frames, indices, look, longest)

    @classmethod
    def load(cls, folder: str | Path) -> Explanation:
        """Read back what has been saved in `folder`, without the model; the video is not opened.

        All arrays are equal to those that were saved. It can be saved in other formats; drawing
        needs the video where it was.

        Args:
            folder: with `report.json` and `maps.npz`.

        Returns:
            The explanation; of its settings, those that shape no result are the defaults.

        Raises:
            InputError: a file is missing, broken, not staa's, or of another version.
        """
        plain = load_explanation(Path(folder))
        return cls._of(plain, typed_settings(plain.settings))

    @classmethod
    def _of(cls, plain: schema.Explanation, asked: Settings) -> Explanation:
        parts = {part.name: getattr(plain, part.name) for part in fields(schema.Explanation)}
        return cls(**parts, asked=asked)


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
    """A video file, or frames in memory, to an explanation with a score for every frame.

    Writes nothing. Frames in memory are not copied; the explanation keeps them to draw on them.

    Args:
        video: path of a file; or frames uint8 [N, H, W, 3] RGB, as an array, a tensor, or N
            pictures [H, W, 3]; or a source of frames that is open.
        model: from `load_model`, or what it takes; the settings' own where None.
        rate: frames a second, of frames in memory.
        times_s: when each of N frames in memory begins, in place of a rate.
        target: class to explain, over the settings' own.
        method: method to use, over the settings' own.
        settings: everything else; the defaults where None.
        on_progress: called with (stage, done, total); first of all with the number of clips, as the
            stage `planning`.

    Raises:
        VideoError: the file does not open or decode.
        InputError: frames of another type or shape, or none.
        UsageError: an unknown class or method, a method that does not fit the model, or frames
            without exactly one of `rate` and `times_s`.
        UnavailableError: no such model or device.
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
        if settings.model == Settings().model:  # nobody has said it: it is the one given
            settings = replace(settings, model=model.info.name)
    else:
        settings = settings if model is None else replace(settings, model=str(model))
        model = open_model(settings)
    watched = _unwatched if on_progress is None else on_progress  # an empty list is no None
    plain = explain_one(source, model, settings, watched, measure=measure_faithfulness)
    return Explanation._of(plain, settings)


def _unwatched(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


def _source(
    video: str | PathLike[str] | SeekableSource | Frames,
    rate: float | None,
    times_s: Sequence[float] | Float64 | None,
) -> str | SeekableSource:
    """A path as it is, and frames in memory as a source."""
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
    """A tensor of whole numbers on whatever device as an array."""
    if frames.dtype != torch.uint8:  # not every type of torch's is one of numpy's
        shape = list(frames.shape)
        raise InputError(f"frames must be uint8 [N, H, W, 3], not {frames.dtype} {shape}")
    return np.asarray(frames.cpu())
