"""A model that is on a CUDA device already stays there, and is explained there."""

from __future__ import annotations

import copy

import pytest
import torch

from staa_cli import explain_clip, load_model

if not torch.cuda.is_available():
    pytest.skip("no CUDA device here", allow_module_level=True)
pytestmark = pytest.mark.cuda


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
def test_a_model_of_a_training_stays_where_it_is(kind: torch.dtype) -> None:
    from transformers import VideoMAEConfig, VideoMAEForVideoClassification

    torch.manual_seed(0)
    sizes = {"image_size": 32, "patch_size": 8, "num_frames": 4, "hidden_size": 48}
    depth = {"num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 56}
    config = VideoMAEConfig(**sizes, **depth, num_labels=5)
    model = VideoMAEForVideoClassification(config).to("cuda", kind).train()
    before = torch.cuda.memory_allocated()
    ours = load_model(model)
    assert torch.cuda.memory_allocated() == before
    places = {tensor.data_ptr() for tensor in model.state_dict().values()}
    assert {tensor.data_ptr() for tensor in ours.module.state_dict().values()} <= places
    assert (ours.device.type, ours.module.head.weight.dtype) == ("cuda", kind)
    frames = torch.randn(1, 4, 3, 32, 32)
    with torch.no_grad():
        wanted = copy.deepcopy(model).eval()(frames.to("cuda", kind)).logits.float()
    bound = 1e-4 if kind is torch.float32 else 0.05 * float(wanted.abs().max())
    torch.testing.assert_close(ours.forward(frames), wanted, rtol=0, atol=bound)
    found = explain_clip(ours, frames, method="grad-attention")
    assert found.attribution.values.shape == (2, 4, 4)
    elsewhere = load_model(model, device="cpu", precision="fp32")
    assert {p.device.type for p in elsewhere.module.parameters()} == {"cpu"}
    assert {(p.device.type, p.dtype) for p in model.parameters()} == {("cuda", kind)}
    assert all(p.requires_grad for p in model.parameters())
    assert model.training
