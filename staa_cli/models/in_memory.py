"""Models that are already in memory, for example in a training script or a notebook.

The caller's model is not changed. Our module, in evaluation mode, has separate parameter objects
that share the same memory: nothing is copied, later training of the caller's model takes effect,
and moving or freezing one does not affect the other. The caller's hooks do not run.

A class is recognized by the packages of its base classes, of which only timm is imported.
"""

from __future__ import annotations

import copy
import json
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from staa_cli.errors import CheckpointError, StaaError, UsageError
from staa_cli.models.checkpoints.examination import configured, examine_tensors
from staa_cli.models.checkpoints.formats import refuse_broken_numbers
from staa_cli.models.checkpoints.key_maps import State
from staa_cli.models.checkpoints.labels import labels_from_config, placeholder_labels
from staa_cli.models.checkpoints.processors import class_of, processor_input
from staa_cli.models.checkpoints.sources import Opened, load_examined
from staa_cli.models.custom import describe, digest
from staa_cli.models.families.base import FAMILIES, Family, family_of_config
from staa_cli.models.heads import output_of
from staa_cli.models.linear import Linear
from staa_cli.schema import ModelInfo, ModelInput

_SOURCE = "in memory"


def open_in_memory(model: object, processor: object = None) -> Opened:
    """Wrap a model in memory: a module of ours that shares its weights, and its description.

    Wrappers of parallel and compiled training are removed.

    Args:
        model: a video classifier from transformers, an image transformer from timm, or a module as
            `models.custom` describes it.
        processor: the transformers processor of the classifier.

    Raises:
        UsageError: not a model, or not a processor.
        CheckpointError: an unsupported model, or one whose weights are incomplete.
        UnavailableError: a user-defined module without the required members.
    """
    if not isinstance(model, nn.Module):
        inner = isinstance(getattr(model, "model", None), nn.Module)
        raise UsageError(
            f"a model is a name, a path, or a torch module, not a {type(model).__name__}",
            "pass its .model" if inner else None,
        )
    module = _unwrapped(model)
    if any(".base_layer." in name for name, _ in module.named_parameters()):
        raise CheckpointError(
            "the model has an unmerged PEFT adapter",
            "merge it first with model.merge_and_unload()",
        )
    ours, info = _open(module, processor)
    refuse_broken_numbers(ours.state_dict())
    return ours, info


def _open(module: nn.Module, processor: object) -> Opened:
    if _comes_from(module, "transformers"):
        return _open_transformers(module, processor)
    if processor is not None:
        raise UsageError(
            f"a processor applies only to a transformers model, not to a {type(module).__name__}",
            "leave out processor",
        )
    if _comes_from(module, "timm"):
        return _open_timm(module)
    if hasattr(module, "attention_layers"):
        name = type(module).__name__
        return shared_copy(module), describe(module, name, _SOURCE, f"this {name}")
    raise CheckpointError(f"a {type(module).__name__} cannot be explained", _hint(module))


def _unwrapped(module: nn.Module) -> nn.Module:
    """The module inside DataParallel and similar wrappers, and inside a compiled model."""
    while True:
        inner = getattr(module, "_orig_mod", None)
        if inner is None and not _is_known(module):
            inner = getattr(module, "module", None)
        if not isinstance(inner, nn.Module):
            return module
        module = inner


def _comes_from(module: nn.Module, package: str) -> bool:
    return any(base.__module__.partition(".")[0] == package for base in type(module).__mro__)


def _is_known(module: nn.Module) -> bool:
    packages = ("transformers", "timm")
    return any(_comes_from(module, package) for package in packages) or hasattr(
        module, "attention_layers"
    )


def _hint(module: nn.Module) -> str:
    for name, part in module.named_modules():
        if _classifies(part):
            return f"it contains a {type(part).__name__}: pass its .{name}"
    families = ", ".join(name for name, family in FAMILIES.items() if family.processors)
    return (
        f"supported: video classifiers from transformers ({families}), timm's vit_*, "
        "and modules as in 'A model of your own' in docs/models.md"
    )


