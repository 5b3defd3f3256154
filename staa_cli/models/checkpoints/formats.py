"""Read weights in any supported format as plain tensors; no code in a file is ever executed."""

from __future__ import annotations

import argparse
import json
import pickle
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from staa_cli.errors import CheckpointError

_WRAPPERS = (
    "model_state",
    "model_ema",
    "model",
    "module",
    "state_dict",
    "target_encoder",
    "ema_encoder",
    "encoder",
    "classifiers",
)
_IN_FOLDER = ("model.safetensors", "pytorch_model.bin")
_ADAPTER = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
_ADAPTER_KEY = re.compile(r"\.(lora_|ia3_|base_layer\.)")
_MERGE_HINT = "merge it into its base: model.merge_and_unload().save_pretrained('merged')"
_SAVE_WEIGHTS = (
    "save only the weights: safetensors.torch.save_file(model.state_dict(), 'w.safetensors')"
)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a checkpoint's folder.

    Raises:
        CheckpointError: it cannot be read, or is not a JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} does not contain a JSON object")
    return value


def refuse_adapter(where: object, names: Iterable[str]) -> None:
    """Refuse a folder whose file names show a PEFT adapter.

    Raises:
        CheckpointError: it is an adapter, which only changes a base model.
    """
    for name in names:
        if name in _ADAPTER:
            raise CheckpointError(
                f"{where} is a PEFT adapter ({name}), not a whole model", _MERGE_HINT
            )


def find_weights(folder: Path) -> tuple[Path, ...]:
    """The weights files of a Hugging Face folder: safetensors first, one file before shards.

    Raises:
        CheckpointError: there are none, or a shard is missing.
    """
    for name in _IN_FOLDER:
        if (folder / name).is_file():
            return (folder / name,)
        if (folder / f"{name}.index.json").is_file():
            return _shards(folder / f"{name}.index.json")
    raise CheckpointError(f"{folder} contains no weights", f"expected {' or '.join(_IN_FOLDER)}")


def read_weights(files: Iterable[Path]) -> dict[str, Tensor]:
    """Read tensors by name from files: wrappers removed, floats as float32.

    Raises:
        CheckpointError: a file is broken, contains an adapter or no weights, or would run code.
    """
    tensors: dict[str, Tensor] = {}
    for path in files:
        if path.suffix == ".safetensors":
            tensors |= _read_safetensors(path)
        else:
            tensors |= _read_pickle(path)
        adapter = next(filter(_ADAPTER_KEY.search, tensors), None)
        if adapter is not None:
            raise CheckpointError(
                f"{path} contains a PEFT adapter ({adapter}), not a model", _MERGE_HINT
            )
    tensors = {
        name: _as_float32(value) if value.is_floating_point() else value
        for name, value in tensors.items()
    }
    refuse_broken_numbers(tensors)
    return tensors


def fit(module: nn.Module, tensors: Mapping[str, Tensor], where: str, detail: str = "") -> None:
    """Load all `tensors` into `module`, strictly.

    Args:
        module: has parameters of these names and shapes.
        tensors: its weights.
        where: where they come from, for errors.
        detail: appended to the error message.

    Raises:
        CheckpointError: a name is missing or unexpected, or a shape or dtype differs.
    """
    faults = misfits(module, tensors)
    if any(faults.values()):
        listed = "; ".join(f"{len(v)} {kind} ({_first(v)})" for kind, v in faults.items() if v)
        raise CheckpointError(f"the weights in {where} do not fit: {listed}{detail}")
    module.load_state_dict(tensors, strict=True, assign=True)


def misfits(module: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, list[str]]:
    """Names of tensors that are missing, unexpected, or misshapen for `module`."""
    expected = module.state_dict()
    return {
        "missing": [name for name in expected if name not in tensors],
        "unexpected": [name for name in tensors if name not in expected],
        "misshapen": [
            f"{name} {_kind(tensors[name])} for {_kind(expected[name])}"
            for name in expected
            if name in tensors and _kind(tensors[name]) != _kind(expected[name])
        ],
    }


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def _first(names: list[str], count: int = 3) -> str:
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")


