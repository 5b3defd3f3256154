from __future__ import annotations

import hashlib
import os
import shutil
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from stamped import stamp, write_stamped

from staa_cli.errors import VideoError
from staa_cli.video.probe import probe

# name: frames, seconds, width, height, rotation, audio; from the table beside the clips.
CLIPS = {
    "arm_wrestling.mp4": (280, 10.0, 340, 256, 0, None),
    "windsurfing.mp4": (300, 10.0, 426, 320, 0, None),
    "weightlifting.mp4": (169, 5.633, 320, 320, 0, None),
    "archery.avi": (131, 5.24, 320, 240, 0, "mp3"),
    "pancake.mkv": (310, 10.333, 426, 240, 0, "opus"),
    "person_walkby_long.mp4": (1394, 139.4, 768, 432, 0, None),
    "selfie_hevc_rot90_vfr.mp4": (53, 1.782, 1080, 1440, 90, None),
    "dog_rot180_vfr.mp4": (25, 2.380, 1280, 720, 180, "aac"),
    "bunny_vp8_vorbis.webm": (720, 30.0, 1280, 720, 0, "vorbis"),
    "solar_hdr10_av1_portrait.mp4": (127, 4.238, 720, 1280, 0, "aac"),
    "bear_vp9_odd.webm": (30, 1.001, 161, 121, 0, None),
    "concert_1080p50_pcm.mov": (100, 2.0, 1920, 1080, 0, "pcm_s16le"),
}
VARIABLE = {"selfie_hevc_rot90_vfr.mp4", "dog_rot180_vfr.mp4"}


@pytest.mark.parametrize("name", CLIPS)
def test_clips_are_what_their_table_says(clips: Path, name: str) -> None:
    frames, seconds, width, height, rotation, audio = CLIPS[name]
    info = probe(clips / name)
    assert (info.frames, info.width, info.height) == (frames, width, height)
    assert (info.rotation, info.mirrored, info.audio) == (rotation, False, audio)
    assert info.duration_s == pytest.approx(seconds, abs=0.002)
    assert info.rate == pytest.approx(frames / seconds, rel=0.01)
    assert info.variable_rate == (name in VARIABLE)
    assert info.times_s[0] == 0
    assert np.all(np.diff(info.times_s) > 0)
    assert info.transfer == ("pq" if "hdr10" in name else "sdr")
    assert not info.truncated
    assert info.sha256 == hashlib.sha256((clips / name).read_bytes()).hexdigest()


def test_pixel_shape_is_kept(clips: Path) -> None:
    assert probe(clips / "arm_wrestling.mp4").sample_aspect_ratio == (64, 51)
    assert probe(clips / "pancake.mkv").sample_aspect_ratio == (1, 1)


def test_pixel_shape_turns_with_the_picture(stamped: Path, ffmpeg: Callable[..., bytes]) -> None:
    tall, turned = stamped.with_name("sar.mp4"), stamped.with_name("sar-turned.mp4")
    ffmpeg("-i", stamped, "-frames:v", 5, "-vf", "setsar=4/3", tall)
    ffmpeg("-i", tall, "-c", "copy", "-metadata:s:v", "rotate=90", turned)
    assert probe(tall).sample_aspect_ratio == (4, 3)
    assert probe(turned).sample_aspect_ratio == (3, 4)
    assert probe(turned).rotation in (90, 270)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts", "avi", "flv", "mov", "nut"])
@pytest.mark.parametrize("b_frames", [0, 2])
def test_every_container_shows_the_same_frames(tmp_path: Path, ending: str, b_frames: int) -> None:
    info = probe(write_stamped(tmp_path / f"x.{ending}", 60, b_frames=b_frames))
    assert info.frames == 60
    # Matroska and FLV count in milliseconds.
    assert info.times_s == pytest.approx(np.arange(60) / 30, abs=0.00051)
    assert info.duration_s == pytest.approx(2.0, abs=0.002)
    assert not info.variable_rate


