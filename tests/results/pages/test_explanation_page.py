"""The page of an explanation: nothing in it runs or is loaded but its own script and style."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from explanations import explanation, measured
from parsed_page import HOSTILE, Parsed
from PIL import Image

from staa_cli.config.settings import RenderSettings
from staa_cli.render.heat import HeatField
from staa_cli.results.pages.arrays import UNKNOWN
from staa_cli.results.pages.explanation import explanation_page
from staa_cli.results.pages.media import Media
from staa_cli.results.pages.page import assets
from staa_cli.results.pages.stills import Still
from staa_cli.results.pages.viewer import SCRIPTS
from staa_cli.schema import Explanation, ReportWarning

TYPES = {"int32": np.int32, "float32": np.float32, "uint16": np.uint16, "uint8": np.uint8}


def page_of(*explanations: Explanation, media: Media | None = None, **options: Any) -> str:
    picture = Still.of(Image.new("RGB", (64, 36), (90, 90, 90)))
    first = explanations[0]
    stills = {
        int(np.argmin(np.abs(first.video.times_s - m.peak_s))): picture for m in first.moments
    }
    source = media or Media("data:video/mp4;base64,AAAA", 0.0, "")
    return explanation_page(
        explanations, source, picture, stills, RenderSettings(), files=["report.json"], **options
    )


def arrays_of(page: Parsed) -> dict[str, np.ndarray]:
    """The arrays as the script reads them, independently of the code that packs them."""
    content = zlib.decompress(base64.b64decode(page.by_id["viewer-arrays"]))
    arrays, at = {}, 0
    for name, kind, length in json.loads(page.by_id["viewer-data"])["arrays"]:
        arrays[name] = np.frombuffer(content, TYPES[kind], length, at)
        at += arrays[name].nbytes
    assert at == len(content)
    return arrays


def hostile(text: str, source: Explanation) -> Explanation:
    """An explanation in which everything that a user can name is that text."""
    labels = (text, *source.model.labels[1:])
    prediction = replace(source.prediction, labels=labels)
    return replace(
        source,
        video=replace(source.video, path=f"clips/{text.replace('/', '')}.mp4", audio=text),
        model=replace(source.model, name=text, source=text, note=text, license=text, labels=labels),
        prediction=prediction,
        clip_predictions=tuple(prediction for _ in source.clips),
        attributions=tuple(replace(a, method=text, units=text) for a in source.attributions),
        warnings=(ReportWarning("low-confidence", text),),
        strategy=text,
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_what_users_name_stays_text(text: str) -> None:
    plain, page = (Parsed(page_of(hostile(name, explanation()))) for name in ("plain", text))
    assert [(tag, list(attrs)) for tag, attrs in page.elements] == [
        (tag, list(attrs)) for tag, attrs in plain.elements
    ]
    assert " ".join(text.split()) in page.text
    data = json.loads(page.by_id["viewer-data"])
    assert data["methods"][0]["name"] == text
    arrays_of(page)  # the block after it is whole


def test_lone_surrogates_of_a_file_name_are_escaped() -> None:
    source = explanation()
    page = page_of(replace(source, video=replace(source.video, path="a\udcff.mp4")))
    page.encode()
    assert "a\\xff.mp4" in Parsed(page).text


@pytest.mark.parametrize("text", ["plain", HOSTILE[0]])
def test_no_handler_no_style_attribute_and_nothing_from_elsewhere(text: str) -> None:
    source = replace(hostile(text, explanation()), faithfulness=measured())
    page = Parsed(page_of(source))
    for tag, name, value in page.attributes():
        assert not name.startswith("on"), (tag, name)
        assert name != "style"
        if name in ("src", "poster"):
            assert value is not None
            assert value.startswith("data:")
        if name == "href":
            assert value == "report.json"
    assert page.of("link") == []
    assert "@import" not in "".join(page.raw["style"])
    assert re.search(r"https?:|//\w", "".join(page.raw["style"])) is None


def test_the_policy_allows_exactly_the_script_and_the_style() -> None:
    page = Parsed(page_of(explanation()))
    policy = next(attrs["content"] for attrs in page.of("meta") if "http-equiv" in attrs)
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    code = [text for text in page.raw["script"] if '"use strict"' in text]
    assert len(code) == len(page.raw["style"]) == 1

    def source_of(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    assert rules == {
        "default-src": "'none'",
        "script-src": source_of(code[0]),
        "style-src": source_of(page.raw["style"][0]),
        "img-src": "data:",
        "media-src": "data: blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_a_linked_video_is_the_only_other_file_that_the_policy_allows() -> None:
    page = page_of(explanation(), media=Media("./../a%23b.mp4", 0.0, "linked"))
    assert "media-src 'self' file:;" in page
    assert Parsed(page).of("video")[0]["src"] == "./../a%23b.mp4"


def test_the_code_is_small() -> None:
    assert len(assets(SCRIPTS).encode()) < 40_000
    source = explanation(frames=30)
    page = page_of(source)
    data = Parsed(page).by_id
    code = len(page.encode()) - sum(len(text) for text in data.values())
    assert code < 100_000


@pytest.mark.parametrize("scale", ["video", "clip", "frame"])
@pytest.mark.parametrize("flat_space", [False, True])
def test_the_maps_are_those_of_the_annotated_video(scale: str, flat_space: bool) -> None:
    source = explanation(frames=300, flat_space=flat_space)
    arrays = arrays_of(Parsed(page_of(source)))
    field = HeatField(source, scale)
    size = source.maps.values[0].size
    ceilings = arrays[f"ceiling_{scale}_0"]
    tops = arrays["top_0"] / np.where(ceilings > 0, ceilings, 1)
    maps = arrays["maps_0"].reshape(-1, size) / 255 * tops[:, None]
    expected = field.levels.reshape(-1, size)
    np.testing.assert_allclose(np.minimum(maps, 1), expected, rtol=0, atol=float(tops.max()) / 250)


def test_times_are_exact_to_a_microsecond_and_scores_to_a_thousandth() -> None:
    source = explanation(frames=3000, rate=30000 / 1001, clip_starts=[0, 900], part=(100, 2000))
    page = Parsed(page_of(source))
    data, arrays = json.loads(page.by_id["viewer-data"]), arrays_of(page)
    frames = source.frames
    times = data["start_s"] + np.cumsum(arrays["frame_us"].astype(np.int64)) / 1e6
    np.testing.assert_allclose(times, frames.times_s, rtol=0, atol=1.1e-6)
    knots = data["start_s"] + np.cumsum(arrays["knot_us_0"].astype(np.int64)) / 1e6
    np.testing.assert_allclose(knots, source.maps.times_s, rtol=0, atol=1.1e-6)
    low, high = data["methods"][0]["scores"]
    scores = arrays["scores_0"]
    np.testing.assert_array_equal(scores == UNKNOWN, ~frames.covered)
    known = low + scores[frames.covered] / (UNKNOWN - 1) * (high - low)
    expected = frames.weighted_score[frames.covered]
    np.testing.assert_allclose(known, expected, rtol=0, atol=(high - low) / 1000)
    np.testing.assert_array_equal(arrays["seen"] == 1, frames.seen)
    assert data["first"] == 100


def test_ten_minutes_stay_small() -> None:
    source = explanation(frames=18_000, rate=30.0)
    assert len(page_of(source).encode()) < 2_000_000


def test_readable_without_scripts() -> None:
    source = replace(explanation(), faithfulness=measured())
    page = Parsed(page_of(source))
    (video,) = page.of("video")
    assert "controls" in video
    assert video["poster"] is not None
    assert video["poster"].startswith("data:image/jpeg;base64,")
    pictures = page.of("img")
    assert len(pictures) == len(source.moments)
    assert all(attrs["alt"] for attrs in pictures)
    for words in ("windsurfing", "87 %", "timesformer-base-k400", "of the evidence", "insertion"):
        assert words in page.text
    hidden = [attrs for tag, attrs in page.elements if "hidden" in attrs]
    assert [attrs.get("class") for attrs in hidden] == [
        *("crop", "badge", "problem", "controls", "playhead", "pointer"),
    ]


def test_a_flat_curve_says_so_and_what_was_not_seen_is_hatched() -> None:
    flat = page_of(explanation(flat=True))
    assert "so no moment stands out" in Parsed(flat).text
    assert 'fill="url(#hatch)"' not in flat
    sparse = page_of(explanation(clip_starts=[0, 200]))
    assert 'fill="url(#hatch)"' in sparse


@pytest.mark.parametrize("count", [1, 2])
def test_a_row_for_each_method(count: int) -> None:
    source = explanation()
    others: Sequence[Explanation] = [
        replace(source, attributions=tuple(replace(a, method="other") for a in source.attributions))
    ]
    page = Parsed(page_of(source, *others[: count - 1]))
    lanes = [attrs for attrs in page.of("div") if attrs.get("class") == "lane"]
    assert [lane["data-method"] for lane in lanes] == [str(place) for place in range(count)]
    assert len([attrs for attrs in page.of("select") if attrs["class"] == "method"]) == count - 1
    assert f"maps_{count - 1}" in arrays_of(page)


def test_raw_values_have_no_bars() -> None:
    page = Parsed(page_of(explanation(output="identity", confidence=1.55)))
    assert "score 1.55" in page.text
    assert not [attrs for attrs in page.of("svg") if attrs.get("class") in ("meter", "clips")]
