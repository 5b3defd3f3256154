"""Cost of methods relative to a plain forward pass: passes per clip, time, and memory.

Time is measured in interleaved rounds within one process. Peak memory cannot be reset within a
process, so each method runs in its own: ``python -m staa_cli.benchmark.cost JSON``.
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
"""Name of the forward pass that only predicts."""


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

    Passes are counted on one clip of this model, in forward passes; a backward pass counts as two.

    Args:
        model: explained on a clip of noise.
        methods: names.
        rounds: measured runs per method, in alternating order, after one more to warm up.
        memory: measure memory, with one process per method, which loads the model again by name.
        options: of all methods.
        arch: that the model was loaded with, if its weights do not contain it.
        on_progress: called with (runs done, total), over rounds and processes.

    Raises:
        UsageError: a method is unknown, does not fit the model, or does not support that many
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
                outcome = job()
            if model.device.type == "cuda":
                torch.cuda.synchronize(model.device)
            times[name].append(time.perf_counter() - began)
            if isinstance(outcome, Explained):
                counted[name] = outcome.passes_per_clip
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
    """Ratios of medians; the range is over rounds, each relative to its own plain pass."""
    own, plain = times[name][1:], times[PLAIN][1:]
    ratios = [own_s / plain_s for own_s, plain_s in zip(own, plain, strict=True)]
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
    """A deterministic noise clip [1, T, 3, h, w] in the format of the model's input."""
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

    Accelerator memory if the model's device counts it, else resident memory.

    Raises:
        UnavailableError: the process failed.
    """
    has_name = model.info.source == "bundled" or model.info.source.startswith("random weights")
    request = {
        "model": model.info.name if has_name else model.info.source,
        "arch": arch,
        "device": str(model.device),
        "precision": model.precision,
        "method": name,
        "options": asdict(options),
    }
    command = [sys.executable, "-m", "staa_cli.benchmark.cost", json.dumps(request)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip() or "no word").splitlines()[-1]
        raise UnavailableError(f"cannot measure the memory of {name}: {reason}")
    return int(done.stdout)


def main(request_json: str) -> None:
    """Entry point of the child process: explain one clip and print the peak to stdout."""
    request = json.loads(request_json)
    options = request["options"]
    if isinstance(options["layers"], list):
        options["layers"] = tuple(options["layers"])
    model = load_model(
        request["model"],
        arch=request["arch"],
        device=request["device"],
        precision=request["precision"],
    )
    clip = noise(model)
    if request["method"] == PLAIN:
        predict_batch(model.module, clip)
    else:
        _explain(model, clip, request["method"], Options(**options))
    on_cuda = model.device.type == "cuda"
    print(torch.cuda.max_memory_allocated(model.device) if on_cuda else peak_memory_bytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
