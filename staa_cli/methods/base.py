"""What a method is, what it is given, and where it is filed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
    """What a user may set about a method."""

    layers: str | tuple[int, ...] = "default"
    """``default`` (the method's own choice), ``last``, ``all``, or block numbers."""
    combine: str = "default"
    """How factors read from several blocks become one; each method names its own ways."""
    seed: int = 0
    replacement: str = "blur"
    """What stands where something is removed: ``blur``, ``mean``, ``black``, or ``noise``."""
    samples: int | None = None
    """Perturbed copies that a sampling method asks about, or steps of a path; None for its own."""

    def blocks(self, depth: int, default: Sequence[int]) -> tuple[int, ...]:
        """The block numbers that are meant, from 0; negative ones count from the end.

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
    """What one forward pass left for the method to read."""

    layout: AttentionLayout
    options: Options
    captured: Mapping[tuple[str, int], Tensor]
    """(name, block) to what the method's tap kept."""
    inputs: Tensor
    """[B, T, 3, H, W] as the model saw them."""
    logits: Tensor
    """[B, classes]."""
    targets: Tensor
    """[B] class to explain."""
    model: nn.Module
    clip_indices: Sequence[int] = field(default=())
    """[B] numbers of the clips in their video; what is random differs from clip to clip."""
    given: ModelInput | None = None
    """What the model expects to be fed, where it is known; it says what black is."""
    on_perturbed: Callable[[int], None] = lambda count: None
    """Told how many more perturbed copies have been asked about."""
    output: Output = "softmax"
    """What the logits mean."""

    def layer(self, role: str, block: int) -> nn.Module:
        """The layer of the model that a tap of that role and block reads."""
        model: Any = self.model
        layer: nn.Module = model.attention_layers()[role, block]
        return layer


@dataclass(frozen=True, slots=True, eq=False)
class MethodOutput:
    """What a method returns: a map, and, where one pass serves every class, what a class adds.

    Such a reading is of no class yet; `Method.for_class` makes one class's map of it, at any time.
    """

    values: Tensor
    """[B, T', h, w] raw, for the targets of a method that speaks of a class; where `shares` or
    `parts` are there, what all classes have in common."""
    cls_self_mass: Tensor | None = None
    """[B] share of the read-out that stays on the class token itself."""
    looked: Tensor | None = None
    """[B, T', h, w] attention over space alone, where a map is more than that: time and the class
    make structure out of a uniform one."""
    more_passes: float = 0.0
    """Forward passes a clip beyond the one that every method has, as counted; a backward pass
    counts as two."""
    shares: Tensor | None = None
    """[B, classes, T'] each frame's share of what speaks for a class."""
    parts: Tensor | None = None
    """[B, classes, T', h, w] each token's part of every class's logit; where `rows` are there,
    [B, D, T', h, w] what a token writes, of which they make such parts."""
    rows: Tensor | None = None
    """[classes, D] what a token must write to speak for a class. Where there are more classes than
    D, a token has fewer numbers that way."""

    @property
    def serves_all(self) -> bool:
        """Whether a class is still to be chosen."""
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
    """One way to attribute. Subclasses are stateless, and made without arguments.

    Where one is declared, as an entry point of the group ``staa.methods``, an instance is filed in
    `METHODS`. `summary`, `source`, `units`, and `attribute` are what it must have.
    """

    name: str
    """Under which it is declared."""
    summary: ClassVar[str]
    """One line for the list of methods."""
    source: ClassVar[str]
    """Where it was published, or what it follows."""
    units: ClassVar[str]
    """Of what it says of classes; see `units_of`."""
    class_specific: ClassVar[bool] = False
    signed: ClassVar[bool] = False
    gradients: ClassVar[bool] = False
    """Whether the pass is to be differentiated."""
    any_class: ClassVar[bool] = False
    """Of a method that speaks of a class: whether one pass serves all of them, so that the class
    may be chosen after it."""
    passes_per_clip: ClassVar[float] = 1.0
    """What a clip costs, in forward passes, of which a backward pass counts as two: of sampling
    methods on a bundled model's grid, with their own number of samples. The report has what was
    counted."""
    supported_options: ClassVar[frozenset[str]] = frozenset()
    """Names of the Options that change what it does; a user is told of the others."""

    def taps(self, layout: AttentionLayout, options: Options) -> Sequence[Tap]:
        """What is to be read during the forward pass.

        Raises:
            UsageError: the method does not fit this model.
        """
        return ()

    def weights(self, layout: AttentionLayout, options: Options) -> Sequence[str]:
        """Names of the model's parameters that it reads, beside what is tapped."""
        return ()

    def check(self, model: nn.Module, layout: AttentionLayout, options: Options) -> None:
        """Make sure that the model shows all that the method reads.

        Raises:
            UsageError: it does not, or the method does not fit it.
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
        """Units of what it says; a logit that is an answer as it stands is a value."""
        if output != "identity":
            return self.units
        return self.units.replace("probability", "value").replace("logit", "value")

    def is_signed(self, output: Output) -> bool:
        """Whether values may be negative, of a model whose logits mean that."""
        return self.signed

    def perturbations(self, layout: AttentionLayout, options: Options) -> int:
        """How many perturbed copies of a clip it asks the model about, for the progress.

        Raises:
            UsageError: so many cannot be.
            UnavailableError: a package that it needs is not installed.
        """
        return 0

    def is_class_specific(self, layout: AttentionLayout, options: Options) -> bool:
        """Whether the values are for one class; they are where frames are weighed by its logit."""
        taps = self.taps(layout, options)
        return self.class_specific or any(tap.role == "frames" for tap in taps)

    @property
    def serves_all(self) -> bool:
        """Whether a pass serves every class: of none it speaks, or of one that is chosen after."""
        return self.any_class or not self.class_specific

    def attribute(self, method_inputs: MethodInputs) -> MethodOutput:
        """One number a token from what was read."""
        raise NotImplementedError

    def for_class(self, reading: MethodOutput, targets: Tensor) -> Tensor:
        """The map [B, T', h, w] of each clip's class [B], of a reading of these clips."""
        values = reading.values
        if (shares := reading.shares_of(targets)) is not None:
            values = values * shares
        if (parts := reading.parts_of(targets)) is not None:
            values = values * self.weigh(parts)
        return values

    def weigh(self, parts: Tensor) -> Tensor:
        """How parts of a logit [B, T', h, w] count in the map."""
        return parts

    def blocks(self, layout: AttentionLayout, options: Options) -> tuple[int, ...]:
        """The blocks that are read, for the report; empty where no attention is."""
        return ()


def _accept(name: str, declared: Any) -> Method:
    """An instance, which knows its name, of a class that somebody has declared."""
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
"""A class decorator that files a method under a name, for as long as the program runs."""


def _chosen(of_classes: Tensor, targets: Tensor) -> Tensor:
    """[B, classes, ...] to those of the clips' classes [B]."""
    return of_classes[torch.arange(len(targets), device=targets.device), targets]


def _has(model: nn.Module, parameter: str) -> bool:
    try:
        model.get_parameter(parameter)
    except AttributeError:
        return False
    return True
