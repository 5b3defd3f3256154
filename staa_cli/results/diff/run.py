"""Compare two runs: all pairs of reports, one after the other, and the gates over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from staa_cli import __version__
from staa_cli.errors import InputError
from staa_cli.paths import as_text, path_fields
from staa_cli.results.diff.document import Diff, Measures, Pair, Scope
from staa_cli.results.diff.gate import Gate, Tally, overall
from staa_cli.results.diff.pairs import (
    Entry,
    Result,
    caveats,
    check_noise,
    find_entries,
    measure,
    paired,
)
from staa_cli.results.document import Failure, Place
from staa_cli.schema import SCHEMA_VERSION

OnPair = Callable[[str, int, int], None]
"""Called with a video's name, the number of pairs before it, and the number of all."""


@dataclass(frozen=True, slots=True)
class _Noise:
    """A noise run: its counterpart of old reports."""

    path: Path
    partners: dict[Entry, Entry]


def diff(
    old: Path,
    new: Path,
    gates: Sequence[Gate] = (),
    *,
    noise: Sequence[Path] = (),
    allow_added: bool = False,
    on_pair: OnPair = lambda name, done, total: None,
) -> Diff:
    """Compare two runs, each a report or a folder of reports.

    Reports are loaded pair by pair, so that memory does not depend on their number.

    Args:
        old: the baseline.
        new: to compare with it.
        gates: to evaluate.
        noise: further runs of the old checkpoint.
        allow_added: whether gates ignore videos without a baseline.
        on_pair: called before every pair.

    Raises:
        InputError: a run has no report. Other errors of reports are part of the result.
    """
    old_entries, failures = find_entries(old)
    new_entries, new_failures = find_entries(new)
    failures += new_failures
    couples, missing, added = paired(old_entries, new_entries)
    runs = [_noise_run(path, old_entries, failures) for path in noise]
    tallies, pairs = [Tally(gate) for gate in gates], list[Pair]()
    for done, (before, after) in enumerate(couples):
        name = as_text(after.video)
        on_pair(name, done, len(couples))
        noises: list[Measures] = []
        try:
            one, other = Result.load(before.path), Result.load(after.path)
        except InputError as error:
            failures.append(Failure(error.cause, error.hint))
            continue
        try:
            noises += [_noise(one, run, before) for run in runs]
        except InputError as error:
            failures.append(Failure(error.cause, error.hint))
        measures = measure(one, other)
        scope = Scope(**_fields(measures), old=one.report, new=other.report, noise=noises)
        for tally in tallies:
            tally.add(len(pairs), name, scope)
        pairs.append(
            Pair(
                **_fields(measures),
                video=Place(**path_fields(after.video)),
                sha256=after.sha256,
                old=one.side(),
                new=other.side(),
                noise=noises,
                warnings=caveats(one, other),
            )
        )
    gaps = list(_gaps(failures, missing, [] if allow_added else added, pairs))
    results = [tally.result(gaps) for tally in tallies]
    return Diff(
        schema_version=SCHEMA_VERSION,
        staa_version=__version__,
        old=Place(**path_fields(old)),
        new=Place(**path_fields(new)),
        noise=[Place(**path_fields(path)) for path in noise],
        status=overall(results),
        gates=results,
        pairs=pairs,
        missing=[entry.unpaired() for entry in missing],
        added=[entry.unpaired() for entry in added],
        failures=failures,
    )


def _fields(measures: Measures) -> dict[str, Any]:
    return {name: getattr(measures, name) for name in Measures.__struct_fields__}


def _noise_run(path: Path, old: Sequence[Entry], failures: list[Failure]) -> _Noise:
    entries, broken = find_entries(path)
    failures += broken
    couples, _, _ = paired(old, entries)
    return _Noise(path, dict(couples))


def _noise(old: Result, run: _Noise, entry: Entry) -> Measures:
    """How much a noise run differs from the old one.

    Raises:
        InputError: it has no report of the video, or is not a noise run.
    """
    if entry not in run.partners:
        raise InputError(
            f"{run.path} has no report of {entry.video}", "explain the same videos in a noise run"
        )
    other = Result.load(run.partners[entry].path)
    check_noise(old, other)
    return measure(old, other)


def _gaps(
    failures: Sequence[Failure],
    missing: Sequence[Entry],
    added: Sequence[Entry],
    pairs: Sequence[Pair],
) -> list[str]:
    """Why no gate can be evaluated."""
    return [
        *(failed.cause for failed in failures),
        *(f"{as_text(entry.video)}: missing in the new run" for entry in missing),
        *(f"{as_text(entry.video)}: no baseline in the old run" for entry in added),
        *([] if pairs else ["no video was compared"]),
    ]
