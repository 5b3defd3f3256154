"""Event clips that several tests look at."""

from __future__ import annotations

import pytest

from staa_cli.synthetic.events import EventClip, clip_seed, event_clip

CLIPS = 256


@pytest.fixture(scope="session")
def event_clips() -> list[EventClip]:
    """Clips of the standard setting, as the benchmark draws them."""
    return [event_clip(clip_seed("development", 7, index)) for index in range(CLIPS)]
