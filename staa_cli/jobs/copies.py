"""Jobs with videos at URLs: their copies, and the URL as the source of their results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from staa_cli.config.settings import Settings
from staa_cli.jobs.inputs import Job
from staa_cli.remote.downloads import Cache, default_cache
from staa_cli.results.folder import Source
from staa_cli.schema import Explanation, OnProgress


def cache_folder(settings: Settings) -> Path:
    """Folder for what can be downloaded or computed again."""
    return default_cache() if settings.cache_dir is None else Path(settings.cache_dir)


def cache_of(settings: Settings, announce: Callable[[str], None]) -> Cache:
    """The cache of copies; `announce` is called with one line before each download."""
    return Cache(
        cache_folder(settings),
        settings.max_download * 1e9,
        settings.offline,
        announce,
    )


def with_copy(job: Job, cache: Cache, on_progress: OnProgress) -> Job:
    """The job with a copy of its video as the source, which is downloaded if there is none.

    Raises:
        InputError, UnavailableError: as `Cache.fetch`.
    """
    if job.remote is None or job.problem is not None:
        return job

    def on_bytes(done: int, expected: int) -> None:
        on_progress("downloading, MB", done // 10**6, expected // 10**6)

    return replace(job, source=cache.fetch(job.remote, on_bytes))


def source_of(job: Job) -> Source:
    """The source of the results of a job."""
    return Source.of_file(job.source, None if job.remote is None else job.remote.shown)


def with_url(explanation: Explanation, job: Job) -> Explanation:
    """An explanation of a copy with the URL of the job; others are returned as they are."""
    if job.remote is None:
        return explanation
    return replace(explanation, video=replace(explanation.video, url=job.remote.shown))
