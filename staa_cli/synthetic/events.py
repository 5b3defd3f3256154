"""Event clips: drifting objects of which exactly one, the actor, does something for a while.

The label is what the actor does. No single frame gives it away, because every state that an event
passes through (large, small, cut in two, inverted, turned, anywhere in the picture) also occurs as
the resting state of a bystander. Motion does not give the actor away either, because bystanders
circle at least as fast as any actor moves, some all the time, some for a stretch that has nothing
to do with the event.

Lengths are in units of the standard view's side, times in seconds. Everything follows from a seed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from staa_cli.schema import Bool, Float32, UInt8

LABELS = ("none", "spin", "hop", "shake", "blink", "split", "grow", "shrink", "flash")
EVENTS = LABELS[1:]

FRAMES = 8
INTERVAL_S = 0.25
SIZE_PX = 112

CREEP = 0.2
"""Speed of the camera outside its pan, of that within."""
DECOY_STATES = ("normal", "normal", "large", "small", "split")


@dataclass(frozen=True, slots=True)
class Setting:
    """How hard the clips are. Pairs are ranges; counts are inclusive."""

    name: str
    resting: tuple[int, int] = (0, 1)
    """Bystanders that only drift."""
    circling: tuple[int, int] = (1, 1)
    """Bystanders that circle all the time."""
    circling_a_while: tuple[int, int] = (1, 1)
    """Bystanders that circle for a stretch of their own."""
    event_share: tuple[float, float] = (0.35, 0.6)
    """Length of the event as a share of the clip."""
    camera_drift: float = 0.1
    """Speed of the background while the camera pans, units a second."""
    contrast: float = 1.0
    """1 leaves colours as they are, 0 would dissolve the objects into the background's mean."""
    noise: float = 0.02
    """Half width of the pixel noise, of 1."""


STANDARD = Setting("standard")
HARD_VARIANTS = (
    Setting("distractors", resting=(2, 3), circling_a_while=(2, 2)),
    Setting("motion", circling=(3, 3)),
    Setting("drift", camera_drift=0.3),
    Setting("contrast", contrast=0.4),
    Setting("length", event_share=(0.1, 0.6)),
)
SETTINGS = {setting.name: setting for setting in (STANDARD, *HARD_VARIANTS)}


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """A blob with a striped skin: fixed for the object's life."""

    harmonics: Float32
    """[2, 2] cosine and sine weight of the outline's second and third harmonic."""
    stripes: Float32
    """[3] wave vector and phase of the skin, in radii."""
    colours: Float32
    """[2, 3] the two colours of the stripes, 0 to 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Thing:
    """One object: its shape, its resting state, and its own motion."""

    shape: Shape
    radius: float
    centre: tuple[float, float]
    velocity: tuple[float, float]
    angle: float
    gap: float = 0.0
    """How far its halves stand apart, in radii."""
    orbit: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """Half axes, angular speed in radians a second, and phase of its circling."""
    circles: tuple[float, float] = (0.0, 0.0)
    """When it circles: start and end."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """All that a clip shows, before any pixel."""

    label: int
    event: tuple[float, float]
    """Start and end; equal where nothing happens."""
    strength: float
    direction: float
    things: tuple[Thing, ...]
    actor: int
    """Index into `things`, drawn in that order; -1 where nothing happens."""
    background: tuple[Float32, ...] = field(repr=False)
    """Octaves of [K, K, 3] noise."""
    camera: tuple[float, float]
    """Velocity of the camera while it pans."""
    pan: tuple[float, float]
    """When it pans: start and end; otherwise it creeps."""
    width: float
    height: float
    duration_s: float
    noise: float
    seed: int


@dataclass(frozen=True, slots=True, eq=False)
class EventClip:
    """A rendered clip with its ground truth."""

    frames: UInt8
    """[T, H, W, 3]."""
    mask: Bool
    """[T, H, W] where the actor is, in every frame; during a blink, where it would be."""
    event: Bool
    """[T] which frames belong to the event."""
    label: int
    seed: int


@dataclass(slots=True, eq=False)
class Pose:
    """State of one object at n times: every field is [n]."""

    x: Float32
    y: Float32
    angle: Float32
    scale: Float32
    gap: Float32
    inverted: Float32
    opacity: Float32


def clip_seed(split: Literal["train", "development", "test"], seed: int, index: int) -> int:
    """The seed of one clip; no two splits, seeds, or indices share one."""
    code = ("train", "development", "test").index(split)
    return code << 56 | seed << 28 | index


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
        seed: everything follows from it and from the other arguments.
        setting: how hard it is.
        label: index into LABELS; drawn evenly where None.
        duration_s: length of the clip.
        width: of the view, in units.
        height: of the view, in units.
        event: start and end in seconds; drawn from the setting where None.
        region: left, top, right, bottom in units that the actor's centre stays in.
    """
    rng = np.random.default_rng([seed, 0x57AA])
    label = int(rng.integers(len(LABELS))) if label is None else label
    length = float(rng.uniform(*setting.event_share)) * FRAMES * INTERVAL_S
    start = float(rng.uniform(0.0, max(duration_s - length, 0.0)))
    span = event or (start, start + length)
    kinds = _draw_kinds(rng, setting)
    centres = _scatter(rng, len(kinds), width, height, region)
    things = [
        _make_bystander(rng, kind, centre, duration_s)
        for kind, centre in zip(kinds, centres, strict=True)
    ]
    actor = -1
    if label > 0:
        actor = int(rng.integers(len(things)))
        things[0] = _make_actor(rng, centres[0])
        things[0], things[actor] = things[actor], things[0]
    background = tuple(
        (rng.random((k, k, 3), dtype=np.float32) - 0.5) * amplitude + (0.5 if i == 0 else 0.0)
        for i, (k, amplitude) in enumerate(((8, 0.35), (20, 0.15), (48, 0.1)))
    )
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


