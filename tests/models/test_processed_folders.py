"""Folders with a processor's file: what transformers answers to a video, staa answers too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoint_checks import assert_refused, edit_json, load
from saved_folders import MODELS, saved
from torch import Tensor

from staa_cli.methods import Options, get_method
from staa_cli.methods.run import explain_batch
from staa_cli.models.checkpoints.inspection import inspect_model

PROCESSORS = {
    "timesformer": ["VideoMAEImageProcessor", "TimesformerVideoProcessor"],
    "videomae": ["VideoMAEImageProcessor", "VideoMAEVideoProcessor"],
    "vivit": ["VivitImageProcessor", "VivitVideoProcessor"],
    "vjepa2": ["VJEPA2VideoProcessor"],
}
EACH = [(model, name) for model, names in PROCESSORS.items() for name in names]


def video(frames: int = 4, height: int = 50, width: int = 70) -> np.ndarray:
    rng = np.random.default_rng(3)
    return rng.integers(0, 256, (frames, height, width, 3), dtype=np.uint8)


def answer(made: Any, name: str, folder: Path, frames: np.ndarray) -> Tensor:
    """The reference's logits, by the processor that it makes of the folder."""
    import transformers

    processor = getattr(transformers, name).from_pretrained(folder)
    given: Any = list(frames) if "Image" in name else torch.from_numpy(frames).permute(0, 3, 1, 2)
    values = processor(given, return_tensors="pt")
    (pixels,) = (value for key, value in values.items() if "pixel" in key)
    with torch.no_grad():
        return made(pixels.float()).logits


def place(name: str, folder: Path, **settings: Any) -> Path:
    import transformers

    getattr(transformers, name)(**settings).save_pretrained(folder)
    file = "video_preprocessor_config.json" if "Video" in name[5:] else "preprocessor_config.json"
    assert (folder / file).is_file()
    return folder / file


