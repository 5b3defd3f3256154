"""Report a dry run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from staa_cli.cli.costs import long_video_hint
from staa_cli.cli.options import put, put_json
from staa_cli.cli.outcomes import error_fields
from staa_cli.cli.terminal import Console, table, terminal_width
from staa_cli.config.settings import Loaded
from staa_cli.formatting import about, megabytes, raw
from staa_cli.paths import path_fields

if TYPE_CHECKING:
    from staa_cli.jobs.estimate import Rates
    from staa_cli.jobs.plan import Planned


def show_plans(
    plans: Sequence[Planned], rates: Rates | None, loaded: Loaded, json: bool, console: Console
) -> None:
    """Print what would be done: one line of JSON per input, or one table."""
    for plan in plans:
        if plan.error is not None:
            console.trace(plan.error)
            if console.verbosity < 0:  # no table is printed
                console.error(plan.error, plan.job.title)
        if json:
            put_json(console, _json(plan))
    if json:
        return
    rows = [
        (
            plan.status,
            "-" if plan.clips is None else f"{plan.clips:,}",
            "-" if plan.workload is None else f"{plan.workload.total:,}",
            "-" if plan.seconds is None else about(plan.seconds),
            f"{plan.job.title}{_download(plan)} -> "
            f"{plan.error.cause if plan.error else plan.job.place}",
        )
        for plan in plans
    ]
    width = terminal_width(sys.stdout)
    head = ("STATUS", "CLIPS", "PASSES", "TIME", "INPUT -> FOLDER")
    put(console, table(head, rows, width))
    if rates is not None:
        console.message(_all_in_words(plans, rates))
    for plan in plans:
        if plan.workload is not None and (hint := long_video_hint(plan.workload, loaded)):
            console.message(f"{plan.job.title}: {hint}")


def _download(plan: Planned) -> str:
    """What would be downloaded first, in words; nothing if there is a copy."""
    if plan.download is None:
        return ""
    size = plan.download.size
    return f" (to be downloaded, {'of unknown size' if size is None else megabytes(size)})"


def _all_in_words(plans: Sequence[Planned], rates: Rates) -> str:
    """The estimated total time, and the measured rates that it is based on."""
    seconds = sum(plan.seconds or 0.0 for plan in plans)
    text = f"{about(seconds)} in all, at {raw(1 / rates.pass_s)} passes/s"
    if rates.pixel_s:
        text += f" and {raw(1e-6 / rates.pixel_s)} megapixels drawn/s"
    return f"{text}, as just measured on {rates.device}"


def _json(plan: Planned) -> dict[str, Any]:
    row = path_fields(plan.job.title, "input") | path_fields(plan.job.place, "folder")
    facts: dict[str, Any] = {"status": plan.status}
    if plan.download is not None:
        facts |= {"download_bytes": plan.download.size, "files": list(plan.files)}
    if plan.clips is not None:
        facts |= {"clips": plan.clips, "files": list(plan.files)}
    if plan.workload is not None:
        facts |= {
            "passes": plan.workload.passes,
            "faithfulness_passes": plan.workload.faithfulness_passes,
        }
        facts["seconds"] = plan.seconds and round(plan.seconds, 3)
    return row | facts | error_fields(plan.error)
