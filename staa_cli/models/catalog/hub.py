"""Checkpoints by their name on the Hugging Face hub, kept in its own cache.

What the cache holds is never fetched again, and nothing is looked up: a name opens without a
network once its files are there. A download that was broken off goes on where it stopped.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from staa_cli.errors import CheckpointError, StaaError, UnavailableError, UsageError
from staa_cli.models.checkpoints.formats import find_weights, refuse_adapter

Announce = Callable[[str], None]
"""Told, in one line, what is about to be downloaded."""

_OFFLINE = ("STAA_OFFLINE", "HF_HUB_OFFLINE")
_NAME = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
_FACTS = (
    "config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "processor_config.json",
)
_WEIGHTS = (
    r"model\.safetensors",
    r"model-\d+-of-\d+\.safetensors|model\.safetensors\.index\.json",
    r"pytorch_model\.bin",
    r"pytorch_model-\d+-of-\d+\.bin|pytorch_model\.bin\.index\.json",
)
"""Files of which one kind is enough, the best first."""


def fetch(name: str, *, offline: bool = False, announce: Announce = lambda line: None) -> Path:
    """Return the folder with config and weights of ``org/name`` or ``org/name@revision``.

    Args:
        name: of a repository, with a branch, a tag, or a commit where it is to be pinned.
        offline: use what is cached, or fail.
        announce: told what, from where, and how much, before anything large is downloaded.

    Raises:
        UsageError: the name is none.
        UnavailableError: it is neither cached nor downloadable.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise UsageError(f"{name!r} is not a valid hub name", "expected hf-hub:ORG/NAME[@REVISION]")
    repo, revision = match.groups()
    cached = _cached(repo, revision)
    if cached is not None:
        return cached
    if offline or any(os.environ.get(name, "0") not in ("", "0") for name in _OFFLINE):
        raise UnavailableError(
            f"{name} is not in the cache, and downloads are disabled offline",
            f"download it once while online: hf download {_arguments(repo, revision)}",
        )
    return _download(repo, revision, announce)


def revision_of(folder: Path) -> str:
    """The commit that a folder from `fetch` is of."""
    return folder.name


def _cached(repo: str, revision: str | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(repo, "config.json", revision=revision)
    if not isinstance(config, str):
        return None
    try:
        find_weights(Path(config).parent)
    except CheckpointError:  # not all of its weights
        return None
    return Path(config).parent


def _download(repo: str, revision: str | None, announce: Announce) -> Path:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    api = HfApi()
    asked = repo if revision is None else f"{repo}@{revision}"
    try:
        facts = api.model_info(repo, revision=revision, files_metadata=True)
        sizes = {file.rfilename: file.size or 0 for file in facts.siblings or ()}
        wanted = _wanted(sizes, asked)
        size = sum(sizes[file] for file in wanted)
        announce(f"downloading {asked} ({_megabytes(size)}) from {api.endpoint}")
        return Path(
            snapshot_download(
                repo,
                revision=revision,
                allow_patterns=wanted,
                tqdm_class=_quiet_bar(),
            )
        )
    except GatedRepoError as error:
        raise UnavailableError(
            f"{repo} requires accepting its terms",
            f"accept them at {api.endpoint}/{repo}, then: hf auth login",
        ) from error
    except RevisionNotFoundError as error:
        raise UnavailableError(f"{repo} has no revision {revision!r}") from error
    except RepositoryNotFoundError as error:
        raise UnavailableError(
            f"the hub has no public model {repo!r}", "for a private model: hf auth login"
        ) from error
    except StaaError:
        raise
    except Exception as error:  # the library underneath, and its errors, differ by release
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise UnavailableError(
            f"cannot download {asked}: {reason}",
            "run the same command again to resume; a local folder needs no network",
        ) from error


def _wanted(sizes: dict[str, int], asked: str) -> list[str]:
    refuse_adapter(asked, sorted(sizes))
    facts = [file for file in _FACTS if file in sizes]
    for kind in _WEIGHTS:
        weights = [file for file in sizes if re.fullmatch(kind, file)]
        if weights and "config.json" in facts:
            return [*facts, *sorted(weights)]
    raise CheckpointError(
        f"{asked} has no {'weights' if 'config.json' in facts else 'config.json'}",
        f"it has {', '.join(sorted(sizes)[:5]) or 'no files'}",
    )


def _quiet_bar() -> Any:
    """A progress bar on a terminal, and nothing anywhere else."""
    base: Any = importlib.import_module("tqdm.auto").tqdm

    def begin(self: Any, *words: Any, **options: Any) -> None:
        base.__init__(self, *words, **{**options, "disable": None})

    return type("Bar", (base,), {"__init__": begin})


def _arguments(repo: str, revision: str | None) -> str:
    return repo if revision is None else f"{repo} --revision {revision}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB" if size >= 1e6 else f"{size / 1e3:,.0f} kB"
