"""Every family against Hugging Face's model of it, number for number, from folder and from file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_checks import assert_refused, edit_json, load
from safetensors.torch import load_file, save_file
from torch import Tensor

from staa_cli.methods import Options, get_method
from staa_cli.methods.run import explain_batch
from staa_cli.models.taps import Tap, cls_row, full_map, mean_row, taps

NAMES = {0: "jump", 1: "fall", 2: "spin", 3: "rest", 4: "wave"}
SHAPE = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 3}
COMMON = {"patch_size": 8, "num_frames": 4, "image_size": 32, "intermediate_size": 56}


@dataclass(frozen=True)
class Case:
    """How `transformers` makes a model of a family, and what ours must say of it."""

    family: str
    config: str
    model: str
    arguments: dict[str, Any]
    pooling: str


CASES = {
    "videomae mean": Case(
        "videomae", "VideoMAEConfig", "VideoMAEForVideoClassification",
        {**COMMON, "use_mean_pooling": True}, "mean",
    ),
    "videomae token": Case(
        "videomae", "VideoMAEConfig", "VideoMAEForVideoClassification",
        {**COMMON, "use_mean_pooling": False}, "token",
    ),
    "vivit": Case(
        "vivit", "VivitConfig", "VivitForVideoClassification",
        {**COMMON, "tubelet_size": [2, 8, 8]}, "cls",
    ),
    "vjepa2": Case(
        "vjepa2", "VJEPA2Config", "VJEPA2ForVideoClassification",
        {
            "patch_size": 8, "frames_per_clip": 4, "crop_size": 32, "mlp_ratio": 2.5,
            "num_pooler_layers": 2, "pred_hidden_size": 24, "pred_num_attention_heads": 2,
            "pred_num_hidden_layers": 1,
        },
        "attentive",
    ),
}  # fmt: skip

VIT_BASE = {
    "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3072, "image_size": 224, "patch_size": 16,
}  # fmt: skip
REAL: dict[str, tuple[str, dict[str, Any]]] = {
    "videomae-base": (
        "videomae mean", {**VIT_BASE, "num_frames": 16, "layer_norm_eps": 1e-12}
    ),
    "vivit-base": (
        "vivit",
        {**VIT_BASE, "num_frames": 32, "tubelet_size": [2, 16, 16], "layer_norm_eps": 1e-6},
    ),
    "vjepa2-large": (
        "vjepa2",
        {
            "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
            "patch_size": 16, "crop_size": 256, "frames_per_clip": 16, "mlp_ratio": 4.0,
            "num_pooler_layers": 3, "layer_norm_eps": 1e-6,
        },
    ),
}  # fmt: skip
"""Published sizes: the case they are of, and what they have otherwise."""

every_family = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def reference(case: Case, **overrides: Any) -> Any:
    """A model of which no parameter is zero or one, with attention that can be read."""
    import transformers

    torch.manual_seed(0)
    arguments = {**SHAPE, "layer_norm_eps": 1e-3, "id2label": NAMES, **case.arguments, **overrides}
    config = getattr(transformers, case.config)(**arguments, attn_implementation="eager")
    model = getattr(transformers, case.model)(config).eval()
    for parameter in model.parameters():
        parameter.data = torch.randn_like(parameter) * (0.3 if parameter.ndim > 1 else 0.2)
    if case.pooling == "attentive":
        model.pooler.query_tokens.data *= 8  # or the query would read everything alike
    return model


def clip(frames: int = 4, side: int = 32) -> Tensor:
    return torch.randn(2, frames, 3, side, side, generator=torch.Generator().manual_seed(7))


def pooler_rows(model: Any) -> list[Tensor]:
    """Filled by the next forward pass with the pooler's attention [B, heads, 1, N]."""
    rows: list[Tensor] = []
    model.pooler.cross_attention_layer.cross_attn.register_forward_hook(
        lambda _module, _given, out: rows.append(out[1])
    )
    return rows


