"""Attributions stay what they were: against arrays that were stored before the code was moved.

`python tests/explain/test_unchanged.py` stores them anew, for a change of numbers that is meant.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from staa_cli import explain_video, load_model
from staa_cli.models.linear import vendor

HERE = Path(__file__).resolve().parent
STORED = HERE / "stored_attributions.npz"
MODELS = ("tiny-events", "tiny-events-joint", "test_vivit", "test_vjepa2")
CLIPS = ("hop", "spin_sound")


def attributions(name: str) -> dict[str, np.ndarray]:
    """``model/clip`` to raw attributions [clips, T', h, w], by one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        model = load_model(name, device="cpu")
        if name.startswith("test_"):  # the same weights however a module begins its own
            generator = np.random.default_rng(17)
            for _, parameter in sorted(model.module.named_parameters()):
                values = 0.2 * generator.standard_normal(tuple(parameter.shape))
                parameter.copy_(torch.from_numpy(values))
        videos = {clip: HERE.parents[1] / "sample_videos" / f"{clip}.mp4" for clip in CLIPS}
        explained = {clip: explain_video(path, model) for clip, path in videos.items()}
    finally:
        torch.set_num_threads(threads)
    return {
        f"{name}/{clip}": np.stack([each.values for each in explanation.attributions])
        for clip, explanation in explained.items()
    }


def machine() -> str:
    """What rounding depends on."""
    return f"{torch.__version__} {torch.backends.cpu.get_cpu_capability()} {vendor()}"


@pytest.mark.parametrize("name", MODELS)
def test_attributions_are_what_they_were(name: str) -> None:
    with np.load(STORED) as stored:
        same_machine = str(stored["machine"]) == machine()
        for key, values in attributions(name).items():
            if same_machine:
                assert np.array_equal(values, stored[key]), key
            else:
                np.testing.assert_allclose(values, stored[key], rtol=1e-3, atol=1e-6)


def main() -> None:
    """Store what the code gives now."""
    arrays: dict[str, Any] = {
        key: values for name in MODELS for key, values in attributions(name).items()
    }
    np.savez_compressed(STORED, machine=np.array(machine()), **arrays)


if __name__ == "__main__":
    main()
