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
"""By the names that Hugging Face's configs have for them."""


def output_of(problem_type: object, classes: int, where: str) -> Output:
    """What is said of a head, and how many outputs it has, to what makes its logits an answer.

    As the loss of transformers has it, by which such a head was trained: a `problem_type` holds,
    for a single output, too; where there is none, one output is a regression's. Several are then
    taken for classes of which one is right, since only the labels of the training would tell.

    Args:
        problem_type: as in a Hugging Face config; None where nobody says.
        classes: width of the head.
        where: who says it, for errors.

    Raises:
        CheckpointError: there is no such type, or it is a softmax over one class.
    """
    if problem_type is None:
        return "identity" if classes == 1 else "softmax"
    found = _PROBLEMS.get(problem_type) if isinstance(problem_type, str) else None
    if found is None:
        raise CheckpointError(
            f"{where} has an unknown problem_type {problem_type!r}",
            f"supported: {', '.join(_PROBLEMS)}",
        )
    if found == "softmax" and classes == 1:
        raise CheckpointError(
            f"{where} says {problem_type}, but a single class always has a probability of 1",
            "use the problem_type regression for its raw value, or "
            "multi_label_classification for a probability",
        )
    return found


def scores_of(logits: Tensor, output: Output) -> Tensor:
    """Logits [B, classes] to what is reported of them, float32 [B, classes].

    The one place where that is decided: predictions, methods that ask about perturbed copies, and
    metrics all speak of these numbers. Methods that read or differentiate the pass speak of logits.
    """
    logits = logits.float()
    if output == "softmax":
        return logits.softmax(dim=-1)
    return logits.sigmoid() if output == "sigmoid" else logits
