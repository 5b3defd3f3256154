"""Checkpoints from the Hugging Face hub, in its cache.

Cached files are used without any network access. An interrupted download is resumed.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from staa_cli.errors import CheckpointError, StaaError, UnavailableError, UsageError
from staa_cli.formatting import megabytes
from staa_cli.models.checkpoints.formats import find_weights, refuse_adapter

Announce = Callable[[str], None]
"""Called with one line about what is going to be downloaded."""

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
"""Patterns of weights files in order of preference; one of them is enough."""


def fetch(name: str, *, offline: bool = False, announce: Announce = lambda line: None) -> Path:
    """Return the folder with config and weights of ``org/name`` or ``org/name@revision``.

    Args:
        name: of a repository, optionally with a branch, a tag, or a commit.
        offline: use only what is cached, or fail.
        announce: called with what is downloaded, from where, and its size, before a download.

    Raises:
        UsageError: the name is not valid.
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
    """The commit of a folder from `fetch`."""
    return folder.name


def _cached(repo: str, revision: str | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(repo, "config.json", revision=revision)
    if not isinstance(config, str):
        return None
    try:
        find_weights(Path(config).parent)
    except CheckpointError:  # weights are incomplete
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
    full_name = repo if revision is None else f"{repo}@{revision}"
    try:
        facts = api.model_info(repo, revision=revision, files_metadata=True)
        sizes = {file.rfilename: file.size or 0 for file in facts.siblings or ()}
        files = _needed_files(sizes, full_name)
        size = sum(sizes[file] for file in files)
        announce(f"downloading {full_name} ({megabytes(size)}) from {api.endpoint}")
        return Path(
            snapshot_download(
                repo,
                revision=revision,
                allow_patterns=files,
                tqdm_class=_progress_bar_class(),
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
    except Exception as error:  # the HTTP library and its errors differ by release
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise UnavailableError(
            f"cannot download {full_name}: {reason}",
            "run the same command again to resume; a local folder needs no network",
        ) from error


def _needed_files(sizes: dict[str, int], full_name: str) -> list[str]:
    refuse_adapter(full_name, sorted(sizes))
    facts = [file for file in _FACTS if file in sizes]
    for kind in _WEIGHTS:
        weights = [file for file in sizes if re.fullmatch(kind, file)]
        if weights and "config.json" in facts:
            return [*facts, *sorted(weights)]
    raise CheckpointError(
        f"{full_name} has no {'weights' if 'config.json' in facts else 'config.json'}",
        f"it has {', '.join(sorted(sizes)[:5]) or 'no files'}",
    )


def _progress_bar_class() -> Any:
    """A tqdm class that shows a progress bar only on a terminal."""
    base: Any = importlib.import_module("tqdm.auto").tqdm

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        base.__init__(self, *args, **{**kwargs, "disable": None})

    return type("Bar", (base,), {"__init__": init})


def _arguments(repo: str, revision: str | None) -> str:
    return repo if revision is None else f"{repo} --revision {revision}"
