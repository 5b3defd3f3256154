"""Everything written on a picture fits, touches nothing else, and says the right thing."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explanations import explanation

from staa_cli.config.settings import RenderSettings
from staa_cli.errors import OutputError
from staa_cli.render.curve import Curve, unseen
from staa_cli.render.layout import Box, Layout, Place, Texts, font_size, plan, shorten
from staa_cli.render.painter import Painter
from staa_cli.render.text import answer, clock, drawable, measure, percent
from staa_cli.video.encode import Shape, VideoWriter
from staa_cli.video.pixels import YuvPlanes

SIZES = [
    (64, 64), (160, 90), (162, 122), (320, 240), (426, 240), (768, 432), (852, 240),
    (1920, 1080), (3840, 2160), (1080, 1920), (240, 426),
]  # fmt: skip
LABELS = ["archery", "x" * 400, "putting on a very long label with no end in sight at all"]
PLACES: list[Place] = ["below", "over"]


def layout(
    size: tuple[int, int],
    label: str = "archery",
    clock_text: str = "1:02:03.4 / 1:30:00.0",
    method: str = "staa · timesformer-base",
    place: Place = "below",
    note: str = "",
) -> tuple[Layout, Texts]:
    texts = Texts(label, "87 %", method, clock_text, "0", "0.00031", note)
    return plan(size, font_size(*size), texts, measure, place), texts


def apart(a: Box, b: Box) -> bool:
    return a.right <= b.left or b.right <= a.left or a.bottom <= b.top or b.bottom <= a.top


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("note", ["", "all inside 25 %"])
@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("size", SIZES)
def test_boxes_lie_in_the_picture_and_apart_from_each_other(
    size: tuple[int, int], label: str, note: str, place: Place
) -> None:
    found = layout(size, label, place=place, note=note)[0]
    boxes = found.boxes()
    for name, box in boxes.items():
        assert 0 <= box.left < box.right <= found.size[0], name
        assert 0 <= box.top < box.bottom <= found.size[1], name
    for (one, a), (two, b) in itertools.combinations(boxes.items(), 2):
        assert apart(a, b), (one, two)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("size", SIZES)
def test_texts_are_no_wider_than_their_boxes(
    size: tuple[int, int], label: str, place: Place
) -> None:
    found, texts = layout(size, label, place=place)
    if found.title:
        assert measure(found.title.label_text, found.title_px) <= found.title.label.width
        assert found.title.label_text.endswith("87 %")
        if found.title.method:
            assert measure(found.title.method_text, found.font_px) <= found.title.method.width
    if found.strip.clock:
        assert measure(texts.clock, found.font_px) <= found.strip.clock.width
    if found.strip.legend:
        assert measure(texts.high, found.font_px) <= found.strip.legend.high.width


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("width", range(200, 700, 20))
def test_what_is_said_of_coverage_is_said_as_a_whole(width: int, place: Place) -> None:
    items = ["staa-class", "tiny-events", "24 % of frames seen", "100 % covered"]
    title = layout((width, 240), method=" · ".join(items), place=place)[0].title
    if title.method:
        told = title.method_text.split(" · ")
        assert told[2:] == items[2 : len(told)]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("size", [(256, 256), (320, 240)])
def test_a_method_of_a_long_named_model_is_still_told(size: tuple[int, int], place: Place) -> None:
    title = layout(size, method="rollout · " + "checkpoint-" * 20, place=place)[0].title
    assert title.method
    assert title.method_text.startswith("rollout · check")
    assert title.method_text.endswith("…")


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("size", [s for s in SIZES if min(s) >= 240])
def test_from_240_lines_on_nothing_is_left_out(
    size: tuple[int, int], place: Place, label: str
) -> None:
    found = layout(size, label, clock_text="10.0 s / 10.0 s", place=place)[0]
    names = {"label", "method", "curve", "clock", "low", "bar", "high"}
    assert set(found.boxes()) == names
    assert found.strip.legend.bar.width >= 4 * found.font_px


@pytest.mark.parametrize("size", SIZES)
def test_below_nothing_is_written_on_the_picture_and_letters_are_large_enough(
    size: tuple[int, int],
) -> None:
    found = layout(size)[0]
    assert found.font_px >= max(10, 0.03 * min(size))
    assert all(box.top >= size[1] for box in found.boxes().values())
    assert found.title.plate.top >= found.strip.plate.top == size[1]
    assert found.strip.plate.bottom == found.size[1]
    assert found.size[1] <= (1.65 if size[1] < 200 else 1.35) * size[1] + 1
    assert found.size[1] % 2 == 0


@pytest.mark.parametrize("size", SIZES)
def test_over_the_strip_hides_a_quarter_at_most_and_the_title_never_a_third(
    size: tuple[int, int],
) -> None:
    found = layout(size, place="over")[0]
    assert found.size == size
    assert found.strip.plate.bottom == size[1]
    assert found.strip.plate.height <= 0.25 * size[1] + 2
    if found.title:
        assert found.title.plate.bottom <= size[1] / 3
        assert found.title.plate.width * found.title.plate.height <= size[0] * size[1] / 5


@pytest.mark.parametrize("size", SIZES)
def test_without_a_strip_nothing_is_written(size: tuple[int, int]) -> None:
    found = layout(size, place="none")[0]
    assert found.size == size
    assert found.boxes() == {}


@pytest.mark.parametrize("place", PLACES)
def test_a_picture_without_room_gets_no_text(place: Place) -> None:
    found = layout((16, 16), place=place)[0]
    assert found.boxes() == {}
    assert found.size == (16, 16)


@pytest.mark.parametrize(("height", "place"), [(16_300, "below"), (16_370, "over")])
def test_where_a_strip_below_would_be_beyond_h264_it_is_drawn_over(
    height: int, place: Place
) -> None:
    found = layout((320, height))[0]
    assert found.place == place
    assert found.size[1] <= 16_384
    assert (found.size[1] == height) == (place == "over")


def test_the_encoder_refuses_what_is_higher_still(tmp_path: Path) -> None:
    shape = Shape(320, 16_386, Fraction(1, 30), Fraction(30), variable_rate=False)
    with pytest.raises(OutputError, match="16384 per side"):
        VideoWriter(tmp_path / "a.mp4", shape)


def test_a_cut_label_ends_in_an_ellipsis_and_is_as_long_as_fits() -> None:
    cut = shorten("windsurfing", 50, 12, measure)
    assert cut.endswith("…")
    assert measure(cut, 12) <= 50 < measure("windsurfing"[: len(cut)] + "…", 12)
    assert shorten("windsurfing", 500, 12, measure) == "windsurfing"
    assert shorten("windsurfing", 1, 12, measure) == ""


@pytest.mark.parametrize(
    ("raw", "written"),
    [
        ("Café Ölberg", "Cafe Olberg"),
        ("a\nb\tc", "a b c"),
        ("滑雪", "??"),
        ("<b>&amp;", "<b>&amp;"),
        ("x\u202ey\x00", "xy"),
        ("Straße \u2013 \u201eok\u201c", 'Strasse - ?ok"'),
    ],
)
def test_labels_are_spelled_in_letters_that_the_font_has(raw: str, written: str) -> None:
    assert drawable(raw) == written


@pytest.mark.parametrize(
    ("share", "written"),
    [(0.874, "87 %"), (1.0, "100 %"), (0.9999, ">99 %"), (0.002, "<1 %"), (0.0, "0 %")],
)
def test_a_probability_is_never_rounded_to_certainty(share: float, written: str) -> None:
    assert percent(share) == written


@pytest.mark.parametrize(
    ("score", "output", "written"),
    [
        (0.8171, "softmax", "82 %"),
        (0.8171, "sigmoid", "82 %"),
        (1.5519, "identity", "score 1.55"),
        (0.8171, "identity", "score 0.817"),
        (-0.0, "identity", "score 0"),
        (-123.4, "identity", "score -123"),
        (1241.8, "identity", "score 1242"),
        (-999.6, "identity", "score -1000"),
        (2.5e7, "identity", "score 2.5e+07"),
    ],
)
def test_an_answer_is_written_as_what_it_is(score: float, output: Any, written: str) -> None:
    assert answer(score, output) == written


@pytest.mark.parametrize(
    ("time_s", "total_s", "written"),
    [
        (3.21, 10, "3.2 s"),
        (59.98, 60, "1:00.0"),
        (3.2, 139.4, "0:03.2"),
        (3723.4, 7200, "1:02:03.4"),
    ],
)
def test_clock_follows_the_length_of_the_whole(time_s: float, total_s: float, written: str) -> None:
    assert clock(time_s, total_s) == written


def gray(width: int, height: int, luma: int) -> YuvPlanes:
    chroma = np.full((height // 2, width // 2), 128, np.uint8)
    return YuvPlanes(np.full((height, width), luma, np.uint8), chroma, chroma)


@pytest.mark.parametrize("size", [(320, 240), (1280, 720), (3840, 2160)])
@pytest.mark.parametrize("part", [0.0, 0.31, 0.77, 1.0])
def test_the_playhead_stands_at_the_time(size: tuple[int, int], part: float) -> None:
    source = explanation(size=size, strength=lambda t: 0.0)
    painter = Painter(source, RenderSettings())
    time_s = part * source.video.duration_s
    area = painter.layout.strip.curve
    after = painter.draw(0, time_s, gray(*size, 40))
    white = np.nonzero((after.y[area.top : area.bottom] == 235).all(axis=0))[0]
    expected = area.left + part * (area.width - 1)
    assert white[0] == pytest.approx(expected, abs=0.51)
    assert len(white) <= max(2, size[1] / 300)


@pytest.mark.parametrize("luma", [16, 235])
def test_text_stands_out_on_dark_and_on_light_footage(luma: int) -> None:
    painter = Painter(explanation(size=(426, 240)), RenderSettings())
    after = painter.draw(0, 0.5, gray(426, 240, luma))
    for box in (painter.layout.title.label, painter.layout.strip.clock):
        part = after.y[box.top : box.bottom, box.left : box.right].astype(float)
        light, dark = (((level - 16) / 219) ** 2.2 for level in (part.max(), np.median(part)))
        assert (light + 0.05) / (dark + 0.05) > 4.5


def test_the_clock_changes_with_the_time_and_the_rest_of_the_strip_does_not() -> None:
    painter = Painter(explanation(strength=lambda t: 0.0), RenderSettings())
    first, later = (painter.draw(0, t, gray(1280, 720, 90)).y for t in (2.0, 7.0))
    box = painter.layout.strip.clock
    differs = first != later
    assert differs[box.top : box.bottom, box.left : box.right].any()
    differs[box.top : box.bottom, box.left : box.right + 1] = False
    area = painter.layout.strip.curve
    differs[area.top - 1 : area.bottom + 1] = False
    assert not differs.any()


def curve_row(painter: Painter, after: YuvPlanes, part: float) -> float:
    """The topmost row of a column of the curve's area that is lighter than the plate."""
    area = painter.layout.strip.curve
    column = after.y[area.top : area.bottom, area.left + round(part * (area.width - 1))]
    return int(np.argmax(column > 90)) / area.height


