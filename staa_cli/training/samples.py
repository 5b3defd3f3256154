"""Makes the bundled sample videos: ``python -m staa_cli.training.samples sample_videos/``.

Every sample shows one event inside the picture's center square, which is what the model sees, at a
time that is not the video's middle. Objects have the same size relative to the picture's shorter
side as in the training clips. ``ground_truth.json``, next to the videos, has the place and time of
the event.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import typer

from staa_cli import __version__
from staa_cli.files import atomic_path
from staa_cli.results.ground_truth import FILE, Box, Event, GroundTruth, TrueVideo
from staa_cli.schema import Bool, Float32, Float64, UInt8
from staa_cli.synthetic.events import LABELS, STANDARD, Scene, make_scene, render
from staa_cli.video.encode import write_video

COMMAND = "python -m staa_cli.training.samples sample_videos/"
RATE = 24
# A picture wider than the model's view has room for more; fine grain would need most of the bytes.
LOOK = replace(STANDARD, name="samples", resting=(1, 2), noise=0.01)
MARGIN = 0.25
"""Minimum distance of the actor's first place from the edge of the center square, in units."""
TRACK_EVERY = 3
CHUNK = 24
TONE_HZ, TONE_LEVEL, SOUND_RATE = 440, 0.25, 24_000


@dataclass(frozen=True, slots=True)
class Sample:
    """Description of one video."""

    name: str
    label: str
    seed: int
    duration_s: float
    event: tuple[float, float]
    """Start and end in seconds."""
    size: tuple[int, int] = (384, 288)
    """Width and height in pixels of the upright picture."""
    rotation: int = 0
    """Counter-clockwise rotation in degrees that makes the stored picture upright."""
    sound: bool = False
    """Whether a tone plays during the event."""
    dropped: float = 0.0
    """Share of the frames that are dropped; the others keep their times."""

    @property
    def side_px(self) -> int:
        """The shorter side: one unit of the scene."""
        return min(self.size)


# Stored widths are multiples of 128: at others the output of x264 differs from run to run.
SAMPLES = (
    Sample("hop.mp4", "hop", 126, 4.0, (2.5, 3.25), size=(512, 384)),
    Sample("spin_sound.mp4", "spin", 202, 5.0, (1.2, 2.0), sound=True),
    Sample("split_vfr.mp4", "split", 304, 5.0, (3.1, 3.85), dropped=0.35),
    Sample("flash_rotated.mp4", "flash", 403, 4.0, (0.75, 1.5), size=(288, 384), rotation=90),
    Sample("grow_sound.mp4", "grow", 504, 6.0, (4.1, 4.9), size=(512, 288), sound=True),
    Sample("shake.mp4", "shake", 604, 3.0, (0.25, 1.0)),
)
SPEED = Sample("speed.mp4", "hop", 700, 10.0, (6.0, 6.75), size=(640, 360))
"""For measuring speed: 640 x 360, ten seconds; made on demand, not bundled."""


def write_samples(folder: Path, samples: Sequence[Sample] = SAMPLES) -> Path:
    """Write the samples and their ground truth into a folder; returns the path of the latter.

    Args:
        folder: created if missing; files of the same names are replaced.
        samples: which ones.

    Raises:
        OutputError: a file cannot be written.
    """
    truth = GroundTruth(
        schema_version=1,
        videos=[write_sample(sample, folder / sample.name) for sample in samples],
        about={"command": COMMAND, "staa_version": __version__},
    )
    path = folder / FILE
    with atomic_path(path) as temporary:
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(truth), indent=1) + b"\n")
    return path