def attention_rows(model: Any, mean: bool) -> list[Tensor]:
    """Filled by the next pass, block by block: the mean over heads of row 0, or of all rows [B, N].

    Matrices of all blocks at once would take gigabytes at a published size.
    """
    rows: list[Tensor] = []

    def keep(_module: Any, _given: Any, out: tuple[Tensor, Tensor]) -> None:
        attention = out[1].mean(dim=1)
        rows.append(attention.mean(dim=1) if mean else attention[:, 0])

    for name, module in model.named_modules():
        projects = hasattr(module, "query") or hasattr(module, "q_proj")
        if projects and "predictor" not in name and "pooler" not in name:
            module.register_forward_hook(keep)
    return rows


@every_family
def test_logits_and_attention_equal_those_of_hugging_face(case: Case, tmp_path: Path) -> None:
    model = reference(case)
    model.save_pretrained(tmp_path)
    with torch.no_grad():
        wanted = model(clip(), output_attentions=True)
    ours = load(tmp_path)
    reads = [Tap("joint", block, "map", full_map) for block in range(3)]
    with taps(ours.module, reads) as read:
        logits = ours.forward(clip())
    torch.testing.assert_close(logits, wanted.logits, rtol=0, atol=1e-5)
    assert wanted.logits.std() > 0.1  # the comparison is of something
    assert len(wanted.attentions) == 3
    for block, attention in enumerate(wanted.attentions):
        torch.testing.assert_close(read["map", block], attention.mean(dim=1), rtol=0, atol=1e-6)


@every_family
def test_staa_reads_what_the_head_reads(case: Case, tmp_path: Path) -> None:
    """The attribution, from the reference's own attention matrices."""
    model = reference(case)
    model.save_pretrained(tmp_path)
    rows = pooler_rows(model) if case.pooling == "attentive" else []
    with torch.no_grad():
        last = model(clip(), output_attentions=True).attentions[-1].mean(dim=1)  # [B, N, N]
    wanted = {
        "mean": lambda: last.mean(dim=1),
        "token": lambda: last[:, 0],
        "cls": lambda: last[:, 0, 1:],
        "attentive": lambda: rows[0].mean(dim=1)[:, 0],
    }[case.pooling]()
    ours = load(tmp_path)
    found = explain_batch(ours.module, ours.layout, clip(), get_method("staa"), Options())
    torch.testing.assert_close(
        torch.from_numpy(found.values), wanted.reshape(2, 2, 4, 4), rtol=0, atol=1e-6
    )
    assert found.values.max() > 1.2 * found.values.mean()  # what is compared differs by place


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", REAL)
def test_the_published_size_agrees_with_hugging_face(name: str, tmp_path: Path) -> None:
    key, sizes = REAL[name]
    case = CASES[key]
    model = reference(case, **sizes, id2label={i: f"LABEL_{i}" for i in range(400)})
    for parameter_name, parameter in model.named_parameters():
        parameter.data *= 1 / 6 if parameter.ndim > 1 else 1  # rows that are sharp, not one-hot
        parameter.data += "norm" in parameter_name and parameter_name.endswith("weight")
    model.save_pretrained(tmp_path)
    mean = case.pooling in ("mean", "attentive")
    rows = attention_rows(model, mean)
    frames = sizes.get("num_frames", 16)
    side = sizes.get("image_size", 256)
    given = clip(frames, side)[:1]
    with torch.no_grad():
        wanted = model(given).logits
    depth = sizes["num_hidden_layers"]
    del model
    ours = load(tmp_path)
    wished = mean_row if mean else cls_row
    with taps(ours.module, [Tap("joint", block, "row", wished) for block in range(depth)]) as read:
        logits = ours.forward(given)
    torch.testing.assert_close(logits, wanted, rtol=0, atol=1e-4)
    assert wanted.std() > 0.1
    assert len(rows) == depth
    for block, row in enumerate(rows):
        torch.testing.assert_close(read["row", block], row, rtol=0, atol=1e-6)
        assert row.max() > 2 / row.shape[-1]


