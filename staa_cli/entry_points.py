"""Declarations of methods, models, and other registered objects by staa and installed packages.

A package declares an object as an entry point in its pyproject.toml::

    [project.entry-points."staa.methods"]
    my-method = "my_package.methods:MyMethod"

Built-in objects are declared in `BUILTIN` in the same form, a name and ``module:object``, and are
loaded in the same way. They are not entry points in the pyproject.toml of staa, because those are
read only at installation: an editable install would not see objects that are added later.

Listing declarations imports none of the declared modules.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

METHODS, METRICS = "staa.methods", "staa.metrics"
WRITERS, EXPORTS = "staa.writers", "staa.exports"
MODELS, FAMILIES, DATASETS = "staa.models", "staa.families", "staa.datasets"

_ATTENTION = "staa_cli.methods.attention"
_GRADIENT = "staa_cli.methods.gradient"
_PERTURBATION = "staa_cli.methods.perturbation"
_EVALUATION = "staa_cli.evaluation"
_FAMILIES = "staa_cli.models.families"
_WRITERS = "staa_cli.results.writers"
_EXPORTS = "staa_cli.results.exports"
_DATASETS = "staa_cli.benchmark.datasets"

BUILTIN: dict[str, dict[str, str]] = {
    METHODS: {
        "staa": f"{_ATTENTION}.staa:Staa",
        "staa-value": f"{_ATTENTION}.staa_value:StaaValue",
        "staa-logit": f"{_ATTENTION}.staa_logit:StaaLogit",
        "staa-class": f"{_ATTENTION}.staa_class:StaaClass",
        "rollout": f"{_ATTENTION}.rollout:Rollout",
        "rfem": f"{_ATTENTION}.rfem:Rfem",
        "token-transformation": f"{_ATTENTION}.token_transformation:TokenTransformation",
        "staa-published": f"{_ATTENTION}.staa_published:StaaPublished",
        "grad-attention": f"{_GRADIENT}.grad_attention:GradAttention",
        "attention-gradient": f"{_GRADIENT}.attention_gradient:AttentionGradient",
        "legrad": f"{_GRADIENT}.legrad:LeGrad",
        "rfem-class": f"{_GRADIENT}.rfem_class:RfemClass",
        "gradcam": f"{_GRADIENT}.gradcam:GradCam",
        "input-x-gradient": f"{_GRADIENT}.input_gradients:InputXGradient",
        "integrated-gradients": f"{_GRADIENT}.input_gradients:IntegratedGradients",
        "expected-gradients": f"{_GRADIENT}.input_gradients:ExpectedGradients",
        "frame-drop": f"{_PERTURBATION}.frame_removal:FrameDrop",
        "frame-shapley": f"{_PERTURBATION}.frame_removal:FrameShapley",
        "occlusion": f"{_PERTURBATION}.occlusion:Occlusion",
        "rise": f"{_PERTURBATION}.rise:Rise",
        "tis": f"{_PERTURBATION}.tis:Tis",
        "kernel-shap": f"{_PERTURBATION}.surrogates:KernelShap",
        "lime": f"{_PERTURBATION}.surrogates:Lime",
        "random": "staa_cli.methods.baselines:Random",
        "center": "staa_cli.methods.baselines:Center",
        "frame-difference": "staa_cli.methods.baselines:FrameDifference",
    },
    METRICS: {
        "pointing": f"{_EVALUATION}.localization:pointing",
        "energy": f"{_EVALUATION}.localization:energy",
        "temporal_auc": f"{_EVALUATION}.localization:temporal_auc",
        "iou": f"{_EVALUATION}.localization:iou",
        "twin_share": f"{_EVALUATION}.localization:twin_share",
        "deletion": f"{_EVALUATION}.faithfulness:deletion",
        "insertion": f"{_EVALUATION}.faithfulness:insertion",
        "srg": f"{_EVALUATION}.faithfulness:srg",
        "srg_blur": f"{_EVALUATION}.faithfulness:srg_blur",
        "srg_mean": f"{_EVALUATION}.faithfulness:srg_mean",
        "srg_noise": f"{_EVALUATION}.faithfulness:srg_noise",
        "frame_deletion": f"{_EVALUATION}.faithfulness:frame_deletion",
        "frame_insertion": f"{_EVALUATION}.faithfulness:frame_insertion",
        "correlation": f"{_EVALUATION}.faithfulness:correlation",
        "monotonicity": f"{_EVALUATION}.faithfulness:monotonicity",
        "monotonic": f"{_EVALUATION}.faithfulness:monotonic",
        "saco": f"{_EVALUATION}.faithfulness:saco",
        "f_fidelity": f"{_EVALUATION}.faithfulness:f_fidelity",
        "polarity_violations": f"{_EVALUATION}.faithfulness:polarity_violations",
        "published_faithfulness": f"{_EVALUATION}.faithfulness:published_faithfulness",
        "published_tau": f"{_EVALUATION}.faithfulness:published_tau",
        "max_sensitivity": f"{_EVALUATION}.robustness:max_sensitivity",
        "sparseness": f"{_EVALUATION}.complexity:sparseness",
        "entropy": f"{_EVALUATION}.complexity:entropy",
        "randomization": f"{_EVALUATION}.sanity:randomization",
        "class_sensitivity": f"{_EVALUATION}.sanity:class_sensitivity",
        "frozen": f"{_EVALUATION}.sanity:frozen",
        "agreement": f"{_EVALUATION}.sanity:agreement",
    },
    WRITERS: {
        "annotated": f"{_WRITERS}.annotated_mp4:AnnotatedMp4",
        "html": f"{_WRITERS}.report_html:ReportHtml",
        "storyboard": f"{_WRITERS}.storyboard_png:StoryboardPng",
        "gif": f"{_WRITERS}.annotated_gif:AnnotatedGif",
        "csv": f"{_WRITERS}.importance_csv:ImportanceCsv",
        "plot": f"{_WRITERS}.curve_png:CurvePng",
        "faithfulness": f"{_WRITERS}.faithfulness_png:FaithfulnessPng",
        "npz": f"{_WRITERS}.maps_npz:MapsNpz",
        "json": f"{_WRITERS}.report_json:ReportJson",
    },
    EXPORTS: {
        "fiftyone": f"{_EXPORTS}.fiftyone:FiftyOne",
        "labelstudio": f"{_EXPORTS}.labelstudio:LabelStudio",
        "csv": f"{_EXPORTS}.csv_table:CsvTable",
        "parquet": f"{_EXPORTS}.parquet:Parquet",
    },
    MODELS: {
        "tiny-events": "staa_cli.models.catalog.manifests:tiny_events",
        "tiny-events-joint": "staa_cli.models.catalog.manifests:tiny_events_joint",
    },
    FAMILIES: {
        "timesformer": f"{_FAMILIES}.timesformer.key_map:FAMILY",
        "videomae": f"{_FAMILIES}.videomae.key_map:FAMILY",
        "vivit": f"{_FAMILIES}.vivit.key_map:FAMILY",
        "vjepa2": f"{_FAMILIES}.vjepa2.key_map:FAMILY",
        "framewise": f"{_FAMILIES}.framewise.key_map:FAMILY",
    },
    DATASETS: {
        "events": f"{_DATASETS}.events:open_event_clips",
        "events-hard": f"{_DATASETS}.events:open_event_clips",
        "events-distractors": f"{_DATASETS}.events:open_event_clips",
        "events-motion": f"{_DATASETS}.events:open_event_clips",
        "events-drift": f"{_DATASETS}.events:open_event_clips",
        "events-contrast": f"{_DATASETS}.events:open_event_clips",
        "events-length": f"{_DATASETS}.events:open_event_clips",
        "events-small": f"{_DATASETS}.events:open_event_clips",
        "states": f"{_DATASETS}.events:open_event_clips",
        "twins": f"{_DATASETS}.events:open_twin_clips",
        "classes:": f"{_DATASETS}.classes:HeldOut",
        "splices:": f"{_DATASETS}.classes:Splices",
        "mosaics:": f"{_DATASETS}.classes:Mosaics",
    },
}
"""``module:object`` by group and name, in listing order."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """A name, the object it stands for, and the package that declares it."""

    name: str
    target: str
    """``module:object``."""
    package: str | None = None
    """Name and version of the declaring package; None for staa itself."""

    def load(self) -> Any:
        """Import the object; this runs code of the package."""
        module, _, path = self.target.partition(":")
        return functools.reduce(getattr, path.split("."), importlib.import_module(module))


def declared(group: str) -> Mapping[str, tuple[Declaration, ...]]:
    """All declarations of a group by name: built-in ones in the order above, then others sorted.

    A name has several declarations if several packages, or a package and staa, declare it.
    """
    return _declared(group, tuple(sys.path))


def package_of(group: str, name: str) -> str | None:
    """Name and version of the package that declares an object; None if built-in or unknown."""
    declarations = declared(group).get(name)
    return declarations[0].package if declarations else None


@functools.cache  # scans the installed packages once per `sys.path`
def _declared(group: str, path: tuple[str, ...]) -> Mapping[str, tuple[Declaration, ...]]:
    from importlib.metadata import entry_points  # slow to import: it loads the email package

    declarations: dict[str, tuple[Declaration, ...]] = {
        name: (Declaration(name, target),) for name, target in BUILTIN.get(group, {}).items()
    }
    for point in sorted(entry_points(group=group), key=lambda point: point.name):
        package = f"{point.dist.name} {point.dist.version}" if point.dist else "an unnamed package"
        target = point.value.partition("[")[0].strip()  # without extras
        others = declarations.get(point.name, ())
        declarations[point.name] = (*others, Declaration(point.name, target, package))
    return declarations
