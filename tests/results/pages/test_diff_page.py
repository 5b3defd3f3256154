"""The page of two runs: what it shows of them, and that nothing in it runs but its own script."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from compared_runs import edited, result
from diffed_runs import compared, write_diff
from indexed_results import MEDIA, write_page
from parsed_page import HOSTILE, Parsed
from stamped import write_stamped

from staa_cli.results.diff.gate import Gate, Limit, label_changes, shift_limit
from staa_cli.results.diff.moved import map_gain
from staa_cli.results.diff.pairs import Result
from staa_cli.results.diff.run import diff
from staa_cli.results.pages import diff as diff_pages
from staa_cli.results.pages.diff import GENERATOR, SCRIPTS, STYLES, diff_page
from staa_cli.results.pages.media import Media
from staa_cli.results.pages.page import assets, is_page

TYPES = {"int32": np.int32, "float32": np.float32, "uint16": np.uint16, "uint8": np.uint8}


def arrays_of(page: Parsed, name: str = "pair-0") -> dict[str, np.ndarray]:
    """The arrays as the script reads them."""
    content = zlib.decompress(base64.b64decode(page.by_id[f"{name}-arrays"]))
    arrays, at = {}, 0
    for key, kind, length in json.loads(page.by_id[f"{name}-data"])["arrays"]:
        arrays[key] = np.frombuffer(content, TYPES[kind], length, at)
        at += arrays[key].nbytes
    assert at == len(content)
    return arrays


def rows_of(page: Parsed) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(page.by_id["diff-data"])
    return found


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Three videos in both runs, one lost, one added, and one that cannot be read."""
    for video in ("walk.mp4", "run.mp4", "jump.mp4", "lost.mp4"):
        result(tmp_path / "old", video)
    result(tmp_path / "new", "walk.mp4", weights="new")
    result(tmp_path / "new", "run.mp4", weights="new", peak_s=1.5, codes=("low-confidence",))
    result(tmp_path / "new", "jump.mp4", weights="new", peak_s=0.8, label="sailing")
    result(tmp_path / "new", "added.mp4", weights="new")
    (result(tmp_path / "new", "cut.mp4")).write_text("{")
    return tmp_path


def test_a_row_says_what_the_comparison_says(runs: Path) -> None:
    gates: list[Gate] = [shift_limit("--max-shift", "0.2"), label_changes("--max-label-changes", 1)]
    found = compared(runs, gates)
    page = Parsed(diff_page(found, runs))
    rows, pairs = rows_of(page), {pair.video.path: pair for pair in found.pairs}
    # Beyond a gate come first: both the label and the shift, then the shift alone.
    assert rows["video"] == ["jump.mp4", "run.mp4", "walk.mp4"]
    for number, video in enumerate(rows["video"]):
        pair = pairs[video]
        assert rows["shift"][number] == pytest.approx(pair.temporal.shift_s, abs=1e-3)
        assert rows["moved"][number] == pytest.approx(pair.spatial.energy_moved, abs=1e-3)
        assert rows["rank"][number] == pytest.approx(pair.temporal.rank_correlation, abs=0.01)
    assert rows["beyond"] == [[0, 1], [0], []]
    assert rows["gates"] == ["--max-shift 0.2", "--max-label-changes 1"]
    labels = [[rows["labels"][label] for label in both] for both in rows["label"]]
    assert labels == [["windsurfing", "sailing"], *[["windsurfing"] * 2] * 2]
    assert [[rows["codes"][code] for code in row] for row in rows["added"]] == [
        [], ["low-confidence"], []
    ]  # fmt: skip
    assert {one[3]: one[0] for one in rows["failed"]} == {
        "lost": "lost.mp4", "added": "added.mp4", "unreadable": ""
    }  # fmt: skip
    assert "is not JSON" in next(one[1] for one in rows["failed"] if one[3] == "unreadable")
    assert "Could not be evaluated" in page.text