@every_family
def test_a_folder_says_what_it_is(case: Case, tmp_path: Path) -> None:
    reference(case).save_pretrained(tmp_path)
    ours = load(tmp_path)
    assert ours.info.family == case.family
    assert ours.labels == tuple(NAMES.values())
    assert (ours.input.frames, ours.input.size) == (4, (32, 32))
    layout = ours.layout
    assert (layout.kind, layout.pooling, layout.grid) == ("joint", case.pooling, (2, 4, 4))
    assert (layout.tubelet, layout.depth, layout.order) == (2, 3, "thw")
    assert layout.prefix_tokens == (case.pooling == "cls")


@every_family
def test_a_file_is_recognized_by_its_tensors_alone(case: Case, tmp_path: Path) -> None:
    width = {"vjepa2": 1024}.get(case.family, 384)
    heads = {"vjepa2": 16}.get(case.family, 6)
    published = {"crop_size": 256} if case.family == "vjepa2" else {"image_size": 224}
    published |= {"frames_per_clip": 16} if case.family == "vjepa2" else {"num_frames": 16}
    sizes: dict[str, Any] = {"patch_size": 32, "hidden_size": width, "num_attention_heads": heads}
    if case.family == "vivit":
        sizes["tubelet_size"] = [2, 32, 32]
    eps = {"layer_norm_eps": 1e-6, "num_hidden_layers": 1, "intermediate_size": 56, "mlp_ratio": 1}
    model = reference(case, **published, **sizes, **eps)
    for parameter in model.parameters():
        parameter.data *= 0.3
    model.save_pretrained(tmp_path)
    side = 256 if case.family == "vjepa2" else 224
    frames = clip(16, side)[:1]
    with torch.no_grad():
        wanted = model(frames).logits
    in_memory, on_disk = model.state_dict(), load_file(tmp_path / "model.safetensors")
    for state in (in_memory, on_disk):
        # As training code saves it: under a key, and from a data parallel wrapper.
        parallel = {f"module.{name}": tensor for name, tensor in state.items()}
        torch.save({"module": parallel, "epoch": 3}, tmp_path / "w.pth")
        ours = load(tmp_path / "w.pth")
        assert ours.info.family == case.family
        assert ours.layout.pooling == case.pooling
        torch.testing.assert_close(ours.forward(frames), wanted, rtol=0, atol=1e-4)


@every_family
def test_fewer_frames_than_trained(case: Case, tmp_path: Path) -> None:
    """Positions that count tokens or turn by place need nothing else; tables are interpolated."""
    reference(case).save_pretrained(tmp_path)
    ours = load(tmp_path)
    assert torch.isfinite(ours.forward(clip(2))).all()
    found = explain_batch(ours.module, ours.layout, clip(2), get_method("staa"), Options())
    assert found.values.shape == (2, 1, 4, 4)
    if case.family == "videomae":
        shorter = reference(case, num_frames=2)
        shorter.load_state_dict(reference(case).state_dict())
        with torch.no_grad():
            wanted = shorter(clip(2)).logits
        torch.testing.assert_close(ours.forward(clip(2)), wanted, rtol=0, atol=1e-5)


Layout = Callable[[dict[str, Tensor]], dict[str, Tensor]]


