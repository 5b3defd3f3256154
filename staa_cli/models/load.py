"""Load a model by name, from a folder, from a file, or from memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from staa_cli.errors import UnavailableError, UsageError
from staa_cli.memory import free_memory_bytes, memory_for
from staa_cli.models.architectures import ARCHITECTURES
from staa_cli.models.catalog.hub import Announce
from staa_cli.models.catalog.manifests import list_models
from staa_cli.models.catalog.names import MODELS, TIMM, check_name, published, repository
from staa_cli.models.catalog.zoo import ZOO, zoo_manifest, zoo_names
from staa_cli.models.checkpoints.labels import read_labels
from staa_cli.models.checkpoints.sources import (
    Opened,
    files_of,
    open_bundled,
    open_files,
    open_folder,
    open_hub,
    open_random,
    open_timm,
)
from staa_cli.models.custom import digest, open_custom_model, open_registered
from staa_cli.models.in_memory import open_in_memory
from staa_cli.models.preprocess import preprocess_frame, resized_input, view_box
from staa_cli.references import is_reference
from staa_cli.registry import did_you_mean
from staa_cli.schema import AttentionLayout, ModelInfo, ModelInput, UInt8

__all__ = ["LoadedModel", "list_models", "load_model"]

_PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """A module with its description.

    Args:
        module: normalized float [B, T, 3, H, W] to logits [B, classes]; frozen, in evaluation mode.
        info: what the report says about it.
        device: device of the weights.
        precision: fp32, bf16, or fp16; of weights and activations.
        shared: whether it shares the weights of a model in memory, which may change.
    """

    module: nn.Module
    info: ModelInfo
    device: torch.device
    precision: str
    shared: bool = False

    @property
    def input(self) -> ModelInput:
        """The input it expects."""
        return self.info.input

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.info.labels

    @property
    def layout(self) -> AttentionLayout:
        """How it attends."""
        return self.info.layout

    def fitted(self, frames: int | None = None, size: int | None = None) -> LoadedModel:
        """The same weights for clips of another length or size; None leaves the model's own.

        Positions are interpolated or extended as in the published code; see the family's module.

        Raises:
            UsageError: they do not divide into tokens, or the model takes only one frame size.
            UnavailableError: such a clip cannot fit into this machine's memory.
        """
        current, layout = self.input, self.layout
        frames, new_size = frames or current.frames, current.size if size is None else (size, size)
        patch = current.size[0] // layout.grid[1]
        if frames % layout.tubelet:
            raise UsageError(
                f"clips of {frames} frames do not divide into tokens of {layout.tubelet}",
                f"use {max(frames // layout.tubelet, 1) * layout.tubelet}",
            )
        if new_size != current.size and not getattr(self.module, "any_size", False):
            raise UsageError(
                f"{self.info.name} takes pictures of {current.size[0]} x {current.size[1]} only",
                "leave out --size",
            )
        if size is not None and size % patch:
            raise UsageError(
                f"pictures of {size} pixels do not divide into patches of {patch}",
                f"use {max(size // patch, 1) * patch}",
            )
        model_input = replace(resized_input(current, new_size), frames=frames)
        grid = (frames // layout.tubelet, new_size[0] // patch, new_size[1] // patch)
        info = replace(self.info, input=model_input, layout=replace(layout, grid=grid))
        _check_memory(info, getattr(self.module, "embed_dim", 0), self.device)
        return replace(self, info=info)

    def of_this_moment(self) -> LoadedModel:
        """The same model; shared weights get the digest of their current values."""
        if not self.shared:
            return self
        return replace(self, info=replace(self.info, weights_sha256=digest(self.module)))

    def preprocess_frame(self, frame: UInt8) -> Tensor:
        """A frame uint8 [H, W, 3] RGB, upright, to normalized float [3, h, w] on the CPU."""
        return preprocess_frame(frame, self.input)

    def preprocess(self, frames: UInt8) -> Tensor:
        """Frames uint8 [T, H, W, 3] RGB to normalized float [1, T, 3, h, w] on the CPU."""
        return torch.stack([self.preprocess_frame(frame) for frame in frames])[None]

    def view_box(self, height: int, width: int) -> tuple[float, float, float, float]:
        """Part of a frame [H, W] that the model sees: left, top, right, bottom, as fractions.

        With padding around the frame, they are below 0 and above 1.
        """
        return view_box(height, width, self.input)

    def place(self, batch: Tensor) -> Tensor:
        """Move a batch to the model's device and precision."""
        return batch.to(self.device, _PRECISIONS[self.precision])

    def forward(self, batch: Tensor) -> Tensor:
        """Normalized float [B, T, 3, h, w], on any device, to logits float32 [B, classes].

        Gradients flow if the batch asks for them; the weights never do.
        """
        return self.module(self.place(batch)).float()  # type: ignore[no-any-return]


