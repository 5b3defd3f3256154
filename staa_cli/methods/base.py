"""The base class of methods, their inputs and outputs, and the registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from staa_cli import entry_points
from staa_cli.errors import UsageError
from staa_cli.registry import Registry
from staa_cli.schema import AttentionLayout, ModelInput, Output

if TYPE_CHECKING:
    from torch import Tensor, nn

    from staa_cli.models.taps import Tap


@dataclass(frozen=True, slots=True)
class Options:
    """Method settings that a user may choose."""

    layers: str | tuple[int, ...] = "default"
    """``default`` (the method's own choice), ``last``, ``all``, or block numbers."""
    combine: str = "default"
    """How factors from several blocks are combined; each method defines its own choices."""
    seed: int = 0
    replacement: str = "blur"
    """What replaces removed parts: ``blur``, ``mean``, ``black``, or ``noise``."""
    samples: int | None = None
    """Perturbed copies of a sampling method, or steps of a path; None for its default."""

    def blocks(self, depth: int, default: Sequence[int]) -> tuple[int, ...]:
        """The chosen block numbers, from 0; negative ones count from the end.

        Raises:
            UsageError: the model has no such block.
        """
        if self.layers == "default":
            chosen = tuple(default)
        elif self.layers == "last":
            chosen = (depth - 1,)
        elif self.layers == "all":
            chosen = tuple(range(depth))
        elif isinstance(self.layers, str):
            raise UsageError(
                f"invalid layers {self.layers!r}",
                "expected default, last, all, or block numbers such as 0,2",
            )
        else:
            chosen = self.layers
        outside = [block for block in chosen if not -depth <= block < depth]
        if outside or not chosen:
            raise UsageError(
                f"the model has no block {outside[0] if outside else '(none named)'}",
                f"it has {depth} blocks, numbered from 0 to {depth - 1}",
            )
        return tuple(sorted({block % depth for block in chosen}))


@dataclass(frozen=True, slots=True, eq=False)
class MethodInputs:
    """The tensors and facts of one forward pass that a method reads."""

    layout: AttentionLayout
    options: Options
    captured: Mapping[tuple[str, int], Tensor]
    """(name, block) to what the method's tap recorded."""
    inputs: Tensor
    """[B, T, 3, H, W], normalized."""
    logits: Tensor
    """[B, classes]."""
    targets: Tensor
    """[B] class to explain."""
    model: nn.Module
    clip_indices: Sequence[int] = field(default=())
    """[B] numbers of the clips in their video; random draws differ between clips."""
    given: ModelInput | None = None
    """The model's input format, if known; it defines black."""
    on_perturbed: Callable[[int], None] = lambda count: None
    """Called with the number of perturbed copies that were passed since the last call."""
    output: Output = "softmax"
    """What the logits mean."""

    def layer(self, role: str, block: int) -> nn.Module:
        """The layer of the model that a tap with this role and block reads."""
        model: Any = self.model
        layer: nn.Module = model.attention_layers()[role, block]
        return layer


@dataclass(frozen=True, slots=True, eq=False)
class MethodOutput:
    """The output of a method: a map and, if one pass serves every class, the class-specific part.

    `Method.for_class` computes the map of one class from such an output, at any time.
    """

    values: Tensor
    """[B, T', h, w] raw, for the targets if the method is class-specific; if there are `shares` or
    `parts`, the factor that all classes have in common."""
    cls_self_mass: Tensor | None = None
    """[B] share of the read-out's attention to the class token itself."""
    looked: Tensor | None = None
    """[B, T', h, w] attention from the read-out to the tokens, without other factors, if the method
    reads attention: a class, for one, gives structure even to uniform attention."""
    more_passes: float = 0.0
    """Counted forward passes per clip beyond the one of every method; a backward pass counts as
    two."""
    shares: Tensor | None = None
    """[B, classes, T'] each frame's share of the evidence for a class."""
    parts: Tensor | None = None
    """[B, classes, T', h, w] each token's contribution to every class's logit; with `rows`,
    [B, D, T', h, w] each token's output, which `rows` project to such contributions."""
    rows: Tensor | None = None
    """[classes, D] each class's direction in the tokens' outputs. With more classes than D, this
    stores fewer numbers per token."""

    def of(self, clips: slice) -> MethodOutput:
        """The output for a part of the batch."""

        def of(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor[clips]

        return replace(
            self,
            values=self.values[clips],
            cls_self_mass=of(self.cls_self_mass),
            looked=of(self.looked),
            shares=of(self.shares),
            parts=of(self.parts),
        )

    @property
    def serves_all(self) -> bool:
        """Whether a class can still be chosen."""
        return self.shares is not None or self.parts is not None

    def shares_of(self, targets: Tensor) -> Tensor | None:
        """[B, T', 1, 1] of the clips' classes [B]."""
        if self.shares is None:
            return None
        return _chosen(self.shares, targets)[..., None, None]

    def parts_of(self, targets: Tensor) -> Tensor | None:
        """[B, T', h, w] of the clips' classes [B]."""
        if self.parts is None:
            return None
        if self.rows is None:
            return _chosen(self.parts, targets)
        return torch.einsum("bd,bdthw->bthw", self.rows[targets], self.parts)


class Method:
    """An attribution method. Subclasses are stateless, with a constructor without arguments.

    `METHODS` holds an instance of each class declared as an entry point of the group
    ``staa.methods``. `summary`, `source`, `units`, and `attribute` are required.
    """

    name: str
    """The name under which it is declared."""
    summary: ClassVar[str]
    """One line for the list of methods."""
    source: ClassVar[str]
    """Its publication, or what it is based on."""
    units: ClassVar[str]
    """Units of the values for a model that classifies; see `units_of`."""
    class_specific: ClassVar[bool] = False
    signed: ClassVar[bool] = False
    gradients: ClassVar[bool] = False
    """Whether it differentiates the pass."""
    any_class: ClassVar[bool] = False
    """For a class-specific method: whether one pass serves all classes, so that the class can be
    chosen afterwards."""
    passes_per_clip: ClassVar[float] = 1.0
    """Cost per clip in forward passes (a backward pass counts as two); for sampling methods, on
    a bundled model's grid with the default number of samples. The report has the counted cost."""
    supported_options: ClassVar[frozenset[str]] = frozenset()
    """Names of the Options that affect it, see `options_used`."""

    def options_used(self, options: Options) -> frozenset[str]:
        """Names of the options that affect it with these values; a user is warned about the others.

        They are the supported ones, and the seed for a replacement that is drawn.
        """
        drawn = "replacement" in self.supported_options and options.replacement == "noise"
        return self.supported_options | ({"seed"} if drawn else set())

    def taps(self, layout: AttentionLayout, options: Options) -> Sequence[Tap]:
        """The tensors to record during the forward pass.

        Raises:
            UsageError: the method does not fit this model.
        """
        return ()

    def weights(self, layout: AttentionLayout, options: Options) -> Sequence[str]:
        """Names of the model's parameters that it reads, in addition to the taps."""
        return ()

    def check(self, model: nn.Module, layout: AttentionLayout, options: Options) -> None:
        """Check that the model exposes everything that the method reads.

        Raises:
            UsageError: it does not, or the method does not fit the model.
        """
        layers: Any = model.attention_layers()  # type: ignore[operator]
        absent = [
            f"the {tap.role} layer of block {tap.block}"
            for tap in self.taps(layout, options)
            if (tap.role, tap.block) not in layers
        ]
        absent += [name for name in self.weights(layout, options) if not _has(model, name)]
        if absent:
            raise UsageError(
                f"{self.name} needs {absent[0]}, which this model does not expose",
                "models expose layers through attention_layers(), and weights under timm's names",
            )

    def units_of(self, output: Output) -> str:
        """Units of the values; the logit of a model with raw values is called a value."""
        if output != "identity":
            return self.units
        return self.units.replace("probability", "value").replace("logit", "value")

    def is_signed(self, output: Output) -> bool:
        """Whether values may be negative, for a model with this kind of output."""
        return self.signed

    def perturbations(self, layout: AttentionLayout, options: Options) -> int:
        """Number of perturbed copies of a clip, for the progress bar.

        Raises:
            UsageError: the number of samples is not possible.
            UnavailableError: a required package is not installed.
        """
        return 0

    def is_class_specific(self, layout: AttentionLayout, options: Options) -> bool:
        """Whether the values are for one class, as they are if its logit weights the frames."""
        taps = self.taps(layout, options)
        return self.class_specific or any(tap.role == "frames" for tap in taps)

    @property
    def serves_all(self) -> bool:
        """Whether one pass serves every class: class-blind, or the class is chosen afterwards."""
        return self.any_class or not self.class_specific

    def attribute(self, method_inputs: MethodInputs) -> MethodOutput:
        """One number per token from the recorded tensors."""
        raise NotImplementedError

    def for_class(self, reading: MethodOutput, targets: Tensor) -> Tensor:
        """The map [B, T', h, w] for each clip's class [B], from the method's output."""
        values = reading.values
        if (shares := reading.shares_of(targets)) is not None:
            values = values * shares
        if (parts := reading.parts_of(targets)) is not None:
            values = values * self.weigh(parts)
        return values

    def weigh(self, parts: Tensor) -> Tensor:
        """Weights of the tokens from their contributions to a logit [B, T', h, w]."""
        return parts

    def blocks(self, layout: AttentionLayout, options: Options) -> tuple[int, ...]:
        """The blocks that are read, for the report; empty if no attention is read."""
        return ()


def _accept(name: str, declared: Any) -> Method:
    """An instance of a declared class, with its name set."""
    if not isinstance(declared, type) or not issubclass(declared, Method):
        raise TypeError("expected a class derived from staa_cli.methods.Method")
    missing = [fact for fact in ("summary", "source", "units") if not hasattr(declared, fact)]
    if declared.attribute is Method.attribute:
        missing.append("attribute")
    if missing:
        raise TypeError(f"the class has no {missing[0]}")
    method = declared()
    method.name = name
    return method


METHODS: Registry[Method] = Registry("method", entry_points.METHODS, _accept)
register_method = METHODS.register
"""A class decorator that registers a method under a name for the current process."""


def _chosen(by_class: Tensor, targets: Tensor) -> Tensor:
    """[B, classes, ...] to the entries of the clips' classes [B]."""
    return by_class[torch.arange(len(targets), device=targets.device), targets]


def _has(model: nn.Module, parameter: str) -> bool:
    try:
        model.get_parameter(parameter)
    except AttributeError:
        return False
    return True
