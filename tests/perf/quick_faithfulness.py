"""How well a quick check of faithfulness agrees with a full one, on the sample videos.

    python tests/perf/quick_faithfulness.py [VIDEO...]

A quick check has every fifth point of a full one's curves, which a test holds; so one full check of
a video says what both would say. A verdict is whether a method is above all baselines.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from staa_cli.config.settings import Settings
from staa_cli.evaluation.base import BASELINES
from staa_cli.evaluation.comparison import compare_video
from staa_cli.evaluation.faithfulness import area
from staa_cli.explain.pipeline import open_model
from staa_cli.models.load import LoadedModel
from staa_cli.schema import Float32, Float64
from staa_cli.statistics import rank_correlation

METHODS = ("staa-class", "staa", "grad-attention", "rollout", "attention-gradient")
EVERY = 5
SAMPLES = Path(__file__).parent.parent.parent / "sample_videos"


def both(path: Path, model: LoadedModel) -> tuple[Float64, Float64]:
    """Faithfulness of methods, then of baselines, as a full and as a quick check have it."""
    compared = compare_video(path, model, methods=METHODS, depth="full")
    rows = compared.faithfulness[0].rows

    def areas(every: int) -> Float64:
        return np.array([_area(r.insertion[::every]) - _area(r.deletion[::every]) for r in rows])

    return areas(1), areas(EVERY)


def _area(curve: Float32) -> float:
    return area(curve.astype(np.float64))


def main() -> None:
    """Print a table of one row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", nargs="*", type=Path)
    videos = parser.parse_args().videos or sorted(SAMPLES.glob("*.mp4"))
    model = open_model(Settings())
    pairs = [both(path, model) for path in videos]
    off = np.concatenate([np.abs(quick - full) for full, quick in pairs])
    order = np.mean(
        [
            rank_correlation(full.astype(np.float32), quick.astype(np.float32))
            for full, quick in pairs
        ]
    )
    own = len(METHODS)
    turned = sum(
        int(((full[:own] > full[own:].max()) != (quick[:own] > quick[own:].max())).sum())
        for full, quick in pairs
    )
    assert all(len(full) == own + len(BASELINES) for full, _ in pairs)
    print("| videos | off by: mean, most | rank correlation of methods | verdicts that differ |")
    print("|---|---|---|---|")
    print(
        f"| {len(videos)} | {off.mean():.2f}, {off.max():.2f} | {order:.2f} "
        f"| {turned} of {own * len(videos)} |"
    )


if __name__ == "__main__":
    main()