def _check_memory(info: ModelInfo, embed_dim: int, device: torch.device) -> None:
    """Refuse clips that need more than the free memory: the system would kill the process.

    A lower bound: the pixels and, on the CPU, ten numbers per token and channel of a forward pass.
    """
    height, width = info.input.size
    numbers = info.input.frames * 3 * height * width
    if device.type == "cpu":
        numbers += 10 * embed_dim * math.prod(info.layout.grid)
    free = free_memory_bytes()
    if free is not None and 4 * numbers > free:
        raise UnavailableError(
            f"a clip of {info.input.frames} frames of {width} x {height} needs at "
            f"least {4 * numbers / 1e9:,.0f} GB, but only {free / 1e9:,.1f} GB are "
            "free",
            "use fewer frames, or a smaller --size",
        )


def load_model(
    name: str | Path | nn.Module,
    processor: object = None,
    *,
    arch: str | None = None,
    labels: str | Path | Sequence[str] | None = None,
    device: str = "auto",
    precision: str = "auto",
    compile: bool = False,
    offline: bool = False,
    announce: Announce = lambda line: None,
) -> LoadedModel:
    """Load a model by name, from a Hugging Face folder, or from a checkpoint file.

    Args:
        name: a bundled model; a folder with ``config.json``; a ``.pyth``, ``.pth``, ``.pt``,
            ``.bin``, or ``.safetensors`` file, or an encoder's and its probe's, separated by a
            comma; ``hf-hub:ORG/NAME[@REVISION]``; a published name
            from `staa models`; ``timm:NAME``, an image transformer applied frame by frame;
            ``zoo:NAME``, a model of the benchmark's zoo, in a checkout of the repository;
            ``package.module:factory``, which is imported; a model of an installed package; or a
            ``test_`` architecture, with random weights. Names of bundled models and of packages
            take precedence: write ``./name`` for a folder of the same name. Or a model in memory: a
            video classifier from transformers, an image transformer from timm, or a module as
            `models.custom` describes it. It is not changed, and its weights are shared, not copied:
            later training takes effect.
        processor: transformers' processor of a model in memory; without one, pixels are
            preprocessed as for the family's published models.
        arch: architecture of a checkpoint that does not state it.
        labels: file with the names of the classes, or the names; they replace the checkpoint's.
        device: auto (CUDA if available, else the CPU), cpu, cuda, cuda:N, or mps. For a model in
            memory, auto is its current device; for any other, weights are copied.
        precision: auto (fp32 everywhere), fp32, bf16, or fp16. For a model in memory, auto is its
            current precision; for any other, weights are copied.
        compile: have torch compile the module; the first clip takes a minute or more, and the
            numbers change by rounding.
        offline: never download; use only what is cached.
        announce: called with one line about what is going to be downloaded.

    Raises:
        UsageError: an invalid name.
        UnavailableError: no such model or device, or too little memory.
        CheckpointError: weights that do not fit, or a file that contains no weights.
    """
    torch_device, shared = find_device(device), not isinstance(name, str | Path)
    if precision not in ("auto", *_PRECISIONS):
        raise UsageError(
            f"unknown precision {precision!r}", f"available: auto, {', '.join(_PRECISIONS)}"
        )
    if isinstance(name, str | Path):
        if processor is not None:
            raise UsageError("a checkpoint has its own processor", "leave out processor")
        module, info = _open(str(name), arch, offline, announce)
    elif arch is not None:
        raise UsageError("a model in memory has its own architecture", "leave out arch")
    else:
        module, info = open_in_memory(name, processor)
        weight = next(module.parameters(), torch.empty(0))
        torch_device = weight.device if device == "auto" else torch_device
        precisions = [key for key, dtype in _PRECISIONS.items() if dtype == weight.dtype]
        precision = precisions[0] if precisions and precision == "auto" else precision
    precision = "fp32" if precision == "auto" else precision
    if labels is not None:
        labels = Path(labels) if isinstance(labels, str) else labels
        info = replace(info, labels=read_labels(labels, len(info.labels)))
    with memory_for(info.name, torch_device):
        module = module.to(torch_device, _PRECISIONS[precision])
    module.eval().requires_grad_(False)
    if compile:
        _check_compiler(torch_device)
        module.compile()
    return LoadedModel(module, info, torch_device, precision, shared)


