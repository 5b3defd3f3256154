"""Packages with entry points, with the metadata that an installer writes."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

PACKAGE = Path(__file__).parent / "plugin_package"
"""A package with one object of each kind; it is not installed."""


def declare(
    folder: Path, package: str, groups: Mapping[str, Mapping[str, str]], version: str = "1.0"
) -> None:
    """Write the metadata of an installed package; `groups` has targets by group and name."""
    info = folder / f"{package.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    metadata = f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
    (info / "METADATA").write_text(metadata)
    lines = [
        line
        for group, targets in groups.items()
        for line in (f"[{group}]", *(f"{name} = {target}" for name, target in targets.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


def declare_package(folder: Path) -> None:
    """Write the metadata of `PACKAGE` as if it were installed."""
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    declare(folder, project["name"], project["entry-points"], project["version"])


@contextmanager
def on_the_path(*folders: Path) -> Iterator[None]:
    """Add folders to the module search path; at the end, unload modules from them."""
    path, modules = list(sys.path), set(sys.modules)
    sys.path[:0] = map(str, folders)
    try:
        yield
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - modules:
            if any(_lies_in(name, folder) for folder in folders):
                del sys.modules[name]


def _lies_in(module: str, folder: Path) -> bool:
    file = getattr(sys.modules[module], "__file__", None)
    return file is not None and Path(file).is_relative_to(folder)