def write_sample(sample: Sample, path: Path) -> TrueVideo:
    """Write one sample to `path`; returns its ground truth.

    Raises:
        OutputError: the file cannot be written.
    """
    times_s = sample_times(sample)
    boxes: list[Box] = []

    def stored() -> Iterator[UInt8]:
        for n, (picture, mask) in enumerate(pictures(sample_scene(sample), times_s, sample)):
            if n % TRACK_EVERY == 0 and mask.any():
                boxes.append(_box(round(float(times_s[n]), 4), mask))
            yield np.rot90(picture, -(sample.rotation // 90))

    with atomic_path(path) as temporary:
        write_video(
            temporary,
            stored(),
            times_s.tolist() if sample.dropped else None,
            rate=RATE,
            rotation=sample.rotation,
            audio=(_tone(sample), SOUND_RATE) if sample.sound else None,
            crf=22,
            preset="slow",
            gop=2 * RATE,
        )
        digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
    start_s, end_s = sample.event
    return TrueVideo(
        file=sample.name,
        label=sample.label,
        events=[Event(start_s=start_s, end_s=end_s)],
        boxes=boxes,
        about={**_facts(sample, len(times_s)), "sha256": digest},
    )


def sample_scene(sample: Sample) -> Scene:
    """The scene of a sample; one unit is the picture's shorter side."""
    width, height = (side / sample.side_px for side in sample.size)
    left, top = (width - 1) / 2 + MARGIN, (height - 1) / 2 + MARGIN
    return make_scene(
        sample.seed,
        LOOK,
        label=LABELS.index(sample.label),
        duration_s=sample.duration_s,
        width=width,
        height=height,
        event=sample.event,
        region=(left, top, left + 1 - 2 * MARGIN, top + 1 - 2 * MARGIN),
    )


def sample_times(sample: Sample) -> Float64:
    """[N] start times of a sample's frames; the first one and the last two are never dropped."""
    times_s = np.arange(round(sample.duration_s * RATE)) / RATE
    kept = np.random.default_rng([sample.seed, 0xD209]).random(len(times_s)) >= sample.dropped
    # The writer gives the last frame the duration of the one before it.
    kept[[0, -2, -1]] = True
    return times_s[kept]


def pictures(scene: Scene, times_s: Float64, sample: Sample) -> Iterator[tuple[UInt8, Bool]]:
    """Yield upright pictures uint8 [H, W, 3] with the actor's mask bool [H, W]."""
    for first in range(0, len(times_s), CHUNK):
        # Grain depends on the seed: with one seed for all, every chunk would have the same grain.
        grained = replace(scene, seed=scene.seed + first)
        # The direction of a hop depends on the first rendered time, so all chunks share it.
        times = np.concatenate([times_s[:1], times_s[first : first + CHUNK]])
        frames, masks = render(grained, times, sample.side_px)
        yield from zip(frames[1:], masks[1:], strict=True)


def _box(time_s: float, mask: Bool) -> Box:
    """The bounding box of a mask [H, W]."""
    rows, columns = np.nonzero(mask)
    (top, bottom), (left, right) = (
        [round(float(edge) / side, 4) for edge in (inside.min(), inside.max() + 1)]
        for inside, side in zip((rows, columns), mask.shape, strict=True)
    )
    width, height = round(right - left, 4), round(bottom - top, 4)
    return Box(time_s=time_s, x=left, y=top, width=width, height=height)


def _tone(sample: Sample) -> Float32:
    """Mono samples of the whole video: a soft tone during the event, else silence."""
    t = np.arange(round(sample.duration_s * SOUND_RATE)) / SOUND_RATE
    start, end = sample.event
    envelope = np.clip(np.minimum(t - start, end - t) / 0.02, 0.0, 1.0)
    return (TONE_LEVEL * envelope * np.sin(2 * np.pi * TONE_HZ * t)).astype(np.float32)


def _facts(sample: Sample, frames: int) -> dict[str, Any]:
    width, height = sample.size
    return {
        "width": width,
        "height": height,
        "rotation": sample.rotation,
        "duration_s": sample.duration_s,
        "frames": frames,
        "rate": RATE,
        "dropped_share": sample.dropped,
        "tone_hz": TONE_HZ if sample.sound else None,
        "seed": sample.seed,
    }


app = typer.Typer(add_completion=False)


@app.command()
def main(
    folder: Annotated[Path, typer.Argument(help="Where the videos and their ground truth go.")],
    speed: Annotated[bool, typer.Option(help="Only the video for measuring speed.")] = False,
) -> None:
    """Make the sample videos and their ground truth."""
    if speed:
        folder.mkdir(parents=True, exist_ok=True)
        write_sample(SPEED, folder / SPEED.name)
        typer.echo(folder / SPEED.name)
        return
    typer.echo(write_samples(folder))


if __name__ == "__main__":
    app()
