"""What an explanation shows of itself: in a notebook, to loggers, as plain data, and as a table."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from dataclasses import fields, replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from explanations import explanation
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from small_videos import RATE, asked, film, pictures

from staa_cli.api import Explanation, explain_video
from staa_cli.config.settings import RenderSettings
from staa_cli.errors import InputError, UnavailableError, UsageError
from staa_cli.models.load import LoadedModel, load_model
from staa_cli.render.storyboard import storyboard_indices
from staa_cli.results.files import load_schema
from staa_cli.schema import ReportWarning
from staa_cli.video.decode import iter_frames
from staa_cli.video.probe import probe

ROOT = Path(__file__).parent.parent
MOST_BYTES = 300_000
HOSTILE = "<script>alert('1')</script>\"><img src=x onerror=alert(1)>&amp;"
KINDS = ("file", "loaded", "frames")


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model("test_timesformer", device="cpu")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("films") / "walk.mp4", 36)


@pytest.fixture(scope="module")
def of_every_kind(
    video: Path, model: LoadedModel, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Explanation]:
    of_file = explain_video(video, model, settings=asked({"npz": True}))
    folder = tmp_path_factory.mktemp("out")
    of_file.save(folder)
    frames = explain_video(np.stack(pictures(36)), model, rate=RATE, settings=asked())
    return dict(zip(KINDS, (of_file, Explanation.load(folder), frames), strict=True))


@pytest.fixture(params=KINDS)
def shown(request: pytest.FixtureRequest, of_every_kind: dict[str, Explanation]) -> Explanation:
    return of_every_kind[request.param]


def by_hand(**more: Any) -> Explanation:
    """An explanation whose video is nowhere."""
    plain = explanation(**more)
    return Explanation(**{part.name: getattr(plain, part.name) for part in fields(plain)})


class Page(HTMLParser):
    """What a browser would make of it: tags, their attributes, and text."""

    EMPTY = ("img", "path")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.EMPTY:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def styles(self) -> list[str]:
        return [str(attributes.get("style") or "") for _, attributes in self.tags]

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def poster_of(page: Page) -> Image.Image:
    (attributes,) = page.of("img")
    kind, _, data = str(attributes["src"]).partition(",")
    assert kind == "data:image/jpeg;base64"
    image = Image.open(BytesIO(base64.b64decode(data, validate=True)))
    image.load()
    return image


def test_a_notebook_shows_prediction_poster_and_curve(shown: Explanation) -> None:
    html = shown._repr_html_()
    page = Page(html)
    assert len(html.encode()) < MOST_BYTES
    assert poster_of(page).size == (64, 48)
    assert page.text.count(shown.prediction.label) >= 2
    for _, label, _ in shown.prediction.top():
        assert label in page.text
    for warning in shown.warnings:
        assert warning.code in page.text
    assert len(page.of("svg")) == 1


def test_the_poster_is_the_highest_frame_with_heat(
    video: Path, of_every_kind: dict[str, Explanation]
) -> None:
    shown = of_every_kind["file"]
    with poster_of(Page(shown._repr_html_())) as image:
        poster = np.asarray(image).astype(int)
    peak = int(np.nanargmax(shown.frames.weighted_score))
    (drawn,) = (
        replace(shown, asked=asked(render=RenderSettings(strip="none")))
        .pictures("heat", indices=[peak])
        .pictures
    )
    ((_, plain),) = iter_frames(probe(video), [peak])
    assert np.abs(poster - drawn).mean() < 6  # what JPEG makes of it
    assert np.abs(poster - plain).mean() > 2 * np.abs(poster - drawn).mean()


def line_of(page: Page) -> list[list[tuple[float, float]]]:
    (path,) = (each for each in page.of("path") if each.get("fill") == "none")
    lines = str(path["d"]).split("M")[1:]
    return [
        [
            (float(x), float(y))
            for x, y in (point.split(" ") for point in line.removesuffix("h0").split("L"))
        ]
        for line in lines
    ]


def test_the_curve_is_that_of_the_scores() -> None:
    shown = by_hand(frames=90)
    (line,) = line_of(Page(shown._repr_html_()))
    x, y = np.array(line).T
    scores = shown.frames.weighted_score
    expected = np.interp(x / 639 * 3, shown.frames.times_s, scores)
    np.testing.assert_allclose(1 - y / 119, expected / scores.max(), atol=0.02)


def test_a_gap_breaks_the_curve() -> None:
    page = Page(by_hand(frames=900, clip_starts=[0, 600])._repr_html_())
    one, two = line_of(page)
    assert one[-1][0] < two[0][0] - 300
    assert "what no clip reaches is gray" in page.text
    assert "gray" not in Page(by_hand()._repr_html_()).text


@pytest.mark.parametrize("place", ["label", "path", "warning", "model", "method"])
def test_no_name_is_read_as_html(place: str) -> None:
    shown = by_hand(labels=(HOSTILE, "b") if place == "label" else ("a", "b"))
    if place == "path":
        shown = replace(shown, video=replace(shown.video, path=f"{HOSTILE.replace('/', ':')}.mp4"))
    if place == "warning":
        shown = replace(shown, warnings=(ReportWarning(HOSTILE, HOSTILE),))
    if place == "model":
        shown = replace(shown, model=replace(shown.model, name=HOSTILE))
    if place == "method":
        named = tuple(replace(each, method=HOSTILE) for each in shown.attributions)
        shown = replace(shown, attributions=named)
    page = Page(shown._repr_html_())
    assert {tag for tag, _ in page.tags} <= {"div", "span", "b", "bdi", "img", "svg", "path"}
    assert not [name for _, attributes in page.tags for name in attributes if name[:2] == "on"]
    assert (HOSTILE.replace("/", ":") if place == "path" else HOSTILE) in page.text


def test_a_name_of_any_bytes_is_shown() -> None:
    shown = by_hand()
    shown = replace(shown, video=replace(shown.video, path="a\udcff\u202e.mp4"))
    assert "a\\xff" in shown._repr_html_().encode().decode()


def test_it_is_small_whatever_the_video_is(model: LoadedModel) -> None:
    random = np.random.default_rng(0)
    frames = random.integers(0, 2, (4, 2160, 3840, 3), dtype=np.uint8)
    frames *= 255
    shown = explain_video(frames, model, rate=RATE, settings=asked())
    html = shown._repr_html_()
    assert len(html.encode()) < MOST_BYTES
    assert poster_of(Page(html)).size == (480, 270)
    square = explain_video(frames[:, :, :2160], model, rate=RATE, settings=asked())
    assert poster_of(Page(square._repr_html_())).size == (480, 480)
    longest = replace(
        square,
        warnings=tuple(ReportWarning("'" * 9999, "'" * 9999) for _ in range(999)),
        prediction=replace(square.prediction, labels=("'" * 9999,) * len(model.labels)),
    )
    html = longest._repr_html_()
    assert len(html.encode()) < MOST_BYTES
    assert "more warnings" in Page(html).text


@pytest.mark.parametrize("stride", [1, 2])
def test_a_long_video_of_many_clips_is_as_small(stride: int) -> None:
    shown = by_hand(
        frames=108_000, clip_frames=2, stride=stride, clip_starts=range(0, 107_000, 20), grid=(2, 2)
    )
    moments = tuple(
        replace(shown.moments[0], start_s=at, peak_s=at, end_s=at + 0.2) for at in range(3600)
    )
    html = replace(shown, moments=moments)._repr_html_()
    assert len(html.encode()) < 100_000
    assert max(y for line in line_of(Page(html)) for _, y in line) <= 120


def luminance(color: str) -> float:
    """Relative luminance of #rrggbb, as WCAG 2 has it."""
    parts = np.array(list(bytes.fromhex(color.removeprefix("#")))) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def test_it_is_read_on_light_and_on_dark() -> None:
    """Letters have the notebook's color, and lines one that is seen on white and on near black."""
    shown = replace(by_hand(frames=900, clip_starts=[0, 600]), warnings=(ReportWarning("a", "b"),))
    html = shown._repr_html_()
    styles = Page(html).styles
    assert not [style for style in styles if re.search(r"(^|;)\s*(color|font-family):", style)]
    opacities = [float(found) for s in styles for found in re.findall(r"opacity:([\d.]+)", s)]
    assert opacities
    assert min(opacities) >= 0.7
    backgrounds = [s for s in styles if "background" in s]
    assert all("height:4px" in style for style in backgrounds)  # bars alone
    colors = set(re.findall(r"#[0-9a-f]{6}\b", html))
    assert len(colors) >= 3
    for color in colors:
        for paper in ("#ffffff", "#1e1e1e"):
            low, high = sorted((luminance(color), luminance(paper)))
            assert (high + 0.05) / (low + 0.05) >= 3, color
    assert "<style" not in html
    assert " id=" not in html
    assert " class=" not in html


