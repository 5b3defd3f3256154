"""Models in memory: staa answers what transformers and timm answer, and leaves theirs alone."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from small_videos import asked, film, pictures
from torch import Tensor, nn

from staa_cli import explain_clip, explain_video, load_model
from staa_cli.errors import CheckpointError, StaaError, UnavailableError, UsageError
from staa_cli.methods import Options
from staa_cli.models.load import LoadedModel

NAMES = {0: "jump", 1: "fall", 2: "spin", 3: "rest", 4: "wave"}
SHAPE = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 3, "patch_size": 8}
COMMON = {**SHAPE, "num_frames": 4, "image_size": 32, "intermediate_size": 56}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "timesformer": ("Timesformer", COMMON),
    "videomae": ("VideoMAE", {**COMMON, "use_mean_pooling": True}),
    "videomae token": ("VideoMAE", {**COMMON, "use_mean_pooling": False}),
    "vivit": ("Vivit", {**COMMON, "tubelet_size": [2, 8, 8]}),
    "vjepa2": (
        "VJEPA2",
        {
            **SHAPE, "frames_per_clip": 4, "crop_size": 32, "mlp_ratio": 2.5,
            "pred_hidden_size": 24, "pred_num_attention_heads": 2, "pred_num_hidden_layers": 1,
            "num_pooler_layers": 2,
        },
    ),
}  # fmt: skip
PROCESSORS = [
    ("timesformer", "VideoMAEImageProcessor"),
    ("timesformer", "TimesformerVideoProcessor"),
    ("videomae", "VideoMAEImageProcessor"),
    ("videomae", "VideoMAEVideoProcessor"),
    ("vivit", "VivitImageProcessor"),
    ("vivit", "VivitVideoProcessor"),
    ("vjepa2", "VJEPA2VideoProcessor"),
]
every_family = pytest.mark.parametrize("family", FAMILIES)


def reference(family: str, **changes: Any) -> Any:
    """A classifier of which no parameter is zero or one, as training has it: in training mode."""
    import transformers

    torch.manual_seed(0)
    name, sizes = FAMILIES[family]
    arguments = {"layer_norm_eps": 1e-3, "id2label": NAMES, **sizes, **changes}
    config = getattr(transformers, f"{name}Config")(**arguments)
    model = getattr(transformers, f"{name}ForVideoClassification")(config)
    for parameter in model.parameters():
        parameter.data = torch.randn_like(parameter) * (0.3 if parameter.ndim > 1 else 0.2)
    return model.train()


def image_model(**changes: Any) -> Any:
    """timm's, in training mode."""
    from timm.models import create_model

    torch.manual_seed(0)
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}
    return create_model("vit_tiny_patch16_224", **{"num_classes": 5, **sizes, **changes}).train()


def clip(side: int = 32) -> Tensor:
    return torch.randn(2, 4, 3, side, side, generator=torch.Generator().manual_seed(7))


def logits_of(model: Any, given: Tensor) -> Tensor:
    """The reference's own, by a copy of it that is in evaluation mode."""
    with torch.no_grad():
        found: Tensor = copy.deepcopy(model).eval()(given).logits
    return found


def places(module: nn.Module) -> set[int]:
    return {tensor.data_ptr() for tensor in module.state_dict().values()}


def state(model: nn.Module) -> dict[str, Any]:
    """All that somebody could see of a model."""
    return {
        "modules": {n: (type(m), m.training, sorted(vars(m))) for n, m in model.named_modules()},
        "hooks": {
            n: [len(value) for key, value in vars(m).items() if "hook" in key and value]
            for n, m in model.named_modules()
        },
        "parameters": {
            n: (id(p), p.data_ptr(), p.requires_grad, p.dtype, p.device, p._version, p.grad)
            for n, p in model.named_parameters()
        },
        "values": {n: t.float().sum().item() for n, t in model.state_dict().items()},
        "random": torch.get_rng_state().tolist(),
    }


@every_family
def test_logits_are_those_of_transformers_on_the_same_memory(family: str) -> None:
    model = reference(family)
    ours = load_model(model)
    torch.testing.assert_close(ours.forward(clip()), logits_of(model, clip()), rtol=0, atol=1e-5)
    assert logits_of(model, clip()).std() > 0.1  # the comparison is of something
    assert places(ours.module) <= places(model)
    assert len(places(ours.module)) == len(ours.module.state_dict())
    assert (ours.device.type, ours.precision) == ("cpu", "fp32")


