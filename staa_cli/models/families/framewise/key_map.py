"""timm's checkpoints of image transformers, as frame-wise video models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from staa_cli.errors import CheckpointError, UsageError
from staa_cli.models.architectures import create, register_architecture
from staa_cli.models.catalog.names import TIMM
from staa_cli.models.checkpoints.key_maps import State
from staa_cli.models.families.base import Family
from staa_cli.registry import did_you_mean
from staa_cli.schema import ModelInput

if TYPE_CHECKING:  # timm is imported only when one of its models is used
    from staa_cli.models.families.framewise.module import FrameWise

_STRIDE, _RATE = 8, 30.0


def convert(state: State) -> dict[str, Tensor]:
    """Tensors under their names in the video model."""
    return {n if n.startswith("vit.") else f"vit.{n}": tensor for n, tensor in state.items()}


def from_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config.json of a timm repository to `build`'s arguments.

    Raises:
        CheckpointError: timm has no such architecture.
    """
    options: dict[str, Any] = dict(config.get("model_args") or {})
    if config.get("global_pool"):
        options["global_pool"] = config["global_pool"]
    cfg = config.get("pretrained_cfg") or {}
    if not isinstance(cfg, Mapping):
        raise CheckpointError("config.json: pretrained_cfg is not an object")
    used = ("mean", "std", "input_size", "interpolation", "crop_pct", "crop_mode")
    return {
        "architecture": str(config["architecture"]),
        "pretrained_cfg": {name: cfg[name] for name in used if name in cfg},
        **options,
    }


def from_state(state: State) -> dict[str, Any]:
    """Not possible: tensors alone do not show which timm architecture they belong to.

    Raises:
        CheckpointError: always.
    """
    raise CheckpointError("the timm model cannot be inferred from the weights", "--arch timm:NAME")


def measured(state: State) -> dict[str, Any]:
    """The number of classes of the weights.

    Raises:
        CheckpointError: there is no classification head.
    """
    if "vit.head.weight" not in state:
        raise CheckpointError("the weights have no classification head")
    return {"num_classes": state["vit.head.weight"].shape[0]}


def build(architecture: str, **options: Any) -> FrameWise:
    """A timm architecture without weights, applied frame by frame.

    Raises:
        CheckpointError: timm has no such architecture, or it is not supported.
    """
    from timm.models import create_model

    from staa_cli.models.families.framewise.module import FrameWise

    cfg = options.pop("pretrained_cfg", None) or None
    try:
        # The architecture provides defaults for everything else.
        vit = create_model(architecture, pretrained=False, pretrained_cfg_overlay=cfg, **options)
    except RuntimeError as error:
        raise CheckpointError(f"timm has no model {architecture!r}: {error}") from error
    return FrameWise(vit)


@register_architecture("framewise")
def framewise_tiny_events(pretrained: bool = False, **kwargs: Any) -> FrameWise:
    """For event clips: 8 frames of 64 x 64, one at a time; other arguments are those of timm.

    Convolutions take the place of the patch projection: they learn faster from nothing.
    """
    shape = {"img_size": 64, "patch_size": 8, "embed_dim": 96, "depth": 4, "num_heads": 3}
    return create(_framewise_vit, pretrained, shape, kwargs)


def _framewise_vit(patch_size: int, embed_dim: int, **arguments: Any) -> FrameWise:
    from timm.models.vision_transformer import VisionTransformer

    from staa_cli.models.families.framewise.module import FrameWise
    from staa_cli.models.layers import ConvStem

    vit = VisionTransformer(patch_size=patch_size, embed_dim=embed_dim, **arguments)
    vit.patch_embed.proj = ConvStem(patch_size, embed_dim)
    vit.patch_embed.flatten = False  # its tokens are a sequence already
    return FrameWise(vit)


def timm_name(arch: str) -> str:
    """``timm:NAME`` to NAME.

    Raises:
        UsageError: timm has no such model.
    """
    from timm.models import is_model, list_models

    name = arch.removeprefix(TIMM)
    if not is_model(name.split(".")[0]):
        hint = did_you_mean(name, list_models("vit_*")) or (
            "timm.list_models('vit_*') lists all of them"
        )
        raise UsageError(f"timm has no model {name!r}", hint)
    return name


def published_input(model: FrameWise) -> ModelInput:
    """The input of timm's pretrained_cfg, with frames about a quarter of a second apart."""
    from timm.data.config import resolve_data_config

    resolve: Callable[..., dict[str, Any]] = resolve_data_config
    facts = resolve(pretrained_cfg=model.vit.pretrained_cfg, model=model.vit)
    grid, patch = model.vit.patch_embed.grid_size, model.vit.patch_embed.patch_size
    height, width = grid[0] * patch[0], grid[1] * patch[1]
    mode: Literal["bilinear", "bicubic"] = (
        "bilinear" if facts["interpolation"] == "bilinear" else "bicubic"
    )
    mean, std = ((float(v[0]), float(v[1]), float(v[2])) for v in (facts["mean"], facts["std"]))
    side = int(max(height, width) / facts["crop_pct"])
    return ModelInput(
        frames=model.num_frames,
        size=(height, width),
        stride=_STRIDE,
        rate=_RATE,
        mean=mean,
        std=std,
        resize=(side, side) if facts.get("crop_mode") == "squash" else side,
        interpolation=mode,
    )


def imagenet_labels(model: FrameWise) -> tuple[str, ...] | None:
    """ImageNet's class names if the number of classes is that of an ImageNet subset."""
    from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset

    subset = infer_imagenet_subset(model.vit)
    if subset is None:
        return None
    info = ImageNetInfo(subset)
    return tuple(info.index_to_description(index) for index in range(model.num_classes))


FAMILY = Family(
    model_types=("timm",),
    license="not stated; see the model page",
    convert=convert,
    recognize=None,  # its tensors look like those of a space-only TimeSformer
    from_config=from_config,
    from_state=from_state,
    measured=measured,
    build=build,
    input=published_input,
    labels=imagenet_labels,
    marks=("vit.blocks.0.",),
    note="sees one frame at a time: temporal scores are each frame's share of the class logit",
)
