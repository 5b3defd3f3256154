"""The presets of staa, configuration files with names. Does not parse YAML."""

from __future__ import annotations

from pathlib import Path


def presets() -> dict[str, Path]:
    """Files by preset name."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "configs"
    folder = installed if installed.is_dir() else package.parent / "configs"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def describe_presets() -> dict[str, str]:
    """Descriptions by preset name: the first lines of the files."""
    return {
        name: path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("#").strip()
        for name, path in presets().items()
    }