def event_clip(
    seed: int,
    setting: Setting = STANDARD,
    *,
    label: int | None = None,
    frames: int = FRAMES,
    size_px: int = SIZE_PX,
    view: float = 1.0,
) -> EventClip:
    """The clip of a seed, sampled as the bundled model samples video.

    Args:
        seed: which clip.
        setting: how hard it is.
        label: index into LABELS; drawn evenly where None.
        frames: T.
        size_px: height and width of the picture.
        view: side of the view in units; below 1 the objects are as large in pixels as ever, and
            fewer of them fit.
    """
    scene = make_scene(seed, setting, label=label, width=view, height=view)
    phase = np.random.default_rng([seed, 0xC11B]).uniform(0.0, INTERVAL_S)
    times_s = phase + INTERVAL_S * np.arange(frames)
    pictures, mask = render(scene, times_s, size_px / view)
    start, end = scene.event
    event = (times_s >= start) & (times_s <= end) & (scene.label > 0)
    return EventClip(pictures, mask, event, scene.label, seed)


def render(scene: Scene, times_s: np.ndarray, scale_px: float) -> tuple[UInt8, Bool]:
    """Frames uint8 [n, H, W, 3] and the actor's mask bool [n, H, W] at the given times.

    Args:
        scene: what to show.
        times_s: [n] rising or not.
        scale_px: pixels a unit.
    """
    height, width = round(scene.height * scale_px), round(scene.width * scale_px)
    times = np.asarray(times_s, dtype=np.float32)
    canvas = _draw_background(scene, times, height, width, scale_px)
    mask = np.zeros((len(times), height, width), dtype=bool)
    for index, thing in enumerate(scene.things):
        pose = _pose(thing, times)
        if index == scene.actor:
            _act(pose, scene, times)
        _draw(canvas, mask, thing, pose, scale_px, is_actor=index == scene.actor)
    rng = np.random.default_rng([scene.seed, 0x9015E])
    grain = rng.integers(0, 256, canvas.shape, dtype=np.uint8)
    canvas += (grain.astype(np.float32) - 127.5) * (scene.noise / 127.5)
    np.clip(canvas, 0.0, 1.0, out=canvas)
    return (canvas * 255.0 + 0.5).astype(np.uint8), mask


def _draw_kinds(rng: np.random.Generator, setting: Setting) -> list[str]:
    """What each object does of its own; the first one becomes the actor where there is one."""
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
    """Centres that keep clear of each other as well as a few tries allow."""
    placed: list[tuple[float, float]] = []
    for index in range(count):
        left, top, right, bottom = (0.08, 0.08, width - 0.08, height - 0.08)
        if index == 0 and region is not None:
            left, top, right, bottom = region
        tries = np.stack([rng.uniform(left, right, 24), rng.uniform(top, bottom, 24)], axis=1)
        if not placed:
            best = 0
        else:
            distance = np.linalg.norm(tries[:, None] - np.asarray(placed)[None], axis=2).min(axis=1)
            # Near enough is good enough: the farthest candidate would always be a corner.
            best = int(np.argmax(np.minimum(distance, 0.3)))
        placed.append((float(tries[best, 0]), float(tries[best, 1])))
    return placed


def _make_shape(rng: np.random.Generator) -> Shape:
    turn = rng.uniform(0, 2 * np.pi, 2)
    size = np.array([rng.uniform(0.08, 0.2), rng.uniform(0.08, 0.18)])
    harmonics = np.stack([size * np.cos(turn), size * np.sin(turn)], axis=1)
    wave = rng.uniform(2.5, 5.0)
    heading = rng.uniform(0, 2 * np.pi)
    stripes = np.array([wave * np.cos(heading), wave * np.sin(heading), rng.uniform(0, 2 * np.pi)])
    first = rng.random(3)
    # The second colour is far from the first, so that the skin shows how the object is turned.
    second = np.where(
        first > 0.5, first - rng.uniform(0.35, 0.5, 3), first + rng.uniform(0.35, 0.5, 3)
    )
    colours = np.stack([first, second])
    return Shape(*(a.astype(np.float32) for a in (harmonics, stripes, colours)))