def test_raw_stream_has_the_times_of_its_stated_rate(tmp_path: Path) -> None:
    info = probe(write_stamped(tmp_path / "x.h264", 40, rate=50, container="h264"))
    assert info.times_s == pytest.approx(np.arange(40) / 50)
    assert info.duration_s == pytest.approx(0.8)


@pytest.mark.parametrize("b_frames", [0, 2])
def test_variable_rate(tmp_path: Path, b_frames: int) -> None:
    ticks = [0, 40, 80, 500, 510, 1200, 1201, 3000]
    info = probe(
        write_stamped(
            tmp_path / "x.mp4", 8, ticks=ticks, time_base=Fraction(1, 1000), b_frames=b_frames
        )
    )
    assert info.variable_rate
    assert info.times_s == pytest.approx(np.array(ticks) / 1000, abs=1e-9)
    assert info.duration_s > 3


def test_late_start_is_told_apart_from_time_in_the_video(tmp_path: Path) -> None:
    info = probe(write_stamped(tmp_path / "x.ts", 30, start=300))
    assert info.start_s == pytest.approx(10, abs=1.5)  # the muxer adds its own delay
    assert info.times_s[0] == 0
    assert info.duration_s == pytest.approx(1.0)


def test_edit_list_hides_frames(stamped: Path, ffmpeg: Callable[..., bytes]) -> None:
    cut = stamped.with_name("cut.mp4")
    ffmpeg("-ss", 1.0, "-i", stamped, "-c", "copy", cut)
    raw = ffmpeg("-i", cut, "-fps_mode", "passthrough", "-pix_fmt", "gray", "-f", "rawvideo", "-")
    assert probe(cut).frames == len(raw) // (320 * 240)


def test_times_that_jump_back_still_rise(stamped: Path, tmp_path: Path) -> None:
    one = write_stamped(tmp_path / "one.ts", 60)
    both = tmp_path / "both.ts"
    both.write_bytes(one.read_bytes() * 2)
    info = probe(both)
    assert info.frames == 120
    assert np.all(np.diff(info.times_s) > 0)
    assert info.duration_s == pytest.approx(4.0, abs=0.1)


def test_interlaced(tmp_path: Path, ffmpeg: Callable[..., bytes]) -> None:
    source = ("-f", "lavfi", "-i", "testsrc2=s=320x240:d=1")
    ffmpeg(*source, "-c:v", "libx264", "-flags", "+ildct+ilme", tmp_path / "i.mp4")
    ffmpeg(*source, "-c:v", "libx264", tmp_path / "p.mp4")
    assert probe(tmp_path / "i.mp4").interlaced
    assert not probe(tmp_path / "p.mp4").interlaced


