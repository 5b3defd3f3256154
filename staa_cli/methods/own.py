"""Users' own methods: ``--method package.module:Class``.

Such a class derives from `Method` and defines::

    units               of its values, for example ``share of attention``
    taps(...)           the tensors to record in the forward pass; none by default
    attribute(...)      from the recorded tensors to a `MethodOutput`, [B, T', h, w]

All other members of `Method` may be defined, too. Its name is ``package.module:Class``. Its results
count as finished until its file changes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from staa_cli.errors import StaaError, UnavailableError
from staa_cli.memory import ran_out_of_memory
from staa_cli.methods.base import Method, MethodInputs, MethodOutput
from staa_cli.references import load_reference


def own_method(reference: str) -> Method:
    """An instance of a user's own method class.

    Args:
        reference: ``package.module:Class``; found where Python finds modules, and in the current
            folder.

    Raises:
        UnavailableError: there is no such class, its constructor fails, or it is not a method.
    """
    method_class = load_reference(reference, "Class")
    if not isinstance(method_class, type) or not issubclass(method_class, Method):
        raise _unfit(reference, "is not a class derived from staa_cli.methods.Method")
    if method_class.attribute is Method.attribute:
        raise _unfit(reference, "has no attribute(inputs)")
    if not isinstance(getattr(method_class, "units", None), str):
        raise _unfit(reference, "has no units")
    try:
        method = method_class()
    except Exception as error:  # anything from a user's code
        raise UnavailableError(
            f"{reference} failed: {type(error).__name__}: {error}",
            "expected a class whose constructor takes no arguments; -vv shows where it failed",
        ) from error
    method.name = reference
    method.attribute = partial(_attribute, reference, method.attribute)  # type: ignore[method-assign]
    return method


def _attribute(
    reference: str, attribute: Callable[[MethodInputs], MethodOutput], inputs: MethodInputs
) -> MethodOutput:
    """The method's checked output; an exception in its code is reported as its own."""
    try:
        method_output = attribute(inputs)
    except StaaError:
        raise
    except Exception as error:  # anything from a user's code
        if ran_out_of_memory(error):  # smaller batches may fit
            raise
        raise UnavailableError(
            f"{reference} failed: {type(error).__name__}: {error}", "-vv shows where it failed"
        ) from error
    if not isinstance(method_output, MethodOutput):
        raise _unfit(
            reference,
            f"returned a {type(method_output).__name__}, not a staa_cli.methods.MethodOutput",
        )
    shape, expected = tuple(method_output.values.shape), (len(inputs.inputs), *inputs.layout.grid)
    if shape != expected:
        raise _unfit(
            reference,
            f"returned values of shape {list(shape)}, expected [B, T', h, w] = {list(expected)}",
        )
    return method_output


def _unfit(reference: str, why: str) -> UnavailableError:
    return UnavailableError(f"{reference} {why}", "see docs/own-method.md for what a method needs")
