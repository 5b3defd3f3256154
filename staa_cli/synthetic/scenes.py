"""Scenes of event clips: objects and their motion, before rendering.

Lengths are in units of the standard view's side, times in seconds. A seed determines everything.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from staa_cli.schema import Float32

LABELS = ("none", "spin", "hop", "shake", "blink", "split", "grow", "shrink", "flash")
EVENTS = LABELS[1:]

FRAMES = 8
INTERVAL_S = 0.25
SIZE_PX = 112

DECOY_STATES = ("normal", "large", "small", "split")


@dataclass(frozen=True, slots=True)
class Setting:
    """Difficulty of the clips. Pairs are ranges; those of counts are inclusive."""

    name: str
    resting: tuple[int, int] = (0, 1)
    """Number of bystanders that only drift."""
    circling: tuple[int, int] = (1, 1)
    """Number of bystanders that circle in the entire clip."""
    circling_a_while: tuple[int, int] = (1, 1)
    """Number of bystanders that circle in a random interval."""
    event_share: tuple[float, float] = (0.25, 0.4)
    """Length of the event as a share of the clip. Below one half, as the resting state would be
    ambiguous otherwise: an object that is large for most of the clip could shrink or grow."""
    camera_drift: float = 0.14
    """Speed of the background while the camera pans, in units per second."""
    contrast: float = 1.0
    """Contrast of the objects: 1 is full, at 0 they have the mean color of the background."""
    noise: float = 0.02
    """Amplitude of the uniform pixel noise, for pixel values from 0 to 1."""
    labels: tuple[str, ...] = LABELS
    """Events that occur; the first label is that of no event."""
    decoys: bool = True
    """Whether the resting states of bystanders include states that events pass through."""


STANDARD = Setting("standard")
HARD_VARIANTS = (
    Setting("distractors", resting=(2, 3), circling_a_while=(2, 2)),
    Setting("motion", circling=(3, 3)),
    Setting("drift", camera_drift=0.3),
    Setting("contrast", contrast=0.4),
    Setting("length", event_share=(0.1, 0.6)),
)
STATES = Setting(
    "states",
    resting=(0, 0),
    circling_a_while=(0, 0),
    labels=("none", "split", "grow", "shrink"),
    decoys=False,
)
"""Events that single frames tell, for views of 64 pixels: no bystander looks as they do, and few
objects overlap."""
SMALL_VIEW = Setting("small view", resting=(0, 0), circling_a_while=(2, 2))
"""For views of 64 pixels. Less of the background moves there, so more bystanders have to, or motion
would tell when the event is."""
SETTINGS = {setting.name: setting for setting in (STANDARD, *HARD_VARIANTS)}


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """The outline and the stripes of an object; constant over time."""

    harmonics: Float32
    """[2, 2] cosine and sine coefficients of the outline's second and third harmonics."""
    stripes: Float32
    """[3] wave vector (in radians per radius) and phase of the stripes."""
    colors: Float32
    """[2, 3] RGB colors of the stripes, 0 to 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Thing:
    """An object: its shape, its resting state, and its drift and circling."""

    shape: Shape
    radius: float
    center: tuple[float, float]
    velocity: tuple[float, float]
    angle: float
    gap: float = 0.0
    """Half the distance between its halves, in radii."""
    orbit: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """Semi-axes, angular speed in radians per second, and phase of the circling."""
    circles: tuple[float, float] = (0.0, 0.0)
    """Start and end of the circling."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """The content of a clip."""

    label: int
    event: tuple[float, float]
    """Start and end; equal without an event."""
    strength: float
    direction: float
    things: tuple[Thing, ...]
    actor: int
    """Index into `things`, which are drawn in their order; -1 without an event."""
    background: tuple[Float32, ...] = field(repr=False)
    """Octaves of [K, K, 3] noise."""
    camera: tuple[float, float]
    """Velocity of the camera during the pan."""
    pan: tuple[float, float]
    """Start and end of the pan; otherwise the camera moves slowly."""
    width: float
    height: float
    duration_s: float
    noise: float
    seed: int


def make_scene(
    seed: int,
    setting: Setting = STANDARD,
    *,
    label: int | None = None,
    duration_s: float = FRAMES * INTERVAL_S,
    width: float = 1.0,
    height: float = 1.0,
    event: tuple[float, float] | None = None,
    region: tuple[float, float, float, float] | None = None,
) -> Scene:
    """A random scene from a seed.

    Args:
        seed: determines the scene, together with the other arguments.
        setting: difficulty.
        label: index into LABELS; uniformly random if None.
        duration_s: length of the clip.
        width: of the view, in units.
        height: of the view, in units.
        event: start and end in seconds; random according to the setting if None.
        region: left, top, right, bottom of the actor's initial center, in units.
    """
    rng = np.random.default_rng([seed, 0x57AA])
    if label is None:
        label = LABELS.index(setting.labels[int(rng.integers(len(setting.labels)))])
    length = float(rng.uniform(*setting.event_share)) * FRAMES * INTERVAL_S
    start = float(rng.uniform(0.0, max(duration_s - length, 0.0)))
    span = event or (start, start + length)
    kinds = _draw_kinds(rng, setting)
    centers = _scatter(rng, len(kinds), width, height, region)
    things = [
        _make_bystander(rng, kind, center, duration_s, setting.decoys)
        for kind, center in zip(kinds, centers, strict=True)
    ]
    actor = -1
    if label > 0:
        actor = int(rng.integers(len(things)))
        things[0] = _make_actor(rng, centers[0])
        things[0], things[actor] = things[actor], things[0]
    background = _make_background(rng)
    mean = background[0].mean(axis=(0, 1))
    things = [_soften(thing, mean, setting.contrast) for thing in things]
    heading = rng.uniform(0, 2 * np.pi)
    return Scene(
        label=label,
        event=span if label else (span[0], span[0]),
        strength=float(rng.uniform(0.0, 1.0)),
        direction=float(rng.choice((-1.0, 1.0))),
        things=tuple(things),
        actor=actor,
        background=background,
        camera=(
            float(np.cos(heading)) * setting.camera_drift,
            float(np.sin(heading)) * setting.camera_drift,
        ),
        pan=_random_stretch(rng, duration_s),
        width=width,
        height=height,
        duration_s=duration_s,
        noise=setting.noise,
        seed=seed,
    )


def _make_background(rng: np.random.Generator) -> tuple[Float32, ...]:
    """Octaves of noise; the coarsest is centered at medium gray, the others at zero."""
    return tuple(
        (rng.random((k, k, 3), dtype=np.float32) - 0.5) * amplitude + (0.5 if i == 0 else 0.0)
        for i, (k, amplitude) in enumerate(((8, 0.35), (20, 0.15), (48, 0.1)))
    )


def _draw_kinds(rng: np.random.Generator, setting: Setting) -> list[str]:
    """Motion of each object; the first one becomes the actor, if any."""
    counts = {
        "rest": setting.resting,
        "circle": setting.circling,
        "circle a while": setting.circling_a_while,
    }
    bystanders = [
        kind
        for kind, (low, high) in counts.items()
        for _ in range(int(rng.integers(low, high + 1)))
    ]
    return ["rest", *bystanders]


def _scatter(
    rng: np.random.Generator,
    count: int,
    width: float,
    height: float,
    region: tuple[float, float, float, float] | None,
) -> list[tuple[float, float]]:
    """Random centers with distances as large as a few candidates allow, up to a limit."""
    placed: list[tuple[float, float]] = []
    for index in range(count):
        left, top, right, bottom = (0.08, 0.08, width - 0.08, height - 0.08)
        if index == 0 and region is not None:
            left, top, right, bottom = region
        candidates = np.stack([rng.uniform(left, right, 24), rng.uniform(top, bottom, 24)], axis=1)
        if not placed:
            best = 0
        else:
            offsets = candidates[:, None] - np.asarray(placed)[None]
            distance = np.linalg.norm(offsets, axis=2).min(axis=1)
            # Limited, because the farthest candidate would usually be in a corner.
            best = int(np.argmax(np.minimum(distance, 0.3)))
        placed.append((float(candidates[best, 0]), float(candidates[best, 1])))
    return placed


def _make_shape(rng: np.random.Generator) -> Shape:
    turn = rng.uniform(0, 2 * np.pi, 2)
    size = np.array([rng.uniform(0.08, 0.2), rng.uniform(0.08, 0.18)])
    harmonics = np.stack([size * np.cos(turn), size * np.sin(turn)], axis=1)
    wave = rng.uniform(2.5, 5.0)
    heading = rng.uniform(0, 2 * np.pi)
    stripes = np.array([wave * np.cos(heading), wave * np.sin(heading), rng.uniform(0, 2 * np.pi)])
    first = rng.random(3)
    # The second color differs clearly from the first, so that stripes show the rotation.
    second = np.where(
        first > 0.5, first - rng.uniform(0.35, 0.5, 3), first + rng.uniform(0.35, 0.5, 3)
    )
    colors = np.stack([first, second])
    return Shape(*(a.astype(np.float32) for a in (harmonics, stripes, colors)))


def _make_actor(rng: np.random.Generator, center: tuple[float, float]) -> Thing:
    return Thing(
        shape=_make_shape(rng),
        radius=float(rng.uniform(0.095, 0.125)),
        center=center,
        velocity=_random_velocity(rng),
        angle=float(rng.uniform(0, 2 * np.pi)),
    )


def _make_bystander(
    rng: np.random.Generator,
    kind: str,
    center: tuple[float, float],
    duration_s: float,
    decoys: bool,
) -> Thing:
    thing = _make_actor(rng, center)
    state = rng.choice(DECOY_STATES) if decoys else "normal"
    scale = {"large": rng.uniform(1.3, 1.75), "small": rng.uniform(0.4, 0.7)}.get(str(state), 1.0)
    thing = replace(thing, radius=thing.radius * float(scale))
    if state == "split":
        thing = replace(thing, gap=float(rng.uniform(0.3, 1.0)))
    if kind == "rest":
        return thing
    radius = rng.uniform(0.09, 0.15)
    speed = rng.choice((-1.0, 1.0)) * 2 * np.pi * rng.uniform(0.5, 1.0)
    orbit = (radius, radius * rng.uniform(0.7, 1.4), speed, rng.uniform(0, 2 * np.pi))
    span = (-1e3, 1e3)
    if kind == "circle a while":
        span = _random_stretch(rng, duration_s)
    a, b, c, d = map(float, orbit)
    return replace(thing, orbit=(a, b, c, d), circles=span)


def _random_stretch(rng: np.random.Generator, duration_s: float) -> tuple[float, float]:
    """Start and end of an interval as long as an event; up to half of it is outside the clip."""
    length = rng.uniform(*STANDARD.event_share) * FRAMES * INTERVAL_S
    start = rng.uniform(-length / 2, duration_s - length / 2)
    return float(start), float(start + length)


def _random_velocity(rng: np.random.Generator) -> tuple[float, float]:
    heading, speed = rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 0.05)
    return float(speed * np.cos(heading)), float(speed * np.sin(heading))


def _soften(thing: Thing, mean: Float32, contrast: float) -> Thing:
    if contrast == 1.0:
        return thing
    colors = (mean + contrast * (thing.shape.colors - mean)).astype(np.float32)
    return replace(thing, shape=replace(thing.shape, colors=colors))