def with_linear_biases(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """As transformers 5.6 to 5.17 wrote VideoMAE: every projection with a bias, the keys' too."""
    out = {}
    for name, tensor in state.items():
        layer = name.removesuffix("q_bias").removesuffix("v_bias")
        key = {"q_bias": "query", "v_bias": "value"}.get(name.rsplit(".", 1)[-1])
        out[f"{layer}{key}.bias" if key else name] = tensor
        if name.endswith("q_bias"):
            out[f"{layer}key.bias"] = torch.full_like(tensor, 0.7)  # softmax does not see it
    return out


def original(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """As the authors' code writes VideoMAE: fused weights beside two biases."""
    from staa_cli.models.families.videomae.key_map import convert

    out = {}
    for name, tensor in convert(state).items():
        if name.endswith("attn.qkv.bias"):
            q, _, v = tensor.chunk(3)
            out[name.replace("qkv.bias", "q_bias")] = q
            out[name.replace("qkv.bias", "v_bias")] = v
        else:
            out[name] = tensor
    return out | {"decoder.blocks.0.norm1.weight": torch.ones(3), "mask_token": torch.ones(1)}


@pytest.mark.parametrize("layout", [with_linear_biases, original], ids=lambda f: f.__name__)
def test_every_layout_of_videomae_gives_the_same_logits(layout: Layout, tmp_path: Path) -> None:
    model = reference(CASES["videomae mean"])
    model.save_pretrained(tmp_path)
    wanted = load(tmp_path).forward(clip())
    state = layout(load_file(tmp_path / "model.safetensors"))
    save_file({n: t.contiguous() for n, t in state.items()}, tmp_path / "model.safetensors")
    torch.testing.assert_close(load(tmp_path).forward(clip()), wanted, rtol=0, atol=1e-5)


def test_the_config_of_a_second_version_is_read(tmp_path: Path) -> None:
    model = reference(CASES["videomae mean"])
    model.save_pretrained(tmp_path)
    state = {
        f"model.{n}": t for n, t in original(load_file(tmp_path / "model.safetensors")).items()
    }
    save_file({n: t.contiguous() for n, t in state.items()}, tmp_path / "model.safetensors")
    wanted = load(tmp_path).forward(clip())
    nested = {
        "img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 3, "num_heads": 3,
        "mlp_ratio": 56 / 48, "num_frames": 4, "layer_norm_eps": 1e-3, "cos_attn": False,
    }  # fmt: skip
    edit_json(tmp_path / "config.json", model_type="VideoMAEv2_Base", model_config=nested)
    found = load(tmp_path)
    assert found.info.family == "videomae"
    # The norm before the head is the one thing whose epsilon is another one there.
    torch.testing.assert_close(found.forward(clip()), wanted, rtol=0, atol=2e-2)
    edit_json(tmp_path / "config.json", model_config={**nested, "cos_attn": True})
    assert_refused(tmp_path, "cos_attn")


@every_family
def test_weights_without_a_head_are_refused(case: Case, tmp_path: Path) -> None:
    reference(case).save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    kept = {name: tensor for name, tensor in state.items() if not name.startswith("classifier")}
    save_file(kept, tmp_path / "model.safetensors")
    assert_refused(tmp_path, "no classification head")


@every_family
def test_a_missing_key_is_named(case: Case, tmp_path: Path) -> None:
    reference(case).save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    gone = next(name for name in state if name.endswith("layer.1.attention.proj.weight")
                or name.endswith("layer.1.attention.output.dense.weight"))  # fmt: skip
    del state[gone]
    save_file(state, tmp_path / "model.safetensors")
    assert_refused(tmp_path, "1 missing", "blocks.1.attn.proj.weight")


def test_mean_rows_need_no_matrix(tmp_path: Path) -> None:
    reference(CASES["videomae mean"]).save_pretrained(tmp_path)
    ours = load(tmp_path)
    reads = [Tap("joint", 2, "map", full_map), Tap("joint", 2, "row", mean_row)]
    reads += [Tap("joint", 2, "first", cls_row)]
    with taps(ours.module, reads) as read:
        ours.forward(clip())
    torch.testing.assert_close(read["row", 2], read["map", 2].mean(dim=1), rtol=0, atol=1e-6)
    torch.testing.assert_close(read["first", 2], read["map", 2][:, 0], rtol=0, atol=1e-6)


@pytest.mark.slow
def test_the_authors_own_two_files_of_vjepa2(tmp_path: Path) -> None:
    """Encoder and probe apart, under their prefixes: the model that Hugging Face's folder gives."""
    case = CASES["vjepa2"]
    sizes: dict[str, Any] = {"hidden_size": 1024, "num_attention_heads": 16, "num_hidden_layers": 1}
    sizes |= {"patch_size": 32, "crop_size": 256, "frames_per_clip": 16, "mlp_ratio": 1.0}
    reference(case, **sizes, layer_norm_eps=1e-5).save_pretrained(tmp_path / "hf")
    ours = load(tmp_path / "hf")
    state = ours.module.state_dict()
    probe = {n: t for n, t in state.items() if n.startswith(("pooler.", "head."))}
    encoder = {f"module.backbone.{n}": t for n, t in state.items() if n not in probe}
    probe = {f"module.{n.replace('head.', 'linear.')}": t for n, t in probe.items()}
    torch.save(
        {"encoder": {"x": torch.ones(1)}, "target_encoder": encoder, "epoch": 3},
        tmp_path / "encoder.pt",
    )
    torch.save({"classifiers": [probe, probe], "epoch": 3}, tmp_path / "probe.pt")
    both = load(f"{tmp_path / 'encoder.pt'},{tmp_path / 'probe.pt'}")
    # The encoder's own eps is smaller; give it the folder's, which is the probe's.
    for norm in (both.module.norm, both.module.blocks[0].norm1, both.module.blocks[0].norm2):
        norm.eps = 1e-5
    wanted = ours.forward(clip(16, 256)[:1])
    torch.testing.assert_close(both.forward(clip(16, 256)[:1]), wanted, rtol=1e-4, atol=1e-4)
    # An encoder alone is known for what it is, whatever else has no learned positions.
    assert_refused(tmp_path / "encoder.pt", "only a V-JEPA 2 encoder", "pooler")
    # So is the next version, which has another norm, and other weights under another key.
    later = encoder | {"module.backbone.video_mod_embed": torch.ones(1, 1, 1024)}
    for kind in ("weight", "bias"):
        later[f"module.backbone.norms_block.0.{kind}"] = later.pop(f"module.backbone.norm.{kind}")
    torch.save({"encoder": later, "ema_encoder": later}, tmp_path / "next.pt")
    assert_refused(tmp_path / "next.pt", "V-JEPA 2.1")
    assert_refused(f"{tmp_path / 'next.pt'},{tmp_path / 'probe.pt'}", "V-JEPA 2.1")


def test_an_encoder_folder_of_vjepa2_is_refused_by_name(tmp_path: Path) -> None:
    reference(CASES["vjepa2"]).save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    kept = {n: tensor for n, tensor in state.items() if not n.startswith(("pooler", "classifier"))}
    save_file(kept, tmp_path / "model.safetensors")
    error = assert_refused(tmp_path, "only a V-JEPA 2 encoder")
    assert "PROBE.pt" in (error.hint or "")


def test_unmasked_teacher_is_videomae_with_a_frame_a_token(tmp_path: Path) -> None:
    sizes = {"hidden_size": 384, "num_attention_heads": 6, "num_hidden_layers": 1}
    sizes |= {"patch_size": 32, "image_size": 224, "num_frames": 8, "tubelet_size": 1}
    model = reference(CASES["videomae mean"], **sizes, layer_norm_eps=1e-6)
    for parameter in model.parameters():
        parameter.data *= 0.3
    model.save_pretrained(tmp_path)
    torch.save({"model": original(load_file(tmp_path / "model.safetensors"))}, tmp_path / "u.pth")
    ours = load(tmp_path / "u.pth")
    assert (ours.input.frames, ours.layout.grid, ours.layout.tubelet) == (8, (8, 7, 7), 1)
    # Its frames are spread over a clip, not taken from one end of it.
    assert ours.input.frames * ours.input.interval_s == 10
    with torch.no_grad():
        wanted = model(clip(8, 224)).logits
    torch.testing.assert_close(ours.forward(clip(8, 224)), wanted, rtol=0, atol=1e-4)
