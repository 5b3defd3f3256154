"""docs/trainer.md shows only what runs: its callback, in a training of two steps."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from small_videos import film
from torch import Tensor
from torch.utils.data import Dataset

PAGE = (Path(__file__).parents[2] / "docs" / "trainer.md").read_text(encoding="utf-8")
IN_MEMORY, CALLBACK, TRAINER = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


class Clips(Dataset[dict[str, Tensor]]):
    """Four clips of noise."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        noise = torch.Generator().manual_seed(index)
        clip = torch.randn(4, 3, 32, 32, generator=noise)
        return {"pixel_values": clip, "labels": torch.tensor(index % 2)}


def model_and_processor() -> dict[str, Any]:
    import transformers

    config = transformers.VideoMAEConfig(
        image_size=32, patch_size=8, num_frames=4, hidden_size=24, num_hidden_layers=2,
        num_attention_heads=3, intermediate_size=24, id2label={0: "jump", 1: "fall"},
        hidden_dropout_prob=0.1,  # so that training draws, and would notice who draws beside it
    )  # fmt: skip
    transformers.set_seed(0)
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    return {
        "model": transformers.VideoMAEForVideoClassification(config),
        "processor": transformers.VideoMAEImageProcessor(**size),
    }


def test_a_model_in_memory_as_the_page_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    film(tmp_path / "video.mp4", 12)
    exec(compile(IN_MEMORY, "trainer.md", "exec"), model_and_processor())
    assert (tmp_path / "out" / "annotated.mp4").is_file()


def test_the_callback_explains_at_every_evaluation_and_changes_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from transformers import TrainingArguments

    monkeypatch.chdir(tmp_path)
    for name in ("a.mp4", "b.mp4"):
        film(tmp_path / name, 12)
    weights = []
    for looks in (True, False):
        args = TrainingArguments(
            "run", max_steps=2, eval_strategy="steps", eval_steps=1, save_strategy="no",
            per_device_train_batch_size=2, report_to=[], use_cpu=True, seed=3, learning_rate=1e-2,
        )  # fmt: skip
        given = {**model_and_processor(), "args": args}
        given |= {"train_dataset": Clips(), "eval_dataset": Clips()}
        exec(compile(CALLBACK, "trainer.md", "exec"), given)
        if not looks:
            given["ExplainCallback"].on_evaluate = lambda *given, **named: None
        exec(compile(TRAINER, "trainer.md", "exec"), given)
        weights.append(given["model"].state_dict())
    told = capsys.readouterr().out
    digests = set()
    for step in (1, 2):
        for number in (0, 1):
            folder = tmp_path / "explanations" / f"step-{step}" / f"video-{number}"
            assert str(folder.relative_to(tmp_path) / "storyboard.png") in told
            with Image.open(folder / "storyboard.png") as picture:
                assert len(picture.convert("RGB").getcolors(1 << 24) or ()) > 100
            report = json.loads((folder / "report.json").read_text())
            assert report["model"]["name"] == "VideoMAEForVideoClassification"
            assert report["prediction"]["target"]["label"] in ("jump", "fall")
            digests.add((step, report["model"]["weights_sha256"]))
    assert len(digests) == 2  # other weights at each step, the same for both videos
    for name, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][name]), name