def _classifies(module: nn.Module) -> bool:
    bases = type(module).__mro__
    return _comes_from(module, "transformers") and any(
        base.__name__.endswith("Classification") for base in bases
    )


def _open_transformers(model: nn.Module, processor: object) -> Opened:
    transformer: Any = model
    # As saved in config.json, with every default.
    config = json.loads(transformer.config.to_json_string(use_diff=False))
    name = type(model).__name__
    try:
        family = family_of_config(config)
        if not _classifies(model):
            raise CheckpointError(
                f"a {name} is not a classifier, so there is no decision to explain",
                "pass a model that was fine-tuned for classification",
            )
        tensors = _weights(model, name)
        shapes = {key: torch.empty_like(t, device="meta") for key, t in tensors.items()}
        examined = examine_tensors(Path(name), shapes, family, None, config)
        examined = configured(examined, config, partial(_read_processor, processor))
        parts = _parts(FAMILIES.get(family), tensors, examined.left_out)
        state = _split_fused(examined.module, parts, tensors)
        examined.module.to(next(iter(tensors.values())).dtype)
        module, info = load_examined(replace(examined, state=state))
    except CheckpointError as error:
        cause = error.cause.replace("config.json", "model.config")
        raise CheckpointError(cause, error.hint) from error
    initial = config.get("_name_or_path")
    return module, replace(
        info,
        source=f"{_SOURCE}, initialized from {initial}" if initial else _SOURCE,
        weights_sha256=digest(module),
        note=info.note.replace("config.json", "model.config"),
    )


def _read_processor(
    processor: Any, families: tuple[str, str], base: ModelInput
) -> tuple[ModelInput, str]:
    """Like `read_processor`, for a processor in memory, by the JSON that it would save."""
    if processor is None:
        return base, (
            "no processor was given: pixels are preprocessed as for the family's published models"
        )
    for part in ("video_processor", "image_processor"):  # a processor can contain several
        processor = getattr(processor, part, None) or processor
    where = type(processor).__name__
    try:
        facts = json.loads(processor.to_json_string())
        named = class_of(facts, where, "VideoProcessor" in where, families)
    except (AttributeError, TypeError, ValueError) as error:
        raise UsageError(
            f"a {where} is not an image or video processor from transformers",
            "pass the result of AutoImageProcessor or AutoVideoProcessor",
        ) from error
    return processor_input(facts, base, where, named)


def _weights(model: nn.Module, name: str) -> dict[str, Tensor]:
    """All tensors by name, in one dtype, without a copy where they have it already.

    Raises:
        CheckpointError: some are offloaded, sharded, or quantized.
    """
    # Submodules may have been compiled separately.
    tensors = {key.replace("_orig_mod.", ""): t for key, t in model.state_dict().items()}
    for key, tensor in tensors.items():
        kind = type(tensor).__name__
        if tensor.is_meta or kind not in ("Tensor", "Parameter"):
            where = "offloaded" if tensor.is_meta else f"sharded or quantized, as a {kind}"
            raise CheckpointError(
                f"not all weights of this {name} are ordinary tensors in memory: {key} is {where}",
                "load the whole model on one device",
            )
        if not tensor.is_floating_point():
            dtype = str(tensor.dtype).removeprefix("torch.")
            raise CheckpointError(
                f"the weights of this {name} are quantized: {key} is {dtype}",
                "load it in float32, bfloat16, or float16",
            )
    sizes = Counter[torch.dtype]()
    for tensor in tensors.values():
        sizes[tensor.dtype] += tensor.numel()
    ((main_dtype, _),) = sizes.most_common(1)
    return {key: tensor.to(main_dtype) for key, tensor in tensors.items()}


Parts = Mapping[str, list[str | None]]
"""Our name of a tensor to the source tensors of its rows, in order; None stands for zeros."""