def _check_compiler(device: torch.device) -> None:
    """Check that torch, which compiles at the first pass, has what it needs for that.

    Raises:
        UnavailableError: there is no C++ compiler.
    """
    if device.type != "cpu":
        return
    with suppress(ImportError):  # where it is may change with torch
        from torch._inductor.cpp_builder import get_cpp_compiler
        from torch._inductor.exc import InvalidCxxCompiler

        try:
            get_cpp_compiler()
        except InvalidCxxCompiler as error:
            raise UnavailableError(
                "to compile a model, torch needs a C++ compiler, which is not here",
                "install one, such as g++, or leave out --compile",
            ) from error


def find_device(name: str) -> torch.device:
    """auto, cpu, cuda, cuda:N, or mps to an available device.

    Raises:
        UnavailableError: it is not available.
        UsageError: it is not a device.
    """
    kind, _, index = name.partition(":")
    if kind not in ("auto", "cpu", "cuda", "mps") or (index and not index.isdecimal()):
        raise UsageError(f"unknown device {name!r}", "auto, cpu, cuda, cuda:N, or mps")
    gpus = torch.cuda.device_count() if kind in ("auto", "cuda") else 0
    if kind == "auto":
        return torch.device("cuda" if gpus else "cpu")
    if kind == "cuda" and int(index or 0) >= gpus:
        raise UnavailableError(f"no device {name}: this machine has {gpus} CUDA devices")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise UnavailableError(
            "no device mps: this machine or this torch build does not support it"
        )
    return torch.device(name)


def _open(name: str, arch: str | None, offline: bool, announce: Announce) -> Opened:
    check_name(name)
    path = Path(name).expanduser()
    if arch is not None and (name in MODELS or name.startswith((TIMM, ZOO)) or is_reference(name)):
        raise UsageError(f"{name} has its own architecture", "leave out --arch")
    if name in MODELS:
        return open_registered(name)
    if name.startswith(ZOO):
        return open_bundled(zoo_manifest(name))
    if path.is_dir():
        return open_folder(path, arch)
    if files := files_of(name):
        return open_files(files, arch)
    if repo := repository(name):
        return open_hub(repo, arch, offline, announce)
    if name.startswith(TIMM):
        return open_timm(name, offline, announce)
    if is_reference(name):
        return open_custom_model(name)
    if name in ARCHITECTURES.names("test_*"):
        return open_random(name)
    raise _not_found(name, [*MODELS.names(), *published(), *zoo_names()])


def _not_found(name: str, known: list[str]) -> UnavailableError:
    if name in ARCHITECTURES.names():
        return UnavailableError(
            f"{name} is an architecture without weights", f"give a checkpoint and --arch {name}"
        )
    hint = did_you_mean(name, known) or "`staa models` lists the named models"
    return UnavailableError(f"no model, file, or folder is named {name!r}", hint)