@every_family
def test_what_is_known_of_it_comes_from_its_config(family: str, tmp_path: Path) -> None:
    model = reference(family)
    model.save_pretrained(tmp_path)
    ours, saved = load_model(model), load_model(str(tmp_path))
    assert ours.labels == tuple(NAMES.values())
    assert (ours.layout, ours.info.family) == (saved.layout, saved.info.family)
    assert ours.input == saved.input
    deciding = [p.numel() for n, p in model.named_parameters() if "predictor" not in n]
    assert ours.info.parameters == sum(deciding)
    assert ours.info.output == "softmax"
    assert ours.info.source == "in memory"
    assert ours.info.name == type(model).__name__
    assert "no processor was given" in ours.info.note
    unnamed = load_model(reference(family, id2label={n: f"LABEL_{n}" for n in range(5)}))
    assert unnamed.labels[0] == "class_0"
    assert load_model(model, labels=list("vwxyz")).labels == tuple("vwxyz")


def test_what_its_logits_mean_is_in_its_config() -> None:
    model = reference("videomae")
    model.config.problem_type = "multi_label_classification"
    assert load_model(model).info.output == "sigmoid"
    model.config.problem_type = "guesswork"
    with pytest.raises(CheckpointError, match=r"^model\.config has an unknown problem_type"):
        load_model(model)


def test_where_it_was_begun_from_is_told(tmp_path: Path) -> None:
    from transformers import VideoMAEForVideoClassification

    reference("videomae").save_pretrained(tmp_path)
    begun = VideoMAEForVideoClassification.from_pretrained(tmp_path)
    assert load_model(begun).info.source == f"in memory, initialized from {tmp_path}"


@pytest.mark.parametrize(("family", "name"), PROCESSORS)
def test_pixels_are_those_of_the_given_processor(family: str, name: str) -> None:
    import transformers

    crop = {"height": 32, "width": 32}
    processor = getattr(transformers, name)(
        size={"shortest_edge": 40}, crop_size=crop, image_mean=[0.4, 0.5, 0.6],
        image_std=[0.2, 0.3, 0.4], resample=3,
    )  # fmt: skip
    model = load_model(reference(family), processor)
    frame = np.random.default_rng(0).integers(0, 256, (61, 97, 3), dtype=np.uint8)
    given: Any = [frame] if "Image" in name else torch.from_numpy(frame).permute(2, 0, 1)[None]
    (wanted,) = (v for k, v in processor(given, return_tensors="pt").items() if "pixel" in k)
    torch.testing.assert_close(
        model.preprocess_frame(frame), wanted[0, 0].float(), rtol=0, atol=1e-4
    )
    assert (model.input.mean, model.input.interpolation) == ((0.4, 0.5, 0.6), "bicubic")
    assert "processor" not in model.info.note
    several = SimpleNamespace(image_processor=processor, tokenizer=None)
    assert load_model(reference(family), several).input == model.input


def test_a_processor_that_does_not_fit_is_told_by_its_class() -> None:
    from transformers import VideoMAEImageProcessor

    with pytest.raises(
        CheckpointError, match="produces pictures of 224 x 224, but the weights are for"
    ):
        load_model(reference("videomae"), VideoMAEImageProcessor())
    mixed = VideoMAEImageProcessor(do_center_crop=False, size={"shortest_edge": 40})
    with pytest.raises(CheckpointError, match="VideoMAEImageProcessor: do_center_crop False"):
        load_model(reference("videomae"), mixed)


