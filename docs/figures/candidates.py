"""Candidates for the default method: what one forward pass tells, combined in different ways.

An attention path says how much of a token's content reaches the read-out; parts of the logit say
how much each token contributes to the class there. Importing this module registers a method for
every candidate; `leave_one_out.py` scores them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from staa_cli import register_method
from staa_cli.errors import UsageError
from staa_cli.methods import Options, get_method
from staa_cli.methods.attention.rollout import Rollout
from staa_cli.methods.attention.staa_logit import StaaLogit
from staa_cli.methods.base import Method, MethodInputs, MethodOutput
from staa_cli.methods.readout import attends_over_time, head_taps, reads_mean, space_role
from staa_cli.models.taps import Tap, shown
from staa_cli.schema import AttentionLayout

TINY = torch.finfo(torch.float32).tiny

Formula = Callable[[Tensor, Tensor], Tensor]
"""Path and parts [B, T', h, w] to a map."""


@register_method("rollout-corrected")
class CorrectedRollout(Rollout):
    """Rollout with a larger weight of the identity, as blocks add less than half of a token."""

    identity = 0.7


@register_method("averaged")
class Averaged(StaaLogit):
    """The contributions of the averaged tokens themselves to a logit: class activation mapping."""

    def taps(self, layout: AttentionLayout, options: Options) -> Sequence[Tap]:
        """The last block's tokens, and the norm's input.

        Raises:
            UsageError: the head reads one token.
        """
        if not reads_mean(layout):
            raise UsageError("averaged needs a head that reads the mean of tokens")
        return [Tap("block", layout.depth - 1, "tokens", shown), *head_taps(layout)]

    def _written(self, method_inputs: MethodInputs, rows: Tensor | None) -> Tensor:
        layout = method_inputs.layout
        tokens = method_inputs.captured["tokens", layout.depth - 1][:, layout.prefix_tokens :]
        projected = tokens if rows is None else tokens @ rows.T
        return projected.transpose(1, 2) / tokens.shape[1]


@dataclass(frozen=True)
class Factor:
    """A method with options of its own."""

    method: str
    layers: str = "default"
    combine: str = "default"

    def of(self, options: Options) -> Options:
        """The benchmark's options with those of the factor."""
        return replace(options, layers=self.layers, combine=self.combine)


PATHS = {
    "staa": Factor("staa"),
    "all": Factor("staa", "all", "mean"),
    "rollout": Factor("rollout"),
    "rollout-0.7": Factor("rollout-corrected"),
}
PARTS = Factor("staa-logit", "all")
LAST_PARTS = Factor("staa-logit")
"""Of the last block only; the other blocks need not be read for them."""
AVERAGED = Factor("averaged")


class Candidate(Method):
    """A formula of an attention path and the parts of the logit."""

    summary = "a candidate for the default"
    source = "staa's own"
    units = "weighted attention"
    class_specific = True
    path: Factor
    parts: Factor = PARTS
    formula: Formula

    def taps(self, layout: AttentionLayout, options: Options) -> Sequence[Tap]:
        """The taps of both factors, under names that keep them apart."""
        return [
            replace(tap, name=f"{key} {tap.name}")
            for key, factor in self._factors(layout).items()
            for tap in get_method(factor.method).taps(layout, factor.of(options))
        ]

    def weights(self, layout: AttentionLayout, options: Options) -> Sequence[str]:
        """The parameters of the parts."""
        parts = self._factors(layout)["parts"]
        return get_method(parts.method).weights(layout, parts.of(options))

    def attribute(self, method_inputs: MethodInputs) -> MethodOutput:
        """The formula's map for the targets."""
        maps = {}
        for key, factor in self._factors(method_inputs.layout).items():
            method, mark = get_method(factor.method), f"{key} "
            captured = {
                (name.removeprefix(mark), block): tensor
                for (name, block), tensor in method_inputs.captured.items()
                if name.startswith(mark)
            }
            given = replace(
                method_inputs, captured=captured, options=factor.of(method_inputs.options)
            )
            maps[key] = method.for_class(method.attribute(given), method_inputs.targets)
        return MethodOutput(type(self).formula(maps["path"], maps["parts"]))

    def _factors(self, layout: AttentionLayout) -> dict[str, Factor]:
        return {"path": self.path, "parts": self.parts}


def softplus_weighted(path: Tensor, parts: Tensor) -> Tensor:
    """The path, each token weighted by the softplus of its part."""
    sigma = parts.std(dim=(1, 2, 3), keepdim=True).clamp_min(TINY)
    return path * F.softplus(parts / sigma)


def place_and_time(path: Tensor, parts: Tensor) -> Tensor:
    """The place of the positive parts times the time of the path."""
    return _place(parts) * path.sum(dim=(2, 3), keepdim=True)


def place_weighted(path: Tensor, parts: Tensor) -> Tensor:
    """The path, each place weighted by its positive parts at all times."""
    return _place(parts) * path


def share_weighted(path: Tensor, parts: Tensor) -> Tensor:
    """The path, each place weighted by its positive parts, half at that time, half at all times.

    Weights are relative to those of the frame's other places, so the time is that of the path.
    """
    positive = parts.clamp_min(0)
    evidence = positive + positive.mean(dim=1, keepdim=True)
    mean = evidence.mean(dim=(2, 3), keepdim=True)
    return path * torch.where(mean > 0, evidence / mean, 1.0)


def _place(parts: Tensor) -> Tensor:
    """[B, 1, h, w] positive parts, summed over time."""
    return parts.clamp_min(0).sum(dim=1, keepdim=True)


FORMULAS: dict[str, Formula] = {
    "softplus": softplus_weighted,
    "place,time": place_and_time,
    "place": place_weighted,
    "share": share_weighted,
}
LAST = "last place"
"""As ``place``, with the parts of the last block only."""


def _path_alone(path: Tensor, parts: Tensor) -> Tensor:
    return path


def _positive(path: Tensor, parts: Tensor) -> Tensor:
    return parts.clamp_min(0)


def _register(name: str, path: Factor, formula: Formula, parts: Factor = PARTS) -> str:
    attributes = {"path": path, "parts": parts, "formula": staticmethod(formula)}
    method = type(name, (Candidate,), attributes)
    register_method(name)(method)
    return name


@register_method("earlier")
class Earlier(Candidate):
    """The default of earlier versions: another path for each layout, and parts as they were."""

    formula = staticmethod(softplus_weighted)

    def _factors(self, layout: AttentionLayout) -> dict[str, Factor]:
        averaged, joint = reads_mean(layout), space_role(layout) == "joint"
        path = "rollout" if averaged and joint else "staa" if attends_over_time(layout) else "all"
        return {"path": PATHS[path], "parts": AVERAGED if averaged else PARTS}


CANDIDATES = [
    "earlier",
    *(_register(f"{name} alone", path, _path_alone) for name, path in PATHS.items()),
    _register("parts", PATHS["staa"], _positive),
    *(
        _register(f"{name}*{formula}", path, FORMULAS[formula])
        for name, path in PATHS.items()
        for formula in FORMULAS
    ),
    *(
        _register(f"{name}*{LAST}", path, place_weighted, LAST_PARTS)
        for name, path in PATHS.items()
    ),
]
"""Names of the registered methods; each takes one forward pass."""
