"""Explain a single clip: its prediction and its raw attribution."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from staa_cli.errors import InputError
from staa_cli.explain.attribution import attend, attributions_of
from staa_cli.explain.pipeline import find_target
from staa_cli.explain.warnings import fit_warnings, method_warnings
from staa_cli.methods import Options, choose_method
from staa_cli.models.load import LoadedModel
from staa_cli.schema import Attribution, Prediction, ReportWarning, UInt8


@dataclass(frozen=True, slots=True, eq=False)
class ClipExplanation:
    """Explanation of one clip."""

    prediction: Prediction
    attribution: Attribution
    """Raw `values` [T', h, w], for one class if the method is class-specific."""
    warnings: tuple[ReportWarning, ...] = ()
    """About the clip's length and size, and the options of the method."""


def explain_clip(
    model: LoadedModel,
    frames: UInt8 | Tensor,
    target: str | int | None = None,
    method: str = "auto",
    options: Options | None = None,
) -> ClipExplanation:
    """Explain one clip.

    Args:
        model: from `load_model`.
        frames: uint8 [T, H, W, 3] RGB, or a float tensor [1, T, 3, h, w] already preprocessed.
        target: class to explain, by name or index; by default the most probable one.
        method: a name from `list_methods`, or auto: staa-class, or staa if that does not fit.
        options: of the method.

    Returns:
        `prediction`; `attribution`, whose `values` [T', h, w] are raw; and `warnings` as in a
        report: the model was trained on another clip length, the method is the same for every
        class, or it does not use an option.

    Raises:
        UsageError: an unknown class or method, or a method that does not fit the model.
        InputError: the frames have another type or shape.
    """
    inputs, trained = _as_input(frames, model), model.input
    model = model.fitted(frames=inputs.shape[1])
    options = options or Options()
    resolved = choose_method(method, model.module, model.layout, options)
    class_index, reason = find_target(target, model.labels)
    explained = attend(model, inputs, resolved, options, class_index, (0,))
    prediction = Prediction(
        explained.scores[0], explained.targets[0], reason, model.labels, model.info.output
    )
    (attribution,) = attributions_of(explained, model, resolved, options)
    of_class = resolved.is_class_specific(model.layout, options)
    warnings = (
        *fit_warnings(trained, model.input),
        *method_warnings(resolved, options, target is not None, of_class),
    )
    return ClipExplanation(prediction, attribution, warnings)


def _as_input(frames: UInt8 | Tensor, model: LoadedModel) -> Tensor:
    """Frames or a preprocessed tensor to normalized float [1, T, 3, h, w].

    Raises:
        InputError: they have another type or shape.
    """
    if 0 in frames.shape:
        raise InputError("there are no frames to explain")
    if not isinstance(frames, Tensor):
        return model.preprocess(frames)
    height, width = model.input.size
    others = (*frames.shape[:1], *frames.shape[2:])
    if others != (1, 3, height, width) or not frames.is_floating_point():
        raise InputError(
            f"a tensor must already be preprocessed: float [1, T, 3, {height}, {width}], "
            f"not {frames.dtype} {list(frames.shape)}",
            "give uint8 [T, H, W, 3] as an array, or the output of model.preprocess",
        )
    return frames
