"""Clips as batches: which frames, how many at a time, and how many are kept."""

from __future__ import annotations

import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from explaining import CountedReads, Progress, same
from small_videos import asked

from staa_cli.api import explain_video
from staa_cli.errors import UnavailableError
from staa_cli.explain import clips as reading
from staa_cli.explain.clips import ClipReader, FrameCache
from staa_cli.explain.timing import Stopwatch
from staa_cli.models.load import LoadedModel
from staa_cli.models.preprocess import preprocess_frame
from staa_cli.schema import Clip, UInt8
from staa_cli.video.decode import iter_frames
from staa_cli.video.frame_source import VideoFile


@pytest.mark.parametrize("size", [1, 2, 5])
def test_uneven_clips_get_their_own_frames(video: Path, model: LoadedModel, size: int) -> None:
    source = VideoFile(video)
    indices = [(0, 10, 20, 30), (5, 6, 7, 8), (8, 8, 9, 31), (35, 35, 35, 35), (0, 10, 20, 30)]
    clips = [Clip(n, row, tuple(source.info.times_s[list(row)])) for n, row in enumerate(indices)]
    progress = Progress()
    reader = ClipReader(
        source, model, clips, batch_size=size, on_progress=progress, stopwatch=Stopwatch()
    )
    for _ in range(2):  # a second pass is like the first
        found: dict[int, torch.Tensor] = {}
        for numbers, batch in reader.forward("reading", lambda inputs, numbers: inputs):
            assert len(numbers) == len(batch) <= size
            found |= zip(numbers, batch, strict=True)
        assert sorted(found) == [0, 1, 2, 3, 4]
        assert reader.report.frames_decoded == len({i for row in indices for i in row})
        assert reader.report.missing == []
    frames = dict(iter_frames(source.info, range(36)))
    for number, row in enumerate(indices):
        wanted = model.preprocess(np.stack([frames[i] for i in row]))[0]
        assert torch.equal(found[number], wanted)
    steps = [done for _, done, _ in progress]
    assert steps == sorted(steps[: len(steps) // 2]) * 2
    assert progress[-1] == ("reading", 5, 5)


def test_batches_back_off_when_memory_runs_out_and_the_report_says_so(
    video: Path, model: LoadedModel
) -> None:
    plain = explain_video(video, model, settings=asked(batch_size=1))
    sizes: list[int] = []

    class Small(LoadedModel):
        def place(self, batch: torch.Tensor) -> torch.Tensor:
            sizes.append(len(batch))
            if len(batch) > 2:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")
            return model.place(batch)

    tight = Small(model.module, model.info, model.device, model.precision)
    found = explain_video(video, tight, settings=asked(batch_size=8))
    assert sizes[0] > 4
    assert max(sizes[2:]) == 2
    same(found, plain, atol=1e-6)
    (warning,) = [w for w in found.warnings if w.code == "batch-size-reduced"]
    assert "2 clips" in warning.text


def test_a_clip_that_never_fits_is_told_and_other_errors_stay(
    video: Path, model: LoadedModel
) -> None:
    class Full(LoadedModel):
        def place(self, batch: torch.Tensor) -> torch.Tensor:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    class Broken(LoadedModel):
        def place(self, batch: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("something else")

    parts = model.module, model.info, model.device, model.precision
    with pytest.raises(UnavailableError, match="one clip alone") as caught:
        explain_video(video, Full(*parts), settings=asked(batch_size=4))
    assert "--precision bf16" in str(caught.value.hint)
    with pytest.raises(RuntimeError, match="something else"):
        explain_video(video, Broken(*parts), settings=asked(batch_size=4))


@pytest.mark.parametrize("hop", [1, 2, 4])
def test_no_more_frames_are_kept_than_clips_still_need(
    video: Path, model: LoadedModel, hop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_AHEAD", 1)
    made: list[weakref.ref[torch.Tensor]] = []
    alive: list[int] = []

    class Watched(LoadedModel):
        def preprocess_frame(self, frame: UInt8) -> torch.Tensor:
            tensor = preprocess_frame(frame, self.input)
            made.append(weakref.ref(tensor))
            alive.append(sum(ref() is not None for ref in made))
            return tensor

    source = VideoFile(video)
    rows = [tuple(range(start, start + 4)) for start in range(0, 32, hop)]
    clips = [Clip(n, row, tuple(source.info.times_s[list(row)])) for n, row in enumerate(rows)]
    watched = Watched(model.module, model.info, model.device, model.precision)
    reader = ClipReader(
        source, watched, clips, batch_size=1, on_progress=lambda *_: None, stopwatch=Stopwatch()
    )
    for _ in reader.forward("reading", lambda inputs, numbers: None):
        pass
    assert max(alive) <= 4 + 2  # one waits to be used, and one for room


@pytest.mark.parametrize(("room", "reads"), [(20, [20]), (19, [20, 20, 12])])
def test_passes_share_what_they_read_while_there_is_room_for_all_of_it(
    video: Path, model: LoadedModel, room: int, reads: list[int]
) -> None:
    source = CountedReads(video)
    times_s = source.info.times_s
    rows = [tuple(range(start, start + 4)) for start in range(0, 20, 4)]
    clips = [Clip(n, row, tuple(times_s[list(row)])) for n, row in enumerate(rows)]
    cache = FrameCache(room * 4 * 3 * 32 * 32)

    def reader() -> ClipReader:
        return ClipReader(
            source,
            model,
            clips,
            batch_size=2,
            on_progress=lambda *_: None,
            stopwatch=Stopwatch(),
            cache=cache,
        )

    def inputs(reader: ClipReader) -> torch.Tensor:
        return torch.cat([batch for _, batch in reader.forward("reading", lambda x, _: x)])

    first, second = reader(), reader()
    seen = inputs(first)
    assert torch.equal(inputs(second), seen)
    assert second.report == first.report
    assert second.report.frames_decoded == 20
    assert second.motion == first.motion > 0
    assert torch.equal(inputs(second.of([0, 2, 4])), seen[[0, 2, 4]])
    assert source.reads == reads