def _make_actor(rng: np.random.Generator, centre: tuple[float, float]) -> Thing:
    return Thing(
        shape=_make_shape(rng),
        radius=float(rng.uniform(0.095, 0.125)),
        centre=centre,
        velocity=_random_velocity(rng),
        angle=float(rng.uniform(0, 2 * np.pi)),
    )


def _make_bystander(
    rng: np.random.Generator, kind: str, centre: tuple[float, float], duration_s: float
) -> Thing:
    thing = _make_actor(rng, centre)
    state = rng.choice(DECOY_STATES)
    scale = {"large": rng.uniform(1.3, 1.6), "small": rng.uniform(0.45, 0.7)}.get(str(state), 1.0)
    thing = replace(thing, radius=thing.radius * float(scale))
    if state == "split":
        thing = replace(thing, gap=float(rng.uniform(0.3, 0.8)))
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
    """Start and end of a stretch as long as an event, which may begin and end outside the clip."""
    length = rng.uniform(0.35, 0.6) * FRAMES * INTERVAL_S
    start = rng.uniform(-length, duration_s)
    return float(start), float(start + length)


def _random_velocity(rng: np.random.Generator) -> tuple[float, float]:
    heading, speed = rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 0.05)
    return float(speed * np.cos(heading)), float(speed * np.sin(heading))


def _soften(thing: Thing, mean: Float32, contrast: float) -> Thing:
    if contrast == 1.0:
        return thing
    colours = (mean + contrast * (thing.shape.colours - mean)).astype(np.float32)
    return replace(thing, shape=replace(thing.shape, colours=colours))


def _pose(thing: Thing, times: Float32) -> Pose:
    """Drift and circling of one object; [n] each."""
    across, along, speed, phase = thing.orbit
    clock = np.clip(times, *thing.circles) - thing.circles[0] if across else 0.0 * times
    turn = phase + speed * clock
    ones = np.ones_like(times)
    return Pose(
        x=thing.centre[0] + thing.velocity[0] * times + across * (np.cos(turn) - np.cos(phase)),
        y=thing.centre[1] + thing.velocity[1] * times + along * (np.sin(turn) - np.sin(phase)),
        angle=thing.angle * ones,
        scale=thing.radius * ones,
        gap=thing.gap * ones,
        inverted=0.0 * ones,
        opacity=ones.copy(),
    )


def _act(pose: Pose, scene: Scene, times: Float32) -> None:
    """Add the event to the actor's pose."""
    start, end = scene.event
    length = max(end - start, 1e-6)
    u = np.clip((times - start) / length, 0.0, 1.0)
    # Rises and falls quickly, so that the first and the last frame of the event show it.
    swell = np.sqrt(np.maximum(np.sin(np.pi * u), 0.0))
    repeats = max(round(length / 0.55), 1)
    s = scene.strength
    match LABELS[scene.label]:
        case "spin":
            pose.angle += scene.direction * 2 * np.pi * (0.7 + 0.35 * s) * length * u
        case "hop":
            towards_middle = 1.0 if float(pose.y[0]) < scene.height / 2 else -1.0
            pose.y += towards_middle * (0.17 + 0.08 * s) * np.abs(np.sin(repeats * np.pi * u))
        case "shake":
            pose.x += scene.direction * (0.11 + 0.05 * s) * np.sin(repeats * 2 * np.pi * u)
        case "blink":
            cycle = (u * max(round(length / 0.6), 1)) % 1.0
            pose.opacity[(cycle > 0.2) & (cycle < 0.85) & (u < 1.0)] = 0.0
        case "split":
            pose.gap += (0.6 + 0.4 * s) * swell
        case "grow":
            pose.scale *= 1.0 + (0.55 + 0.2 * s) * swell
        case "shrink":
            pose.scale *= 1.0 - (0.45 + 0.15 * s) * swell
        case "flash":
            pose.inverted += swell