def _parts(family: Family, tensors: State, left_out: tuple[str, ...]) -> Parts:
    """Where the family's key map puts each tensor, without converting the weights.

    The map renames tensors and concatenates their rows. It is run on ids instead of weights: every
    row holds the number of its tensor, so the result shows where each row comes from.
    """
    names = [name for name in tensors if name not in left_out]
    ids = {
        name: torch.full(tensors[name].shape[:1], number, dtype=torch.int64)
        for number, name in enumerate(names, 1)
    }
    return {
        ours: [names[number - 1] if number else None for number, _ in groupby(rows.tolist())]
        for ours, rows in family.convert(ids).items()
    }


class SplitLinear(nn.Module):
    """One projection whose rows are stored in several layers: queries, keys, and values."""

    def __init__(self, parts: list[Linear]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] to [..., rows of all parts]."""
        return torch.cat([part(x) for part in self.parts], dim=-1)


def _split_fused(module: nn.Module, parts: Parts, tensors: State) -> dict[str, Tensor]:
    """Replace each projection with several sources by a `SplitLinear`; returns the state dict.

    Args:
        module: our module, with parameters on the meta device.
        parts: the sources of all its tensors.
        tensors: the caller's tensors by name.
    """
    state: dict[str, Tensor] = {}
    for name, sources in parts.items():
        layer, _, kind = name.rpartition(".")
        split = len(parts.get(f"{layer}.weight", ())) > 1
        if split and kind == "weight":
            biases = parts.get(f"{layer}.bias") or [None] * len(sources)
            shapes = [tensors[source].shape for source in sources if source]
            linears = [
                Linear(width, rows, bias=bias is not None, device="meta")
                for (rows, width), bias in zip(shapes, biases, strict=True)
            ]
            parent, _, child = layer.rpartition(".")
            setattr(module.get_submodule(parent), child, SplitLinear(linears))
        for index, source in enumerate(sources):
            if source is not None:
                state[f"{layer}.parts.{index}.{kind}" if split else name] = tensors[source]
    return state


def _open_timm(vit: nn.Module) -> Opened:
    from staa_cli.models.families.framewise.key_map import imagenet_labels, published_input
    from staa_cli.models.families.framewise.module import FrameWise

    family, name = FAMILIES.get("framewise"), type(vit).__name__
    module = FrameWise(shared_copy(vit))
    facts: Mapping[str, Any] = getattr(vit, "pretrained_cfg", None) or {}
    default_labels = imagenet_labels(module) or placeholder_labels(module.num_classes)
    return module, ModelInfo(
        name=facts.get("architecture") or name,
        family="framewise",
        source=_SOURCE,
        weights_sha256=digest(module),
        license=family.license,
        note=family.note,
        input=published_input(module),
        layout=module.layout(),
        labels=labels_from_config({"label_names": facts.get("label_names")}, default_labels),
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        output=output_of(None, module.num_classes, name),
    )


def shared_copy(module: nn.Module) -> nn.Module:
    """A copy of the module that shares the memory of its weights and has no hooks.

    Raises:
        CheckpointError: an attribute cannot be copied.
    """
    memo: dict[int, Any] = {}
    for part in module.modules():
        for name, value in vars(part).items():
            if name.endswith(("_hooks", "_hooks_with_kwargs", "_hooks_always_called")):
                memo[id(value)] = OrderedDict()
        for parameter in part.parameters(recurse=False):
            memo[id(parameter)] = nn.Parameter(parameter.detach(), requires_grad=False)
        for buffer in part.buffers(recurse=False):
            memo[id(buffer)] = buffer.detach()
    try:
        copied = copy.deepcopy(module, memo)
    except StaaError:
        raise
    except Exception as error:  # copying user-defined attributes may raise anything
        raise CheckpointError(
            f"this {type(module).__name__} cannot be copied without its weights: {error}",
            "save it and pass its file, or pass a function that builds it",
        ) from error
    vars(copied).pop("forward", None)  # mixed precision wraps the caller's forward
    return copied
