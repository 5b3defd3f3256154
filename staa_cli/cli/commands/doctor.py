"""`staa doctor`: facts about the installation and the machine, for bug reports."""

from __future__ import annotations

import importlib
import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from staa_cli.cli.options import command, put, put_json
from staa_cli.cli.terminal import Console, table, terminal_width
from staa_cli.cores import cores
from staa_cli.errors import ExitCode, UsageError
from staa_cli.registry import Registry

_EXAMPLES = """
staa doctor
staa doctor --json > doctor.json
staa doctor --measure --model ./my-checkpoint    how many --jobs are fastest here
"""

_PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "av",
    "imageio",
    "msgspec",
    "numpy",
    "PIL",
    "safetensors",
    "yaml",
)
_DISTRIBUTIONS = {"PIL": "pillow", "yaml": "PyYAML"}
_CODECS = {
    "libx264": "w",
    "h264": "r",
    "hevc": "r",
    "av1": "r",
    "vp9": "r",
    "mpeg4": "r",
    "aac": "w",
}


def _measured(name: str, metavar: str, what: str) -> Any:
    return typer.Option(
        name, metavar=metavar, help=f"Measure with {what}.", rich_help_panel="With --measure"
    )


def add(app: typer.Typer) -> None:
    """Register the command."""
    command(app, _EXAMPLES)(doctor)


def doctor(
    *,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    measure: Annotated[
        bool,
        typer.Option(
            "--measure",
            help="Explain a video a few times instead, and advise how many --jobs are fastest.",
        ),
    ] = False,
    video: Annotated[
        str | None, _measured("--video", "FILE", "this video, not a synthetic one")
    ] = None,
    model: Annotated[str | None, _measured("--model", "MODEL", "this model")] = None,
    config: Annotated[str | None, _measured("--config", "PRESET|FILE", "these settings")] = None,
    console: Console,
) -> None:
    """Show versions, codecs, encoders, devices, and memory, for bug reports."""
    if measure:
        from staa_cli.cli.speed import measure_speed, put_speed

        speed = measure_speed(video, model, config, console)
        if json:
            put_json(console, speed, indent=2)
        else:
            put_speed(speed, console)
        return
    if (video, model, config) != (None, None, None):
        raise UsageError("--video, --model, and --config apply only to --measure", "add --measure")
    facts, problems = _examine()
    if json:
        put_json(console, {"ok": not problems, **facts, "problems": problems}, indent=2)
    else:
        rows = [(name, _text(value)) for name, value in _flat(facts)]
        put(console, table(("WHAT", "HERE"), rows, terminal_width(sys.stdout)))
    for problem in problems:
        console.warning(problem)
    if problems:
        raise typer.Exit(ExitCode.UNAVAILABLE)


def _examine() -> tuple[dict[str, Any], list[str]]:
    """Facts by section, and problems; an error in one section does not stop the others."""
    facts: dict[str, Any] = {}
    problems: list[str] = []
    for name, examine in _SECTIONS.items():
        try:
            facts[name], section_problems = examine()
            problems += section_problems
        except Exception as error:  # a broken package may raise anything when it is imported
            problems.append(f"{name}: {type(error).__name__}: {error}")
    return facts, problems


_Section = tuple[dict[str, Any], list[str]]


def _system() -> _Section:
    from staa_cli import __version__

    return {
        "staa": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": cores(),
        "memory_mib": _memory_mib(),
    }, []


def _packages() -> _Section:
    from importlib.metadata import PackageNotFoundError, version

    versions: dict[str, Any] = {}
    problems = []
    for name in _PACKAGES:
        try:
            importlib.import_module(name)
            versions[name] = version(_DISTRIBUTIONS.get(name, name))
        except PackageNotFoundError:
            versions[name] = "unknown version"
        except Exception as error:  # a broken package may raise anything when it is imported
            versions[name] = None
            problems.append(f"{name} cannot be imported: {type(error).__name__}: {error}")
    return versions, problems


def _codecs() -> _Section:
    import av

    codecs: dict[str, Any] = {name: _has_codec(name, mode) for name, mode in _CODECS.items()}
    missing = [name for name in ("libx264", "aac", "h264") if not codecs[name]]
    libraries = {name: ".".join(map(str, number)) for name, number in av.library_versions.items()}
    return codecs | libraries, [f"this build of FFmpeg lacks {name}" for name in missing]


def _has_codec(name: str, mode: Any) -> bool:
    import av

    try:
        av.Codec(name, mode)
    except ValueError:
        return False
    return True


def _encoders() -> _Section:
    """Which encoders of annotated videos work; hardware that is not there is not a problem."""
    from staa_cli.video.encoder_choice import encoders_for, problem_of
    from staa_cli.video.encoders import HARDWARE, X264

    found = {encoder.name: problem_of(encoder) or "works" for encoder in (X264, *HARDWARE)}
    return {"auto": encoders_for("auto")[0].name, **found}, []


def _devices() -> _Section:
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "threads": torch.get_num_threads(),
        "cuda": torch.version.cuda,
        "gpus": gpus,
        "mps": torch.backends.mps.is_available(),
    }, []


def _models() -> _Section:
    from staa_cli.models.catalog.manifests import read_manifests

    return {"bundled": list(read_manifests())}, []


def _plugins() -> _Section:
    """Additions by installed packages, by kind, and those that do not load."""
    from staa_cli.benchmark.datasets import DATASETS
    from staa_cli.evaluation.base import METRICS
    from staa_cli.methods import METHODS
    from staa_cli.models.catalog.names import MODELS
    from staa_cli.models.families.base import FAMILIES
    from staa_cli.results.exports.base import EXPORTS
    from staa_cli.results.writers.base import WRITERS

    plugins: dict[str, Any] = {}
    problems: list[str] = []
    registries: tuple[Registry[Any], ...] = (
        *(METHODS, METRICS, WRITERS, EXPORTS),
        *(MODELS, FAMILIES, DATASETS),
    )
    for registry in registries:
        packages = {name: registry.package_of(name) for name in registry.names()}
        if listed := [f"{name} ({package})" for name, package in packages.items() if package]:
            plugins[registry.kind] = listed
        problems += [problem.cause for problem in registry.problems()]
    return plugins, problems


_SECTIONS: dict[str, Callable[[], _Section]] = {
    "system": _system,
    "packages": _packages,
    "codecs": _codecs,
    "encoders": _encoders,
    "devices": _devices,
    "models": _models,
    "plugins": _plugins,
}


def _memory_mib() -> int | None:
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return None
    return int(meminfo.read_text().split()[1]) // 1024


def _flat(facts: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for section, values in facts.items():
        for name, value in values.items():
            yield f"{section}.{name}", value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) or "none" if isinstance(value, list) else str(value or "none")