def _draw_background(
    scene: Scene, times: Float32, height: int, width: int, scale_px: float
) -> Float32:
    """[n, H, W, 3] the drifting ground: a sum of linearly interpolated noise grids."""
    canvas = np.zeros((len(times), height, width, 3), dtype=np.float32)
    # Far enough inside the grids for any drift; the period of a grid is some two units.
    y = ((np.arange(height) + 0.5) / scale_px).astype(np.float32)
    x = ((np.arange(width) + 0.5) / scale_px).astype(np.float32)
    travelled = (np.clip(times, *scene.pan) + CREEP * times).astype(np.float32)
    for grid in scene.background:
        cells = len(grid)
        rows = _hat_weights(y[None] + scene.camera[1] * travelled[:, None], cells)  # [n, H, K]
        columns = _hat_weights(x[None] + scene.camera[0] * travelled[:, None], cells)  # [n, W, K]
        strips = np.tensordot(columns, grid, axes=(2, 1)).transpose(0, 2, 1, 3)  # [n, K, W, 3]
        layer = rows @ strips.reshape(len(times), cells, width * 3)  # [n, H, W*3]
        canvas += layer.reshape(canvas.shape)
    return canvas


def _hat_weights(positions: Float32, cells: int) -> Float32:
    """[n, L, K] weights that interpolate a periodic row of K values at positions in half units."""
    cell = (positions * (cells / 2.0)) % cells
    low = np.floor(cell).astype(np.int64)
    part = cell - low
    weights = np.zeros((*positions.shape, cells), dtype=np.float32)
    np.put_along_axis(weights, (low % cells)[..., None], (1.0 - part)[..., None], axis=-1)
    np.put_along_axis(weights, ((low + 1) % cells)[..., None], part[..., None], axis=-1)
    return weights


def _draw(
    canvas: Float32, mask: Bool, thing: Thing, pose: Pose, scale_px: float, *, is_actor: bool
) -> None:
    """Paint one object into every frame, and keep the mask to what stays visible of the actor."""
    height, width = canvas.shape[1:3]
    reach = int(np.ceil(float((pose.scale * (1.45 + pose.gap)).max()) * scale_px)) + 2
    side = np.arange(-reach, reach + 1)
    column = np.round(pose.x * scale_px - 0.5).astype(np.int64)
    row = np.round(pose.y * scale_px - 0.5).astype(np.int64)
    dx = (column[:, None] + side + 0.5) / scale_px - pose.x[:, None]  # [n, S]
    dy = (row[:, None] + side + 0.5) / scale_px - pose.y[:, None]
    alpha, skin = _shade(thing.shape, pose, dx.astype(np.float32), dy.astype(np.float32), scale_px)
    for n in range(len(canvas)):
        x0, x1 = max(column[n] - reach, 0), min(column[n] + reach + 1, width)
        y0, y1 = max(row[n] - reach, 0), min(row[n] + reach + 1, height)
        if x0 >= x1 or y0 >= y1:
            continue
        part = np.s_[
            y0 - row[n] + reach : y1 - row[n] + reach,
            x0 - column[n] + reach : x1 - column[n] + reach,
        ]
        solid = alpha[n][part]
        mask[n, y0:y1, x0:x1] = (
            (solid > 0.5) if is_actor else mask[n, y0:y1, x0:x1] & (solid <= 0.5)
        )
        opaque = (solid * pose.opacity[n])[..., None]
        target = canvas[n, y0:y1, x0:x1]
        target += opaque * (skin[n][part] - target)


def _shade(
    shape: Shape, pose: Pose, dx: Float32, dy: Float32, scale_px: float
) -> tuple[Float32, Float32]:
    """Coverage [n, S, S] and colour [n, S, S, 3] of an object on a pixel grid around it."""
    cosine, sine = np.cos(pose.angle)[:, None, None], np.sin(pose.angle)[:, None, None]
    radius = pose.scale[:, None, None]
    x = (cosine * dx[:, None, :] + sine * dy[:, :, None]) / radius
    y = (cosine * dy[:, :, None] - sine * dx[:, None, :]) / radius
    gap = pose.gap[:, None, None]
    inner = np.abs(x) - gap  # negative between the halves
    x = np.sign(x) * np.maximum(inner, 0.0)
    rho = np.sqrt(x * x + y * y) + 1e-6
    c, s = x / rho, y / rho
    (a2, b2), (a3, b3) = shape.harmonics
    outline = (
        1.0
        + a2 * (c * c - s * s)
        + b2 * 2 * c * s
        + a3 * (4 * c * c - 3) * c
        + b3 * (3 - 4 * s * s) * s
    )
    edge_px = (outline - rho) * radius * scale_px
    alpha = np.clip(edge_px + 0.5, 0.0, 1.0)
    alpha *= np.where(gap > 0, np.clip(inner * radius * scale_px + 0.5, 0.0, 1.0), 1.0)
    wave = np.sin(shape.stripes[0] * x + shape.stripes[1] * y + shape.stripes[2])
    mix = np.clip(0.5 + 2.0 * wave, 0.0, 1.0)[..., None]
    skin = shape.colours[0] + mix * (shape.colours[1] - shape.colours[0])
    skin += pose.inverted[:, None, None, None] * (1.0 - 2.0 * skin)
    return alpha.astype(np.float32), skin.astype(np.float32)