def test_damage_and_cuts_are_noticed(tmp_path: Path, ffmpeg: Callable[..., bytes]) -> None:
    whole = write_stamped(tmp_path / "whole.mp4", 120)
    fast = tmp_path / "fast.mp4"
    ffmpeg("-i", whole, "-c", "copy", "-movflags", "+faststart", fast)
    assert not probe(fast).truncated
    data = fast.read_bytes()
    fast.write_bytes(data[: len(data) * 6 // 10])
    info = probe(fast)
    assert info.truncated
    assert info.frames < info.frames_declared == 120


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = write_stamped(tmp_path / "x.mp4", 20)
    before = probe(path)
    write_stamped(path, 30)
    after = probe(path)
    assert (before.frames, after.frames) == (20, 30)
    assert before.sha256 != after.sha256


@pytest.mark.parametrize(
    "name",
    [
        "a b.mp4",
        "a:b.mp4",
        "ü→.mp4",
        "-x.mp4",
        "%03d.mp4",
        "*.mp4",
        "q'\".mp4",
        "~",
        "n\nl",
        "noend",
    ],
)
def test_any_name(
    stamped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(stamped, tmp_path / name)
    assert probe(name).frames == 120


def test_name_that_is_no_text(stamped: Path, tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.mp4"))
    try:
        shutil.copy(stamped, path)
    except OSError:
        pytest.skip("this file system wants names to be text")
    assert probe(path).frames == 120


def _png(side: int) -> bytes:
    header = struct.pack(">I4sIIBBBBBI", 13, b"IHDR", side, side, 8, 2, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + header + bytes(100)


NO_VIDEOS = {
    "empty": (b"", "empty"),
    "text": (b"hello\n" * 1000, "not a readable video"),
    "zeros": (bytes(100_000), "not a readable video"),
    "json": (b'{"a": 1}' * 100, "not a readable video"),
    "html": (b"<!DOCTYPE html><html></html>", "not a video"),
    "subtitles": (b"1\n00:00:00,000 --> 00:00:01,000\nhi\n", "not a readable video"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
    "zip": (b"PK\x03\x04" + bytes(1000), "ZIP"),
    "png": (_png(60_000), "still picture"),
    "sdp": (b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 5004 RTP/AVP 96\n", "not followed"),
    "y4m bomb": (b"YUV4MPEG2 W60000 H60000 F25:1\nFRAME\n" + bytes(1000), "not a readable video"),
}


@pytest.mark.parametrize("kind", NO_VIDEOS)
def test_no_video_gets_one_clear_line(tmp_path: Path, kind: str) -> None:
    content, words = NO_VIDEOS[kind]
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(VideoError, match=words) as caught:
        probe(path)
    assert "\n" not in caught.value.cause


@pytest.mark.parametrize(
    "script",
    [
        "ffconcat version 1.0\nfile '{}'\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nfile://{}\n#EXT-X-ENDLIST\n",
    ],
)
def test_scripts_that_name_other_files_are_not_followed(
    tmp_path: Path, stamped: Path, script: str
) -> None:
    for name in ("clip.mp4", "clip.m3u8", "clip.ffconcat"):
        (tmp_path / name).write_text(script.format(stamped))
        with pytest.raises(VideoError, match="not followed"):
            probe(tmp_path / name)


def test_places_that_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    for path, words in {
        tmp_path: "folder",
        tmp_path / "pipe": "pipe",
        tmp_path / "loop": "cannot be read",
        tmp_path / "dangling": "no such file",
        tmp_path / "missing": "no such file",
        Path("/dev/zero"): "device",
    }.items():
        with pytest.raises(VideoError, match=words):
            probe(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_no_permission(stamped: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    shutil.copy(stamped, path)
    path.chmod(0)
    with pytest.raises(VideoError, match="permission"):
        probe(path)


def test_missing_index_unknown_codec_and_sound_alone(
    stamped: Path, tmp_path: Path, ffmpeg: Callable[..., bytes]
) -> None:
    data = stamped.read_bytes()
    cut, strange, sound = tmp_path / "cut.mp4", tmp_path / "codec.mp4", tmp_path / "sound.mp4"
    cut.write_bytes(data[: len(data) // 2])
    strange.write_bytes(data.replace(b"avc1", b"zzzz"))
    ffmpeg("-f", "lavfi", "-i", "sine=d=1", sound)
    for path, words in {cut: "moov", strange: "codec", sound: "only sound"}.items():
        with pytest.raises(VideoError, match=words):
            probe(path)


def test_tags_in_an_old_code_page(
    stamped: Path, tmp_path: Path, ffmpeg: Callable[..., bytes]
) -> None:
    path = tmp_path / "x.mp4"
    ffmpeg("-i", stamped, "-c", "copy", "-metadata", "title=ABCDEFGH", path)
    path.write_bytes(path.read_bytes().replace(b"ABCDEFGH", b"\xe4\xf6\xfc\xff\xfe\xe9\xe8\xe7"))
    assert probe(path).frames == 120


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (161, 121), (2000, 16)])
def test_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    picture = np.zeros((size[1], size[0], 3), np.uint8)
    path = write_stamped(tmp_path / "x.mkv", [picture] * 3, codec="ffv1", pixels="yuv444p")
    info = probe(path)
    assert (info.width, info.height, info.frames) == (*size, 3)


def test_one_frame(tmp_path: Path) -> None:
    info = probe(write_stamped(tmp_path / "x.mp4", [stamp(0)]))
    assert (info.frames, info.variable_rate) == (1, False)
    assert info.duration_s == pytest.approx(1 / 30)