def test_the_two_small_curves_are_on_one_scale(tmp_path: Path) -> None:
    frames = json.loads(result(tmp_path / "old", peak_s=0.5).read_text())["frames"]
    result(tmp_path / "new", strength=lambda t: 1.0 + 0.0 * t)
    rows = rows_of(Parsed(write_diff(tmp_path).read_text()))
    old, new = rows["curve"][0]
    levels = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    assert max(map(levels.find, old)) == 61
    assert 8 < max(map(levels.find, new)) < 30  # even: far below the peak of the other one
    peak = max(range(len(old)), key=lambda place: levels.find(old[place]))
    expected_s = frames["time_s"][int(np.argmax(frames["score"]))]
    assert peak / len(old) == pytest.approx(expected_s / 2, abs=0.03)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_users_name_stays_text(text: str, tmp_path: Path) -> None:
    plain, page = (Parsed(hostile(name, tmp_path / str(n))) for n, name in enumerate(("a", text)))
    assert [(tag, list(attrs)) for tag, attrs in page.elements] == [
        (tag, list(attrs)) for tag, attrs in plain.elements
    ]
    assert page.text.count(" ".join(text.split())) >= 6
    rows = rows_of(page)
    assert text in rows["labels"]
    assert rows["failed"][0][0] == text


def hostile(text: str, folder: Path) -> str:
    """A page in which everything that a user can name is that text."""
    for name in ("old", "new"):
        result(folder / name, "walk.mp4", weights=name, codes=("low-confidence",))
        result(folder / name, "run.mp4", weights=name)
    result(folder / "old", "jump.mp4")

    def rename(report: dict[str, Any]) -> None:
        report["video"]["path"] = report["model"]["name"] = report["method"]["name"] = text
        report["prediction"]["target"]["label"] = report["prediction"]["top_k"][0]["label"] = text
        for warning in report["warnings"]:
            warning["text"] = text

    for path in folder.glob("*/*/report.json"):
        edited(path, rename)
    gate = Limit.parse("--max", "temporal.shift_s=1")
    found = compared(folder, [replace(gate, text=text)])
    place = msgspec.structs.replace(found.old, path=str(folder / "old"))
    html = diff_page(msgspec.structs.replace(found, old=place), folder)
    return html.replace(str(folder), "folder")


def test_no_handler_no_style_attribute_and_nothing_from_elsewhere(runs: Path) -> None:
    page = Parsed(write_diff(runs).read_text())
    for tag, name, value in page.attributes():
        assert not name.startswith("on"), (tag, name)
        assert name != "style"
        if name == "href":
            assert value is not None
            assert value.startswith("./")
    assert page.of("link") == []
    assert re.search(r"@import|https?:|//\w", "".join(page.raw["style"])) is None


def test_the_policy_allows_exactly_the_script_and_the_style(runs: Path) -> None:
    page = Parsed(write_diff(runs).read_text())
    policy = next(attrs["content"] for attrs in page.of("meta") if "http-equiv" in attrs)
    (script,) = (text for text in page.raw["script"] if '"use strict"' in text)
    (style,) = page.raw["style"]
    for name, text in (("script", script), ("style", style)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}';" in str(policy)
    assert str(policy).startswith("default-src 'none'; ")


def test_the_code_is_small() -> None:
    assert len(assets((*STYLES, *SCRIPTS)).encode()) < 100_000


def test_links_lead_to_both_results(tmp_path: Path) -> None:
    for name in ("old", "new"):
        report = result(tmp_path / "a #1?" / name, "b:c.mp4")
        write_page(report.parent)
    (tmp_path / "pages").mkdir()
    found = compared(tmp_path / "a #1?")
    page = Parsed(diff_page(found, tmp_path / "pages"))
    links = [str(link["href"]) for link in page.of("a")]
    assert sorted(set(links)) == [
        "./../a%20%231%3F/new/b%3Ac/report.html",
        "./../a%20%231%3F/old/b%3Ac/report.html",
    ]


