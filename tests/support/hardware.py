"""Software encoders of FFmpeg in the place of hardware, which machines with tests seldom have."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from staa_cli.video import encoder_choice, encoders
from staa_cli.video.encoders import Encoder

ABSENT = Encoder("videotoolbox", "no_such_codec", lambda quality: {})
WORKING = Encoder("nvenc", "mpeg4", lambda quality: {"qmin": "2", "qmax": "4"})
SMALL_ONLY = Encoder("vaapi", "mpeg1video", lambda quality: {"qmin": "2", "qmax": "4"})
"""Encodes up to 4095 pixels per side, like many encoders of hardware."""


def machine_with(patch: pytest.MonkeyPatch, *hardware: Encoder) -> None:
    """Until the test ends, these are all the hardware encoders there are."""
    for module in (encoders, encoder_choice):
        patch.setattr(module, "HARDWARE", hardware)


def codec_of(path: Path) -> str:
    """The codec of a file's video track."""
    with av.open(str(path)) as container:
        return container.streams.video[0].codec_context.name
