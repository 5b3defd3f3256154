from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from staa_cli import explain_clip, load_model
from staa_cli.config.settings import SamplingSettings
from staa_cli.evaluation.localization import coverage
from staa_cli.explain.sampling import plan
from staa_cli.results.ground_truth import FILE, Box, TrueVideo, load_ground_truth
from staa_cli.synthetic.events import FRAMES, INTERVAL_S, LABELS, render
from staa_cli.training.samples import (
    RATE,
    SAMPLES,
    SPEED,
    Sample,
    pictures,
    sample_scene,
    sample_times,
    write_sample,
    write_samples,
)
from staa_cli.video.decode import iter_frames
from staa_cli.video.probe import probe

BLOCK_PX = 6
SMALL = Sample("hop.mp4", "hop", 126, 1.5, (0.25, 1.0), size=(256, 192))
VARIANTS = {
    "plain": SMALL,
    "sound": replace(SMALL, name="spin.mp4", label="spin", sound=True),
    "vfr": replace(SMALL, name="split.mp4", label="split", dropped=0.35),
    "rotated": replace(SMALL, name="flash.mp4", label="flash", size=(192, 256), rotation=90),
    "wide": replace(SMALL, name="grow.mp4", label="grow", size=(384, 240)),
}


@pytest.fixture(scope="module", params=VARIANTS)
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Sample, Path, TrueVideo]:
    """A short sample, where it is, and its ground truth."""
    sample = VARIANTS[request.param]
    folder = tmp_path_factory.mktemp("made") / "new"
    (truth,) = load_ground_truth(write_samples(folder, [sample])).videos
    return sample, folder / sample.name, truth


def shown(path: Path, at: list[float]) -> np.ndarray:
    """[n, H, W, 3] upright pictures at frame starts."""
    info = probe(path)
    indices = [int(np.argmin(np.abs(info.times_s - time))) for time in at]
    assert info.times_s[indices] == pytest.approx(at, abs=1e-4)
    frames = dict(iter_frames(info, sorted(set(indices))))
    return np.stack([frames[index] for index in indices])


