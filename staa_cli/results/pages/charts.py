"""Charts of a page that are not on the time axis."""

from __future__ import annotations

from staa_cli.formatting import counted, figure
from staa_cli.results.pages.page import escaped, words
from staa_cli.schema import Faithfulness, FaithfulnessRow, Float32, Output

_SIZE = 100


def faithfulness_section(faithfulness: Faithfulness, output: Output) -> str:
    """Deletion and insertion curves next to each other, and a table of their areas."""
    explained, *baselines = faithfulness.rows
    charts = "".join(
        f"<figure>{_chart([getattr(row, kind) for row in faithfulness.rows], kind)}"
        f"<figcaption>{kind}: {better} is better</figcaption></figure>"
        for kind, better in (("deletion", "lower"), ("insertion", "higher"))
    )
    rows = "".join(
        f'<tr class="{"own" if row is explained else "other"}"><th scope="row">{words(row.method)}'
        f"</th><td>{_gain(row, output)}</td>"
        f"<td>{escaped(figure(row.deletion_area, output))}</td>"
        f"<td>{escaped(figure(row.insertion_area, output))}</td></tr>"
        for row in (explained, *baselines)
    )
    clips = len(faithfulness.clips)
    note = (
        "The score of the class while parts of a clip are removed (deletion) or restored "
        "(insertion), the most relevant first; baselines are gray. "
        f"{faithfulness.steps} steps on {counted(clips, 'clip')}, removed by "
        f"{faithfulness.replacement}; srg is insertion minus deletion."
    )
    return (
        f'<div class="charts">{charts}</div><table><thead><tr><th scope="col">method</th>'
        '<th scope="col">srg ↑</th><th scope="col">deletion ↓</th>'
        f'<th scope="col">insertion ↑</th></tr></thead><tbody>{rows}</tbody></table>'
        f'<p class="soft">{escaped(note)}</p>'
    )


def _gain(row: FaithfulnessRow, output: Output) -> str:
    """The symmetric relevance gain, and below it its interval over clips."""
    gain = escaped(figure(row.srg, output))
    if row.srg_low is None or row.srg_high is None:
        return gain
    interval = f"{figure(row.srg_low, output)} to {figure(row.srg_high, output)}"
    return f'{gain} <span class="soft">{escaped(interval)}</span>'


def _chart(curves: list[Float32], kind: str) -> str:
    """Curves over the share of a clip that is removed or restored; the explained method first."""
    low = min(0.0, *(float(curve.min()) for curve in curves))
    high = max(float(curve.max()) for curve in curves)
    span = high - low or 1.0
    paths = []
    for place, curve in reversed(list(enumerate(curves))):
        last = max(len(curve) - 1, 1)
        points = "L".join(
            f"{_SIZE * i / last:.4g} {_SIZE * (high - float(value)) / span:.4g}"
            for i, value in enumerate(curve)
        )
        paths.append(f'<path class="{"other" if place else "own"}" d="M{points}"/>')
    label = f"{kind} curves of the method and of baselines; the areas are in the table"
    return (
        f'<svg class="chart" role="img" aria-label="{label}" viewBox="0 0 {_SIZE} {_SIZE}" '
        f'preserveAspectRatio="none">{"".join(paths)}</svg>'
    )
