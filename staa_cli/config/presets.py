"""The presets that come with staa: files of settings that have a name. Knows no YAML."""

from __future__ import annotations

from pathlib import Path


def presets() -> dict[str, Path]:
    """Name to file."""
    package = Path(__file__).resolve().parent.parent
    shipped = package / "configs"
    folder = shipped if shipped.is_dir() else package.parent / "configs"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def describe_presets() -> dict[str, str]:
    """Name to what it is for: the first line of its file."""
    return {
        name: path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("#").strip()
        for name, path in presets().items()
    }
