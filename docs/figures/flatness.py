"""How often do the warnings of flatness fire on the models of the zoo? Prints a Markdown table.

    python docs/figures/flatness.py [--clips N] [--seed N]

On held-out clips with an event, on clips in which nothing happens, and on clips that repeat one
frame. Every clip is explained on its own by the default method; a warning's percentage is its share
of the clips, and the figure after it the median of what it compares with its limit.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import typer

from staa_cli import load_model
from staa_cli.benchmark.datasets.events import DURATION_S, EVENT_SETS
from staa_cli.config.settings import PostSettings
from staa_cli.methods import Options, choose_method
from staa_cli.methods.run import Explained, explain_batch
from staa_cli.models.catalog.zoo import ZOO, zoo_manifests
from staa_cli.models.load import LoadedModel
from staa_cli.statistics import variation
from staa_cli.synthetic.events import LABELS, SIZE_PX, clip_seed, event_clip
from zoo import is_original

LIMITS = {
    "flat-temporal": PostSettings().flat_below,
    "flat-spatial": PostSettings().flat_space_below,
    "attention-uninformative": PostSettings().flat_below,
}
CLIPS = ("an event", "nothing happens", "one frame")


def main(
    clips: Annotated[int, typer.Option(help="Held-out clips of each kind.")] = 64,
    seed: Annotated[int, typer.Option(help="Seed of the clips.")] = 3,
) -> None:
    """Print the table."""
    print(f"| model | clips | {' | '.join(f'{n} (below {x:g})' for n, x in LIMITS.items())} |")
    print("|---" * (len(LIMITS) + 2) + "|")
    for name, manifest in zoo_manifests().items():
        if not is_original(manifest):
            continue
        model = load_model(ZOO + name)
        for kind in CLIPS:
            found = np.array(
                [measured(model, manifest.dataset, kind, seed, n) for n in range(clips)]
            )
            cells = [
                f"{(column < limit).mean():.0%} ({np.median(column):.2f})"
                for column, limit in zip(found.T, LIMITS.values(), strict=True)
            ]
            print(f"| `{name}` | {kind} | {' | '.join(cells)} |", flush=True)


def measured(
    model: LoadedModel, dataset: str, kind: str, seed: int, number: int
) -> tuple[float, float, float]:
    """What the warnings compare with their limits, on one clip."""
    (setting,) = EVENT_SETS[dataset]
    label = 0 if kind == "nothing happens" else 1 + number % (len(setting.labels) - 1)
    size_px, frames = model.input.size[0], model.input.frames
    clip = event_clip(
        clip_seed("test", seed, number),
        setting,
        label=LABELS.index(setting.labels[label]),
        frames=frames,
        interval_s=DURATION_S / frames,
        size_px=size_px,
        view=size_px / SIZE_PX,
    )
    pictures = clip.frames[:1].repeat(frames, axis=0) if kind == "one frame" else clip.frames
    explained = explain(model, pictures)
    (in_space,), (over_all,) = explained.space_variation, explained.attention_variation
    assert in_space is not None
    assert over_all is not None
    return variation(explained.values[0].sum(axis=(1, 2))), in_space, over_all


def explain(model: LoadedModel, pictures: np.ndarray) -> Explained:
    """The default method's map of one clip uint8 [T, H, W, 3]."""
    options = Options()
    method = choose_method("auto", model.module, model.layout, options)
    inputs = model.place(model.preprocess(pictures))
    return explain_batch(
        model.module, model.layout, inputs, method, options, output=model.info.output
    )


if __name__ == "__main__":
    typer.run(main)