def test_the_curve_peaks_where_the_score_does() -> None:
    source = explanation(strength=lambda t: 0.05 + np.exp(-(((t - 7.5) / 0.8) ** 2)))
    painter = Painter(source, RenderSettings(opacity=0.0))
    after = painter.draw(0, 0.0, gray(1280, 720, 16))
    assert curve_row(painter, after, 0.75) < 0.15
    assert curve_row(painter, after, 0.25) > 0.8


def test_a_flat_curve_is_level_and_says_so() -> None:
    score = np.random.default_rng(0).random(300).astype(np.float32)
    source = explanation(flat=True)
    source.frames.weighted_score[:] = 1 + 0.01 * score
    curve = Curve.of(source)
    (line,) = curve.points(500, 101)
    assert len({y for _, y in line}) == 1
    assert line[0][1] == pytest.approx(50)
    flat, other = (
        Painter(explanation(flat=f), RenderSettings()).draw(0, 0, gray(1280, 720, 16)).y
        for f in (True, False)
    )
    assert (flat[620:720] != other[620:720]).any()


def test_a_narrow_peak_of_a_long_video_is_not_lost() -> None:
    source = explanation(frames=20000)
    source.frames.weighted_score[:] = 0.1
    source.frames.weighted_score[12345] = 5
    (points,) = Curve.of(source).points(300, 100)
    assert min(y for _, y in points) == 0
    assert len(points) <= 301