def _shards(index: Path) -> tuple[Path, ...]:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{index} has no weight_map")
    names = sorted({str(name) for name in weight_map.values()})
    missing = [n for n in names if Path(n).name != n or not (index.parent / n).is_file()]
    if missing:
        raise CheckpointError(
            f"{len(missing)} of {len(names)} shards are missing in {index.parent}: "
            f"{_first(missing)}"
        )
    return tuple(index.parent / name for name in names)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from error


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        # Published fine-tunes store their command line with the weights; a Namespace is harmless.
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings about pickle protocols; real failures raise
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # an unpickler can raise anything on broken bytes
        code = re.search(r"GLOBAL (\S+)", str(error))
        if code:
            raise CheckpointError(
                f"{path} contains more than weights: loading it would run {code[1]}", _SAVE_WEIGHTS
            ) from error
        raise _unreadable(path, error) from error
    return _unwrap(loaded, path)


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    if not path.is_file():
        return CheckpointError(f"there is no file {path}")
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith(b"version https://git-lfs"):
        return CheckpointError(f"{path} is a Git LFS pointer, not the weights", "run: git lfs pull")
    reason = str(error).strip().split("\n")[0]
    # Unpickling errors give long and unsafe advice, or meaningless numbers.
    readable = isinstance(error, OSError | RuntimeError | SafetensorError)
    if not reason or not readable or isinstance(error, pickle.UnpicklingError):
        reason = "the file is empty" if not head else "it is not a checkpoint, or it is damaged"
    return CheckpointError(f"cannot read weights from {path}: {reason}", "is the file complete?")


def _unwrap(loaded: Any, path: Path) -> dict[str, Tensor]:
    """The tensors inside the dicts that training code wraps around them."""
    if not isinstance(loaded, Mapping):
        raise CheckpointError(
            f"{path} contains a {type(loaded).__name__}, not named weights", _SAVE_WEIGHTS
        )
    for wrapper in _WRAPPERS:
        inner = loaded.get(wrapper)
        if isinstance(inner, list) and inner:  # several probes trained together; use the first
            inner = inner[0]
        if isinstance(inner, Mapping):
            return _unwrap(inner, path)
    tensors = {str(name): value for name, value in loaded.items() if isinstance(value, Tensor)}
    if not tensors:
        candidates = [value for value in loaded.values() if _holds_tensors(value)]
        if len(candidates) == 1:  # a wrapper with an unknown name
            return _unwrap(candidates[0], path)
        keys = f" but {_first([*map(str, loaded)])}" if loaded else ""
        raise CheckpointError(f"{path} contains no weights{keys}", _SAVE_WEIGHTS)
    return tensors


def _holds_tensors(value: Any) -> bool:
    return isinstance(value, Mapping) and any(isinstance(v, Tensor) for v in value.values())


def _as_float32(value: Tensor) -> Tensor:
    """A copy: results depend on memory alignment, which varies for a memory-mapped file."""
    value = value.detach()
    if value.dtype not in (torch.float16, torch.float32) or value.layout is not torch.strided:
        return value.to(torch.float32, copy=True)
    # numpy runs in this thread. torch's threads, once started, spin for longer than a small model
    # takes to load, and on a busy machine a hundred times as long.
    copy = torch.empty_like(value, dtype=torch.float32)
    copy.numpy()[...] = value.numpy()
    return copy


def _all_finite(value: Tensor) -> bool:
    if value.dtype not in (torch.float16, torch.float32) or value.device.type != "cpu":
        return bool(torch.isfinite(value).all())
    return bool(np.isfinite(value.detach().numpy()).all())  # in this thread, as above


def refuse_broken_numbers(tensors: Mapping[str, Tensor]) -> None:
    """Refuse weights that contain infinities or NaNs.

    Raises:
        CheckpointError: some weights are not finite.
    """
    broken = [
        name
        for name, value in tensors.items()
        if value.is_floating_point() and not _all_finite(value)
    ]
    if broken:
        raise CheckpointError(
            f"{len(broken)} tensors are not finite ({_first(broken)})",
            "the training diverged or the file is damaged; use an earlier checkpoint",
        )
