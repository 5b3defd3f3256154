"""What a program may ask of staa: a model, a clip, a video, and an explanation that knows itself.

Silent, and without global state: nothing is written unasked, no environment variable is set, and
no thread count is changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from staa_cli import schema
from staa_cli.config.settings import Settings
from staa_cli.evaluation.measure import measure_faithfulness
from staa_cli.explain.pipeline import ClipExplanation, explain_clip, explain_one, open_model
from staa_cli.models.load import LoadedModel, load_model
from staa_cli.results.save import save
from staa_cli.schema import OnProgress

__all__ = [
    "ClipExplanation",
    "Explanation",
    "LoadedModel",
    "explain_clip",
    "explain_video",
    "load_model",
]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Explanation(schema.Explanation):
    """An explanation that knows how to write itself."""

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


def explain_video(
    path: str | Path,
    model: LoadedModel | str | None = None,
    *,
    target: str | int | None = None,
    method: str | None = None,
    settings: Settings | None = None,
    on_progress: OnProgress | None = None,
) -> Explanation:
    """A video file in, an explanation with a score for every frame out. Writes nothing.

    Args:
        path: of the video.
        model: from `load_model`, or what it takes; the settings' own where None.
        target: class to explain, over the settings' own.
        method: method to use, over the settings' own.
        settings: everything else; the defaults where None.
        on_progress: called with (stage, done, total); first of all with the number of clips, as the
            stage `planning`.

    Raises:
        VideoError: the file does not open or decode.
        UsageError: an unknown class or method, or a method that does not fit the model.
        UnavailableError: no such model or device.
    """
    settings = settings or Settings()
    if target is not None:
        settings = replace(settings, target=str(target))
    if method is not None:
        settings = replace(settings, method=replace(settings.method, name=method))
    if not isinstance(model, LoadedModel):
        settings = settings if model is None else replace(settings, model=model)
        model = open_model(settings)
    watched = _unwatched if on_progress is None else on_progress  # an empty list is no None
    plain = explain_one(path, model, settings, watched, measure=measure_faithfulness)
    return Explanation(
        **{each.name: getattr(plain, each.name) for each in fields(plain)}, asked=settings
    )


def _unwatched(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""