def test_a_video_that_is_gone_is_said_in_words(
    of_every_kind: dict[str, Explanation], model: LoadedModel, tmp_path: Path
) -> None:
    path = film(tmp_path / "gone.mp4", 12)
    of_file = explain_video(path, model, settings=asked())
    path.unlink()
    alone = replace(of_every_kind["frames"], source=None)
    for shown, words in (
        (of_file, "disappeared"),
        (alone, "held in memory and are no longer available"),
    ):
        page = Page(shown._repr_html_())
        assert page.of("img") == []
        assert re.search(f"No picture: .*{words}", page.text)
        assert len(page.of("svg")) == 1
        with pytest.raises(InputError, match=words):
            shown.pictures()


def test_raw_values_have_no_bars_and_a_flat_curve_is_level() -> None:
    page = Page(by_hand(output="identity", confidence=-1.5, labels=("quality",))._repr_html_())
    assert "score -1.5" in page.text
    assert not [style for style in page.styles if "height:4px" in style]
    (line,) = line_of(Page(by_hand(flat=True)._repr_html_()))
    assert len({y for _, y in line}) == 1


def test_the_figure_has_the_scores_as_its_data(shown: Explanation) -> None:
    figure = shown.plot()
    assert isinstance(figure, Figure)
    weighted, raw = figure.axes[0].lines[:2]
    for line, scores in ((weighted, shown.frames.weighted_score), (raw, shown.frames.score)):
        np.testing.assert_array_equal(line.get_xdata()[:36], shown.frames.times_s)
        np.testing.assert_array_equal(line.get_ydata()[:36], scores.astype(np.float64))