def test_the_file_is_what_its_truth_says(made: tuple[Sample, Path, TrueVideo]) -> None:
    sample, path, truth = made
    info, about = probe(path), truth.about
    assert (info.width, info.height) == (about["width"], about["height"]) == sample.size
    assert info.duration_s == pytest.approx(about["duration_s"], abs=1e-3) == sample.duration_s
    assert info.frames == about["frames"]
    assert info.rotation == about["rotation"] == sample.rotation
    assert (info.audio is not None) == (about["tone_hz"] is not None) == sample.sound
    assert info.variable_rate == (about["dropped_share"] > 0)
    assert (info.codec, info.pixel_format) == ("h264", "yuv420p")
    assert about["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (truth.file, truth.label, about["seed"]) == (path.name, sample.label, sample.seed)
    assert [(event.start_s, event.end_s) for event in truth.events] == [sample.event]


def test_times_are_those_of_the_full_rate(made: tuple[Sample, Path, TrueVideo]) -> None:
    sample, path, _ = made
    every = np.arange(36) / RATE
    times_s = probe(path).times_s
    if sample.dropped:
        assert 0.4 < len(times_s) / len(every) < 0.9
        assert np.abs(times_s[:, None] - every).min(axis=1).max() < 1e-4
    else:
        assert times_s == pytest.approx(every, abs=1e-4)


def test_pixels_are_upright_and_the_scene_s_own(
    made: tuple[Sample, Path, TrueVideo],
) -> None:
    sample, path, _ = made
    times_s = sample_times(sample)[[0, 7, -1]]
    expected, _ = render(sample_scene(sample), times_s, sample.side_px)
    got = shown(path, times_s.tolist())
    got = got[:, : expected.shape[1], : expected.shape[2]].astype(int)
    assert np.abs(got - expected).mean() < 6
    assert np.abs(got - expected[:, ::-1]).mean() > 12
    assert np.abs(got - expected[:, :, ::-1]).mean() > 12


def test_the_tone_plays_during_the_event(made: tuple[Sample, Path, TrueVideo]) -> None:
    sample, path, truth = made
    if not sample.sound:
        assert truth.about["tone_hz"] is None
        return
    with av.open(str(path)) as container:
        (track,) = container.streams.audio
        parts = [(frame.time, frame.to_ndarray()[0]) for frame in container.decode(track)]
        rate = track.rate
    wave = np.concatenate([part for _, part in parts])
    clock = parts[0][0] + np.arange(len(wave)) / rate
    loud = np.convolve(np.abs(wave), np.ones(rate // 100) / (rate // 100), "same") > 0.05
    start, end = sample.event
    assert clock[loud].min() == pytest.approx(start, abs=0.03)
    assert clock[loud].max() == pytest.approx(end, abs=0.03)
    assert loud[(clock > start + 0.05) & (clock < end - 0.05)].all()
    spectrum = np.abs(np.fft.rfft(wave, rate))  # bins of one hertz
    assert np.argmax(spectrum) == pytest.approx(truth.about["tone_hz"], abs=2)
    assert np.abs(wave).max() < 0.5


def blocks(pictures: np.ndarray, side: int = BLOCK_PX) -> np.ndarray:
    """[n, h, w, 3] means of small squares, in which the edges that a codec softens are lost."""
    n, height, width = pictures.shape[:3]
    cut = pictures[:, : height // side * side, : width // side * side].astype(float)
    return cut.reshape(n, height // side, side, width // side, side, 3).mean(axis=(2, 4))


def differing(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """[n, h, w] which blocks of two films differ; both are cut to the smaller size."""
    height, width = (min(sides) for sides in zip(one.shape[1:3], other.shape[1:3], strict=True))
    gap = blocks(one[:, :height, :width]) - blocks(other[:, :height, :width])
    return np.abs(gap).max(axis=-1) > 30  # the codec alone makes up to 23


def test_boxes_hold_the_actor_and_nothing_more(
    made: tuple[Sample, Path, TrueVideo],
) -> None:
    """The actor is told from the file alone: it is what the same scene without it lacks."""
    sample, path, truth = made
    scene = sample_scene(sample)
    others = tuple(t for n, t in enumerate(scene.things) if n != scene.actor)
    times_s = [box.time_s for box in truth.boxes]
    assert len(times_s) >= 8
    empty, _ = render(replace(scene, things=others, actor=-1), np.array(times_s), sample.side_px)
    for box, actor in zip(truth.boxes or (), differing(shown(path, times_s), empty), strict=True):
        y, x = np.nonzero(actor)
        found = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1]) * BLOCK_PX
        stated = np.multiply(edges(box), [*sample.size, *sample.size])
        assert found == pytest.approx(stated, abs=BLOCK_PX + 1)


def test_the_event_is_seen_in_the_file_at_its_time(
    made: tuple[Sample, Path, TrueVideo],
) -> None:
    """Against the same scene in which nothing happens."""
    sample, path, _ = made
    times_s = sample_times(sample)
    idle, _ = render(replace(sample_scene(sample), label=0), times_s, sample.side_px)
    frames = shown(path, [round(t, 5) for t in times_s])
    changed = differing(frames, idle).any(axis=(1, 2))
    start, end = sample.event
    assert not changed[times_s < start].any()
    assert changed[(times_s > start + 0.13) & (times_s < end - 0.13)].all()
    if sample.label != "spin":  # what has spun stays turned
        assert not changed[times_s > end].any()


def test_the_same_seed_makes_the_same_files(tmp_path: Path) -> None:
    sample = replace(SMALL, duration_s=0.5, sound=True)
    one = write_sample(sample, tmp_path / "one.mp4")
    other = write_sample(sample, tmp_path / "other.mp4")
    assert one == other
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "other.mp4").read_bytes()
    five = write_sample(replace(sample, seed=5), tmp_path / "five.mp4")
    assert five.about["sha256"] != one.about["sha256"]


def test_rendering_in_parts_shows_no_seam() -> None:
    sample = replace(SMALL, duration_s=3.0, event=(0.8, 1.6))
    scene, times_s = sample_scene(sample), sample_times(sample)
    things = list(scene.things)
    # It crosses the picture's middle, where a hop turns round, before the second part begins.
    things[scene.actor] = replace(things[scene.actor], center=(0.6, 0.48), velocity=(0.0, 0.05))
    scene = replace(scene, things=tuple(things))
    assert len(times_s) > 60
    frames, masks = zip(*pictures(scene, times_s, sample), strict=True)
    whole, mask = render(scene, times_s, sample.side_px)
    assert np.array_equal(masks, mask)
    # Only the grain differs, and by no more than twice its half width.
    assert np.abs(np.asarray(frames, int) - whole).max() <= np.ceil(2 * 255 * scene.noise) + 1
    grain = np.asarray(frames, int) - [
        f for f, _ in pictures(replace(scene, noise=0.0), times_s, sample)
    ]
    first, later = grain[0].ravel(), grain[24].ravel()
    assert abs(np.corrcoef(first, later)[0, 1]) < 0.05


def edges(box: Box) -> tuple[float, float, float, float]:
    return box.x, box.y, box.x + box.width, box.y + box.height


def inside_centre_square(box: Box, width: int, height: int) -> bool:
    side = min(width, height)
    left, top, right, bottom = np.multiply(edges(box), [width, height, width, height])
    x, y = (width - side) / 2, (height - side) / 2
    return bool(left >= x and right <= x + side and top >= y and bottom <= y + side)


def test_the_table_keeps_its_promises() -> None:
    assert len({sample.label for sample in SAMPLES}) == len(SAMPLES) == 6
    assert sum(sample.sound for sample in SAMPLES) == 2
    assert sum(sample.dropped > 0 for sample in SAMPLES) == 1
    assert [sample.rotation for sample in SAMPLES if sample.rotation] == [90]
    assert (SPEED.size, SPEED.duration_s) == ((640, 360), 10.0)
    for sample in (*SAMPLES, SPEED):
        assert sample.label in LABELS[1:]
        assert 3 <= sample.duration_s <= 10
        assert max(sample.size) >= 320
        assert not any(side % 2 for side in sample.size)  # H.264 would add a row
        assert sample.size[1 if sample.rotation else 0] % 128 == 0  # or bytes vary
        assert sample.side_px >= 240
        start, end = sample.event
        assert 0.75 <= end - start + 1e-9 <= 1.0 + 1e-9
        assert not start <= sample.duration_s / 2 <= end


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_one_window_of_the_model_sees_the_whole_event(sample: Sample) -> None:
    found = plan(
        sample_times(sample), frames=FRAMES, interval_s=INTERVAL_S, settings=SamplingSettings()
    )
    start, end = sample.event
    assert any(clip.start_s <= start and end <= clip.end_s for clip in found.clips)


def bundled(folder: Path) -> list[TrueVideo]:
    path = folder / FILE
    if not path.exists():
        pytest.skip("sample_videos is empty: python -m staa_cli.training.samples sample_videos/")
    return load_ground_truth(path).videos


def test_bundled_videos_are_those_of_the_truth(sample_videos: Path) -> None:
    videos = bundled(sample_videos)
    names = [video.file for video in videos]
    assert names == [sample.name for sample in SAMPLES]
    assert sorted(path.name for path in sample_videos.glob("*.mp4")) == sorted(names)
    assert sum(path.stat().st_size for path in sample_videos.iterdir()) < 3_000_000
    for video, sample in zip(videos, SAMPLES, strict=True):
        info = probe(sample_videos / video.file)
        assert info.sha256 == video.about["sha256"]
        assert (info.width, info.height, info.rotation) == (*sample.size, sample.rotation)
        assert info.duration_s == pytest.approx(sample.duration_s, abs=1e-3)
        assert (video.label, video.about["seed"]) == (sample.label, sample.seed)
        assert (info.audio is not None) == sample.sound
        assert info.variable_rate == (sample.dropped > 0)


def test_bundled_events_lie_in_the_centre_square(sample_videos: Path) -> None:
    for video in bundled(sample_videos):
        assert video.events is not None
        (event,) = video.events
        boxes = [box for box in video.boxes or () if event.start_s <= box.time_s <= event.end_s]
        assert len(boxes) >= 3
        for box in boxes:
            about = video.about
            assert inside_centre_square(box, about["width"], about["height"]), video.file


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_bundled_pixels_are_what_the_code_renders(sample: Sample, sample_videos: Path) -> None:
    """So that a changed generator does not leave stale files behind."""
    bundled(sample_videos)
    times_s = sample_times(sample)[[0, -1]]
    expected, _ = render(sample_scene(sample), times_s, sample.side_px)
    got = shown(sample_videos / sample.name, times_s.tolist())
    assert np.abs(got.astype(int) - expected).mean() < 6


@pytest.mark.parametrize("model", ["tiny-events", "tiny-events-joint"])
def test_the_ground_that_the_hop_has_left_is_what_the_class_is_read_from(model: str) -> None:
    """Heat lies there at 2.75 s: a copy of the actor there ends the hop, elsewhere it does not."""
    sample, loaded = SAMPLES[0], load_model(model)
    scene, hop = sample_scene(sample), LABELS.index("hop")
    times_s = 2.0 + INTERVAL_S * np.arange(FRAMES)
    square = np.s_[:, :, 64:-64]  # the part of 512 x 384 that the model sees
    frames, mask = (each[square] for each in render(scene, times_s, sample.side_px))
    resting = replace(scene, event=(10.0, 11.0))
    rest, place = (each[square] for each in render(resting, times_s, sample.side_px))
    found = explain_clip(loaded, frames.astype(np.uint8), target=hop)
    in_the_air = [3, 4]  # 2.75 s and 3 s
    left = coverage(_resized(place & ~mask), found.attribution.values.shape)[in_the_air] > 0
    heat = found.attribution.values[in_the_air]
    assert heat[left].mean() > 3 * heat.mean()

    def with_copy(down: int, right: int) -> np.ndarray:
        changed = frames.copy()
        for n in in_the_air:
            rows, columns = np.nonzero(place[n])
            free = ~mask[n][rows + down, columns + right]
            rows, columns = rows[free], columns[free]
            changed[n][rows + down, columns + right] = rest[n][rows, columns]
        return changed

    def probability(clip: np.ndarray) -> float:
        return float(explain_clip(loaded, clip).prediction.scores[hop])

    assert probability(frames) > 0.95
    assert probability(with_copy(0, 0)) < 0.05
    assert probability(with_copy(110, 40)) > 0.95
    assert probability(with_copy(60, -110)) > 0.95


def _resized(mask: np.ndarray) -> np.ndarray:
    """[T, 384, 384] to the nearest pixels [T, 112, 112] of the model's input."""
    nearest = ((np.arange(112) + 0.5) * mask.shape[1] / 112).astype(int)
    return mask[:, nearest][:, :, nearest]
