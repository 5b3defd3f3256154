"""What explaining costs on every family, at published sizes: ``python tests/perf/family_cost.py``.

Ratios within one run: interleaved rounds in one process for time, a fresh process each for memory.
Beside our own plain forward stands that of transformers, a reference that only tests need. Weights
are random; batch 1, float32. Prints a Markdown table; ``--json`` prints every number.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from typing import Any

from measure import Row, child, interleaved, show

from staa_cli.memory import peak_memory_bytes

FAMILIES = {
    "timesformer": ("TimeSformer-B 8x224", 1.05),
    "vivit": ("ViViT-B 32x224", 1.05),
    "videomae": ("VideoMAE-B 16x224", 1.10),
}
"""Family to how it is called and how much `staa` may cost."""
DEFAULT = 1.10
"""How much the default, `staa-class`, which reads four blocks, may cost."""


def build(family: str) -> tuple[Any, Any]:
    """Our module with random weights, and a clip [1, T, 3, H, W]."""
    import torch

    from staa_cli.models.families.base import FAMILIES as KNOWN

    torch.manual_seed(0)
    module = KNOWN.get(family).build().eval().requires_grad_(False)
    given = KNOWN.get(family).input(module)
    return module, torch.randn(1, given.frames, 3, *given.size)


def reference(family: str, attentions: bool = False) -> Callable[[Any], object]:
    """The forward pass of transformers, at the same size: SDPA where it has that."""
    import torch
    import transformers as hf

    kinds = {
        "timesformer": (hf.TimesformerConfig, hf.TimesformerForVideoClassification, {}),
        "vivit": (hf.VivitConfig, hf.VivitForVideoClassification, {}),
        "videomae": (
            hf.VideoMAEConfig,
            hf.VideoMAEForVideoClassification,
            {"use_mean_pooling": True},
        ),
    }
    config, model, options = kinds[family]
    eager = attentions or family == "timesformer"
    module = model._from_config(
        config(num_labels=400, **options), attn_implementation="eager" if eager else "sdpa"
    ).eval()

    @torch.inference_mode()
    def run(clip: Any) -> object:
        return module(pixel_values=clip, output_attentions=attentions)

    return run


def jobs_of(family: str, methods: tuple[str, ...]) -> dict[str, Callable[[], object]]:
    """Our plain forward, and each method's pass."""
    from staa_cli.methods import Options, get_method
    from staa_cli.methods.run import explain_batch, predict_batch

    module, clip = build(family)
    layout = module.layout()
    jobs: dict[str, Callable[[], object]] = {"plain": lambda: predict_batch(module, clip)}
    for name in methods:
        method = get_method(name)
        jobs[name] = lambda method=method: explain_batch(  # type: ignore[misc]
            module, layout, clip, method, Options()
        )
    return jobs


def times_of(family: str, rounds: int) -> list[Row]:
    """Wall time of explaining, of rollout on VideoMAE, and of our plain forward beside theirs."""
    called, limit = FAMILIES[family]
    methods = ("staa", "staa-class", *(["rollout"] if family == "videomae" else []))
    jobs = jobs_of(family, methods)
    _, clip = build(family)
    theirs = reference(family)
    times = interleaved({**jobs, "theirs": lambda: theirs(clip)}, rounds)
    limits = {"staa": limit, "staa-class": DEFAULT, "rollout": 1.35}
    rows = [
        _row(f"`{name}` / plain forward, wall, {called}", times[name], times["plain"], limits[name])
        for name in methods
    ]
    kind = "eager" if family == "timesformer" else "SDPA"
    text = f"our plain forward / transformers' ({kind}), wall, {called}"
    return [*rows, _row(text, times["plain"], times["theirs"], 1.03)]


def peaks_of(family: str, rounds: int) -> list[Row]:
    """Peak resident memory of whole processes."""
    called, _ = FAMILIES[family]
    kinds = ("plain", "staa", "staa-class", *(["rollout"] if family == "videomae" else []))
    peaks = {
        kind: [child(__file__, "--peak", f"{family}:{kind}") for _ in range(rounds)]
        for kind in kinds
    }
    limits = {"staa": 1.10, "staa-class": 1.10, "rollout": 1.30}
    return [
        _row(f"`{kind}` / plain forward, peak memory, {called}", peaks[kind], peaks["plain"], limit)
        for kind, limit in limits.items()
        if kind in kinds
    ]


def above_loaded(rounds: int) -> Row:
    """Memory that `staa` takes above the loaded model, beside transformers with attentions."""
    called, _ = FAMILIES["videomae"]
    ours, theirs = (
        [child(__file__, "--above", kind) for _ in range(rounds)] for kind in ("staa", "theirs")
    )
    text = f"`staa` / transformers with output_attentions, memory above the model, {called}"
    return _row(text, ours, theirs, 0.15)


def peak_of(family: str, kind: str) -> int:
    """Peak resident bytes of this process after one pass."""
    jobs_of(family, () if kind == "plain" else (kind,))[kind]()
    return peak_memory_bytes()


def above_of(kind: str) -> int:
    """Bytes that one pass adds to the peak of a process that has loaded VideoMAE-B."""
    if kind == "staa":
        job = jobs_of("videomae", ("staa",))["staa"]
    else:
        _, clip = build("videomae")
        run = reference("videomae", attentions=True)
        job = lambda: run(clip)  # noqa: E731
    before = peak_memory_bytes()
    job()
    return peak_memory_bytes() - before


def _row(what: str, ours: list[float], theirs: list[float], limit: float) -> Row:
    medians = {"ours": statistics.median(ours), "theirs": statistics.median(theirs)}
    return {
        "what": what,
        "ratio": medians["ours"] / medians["theirs"],
        "limit": limit,
        "n": len(ours),
        **medians,
    }


def main() -> None:
    """Measure, or do a child's part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    parser.add_argument("--above", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peak:
        print(peak_of(*given.peak.split(":")))
    elif given.above:
        print(above_of(given.above))
    else:
        rows = [row for family in FAMILIES for row in times_of(family, given.rounds)]
        few = max(given.rounds // 2, 1)
        rows += [row for family in FAMILIES for row in peaks_of(family, few)]
        show([*rows, above_loaded(few)], given.json)


if __name__ == "__main__":
    main()