def test_a_notebook_and_a_logger_can_show_the_figure(shown: Explanation) -> None:
    figure = shown.plot()
    with Image.open(BytesIO(figure._repr_png_())) as image:  # type: ignore[attr-defined]
        assert image.size == (1600, 720)
        as_png = np.asarray(image.convert("RGB"))
    canvas = FigureCanvasAgg(figure)  # as TensorBoard does it
    canvas.draw()
    assert np.array_equal(np.asarray(canvas.buffer_rgba())[..., :3], as_png)


ALONE = """
import sys
from dataclasses import fields
from explanations import explanation
from staa_cli import Explanation
plain = explanation()
shown = Explanation(**{part.name: getattr(plain, part.name) for part in fields(plain)})
assert not {"matplotlib", "pandas"} & set(sys.modules)
shown._repr_html_()
assert "matplotlib" not in sys.modules
shown.plot()
assert "matplotlib.pyplot" not in sys.modules
"""


@pytest.mark.slow
def test_what_is_heavy_comes_late_and_pyplot_never() -> None:
    environ = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests/support")))}
    subprocess.run([sys.executable, "-c", ALONE], check=True, env=environ)


def test_it_draws_on_axes_that_are_there() -> None:
    shown = replace(by_hand(labels=("$x_{", "b"), frames=300))
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert shown.plot(right) is figure
    assert len(left.lines) == 0
    np.testing.assert_allclose(
        right.lines[0].get_ydata()[:300], shown.frames.weighted_score, rtol=1e-6
    )
    assert right.get_xlim() == (0, 10)
    assert right.get_title() == "$x_{  87 %"
    FigureCanvasAgg(figure).draw()  # no letter is taken for mathematics
    right.remove()
    with pytest.raises(UsageError, match="removed"):
        shown.plot(right)


def test_pictures_are_of_the_top_moments_and_annotated(shown: Explanation) -> None:
    drawn = shown.pictures()
    count, height, width, channels = drawn.pictures.shape
    assert drawn.pictures.dtype == np.uint8
    assert (count, width, channels) == (len(drawn.indices), 64, 3)
    assert height >= 48
    assert list(drawn.indices) == sorted(drawn.indices)
    np.testing.assert_array_equal(drawn.times_s, shown.video.times_s[list(drawn.indices)])
    peaks = {int(np.abs(shown.video.times_s - m.peak_s).argmin()) for m in shown.moments[:6]}
    assert peaks <= set(drawn.indices)
    assert len(shown.pictures(count=1).indices) == 1


