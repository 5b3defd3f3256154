"""What a model's logits mean: one class of many, each class by itself, or values."""

from __future__ import annotations

from torch import Tensor

from staa_cli.errors import CheckpointError
from staa_cli.schema import Output

_PROBLEMS: dict[str, Output] = {
    "single_label_classification": "softmax",
    "multi_label_classification": "sigmoid",
    "regression": "identity",
}
"""Keys are the values of problem_type in Hugging Face configs."""


def output_of(problem_type: object, classes: int, where: str) -> Output:
    """The output function of a head, from its problem_type and number of outputs.

    Follows the loss in transformers: a given `problem_type` decides, also for a single output;
    without one, a single output is a regression. Several outputs without a type are taken as
    exclusive classes: only the training labels would tell otherwise.

    Args:
        problem_type: as in a Hugging Face config; None if not stated.
        classes: width of the head.
        where: source of `problem_type`, for errors.

    Raises:
        CheckpointError: an unknown type, or a softmax over one class.
    """
    if problem_type is None:
        return "identity" if classes == 1 else "softmax"
    output = _PROBLEMS.get(problem_type) if isinstance(problem_type, str) else None
    if output is None:
        raise CheckpointError(
            f"{where} has an unknown problem_type {problem_type!r}",
            f"supported: {', '.join(_PROBLEMS)}",
        )
    if output == "softmax" and classes == 1:
        raise CheckpointError(
            f"{where} says {problem_type}, but a single class always has a probability of 1",
            "use the problem_type regression for its raw value, or "
            "multi_label_classification for a probability",
        )
    return output


def scores_of(logits: Tensor, output: Output) -> Tensor:
    """Logits [B, classes] to reported scores, float32 [B, classes].

    Predictions, perturbation methods, and metrics all use these scores. Methods that read or
    differentiate the forward pass use logits.
    """
    logits = logits.float()
    if output == "softmax":
        return logits.softmax(dim=-1)
    return logits.sigmoid() if output == "sigmoid" else logits