@pytest.mark.parametrize("family", [*FAMILIES, "timm"])
@pytest.mark.parametrize("method", ["auto", "grad-attention", "gradcam", "rise"])
def test_the_callers_model_stays_as_it_is(family: str, method: str) -> None:
    """Training goes on as if nobody had looked."""
    model = image_model() if family == "timm" else reference(family)
    first, *_ = model.parameters()
    first.requires_grad_(False)
    ran: list[str] = []
    for name, module in model.named_modules():
        module.register_forward_hook(lambda *_, name=name: ran.append(name))
    before = state(model)
    with torch.no_grad():
        for guarded in (load_model(model), load_model(nn.DataParallel(model))):
            frames = torch.randn(1, 4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
            explain_clip(guarded, frames, method=method, options=Options(samples=8))
    assert ran == []
    assert state(model) == before


@pytest.mark.parametrize("family", [*FAMILIES, "timm"])
def test_what_it_learns_later_is_seen(family: str) -> None:
    model = image_model() if family == "timm" else reference(family)
    ours = load_model(model)
    before, digest = ours.forward(clip()), ours.info.weights_sha256
    assert ours.of_this_moment().info.weights_sha256 == digest
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05, fused=True)
    found = model(clip().flatten(0, 1)) if family == "timm" else model(clip()).logits
    found[:, 0].sum().backward()
    optimizer.step()
    after = ours.forward(clip())
    assert (after - before).abs().max() > 0.1
    again = load_model(model)
    assert torch.equal(after, again.forward(clip()))
    assert ours.of_this_moment().info.weights_sha256 == again.info.weights_sha256 != digest


def test_a_report_is_of_the_weights_that_it_was_made_with(tmp_path: Path) -> None:
    video, model = film(tmp_path / "v.mp4", 12), reference("videomae")
    loaded = load_model(model)
    first = explain_video(video, loaded)
    with torch.no_grad():
        model.classifier.bias += 1
    second = explain_video(video, loaded)
    assert first.model.weights_sha256 != second.model.weights_sha256
    assert first.fingerprint != second.fingerprint
    assert first.settings["model"] == "VideoMAEForVideoClassification"
    assert {w.code for w in second.warnings} >= {"model-note"}


def test_a_video_is_explained_by_a_model_as_it_is(tmp_path: Path) -> None:
    video, model = film(tmp_path / "v.mp4", 12), reference("videomae")
    found = explain_video(video, model)
    wanted = explain_video(video, load_model(model))
    assert np.array_equal(found.frames.score, wanted.frames.score)
    assert found.save(tmp_path / "out", asked()) == (tmp_path / "out" / "report.json",)


@pytest.mark.parametrize("family", [*FAMILIES, "timm"])
def test_half_precision_is_kept_unless_another_is_asked_for(family: str) -> None:
    model = (image_model() if family == "timm" else reference(family)).to(torch.bfloat16)
    whole = copy.deepcopy(model).float()
    ours = load_model(model)
    assert ours.precision == "bf16"
    assert places(ours.module) <= places(model)
    exact = load_model(whole).forward(clip())
    assert (ours.forward(clip()) - exact).abs().max() < 0.1 * exact.abs().max()
    full = load_model(model, precision="fp32")
    assert full.precision == "fp32"
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    torch.testing.assert_close(full.forward(clip()), exact, rtol=0, atol=1e-5)


def test_numbers_of_several_kinds_become_those_of_most() -> None:
    model = reference("videomae").to(torch.bfloat16)
    model.fc_norm.float()
    ours = load_model(model)
    assert {p.dtype for p in ours.module.parameters()} == {torch.bfloat16}
    assert torch.isfinite(ours.forward(clip())).all()
    assert model.fc_norm.weight.dtype == torch.float32
    double = load_model(reference("videomae").double())
    torch.testing.assert_close(
        double.forward(clip()), load_model(reference("videomae")).forward(clip())
    )
    assert double.precision == "fp32"


def autocast_forward(model: nn.Module) -> nn.Module:
    """As mixed precision of accelerate leaves a model: with another forward of its own."""
    plain = model.forward

    def forward(*given: Any, **named: Any) -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            return plain(*given, **named)

    model.forward = forward
    return model


@pytest.mark.parametrize("family", ["videomae", "timm"])
@pytest.mark.parametrize(
    "wrap",
    [
        nn.DataParallel,
        torch.compile,
        autocast_forward,
        lambda model: nn.DataParallel(cast(nn.Module, torch.compile(model))),
    ],
    ids=["parallel", "compiled", "mixed precision", "both"],
)
def test_wrappers_of_training_are_taken_off(
    family: str, wrap: Callable[[nn.Module], nn.Module]
) -> None:
    make = image_model if family == "timm" else lambda: reference("videomae")
    wanted, ours = load_model(make()), load_model(wrap(make()))
    assert torch.equal(ours.forward(clip()), wanted.forward(clip()))
    assert ours.info == wanted.info or ours.info.weights_sha256 == wanted.info.weights_sha256
    frames = torch.randn(1, 4, 3, 32, 32)
    assert explain_clip(ours, frames).attribution.method == "staa-class"


