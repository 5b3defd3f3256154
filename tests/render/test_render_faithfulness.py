"""The picture of deletion and insertion: what it shows, and that it refuses to show nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from render_explanations import explanation, measured

from staa_cli.errors import OutputError
from staa_cli.render import faithfulness
from staa_cli.render.faithfulness import faithfulness_image, faithfulness_plot


def pixels(beaten: bool) -> np.ndarray:
    return np.asarray(faithfulness_image(explanation(), measured(beaten)))


def test_own_curves_are_drawn_where_they_are() -> None:
    found = pixels(beaten=False)
    left, right = faithfulness._PANELS
    for box, values in ((left, (1.0, 0.5, 0.0)), (right, (0.75, 0.875, 1.0))):
        for part, value in zip((0.02, 0.5, 0.98), values, strict=True):
            x = round(box.left + part * box.width)
            column = np.abs(found[box.top : box.bottom, x].astype(int) - faithfulness._OWN).sum(1)
            rows = np.flatnonzero(column < 60)
            assert abs(1 - rows.mean() / box.height - value) < 0.05


def test_it_says_what_it_is_not_above() -> None:
    assert (pixels(beaten=True)[20:70] != pixels(beaten=False)[20:70]).any()


def test_a_long_name_stays_inside() -> None:
    rows = tuple(replace(row, method="method-" * 20) for row in measured().rows)
    found = np.asarray(faithfulness_image(explanation(), replace(measured(), rows=rows)))
    assert (found[:, -20:] == 255).all()


def test_a_file_is_written_and_nothing_measured_is_refused(tmp_path: Path) -> None:
    with_it = replace(explanation(), faithfulness=measured())
    faithfulness_plot(with_it, tmp_path / "f.png")
    with Image.open(tmp_path / "f.png") as image:
        assert image.size == (1600, 800)
    with pytest.raises(OutputError, match="not measured"):
        faithfulness_plot(explanation(), tmp_path / "g.png")
