"""What a method costs beside a plain forward pass: passes a clip, time, and memory.

Time is measured in interleaved rounds within one process; memory in a process of its own for each
method, since a process never forgets its peak: ``python -m staa_cli.benchmark.cost JSON``.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from staa_cli import __version__
from staa_cli.errors import UnavailableError
from staa_cli.evaluation.base import library_versions
from staa_cli.memory import memory_for, peak_memory_bytes
from staa_cli.methods import Options, get_method
from staa_cli.methods.run import Explained, explain_batch, predict_batch
from staa_cli.models.load import LoadedModel, load_model
from staa_cli.schema import SCHEMA_VERSION

PLAIN = "plain"
"""Stands for the forward pass that only predicts."""


def measure_cost(
    model: LoadedModel,
    methods: Sequence[str],
    *,
    rounds: int = 5,
    memory: bool = True,
    options: Options | None = None,
    arch: str | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Measure the passes per clip, wall time ratio, and memory ratio of methods, as plain data.

    Passes are counted on one clip of this very model, as forward passes; a backward pass counts as
    two.

    Args:
        model: on which; a clip of noise is explained.
        methods: names.
        rounds: of every method, one after the other and back again; the first more warms up.
        memory: measure it, in a process each; the model is loaded anew by its name.
        options: of all methods.
        arch: what the model was loaded with, where its weights do not say it.
        on_progress: told (rounds and processes done, all of them).

    Raises:
        UsageError: an unknown method, or one that does not fit the model or cannot take so many
            samples.
        UnavailableError: a package that a method needs is not installed.
    """
    clip, options = noise(model), options or Options()
    jobs: dict[str, Callable[[], object]] = {PLAIN: lambda: predict_batch(model.module, clip)}
    for name in methods:
        method = get_method(name)
        method.check(model.module, model.layout, options)
        method.perturbations(model.layout, options)
        jobs[name] = lambda name=name: _explain(model, clip, name, options)  # type: ignore[misc]
    total = (rounds + 1) * len(jobs) + (len(jobs) if memory else 0)
    done = 0
    times: dict[str, list[float]] = {name: [] for name in jobs}
    counted: dict[str, float] = {}
    for number in range(rounds + 1):
        order = list(jobs.items())
        for name, job in order if number % 2 else reversed(order):
            began = time.perf_counter()
            with memory_for(name, model.device):
                found = job()
            if model.device.type == "cuda":
                torch.cuda.synchronize(model.device)
            times[name].append(time.perf_counter() - began)
            if isinstance(found, Explained):
                counted[name] = found.passes_per_clip
            done += 1
            on_progress(done, total)
    peaks: dict[str, int] = {}
    if memory:
        for name in jobs:
            peaks[name] = peak_in_child(model, name, options, arch)
            done += 1
            on_progress(done, total)
    return {
        "schema_version": SCHEMA_VERSION,
        "staa_version": __version__,
        "model": model.info.name,
        "weights_sha256": model.info.weights_sha256,
        "options": asdict(options),
        "versions": library_versions(),
        "device": str(model.device),
        "threads": torch.get_num_threads(),
        "rounds": rounds,
        "precision": model.precision,
        "forward_s": statistics.median(times[PLAIN][1:]),
        "results": [_row(name, counted[name], times, peaks) for name in methods],
    }


def _row(
    name: str,
    passes: float,
    times: Mapping[str, Sequence[float]],
    peaks: Mapping[str, int],
) -> dict[str, Any]:
    """Ratios of medians; their range is that of the rounds, each beside its own plain pass."""
    own, plain = times[name][1:], times[PLAIN][1:]
    ratios = [mine / other for mine, other in zip(own, plain, strict=True)]
    return {
        "method": name,
        "passes_per_clip": passes,
        "wall_ratio": statistics.median(own) / statistics.median(plain),
        "wall_low": min(ratios),
        "wall_high": max(ratios),
        "memory_ratio": peaks[name] / peaks[PLAIN] if peaks else None,
        "memory_above_bytes": peaks[name] - peaks[PLAIN] if peaks else None,
    }


def noise(model: LoadedModel) -> Tensor:
    """A clip [1, T, 3, h, w] that the model could be fed, the same every time."""
    generator = torch.Generator().manual_seed(0)
    shape = (1, model.input.frames, 3, *model.input.size)
    return model.place(torch.randn(shape, generator=generator))


def _explain(model: LoadedModel, clip: Tensor, name: str, options: Options) -> Explained:
    method = get_method(name)
    given, output = model.input, model.info.output
    return explain_batch(
        model.module, model.layout, clip, method, options, given=given, output=output
    )


def peak_in_child(model: LoadedModel, name: str, options: Options, arch: str | None = None) -> int:
    """Peak bytes of a process that loads the model and explains one clip by a method.

    Of the accelerator's memory where the model is on one that counts it, else resident.

    Raises:
        UnavailableError: the process failed.
    """
    named = model.info.source == "bundled" or model.info.source.startswith("random weights")
    asked = {
        "model": model.info.name if named else model.info.source,
        "arch": arch,
        "device": str(model.device),
        "precision": model.precision,
        "method": name,
        "options": asdict(options),
    }
    command = [sys.executable, "-m", "staa_cli.benchmark.cost", json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        told = (done.stderr.strip() or "no word").splitlines()[-1]
        raise UnavailableError(f"cannot measure the memory of {name}: {told}")
    return int(done.stdout)


def main(asked: str) -> None:
    """A child's part: one clip, and the peak on stdout."""
    facts = json.loads(asked)
    given = facts["options"]
    if isinstance(given["layers"], list):
        given["layers"] = tuple(given["layers"])
    model = load_model(
        facts["model"], arch=facts["arch"], device=facts["device"], precision=facts["precision"]
    )
    clip = noise(model)
    if facts["method"] == PLAIN:
        predict_batch(model.module, clip)
    else:
        _explain(model, clip, facts["method"], Options(**given))
    on_cuda = model.device.type == "cuda"
    print(torch.cuda.max_memory_allocated(model.device) if on_cuda else peak_memory_bytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