def test_a_part_that_is_compiled_by_itself_is_seen_through() -> None:
    model = reference("videomae")
    model.videomae.encoder = torch.compile(model.videomae.encoder)
    wanted = load_model(reference("videomae")).forward(clip())
    assert torch.equal(load_model(model).forward(clip()), wanted)


def refused(
    model: object, *words: str, error: type[StaaError] = CheckpointError, **options: Any
) -> None:
    """In one line, with these words in it."""
    with pytest.raises(error) as caught:
        load_model(model, **options)  # type: ignore[arg-type]
    told = f"{caught.value.cause} | {caught.value.hint}"
    assert "\n" not in told
    for word in words:
        assert word in told


def test_a_class_of_ones_own_that_derives_from_the_reference_is_known() -> None:
    from transformers import VideoMAEForVideoClassification

    class Weighted(VideoMAEForVideoClassification):  # type: ignore[misc]
        """With another loss."""

    model = reference("videomae")
    model.__class__ = Weighted
    assert load_model(model).info.name == "Weighted"


def test_what_is_no_video_classifier_is_told_in_one_line() -> None:
    import transformers

    encoder = transformers.VideoMAEModel(reference("videomae").config)
    refused(encoder, "a VideoMAEModel is not a classifier", "fine-tuned for classification")
    bert = transformers.BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
                                   intermediate_size=8, vocab_size=9)  # fmt: skip
    refused(
        transformers.BertForSequenceClassification(bert),
        "model.config says model_type 'bert', which is not supported", "videomae",
    )  # fmt: skip
    refused(nn.Linear(2, 2), "a Linear cannot be explained", "vivit", "vit_*", "docs/models.md")

    class Trained(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = reference("videomae")

    refused(Trained(), "it contains a VideoMAEForVideoClassification: pass its .net")


def test_what_cannot_be_given_beside_it_is_told() -> None:
    from transformers import VideoMAEImageProcessor

    model, processor = reference("videomae"), VideoMAEImageProcessor()
    trainer = SimpleNamespace(model=model)
    refused(trainer, "not a SimpleNamespace", "pass its .model", error=UsageError)
    refused(3, "not a int", error=UsageError)
    refused(model, "its own architecture", arch="x", error=UsageError)
    refused("tiny-events", "its own processor", processor=processor, error=UsageError)
    refused(image_model(), "not to a VisionTransformer", processor=processor, error=UsageError)
    refused(model, "a str is not an image or video processor", processor="x", error=UsageError)
    refused(model, "unknown precision", precision="fp8", error=UsageError)
    refused(model, "5 classes", "names 3", labels=list("abc"))


def test_weights_that_are_not_all_there_are_told() -> None:
    adapted = reference("videomae")
    adapted.classifier = nn.ModuleDict({"base_layer": adapted.classifier})
    refused(adapted, "PEFT adapter", "merge_and_unload")
    diverged = reference("videomae")
    diverged.classifier.weight.data[0] = torch.nan
    refused(diverged, "1 tensors are not finite (head.weight)", "diverged")
    offloaded = reference("videomae")
    offloaded.classifier = nn.Linear(48, 5, device="meta")
    refused(offloaded, "classifier.weight is offloaded")
    quantized = reference("videomae")
    del quantized.classifier.weight
    quantized.classifier.register_buffer("weight", torch.zeros(5, 48, dtype=torch.int8))
    refused(quantized, "quantized: classifier.weight is int8", "bfloat16")
    extended = reference("videomae")
    extended.neck = nn.Linear(2, 2)
    refused(extended, "do not fit: 2 unexpected (neck.weight, neck.bias)")


def test_nothing_is_unpickled(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*given: Any, **named: Any) -> Any:
        raise AssertionError("something was unpickled")

    models = [reference("videomae"), image_model()]
    for module, name in ((torch, "load"), (pickle, "load"), (pickle, "loads")):
        monkeypatch.setattr(module, name, never)
    for model in models:
        load_model(model)


@pytest.mark.slow
def test_transformers_is_imported_by_whoever_brings_a_model() -> None:
    code = (
        "import sys; from staa_cli import load_model; from timm.models import create_model; "
        "load_model('tiny-events'); load_model(create_model('test_vit')); "
        "print('transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


def test_an_image_model_of_timm_sees_a_frame_at_a_time() -> None:
    cfg = {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6), "crop_pct": 0.8,
           "interpolation": "bilinear", "label_names": list("abcde")}  # fmt: skip
    model = image_model(pretrained_cfg_overlay=cfg)
    ours = load_model(model)
    with torch.no_grad():
        alone = copy.deepcopy(model).eval()(clip().flatten(0, 1)).unflatten(0, (2, 4)).mean(dim=1)
    torch.testing.assert_close(ours.forward(clip()), alone)
    assert places(ours.module) == places(model)
    assert (ours.input.mean, ours.input.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert (ours.input.size, ours.input.resize) == ((32, 32), 40)
    assert ours.input.interpolation == "bilinear"
    assert ours.labels == tuple("abcde")
    assert (ours.layout.kind, ours.info.name) == ("frame", "vit_tiny_patch16_224")
    assert "one frame at a time" in ours.info.note


def test_pixels_for_an_image_model_are_timms_own() -> None:
    from PIL import Image
    from timm.data import create_transform, resolve_data_config

    model = image_model(pretrained_cfg_overlay={"input_size": (3, 32, 32), "crop_pct": 0.8})
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    facts = resolve_data_config({}, model=model)
    wanted = create_transform(**facts)(Image.fromarray(picture))
    found = load_model(model).preprocess_frame(picture)
    # One gray level, as Pillow rounds otherwise than torch.
    assert (found - wanted).abs().max() < 1.5 / 255 / min(facts["std"])


def test_image_models_are_labeled_as_timm_labels_them() -> None:
    assert load_model(image_model(num_classes=1000)).labels[0] == "tench, Tinca tinca"
    assert load_model(image_model()).labels[0] == "class_0"


def test_an_image_model_that_is_not_read_is_told() -> None:
    from timm.models import create_model

    refused(create_model("test_resnet"), "is not a plain vision transformer", "vit_*")
    refused(image_model(num_classes=0), "to 0 classes")


class Own(nn.Module):
    """As README has one; built by the caller."""

    def __init__(self) -> None:
        from staa_cli.models.layers import TapAttention
        from staa_cli.schema import ModelInput

        super().__init__()
        half = (0.5, 0.5, 0.5)
        self.input = ModelInput(4, (16, 16), stride=2, rate=8.0, mean=half, std=half, resize=16)
        self.labels = ("left", "right")
        self.embed = nn.Conv2d(3, 8, 8, stride=8)
        self.attn = TapAttention(8, num_heads=2, qkv_bias=True)
        self.head = nn.Linear(8, 2)

    def layout(self) -> Any:
        from staa_cli.schema import AttentionLayout

        return AttentionLayout("joint", "mean", (4, 2, 2), 1, 1, 0)

    def attention_layers(self) -> Any:
        return {("joint", 0): self.attn}

    def forward(self, x: Tensor) -> Any:
        tokens = self.embed(x.flatten(0, 1)).flatten(2).transpose(1, 2)
        return self.head(self.attn(tokens.reshape(len(x), -1, 8)).mean(dim=1))


def test_a_module_of_ones_own_is_explained_and_stays_alone() -> None:
    model = Own().train()
    before = state(model)
    ours = load_model(model)
    assert isinstance(ours, LoadedModel)
    assert places(ours.module) == places(model)
    assert (ours.labels, ours.info.source) == (("left", "right"), "in memory")
    found = explain_clip(ours, torch.zeros(1, 4, 3, 16, 16), method="grad-attention")
    assert found.attribution.values.shape == (4, 2, 2)
    assert state(model) == before | {"random": state(model)["random"]}
    del model.labels
    with pytest.raises(UnavailableError, match="this Own has no labels") as caught:
        load_model(model)
    assert "docs/models.md" in str(caught.value.hint)


def test_what_cannot_be_copied_is_told() -> None:
    model = Own()
    model.progress = (number for number in range(3))  # type: ignore[assignment]
    refused(model, "this Own cannot be copied without its weights")


def test_a_path_is_a_name(tmp_path: Path) -> None:
    reference("videomae").save_pretrained(tmp_path)
    assert load_model(tmp_path).labels == tuple(NAMES.values())


def test_frames_go_in_as_they_are() -> None:
    model = load_model(reference("videomae"))
    found = explain_clip(model, np.stack(pictures(4)))
    assert found.attribution.values.shape == (2, 4, 4)