@pytest.mark.parametrize(("model", "name"), EACH)
@pytest.mark.parametrize(
    "settings",
    [
        {"crop_size": 32, "size": {"shortest_edge": 36}},
        {"crop_size": 32, "do_resize": False},
        {"do_center_crop": False, "size": {"height": 32, "width": 32}},
        {"crop_size": 32, "size": {"height": 24, "width": 40}, "do_normalize": False},
    ],
    ids=["plain", "as it comes", "no crop", "padded"],
)
def test_logits_are_those_of_the_reference(
    model: str, name: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    made = saved(model, tmp_path)
    if model == "vjepa2":  # whose size follows from the crop, which it needs therefore
        settings = {**settings, "crop_size": 32, "do_center_crop": True}
    place(name, tmp_path, **settings)
    ours, frames = load(tmp_path), video()
    wanted = answer(made, name, tmp_path, frames)
    torch.testing.assert_close(ours.forward(ours.preprocess(frames)), wanted, rtol=0, atol=1e-4)
    assert wanted.std() > 0.1
    assert ours.info.note == ""


def test_the_shift_of_a_vivit_video_processor_is_not_lost(tmp_path: Path) -> None:
    """Its file says nothing of it, and supported_options nothing that is said."""
    saved("vivit", tmp_path)
    file = place("VivitVideoProcessor", tmp_path, crop_size=32)
    assert "offset" not in file.read_text()
    assert load(tmp_path).input.offset == -1
    edit_json(file, offset=False)
    assert load(tmp_path).input.offset == -1


@pytest.mark.parametrize("crop", [48, {"height": 32, "width": 48}, {"height": 16, "width": 64}])
def test_a_timesformer_takes_the_crop_that_its_processor_makes(crop: Any, tmp_path: Path) -> None:
    made = saved("timesformer", tmp_path)
    place("TimesformerVideoProcessor", tmp_path, crop_size=crop, size=64)
    ours, frames = load(tmp_path), video()
    wanted = answer(made, "TimesformerVideoProcessor", tmp_path, frames)
    torch.testing.assert_close(ours.forward(ours.preprocess(frames)), wanted, rtol=0, atol=1e-4)
    height, width = (crop, crop) if isinstance(crop, int) else (crop["height"], crop["width"])
    assert ours.input.size == (height, width)
    assert ours.layout.grid == (4, height // 8, width // 8)
    assert f"{width} x {height}" in ours.info.note
    assert "32 x 32" in ours.info.note
    batch = ours.preprocess(frames)
    found = explain_batch(ours.module, ours.layout, batch, get_method("staa"), Options())
    assert found.values.shape == (1, 4, height // 8, width // 8)
    assert inspect_model(str(tmp_path))["attention"]["grid"] == ours.layout.grid


def test_a_vjepa2_takes_the_crop_that_its_processor_makes(tmp_path: Path) -> None:
    saved("vjepa2", tmp_path)
    place("VJEPA2VideoProcessor", tmp_path, crop_size=48)
    ours = load(tmp_path)
    assert (ours.input.size, ours.input.resize, ours.layout.grid) == ((48, 48), 54, (2, 6, 6))
    assert torch.isfinite(ours.forward(ours.preprocess(video()))).all()
    assert "48 x 48" in ours.info.note


@pytest.mark.parametrize(("model", "name"), [each for each in EACH if each[0][:2] == "vi"])
def test_a_model_of_one_size_refuses_another_crop_as_the_reference_does(
    model: str, name: str, tmp_path: Path
) -> None:
    made = saved(model, tmp_path)
    place(name, tmp_path, crop_size=96, size=96)
    with pytest.raises(ValueError, match=r"doesn't match model"):
        answer(made, name, tmp_path, video())
    assert_refused(tmp_path, "crop_size", "96 x 96", "32 x 32", model)


def test_a_processor_that_samples_frames_is_told(tmp_path: Path) -> None:
    saved("vivit", tmp_path)
    file = place("VivitVideoProcessor", tmp_path, crop_size=32, do_sample_frames=True, num_frames=4)
    assert "do_sample_frames" in load(tmp_path).info.note
    edit_json(file, num_frames=None, fps=5)
    assert (load(tmp_path).info.note, load(tmp_path).input.interval_s) == ("", 0.2)


def test_a_crop_that_does_not_divide_into_patches_is_refused(tmp_path: Path) -> None:
    saved("timesformer", tmp_path)
    place("TimesformerVideoProcessor", tmp_path, crop_size=36)
    assert_refused(tmp_path, "36 x 36", "patches of 8")


def test_another_size_can_still_be_asked_of_it(tmp_path: Path) -> None:
    saved("timesformer", tmp_path)
    crop = {"height": 32, "width": 48}
    place("TimesformerVideoProcessor", tmp_path, crop_size=crop, size={"height": 40, "width": 60})
    ours = load(tmp_path)
    again = ours.fitted(frames=2)
    assert (again.input.size, again.layout.grid) == ((32, 48), (2, 4, 6))
    square = ours.fitted(size=64)
    assert (square.input.size, square.layout.grid) == ((64, 64), (4, 8, 8))
    assert square.input.resize == (80, 80)


@pytest.mark.parametrize("model", ["videomae", "vivit"])
def test_pictures_that_are_not_square_load_as_they_do_there(model: str, tmp_path: Path) -> None:
    made = saved(model, tmp_path, image_size=[32, 48])
    ours = load(tmp_path)
    clip = torch.randn(2, 4, 3, 32, 48, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        wanted = made(clip).logits
    torch.testing.assert_close(ours.forward(clip), wanted, rtol=0, atol=2e-6)
    assert (ours.input.size, ours.layout.grid) == ((32, 48), (2, 4, 6))
    # Nobody says how pictures come to that size: any shape of them fills it.
    white = np.full((70, 50, 3), 255, np.uint8)
    assert ours.preprocess_frame(white).shape == (3, 32, 48)
    assert ours.preprocess_frame(white).std(dim=(1, 2)).max() == 0
    found = explain_batch(ours.module, ours.layout, clip, get_method("staa"), Options())
    assert found.values.shape == (2, 2, 4, 6)


@pytest.mark.parametrize(
    ("model", "changes", "words"),
    [
        ("timesformer", {"image_size": [32, 48]}, "image_size is [32, 48]"),  # fails there, too
        ("videomae", {"image_size": [32, 48, 3]}, "image_size is [32, 48, 3]"),
        ("videomae", {"patch_size": [8, 16]}, "patch_size [8, 16] is not supported"),
        ("videomae", {"image_size": 36}, "36 pixels do not divide into patches of 8"),
        ("vivit", {"image_size": "wide"}, "image_size is 'wide'"),
    ],
)
def test_a_size_that_cannot_be_is_named(
    model: str, changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    saved(model, tmp_path)
    edit_json(tmp_path / "config.json", **changes)
    assert_refused(tmp_path, words)


@pytest.mark.parametrize("model", MODELS)
def test_attention_without_biases_loads_as_it_does_there(model: str, tmp_path: Path) -> None:
    key = "qv_bias" if model == "videomae" else "qkv_bias"
    made = saved(model, tmp_path, **{key: False})
    clip = torch.randn(2, 4, 3, 32, 32, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        wanted = made(clip).logits
    torch.testing.assert_close(load(tmp_path).forward(clip), wanted, rtol=0, atol=2e-6)
    # Biases that are only lost are still missed.
    edit_json(tmp_path / "config.json", **{key: True})
    assert_refused(tmp_path, "missing", "blocks.0.attn.qkv.bias")
