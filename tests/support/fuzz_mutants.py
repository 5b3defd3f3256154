"""Damaged copies of a video, each determined by a number."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av

Dice = random.Random
_EXTREMES = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFE, 0x00FFFFFF)
_REMUXED = {".mp4", ".mov", ".mkv", ".webm", ".ts", ".avi", ".nut", ".flv", ".mpg"}


def mutant(number: int, source: Path, target: Path) -> str:
    """Write copy `number` of `source`; returns a description of the damage."""
    dice = Dice(number)
    changes = []
    if source.suffix in _REMUXED and dice.random() < 0.35:
        changes.append(_remuxed(source, target, dice))
    data = bytearray((target if changes else source).read_bytes())
    if not changes or dice.random() < 0.3:
        for _ in range(dice.choice((1, 1, 2, 5))):
            change = dice.choice(_CHANGES)
            change(data, dice)
            changes.append(change.__name__.strip("_"))
    target.write_bytes(bytes(data))
    return ", ".join(changes)


def _place(data: bytearray, dice: Dice) -> int:
    """A random offset, more often near the start or the end, where containers store tables."""
    size = max(1, len(data))
    reach = dice.choice((64, 512, 4096, size, size))
    at = dice.randrange(min(reach, size))
    return size - 1 - at if dice.random() < 0.25 else at


def _flip_bits(data: bytearray, dice: Dice) -> None:
    for _ in range(dice.choice((1, 3, 10, 60))):
        if data:
            data[_place(data, dice)] ^= 1 << dice.randrange(8)


def _random_bytes(data: bytearray, dice: Dice) -> None:
    at = _place(data, dice)
    data[at : at + 16] = dice.randbytes(len(data[at : at + dice.randint(1, 16)]))


def _extreme_number(data: bytearray, dice: Dice) -> None:
    at, size = _place(data, dice), dice.choice((2, 4, 4, 8))
    order = dice.choice(("big", "little"))
    number = dice.choice(_EXTREMES) % (1 << 8 * size)
    data[at : at + size] = number.to_bytes(size, order)  # type: ignore[arg-type]


def _zeros(data: bytearray, dice: Dice) -> None:
    at = _place(data, dice)
    chunk = len(data[at : at + _length(dice)])
    data[at : at + chunk] = bytes(chunk)


def _removed(data: bytearray, dice: Dice) -> None:
    at = _place(data, dice)
    del data[at : at + _length(dice)]


def _repeated(data: bytearray, dice: Dice) -> None:
    at = _place(data, dice)
    data[at:at] = data[at : at + _length(dice)]


def _moved(data: bytearray, dice: Dice) -> None:
    at, size = _place(data, dice), _length(dice)
    chunk = data[at : at + size]
    del data[at : at + size]
    to = _place(data, dice)
    data[to:to] = chunk


def _cut(data: bytearray, dice: Dice) -> None:
    del data[dice.randrange(len(data) + 1) :]


def _beheaded(data: bytearray, dice: Dice) -> None:
    del data[: dice.choice((1, 100, 1000, dice.randrange(len(data) + 1)))]


_CHANGES: list[Callable[[bytearray, Dice], None]] = [
    *(_flip_bits, _flip_bits, _random_bytes, _extreme_number, _extreme_number),
    *(_zeros, _removed, _repeated, _moved, _cut, _beheaded),
]


def _length(dice: Dice) -> int:
    return dice.choice((1, 4, 40, 400, dice.randint(1, 20_000)))


def _remuxed(source: Path, target: Path, dice: Dice) -> str:
    """Write the packets with some of them dropped, repeated, swapped, changed, or retimed."""
    share = dice.choice((0.02, 0.1, 0.5))
    with av.open(str(source)) as container, av.open(str(target), "w") as output:
        streams = {
            s.index: output.add_stream_from_template(s)
            for s in container.streams
            if s.type in ("video", "audio")
        }
        packets = [p for p in container.demux() if p.dts is not None and p.stream_index in streams]
        for at in range(len(packets) - 1):
            if dice.random() < share / 4:
                packets[at], packets[at + 1] = packets[at + 1], packets[at]
        for packet in packets:
            for copy in _changed(packet, dice, share):
                copy.stream = streams[packet.stream_index]
                try:
                    output.mux(copy)
                except av.FFmpegError:
                    continue  # muxers reject some packets
    return f"packets changed ({share})"


def _changed(packet: Any, dice: Dice, share: float) -> list[Any]:
    if dice.random() > share:
        return [packet]
    kind = dice.randrange(5)
    if kind == 0:
        return []
    if kind == 1:
        return [packet, _copy(packet, bytes(packet))]
    data = bytearray(packet)
    if kind == 2 and data:
        for _ in range(dice.choice((1, 5, 50))):
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    elif kind == 3:
        del data[dice.randrange(len(data) + 1) :]
    changed = _copy(packet, bytes(data))
    if kind == 4 and packet.pts is not None:
        changed.pts = packet.pts + dice.choice((-1, 1, 50, -500, 90_000, 2**31, -(2**31)))
    return [changed]


def _copy(packet: Any, data: bytes) -> Any:
    copy: Any = av.Packet(data)
    copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
    copy.duration, copy.is_keyframe = packet.duration, packet.is_keyframe
    return copy
