"""Renders scenes to frames and masks of the actor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from staa_cli.schema import Bool, Float32, UInt8
from staa_cli.synthetic.scenes import LABELS, Scene, Shape, Thing

CREEP = 0.2
"""Speed of the camera outside its pan, as a share of the speed within."""


@dataclass(slots=True, eq=False)
class Pose:
    """State of an object at n times: every field is [n]."""

    x: Float32
    y: Float32
    angle: Float32
    scale: Float32
    gap: Float32
    inverted: Float32
    opacity: Float32


def render(scene: Scene, times_s: np.ndarray, scale_px: float) -> tuple[UInt8, Bool]:
    """Frames uint8 [n, H, W, 3] and the actor's mask bool [n, H, W] at times in seconds.

    Args:
        scene: to render.
        times_s: [n] in any order.
        scale_px: pixels per unit.
    """
    frames, masks = render_together([scene], times_s, scale_px)
    return frames, masks[0]


def render_together(
    scenes: Sequence[Scene], times_s: np.ndarray, scale_px: float
) -> tuple[UInt8, Bool]:
    """Render the objects of several scenes on the background of the first one.

    Returns:
        Frames uint8 [n, H, W, 3] and the masks of the scenes' actors, bool [scenes, n, H, W].
    """
    first = scenes[0]
    height, width = round(first.height * scale_px), round(first.width * scale_px)
    times = np.asarray(times_s, dtype=np.float32)
    canvas = _draw_background(first, times, height, width, scale_px)
    masks = np.zeros((len(scenes), len(times), height, width), dtype=bool)
    for scene, mask in zip(scenes, masks, strict=True):
        for index, (thing, pose) in enumerate(zip(scene.things, poses(scene, times), strict=True)):
            own = mask if index == scene.actor else None
            _draw(canvas, masks, thing, pose, scale_px, own)
    rng = np.random.default_rng([first.seed, 0x9015E])
    grain = rng.integers(0, 256, canvas.shape, dtype=np.uint8)
    canvas += (grain.astype(np.float32) - 127.5) * (first.noise / 127.5)
    np.clip(canvas, 0.0, 1.0, out=canvas)
    return (canvas * 255.0 + 0.5).astype(np.uint8), masks


def poses(scene: Scene, times: Float32) -> list[Pose]:
    """Poses of all objects at times [n] in seconds, with the event of the actor, if any."""
    states = [_pose(thing, times) for thing in scene.things]
    if scene.actor >= 0:  # -1 without an actor
        _act(states[scene.actor], scene, times)
    return states


def _pose(thing: Thing, times: Float32) -> Pose:
    """Pose of an object with its drift and circling."""
    across, along, speed, phase = thing.orbit
    clock = np.clip(times, *thing.circles) - thing.circles[0] if across else 0.0 * times
    turn = phase + speed * clock
    ones = np.ones_like(times)
    return Pose(
        x=thing.center[0] + thing.velocity[0] * times + across * (np.cos(turn) - np.cos(phase)),
        y=thing.center[1] + thing.velocity[1] * times + along * (np.sin(turn) - np.sin(phase)),
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
    # Rises and falls quickly, so that the effect is visible in the event's first and last frames.
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
    """[n, H, W, 3] the moving background: a sum of linearly interpolated noise grids."""
    canvas = np.zeros((len(times), height, width, 3), dtype=np.float32)
    # Grids are periodic, with a period of two units, so any drift stays inside.
    y = ((np.arange(height) + 0.5) / scale_px).astype(np.float32)
    x = ((np.arange(width) + 0.5) / scale_px).astype(np.float32)
    traveled = (np.clip(times, *scene.pan) + CREEP * times).astype(np.float32)
    for grid in scene.background:
        cells = len(grid)
        rows = _hat_weights(y[None] + scene.camera[1] * traveled[:, None], cells)  # [n, H, K]
        columns = _hat_weights(x[None] + scene.camera[0] * traveled[:, None], cells)  # [n, W, K]
        strips = np.tensordot(columns, grid, axes=(2, 1)).transpose(0, 2, 1, 3)  # [n, K, W, 3]
        layer = rows @ strips.reshape(len(times), cells, width * 3)  # [n, H, W*3]
        canvas += layer.reshape(canvas.shape)
    return canvas


def _hat_weights(positions: Float32, cells: int) -> Float32:
    """[n, L, K] weights for linear interpolation in K values with a period of two units."""
    cell = (positions * (cells / 2.0)) % cells
    low = np.floor(cell).astype(np.int64)
    part = cell - low
    weights = np.zeros((*positions.shape, cells), dtype=np.float32)
    np.put_along_axis(weights, (low % cells)[..., None], (1.0 - part)[..., None], axis=-1)
    np.put_along_axis(weights, ((low + 1) % cells)[..., None], part[..., None], axis=-1)
    return weights


def _draw(
    canvas: Float32, masks: Bool, thing: Thing, pose: Pose, scale_px: float, own: Bool | None
) -> None:
    """Draw an object into every frame, and update the masks of the visible parts of actors.

    Args:
        canvas: [n, H, W, 3].
        masks: of all actors, [scenes, n, H, W].
        thing: the object.
        pose: its pose.
        scale_px: pixels per unit.
        own: if it is an actor, its mask among these, [n, H, W].
    """
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
        masks[:, n, y0:y1, x0:x1] &= solid <= 0.5
        if own is not None:
            own[n, y0:y1, x0:x1] |= solid > 0.5
        opaque = (solid * pose.opacity[n])[..., None]
        target = canvas[n, y0:y1, x0:x1]
        target += opaque * (skin[n][part] - target)


def _shade(
    shape: Shape, pose: Pose, dx: Float32, dy: Float32, scale_px: float
) -> tuple[Float32, Float32]:
    """Coverage [n, S, S] and color [n, S, S, 3] of an object on a pixel grid around it."""
    cosine, sine = np.cos(pose.angle)[:, None, None], np.sin(pose.angle)[:, None, None]
    radius = pose.scale[:, None, None]
    x = (cosine * dx[:, None, :] + sine * dy[:, :, None]) / radius
    y = (cosine * dy[:, :, None] - sine * dx[:, None, :]) / radius
    gap = pose.gap[:, None, None]
    inner = np.abs(x) - gap  # negative in the gap between the halves
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
    skin = shape.colors[0] + mix * (shape.colors[1] - shape.colors[0])
    skin += pose.inverted[:, None, None, None] * (1.0 - 2.0 * skin)
    return alpha.astype(np.float32), skin.astype(np.float32)