@pytest.mark.parametrize("kind", ["file", "frames"])
def test_pictures_come_in_the_order_in_which_they_are_asked_for(
    kind: str, of_every_kind: dict[str, Explanation], video: Path
) -> None:
    shown = of_every_kind[kind]
    plain = replace(shown, asked=asked(render=RenderSettings(opacity=0, strip="none")))
    drawn = plain.pictures(indices=[30, 2, 30])
    assert drawn.indices == (30, 2, 30)
    assert np.array_equal(drawn.pictures[0], drawn.pictures[2])
    frames = dict(iter_frames(probe(video), [2, 30])) if kind == "file" else pictures(36)
    for picture, index in zip(drawn.pictures, drawn.indices, strict=True):
        inner = (slice(4, -4), slice(12, -12))  # within the crop
        assert np.abs(picture[inner].astype(int) - frames[index][inner]).mean() < 8


def test_views_and_sizes(of_every_kind: dict[str, Explanation]) -> None:
    shown = replace(of_every_kind["frames"], asked=asked(render=RenderSettings(strip="none")))
    heat = shown.pictures(count=1)
    assert heat.pictures.shape == (1, 48, 64, 3)
    assert shown.pictures("side-by-side", count=1).pictures.shape == (1, 48, 128, 3)
    assert shown.pictures(count=1, longest=32).pictures.shape == (1, 24, 32, 3)
    for view in ("map", "contour"):
        other = shown.pictures(view, count=1)
        assert other.pictures.shape == heat.pictures.shape
        assert not np.array_equal(other.pictures, heat.pictures)


@pytest.mark.parametrize(
    ("asked_for", "words"),
    [
        ({"view": "heatt"}, "view=: expected one of heat, .* not 'heatt'"),
        ({"count": 0}, "count= must be at least 1"),
        ({"count": 2, "indices": [1]}, "both say which frames"),
        ({"indices": []}, "no frame"),
        ({"indices": [3, 36]}, "frame 36 is not explained"),
        ({"indices": [-1]}, "frame -1 is not explained"),
        ({"longest": 1}, "at least 2 pixels"),
    ],
)
def test_what_cannot_be_drawn_is_told(
    of_every_kind: dict[str, Explanation], asked_for: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        of_every_kind["frames"].pictures(**asked_for)


def test_a_count_is_kept_where_there_are_no_moments() -> None:
    for peak_s in (None, 6.0):
        shown = by_hand(size=(64, 48), frames=300)
        temporal = replace(shown.temporal, peak_s=peak_s)
        shown = replace(shown, moments=(), temporal=temporal)
        for count in (1, 2, 7):
            indices = storyboard_indices(shown, count)
            assert len(indices) == count
            assert peak_s is None or 180 in indices


def test_the_report_as_plain_data(shown: Explanation, tmp_path: Path) -> None:
    plain = shown.to_dict()
    jsonschema.validate(plain, load_schema())
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    shown.save(tmp_path)
    assert plain == json.loads((tmp_path / "report.json").read_text())


COLUMNS = ["index", "time_s", "score", "weighted_score", "seen"]


def test_the_scores_as_a_table(shown: Explanation) -> None:
    pandas = pytest.importorskip("pandas")
    table = shown.to_frame()
    assert isinstance(table, pandas.DataFrame)
    assert list(table.columns) == COLUMNS
    assert table["index"].tolist() == list(shown.part)
    for column, values in (
        ("time_s", shown.frames.times_s),
        ("score", shown.frames.score),
        ("weighted_score", shown.frames.weighted_score),
        ("seen", shown.frames.seen),
    ):
        assert table[column].dtype == values.dtype
        np.testing.assert_array_equal(table[column].to_numpy(), values)


def test_what_is_not_known_is_no_number_in_the_table() -> None:
    pytest.importorskip("pandas")
    shown = by_hand(frames=900, clip_starts=[0, 600], part=(30, 900))
    table = shown.to_frame()
    assert table["score"].isna().tolist() == (~shown.frames.covered).tolist()
    assert table["index"].iloc[0] == 30


def test_without_pandas_a_table_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UnavailableError, match="pandas, which is not installed") as caught:
        by_hand().to_frame()
    assert caught.value.hint == "pip install pandas"


def test_the_lines_of_python_on_its_page_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pandas")
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    block = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
    (tmp_path / "sample_videos").symlink_to(ROOT / "sample_videos")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(block, "python.md", "exec"), names)
    assert capsys.readouterr().out.startswith("(1, ")
    assert (tmp_path / "curve.pdf").read_bytes()[:4] == b"%PDF"
    assert names["contours"].pictures.shape[0] == 3
    assert names["again"].to_dict() == names["report"]
    assert poster_of(Page(names["again"]._repr_html_())).size == (384, 288)