def test_a_report_under_another_name_has_nothing_from_its_neighbors(tmp_path: Path) -> None:
    """Such as those that were copied into one folder: a page there is of another result."""
    for name in ("old", "new"):
        path = result(tmp_path / name, peak_s=0.5 if name == "old" else 1.0)
        write_page(path.parent)
        path.rename(tmp_path / f"{name} 1.json")
    write_page(tmp_path)
    page = Parsed(diff_page(diff(tmp_path / "old 1.json", tmp_path / "new 1.json"), tmp_path))
    assert [link["href"] for link in page.of("a")] == ["./././old%201.json", "./././new%201.json"]
    assert page.of("video")[0].get("src") is None


def test_a_single_pair_is_shown_without_a_list(tmp_path: Path) -> None:
    paths = [result(tmp_path / name, peak_s=at) for name, at in (("old", 0.5), ("new", 1.5))]
    page = Parsed(write_diff(tmp_path).read_text())
    assert page.of("template") == []
    assert not any(attrs.get("class") == "overview" for attrs in page.of("main"))
    arrays = arrays_of(page)
    old, new = map(Result.load, paths)
    gain = map_gain(old, new)
    shown = arrays["maps_2"].reshape(gain.values.shape) / 127.5 - 1
    strongest = np.unravel_index(np.abs(gain.values).argmax(), gain.values.shape)
    assert np.sign(shown[strongest]) == np.sign(gain.values[strongest])
    assert abs(shown[strongest]) == pytest.approx(1, abs=0.01)
    weak = np.abs(gain.values) < np.abs(gain.values).max() / 1000
    assert np.abs(shown[weak]).max() < 0.02
    assert "0.5" in page.text


def test_without_maps_the_mean_map_is_shown_and_said(tmp_path: Path) -> None:
    """As the baseline in a repository: it is small without them."""
    path = result(tmp_path / "old", npz=False)
    result(tmp_path / "new", peak_s=1.5)
    page = Parsed(write_diff(tmp_path).read_text())
    assert "mean map, as maps.npz is missing" in page.text
    assert "of the mean maps" in page.text
    arrays = arrays_of(page)
    mean = np.array(json.loads(path.read_text())["spatial"]["mean_map"])
    shown = arrays["maps_0"].reshape(mean.shape) * arrays["top_0"] / 255
    np.testing.assert_allclose(shown, mean, atol=arrays["top_0"][0] / 255)
    data = json.loads(page.by_id["pair-0-data"])
    assert len(data["methods"][0]["spans"]) == 1  # at every covered time


def test_the_video_is_that_of_a_page_of_one_of_the_results(tmp_path: Path) -> None:
    for name in ("old", "new"):
        result(tmp_path / name)
    assert source_of(tmp_path) is None
    write_page(tmp_path / "old" / "walk")
    assert source_of(tmp_path) == MEDIA.address
    assert json.loads(page_in(tmp_path).by_id["pair-0-data"])["offset_s"] == MEDIA.offset_s
    linked = tmp_path / "films" / "walk 1.mp4"
    linked.parent.mkdir()
    linked.write_bytes(b"a video")
    media = Media("./../../films/walk%201.mp4", 0.5, "linked")
    write_page(tmp_path / "new" / "walk", media=media)
    assert source_of(tmp_path) == "./films/walk%201.mp4"  # from where this page is
    assert "media-src 'self' file:" in write_diff(tmp_path).read_text()
    linked.unlink()
    assert source_of(tmp_path) == MEDIA.address  # the new page's video is gone: that of the old
    (tmp_path / "old" / "walk" / "report.html").write_text("a page of somebody")
    assert source_of(tmp_path) is None
    assert "heat alone" in json.loads(page_in(tmp_path).by_id["pair-0-data"])["absent"]