def test_negative_scores_hang_below_the_zero_line() -> None:
    source = explanation()
    source.frames.weighted_score[:] = np.linspace(-1, 1, 300)
    curve = Curve.of(source)
    assert curve.y(0, 101) == pytest.approx(50)
    assert curve.points(300, 101)[0][0][1] == pytest.approx(100)


def test_back_to_back_clips_leave_nothing_unseen() -> None:
    assert unseen(explanation()) == []


def test_what_no_clip_covers_is_unseen() -> None:
    source = explanation(frames=600, clip_starts=[120, 400], stride=6)
    # Clips of 8 frames, 6 apart, speak for 6 frames more on either side.
    assert np.array(unseen(source)) * 30 == pytest.approx(
        np.array([(0, 114), (120 + 42 + 7, 394), (400 + 42 + 7, 600)])
    )


def test_a_line_ends_where_the_model_did_not_look() -> None:
    source = explanation(frames=600, clip_starts=[120, 400], stride=6)
    first, last = Curve.of(source).points(601, 100)
    assert (first[0][0], first[-1][0]) == pytest.approx((114, 169))
    assert (last[0][0], last[-1][0]) == pytest.approx((394, 449))


def test_the_axis_is_that_of_the_stretch() -> None:
    source = explanation(frames=600, part=(300, 450))
    curve = Curve.of(source)
    assert (curve.start_s, curve.end_s) == (10, 15)
    assert [curve.x(t, 101) for t in (9, 10, 12.5, 15)] == [0, 0, 50, 100]


def test_unseen_stretches_are_hatched_and_seen_ones_are_not() -> None:
    source = explanation(frames=600, clip_starts=[0], strength=lambda t: 0.0)
    painter = Painter(source, RenderSettings())
    after = painter.draw(0, 0.0, gray(1280, 720, 16))
    area = painter.layout.strip.curve
    upper = after.y[area.top + 2 : area.top + area.height // 2]
    seen = upper[:, area.left + 20 : area.left + area.width // 20].astype(int)
    other = upper[:, area.left + area.width // 2 : area.right - 4].astype(int)
    assert np.ptp(seen) <= 2
    assert np.ptp(other) > 40