def page_in(folder: Path) -> Parsed:
    return Parsed(write_diff(folder).read_text())


def source_of(folder: Path) -> str | None:
    (video,) = page_in(folder).of("video")
    return video.get("src")


def test_a_page_that_would_be_too_large_has_those_that_changed_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        result(tmp_path / "old", f"{number}.mp4")
        result(tmp_path / "new", f"{number}.mp4", peak_s=0.5 + number / 4)
    whole = page_in(tmp_path)
    assert len(whole.of("template")) == 4
    (one,) = {len(whole.by_id[f"pair-{n}-arrays"]) // 10_000 for n in range(4)}
    monkeypatch.setattr(diff_pages, "EMBEDDED_BYTES", (one + 2) * 10_000 * 2)
    page = page_in(tmp_path)
    rows = rows_of(page)
    assert rows["video"] == ["3.mp4", "2.mp4", "1.mp4", "0.mp4"]
    shown = len(page.of("template"))
    assert 0 < shown < 4
    assert f"The first {shown} can be played here; for {4 - shown} more" in page.text
    assert len(rows["shift"]) == 4  # all are in the list


def test_a_row_is_compact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result(tmp_path / "old", "0.mp4", npz=False)
    result(tmp_path / "new", "0.mp4", npz=False, peak_s=1.0)
    found = compared(tmp_path)
    monkeypatch.setattr(diff_pages, "EMBEDDED_BYTES", 1)
    sizes = []
    for count in (600, 700):  # beyond those that are listed without scripts
        many = msgspec.structs.replace(found, pairs=found.pairs * count)
        sizes.append(len(diff_page(many, tmp_path)))
    assert (sizes[1] - sizes[0]) / 100 < 420


def test_nothing_to_compare_is_said(tmp_path: Path) -> None:
    result(tmp_path / "old", "lost.mp4")
    result(tmp_path / "new", "added.mp4")
    page = page_in(tmp_path)
    assert "No video is in both runs." in page.text
    assert [one[3] for one in rows_of(page)["failed"]] == ["lost", "added"]


def test_only_its_own_pages_are_pages_of_it(runs: Path) -> None:
    assert is_page(write_diff(runs), GENERATOR)
    assert not is_page(write_page(runs / "old" / "walk"), GENERATOR)
    assert not is_page(runs / "old" / "walk" / "report.json", GENERATOR)
    assert not is_page(runs / "nowhere", GENERATOR)


def test_noise_and_gates_of_a_pair_are_in_its_facts(tmp_path: Path) -> None:
    result(tmp_path / "old")
    result(tmp_path / "new", peak_s=0.8, weights="new", confidence=0.5)
    result(tmp_path / "seed", peak_s=1.5)
    gates: list[Gate] = [
        shift_limit("--max-shift", "0.1"),
        Limit.parse("--min", "confidence_change=-0.1"),
    ]
    page = Parsed(write_diff(tmp_path, gates, noise=[tmp_path / "seed"]).read_text())
    assert "within noise --max-shift 0.1: 0." in page.text
    assert "beyond --min confidence_change=-0.1: -0.37" in page.text
    noise = compared(tmp_path, noise=[tmp_path / "seed"]).pairs[0].noise[0]
    assert f"{noise.temporal.shift_s:.2f} s" in page.text


def test_the_explained_file_is_embedded_if_no_page_has_it(tmp_path: Path) -> None:
    film = write_stamped(tmp_path / "film.mp4", 60)
    content = film.read_bytes().decode("utf-8", "surrogateescape")
    for name in ("old", "new"):
        result(tmp_path / name, str(film), content=content)
    source = str(source_of(tmp_path))
    assert base64.b64decode(source.removeprefix("data:video/mp4;base64,")) == film.read_bytes()
    film.write_bytes(film.read_bytes() + b"edited since")
    assert source_of(tmp_path) is None
