"""Configuration files: presets and YAML, read key by key so that every message has its line."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from staa_cli.config_values import Key, convert
from staa_cli.errors import ConfigError
from staa_cli.registry import did_you_mean

_SUFFIXES = (".yaml", ".yml")


def presets() -> dict[str, Path]:
    """The presets that come with staa: name to file."""
    package = Path(__file__).resolve().parent
    shipped = package / "configs"
    folder = shipped if shipped.is_dir() else package.parent / "configs"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def read_config(config: str, known: Mapping[str, Key]) -> Iterator[tuple[str, str, Any]]:
    """A preset's name or a path in, (dotted key, origin, value) out; extended files come first.

    Args:
        config: a bare name is a preset's; a path has a slash or ends in .yaml.
        known: every setting by its dotted key.

    Raises:
        ConfigError: a file is missing, is no YAML, extends itself, or says something impossible.
    """
    chain: list[_File] = []
    source: _Source | None = _find(config, Path(), f"--config {config}")
    while source is not None:
        file = _read(source)
        chain.append(file)
        source = _extended(file)
        if source is not None and source.path in [file.path for file in chain]:
            names = " -> ".join([*(file.shown for file in chain), source.shown])
            raise ConfigError(f"{chain[-1].shown}: files extend each other in a circle: {names}")
    for file in reversed(chain):
        yield from _entries(file, known)


@dataclass(frozen=True)
class _Source:
    path: Path
    shown: str
    """How messages and origins name it."""


@dataclass(frozen=True)
class _File(_Source):
    loader: yaml.SafeLoader
    nodes: Mapping[str, tuple[yaml.Node, yaml.Node]]
    """Top-level keys: the node of the key and that of its value."""

    def at(self, node: yaml.Node) -> str:
        """Place of a node: ``configs/fast.yaml:12``."""
        return f"{self.shown}:{node.start_mark.line + 1}"

    def value(self, node: yaml.Node) -> Any:
        """What a node says, as plain data; no tag makes it run code."""
        try:
            return self.loader.construct_object(node, deep=True)
        except yaml.YAMLError as error:
            raise _broken(self.shown, error) from error


def _find(config: str, folder: Path, asked_by: str) -> _Source:
    known = presets()
    if config in known:
        return _Source(known[config].resolve(), f"configs/{config}.yaml")
    if "/" in config or config.endswith(_SUFFIXES):
        path = folder / config
        return _Source(path.resolve(), str(path))
    hint = did_you_mean(config, known) or f"there are {', '.join(known)}; a file ends in .yaml"
    raise ConfigError(f"{asked_by}: no such preset", hint)


def _read(source: _Source) -> _File:
    try:
        loader = yaml.SafeLoader(source.path.read_bytes())
        root = loader.get_single_node()
    except OSError as error:
        raise ConfigError(f"{source.shown}: {(error.strerror or str(error)).lower()}") from error
    except yaml.YAMLError as error:
        raise _broken(source.shown, error) from error
    return _File(source.path, source.shown, loader, _pairs(source.shown, root))


def _broken(shown: str, error: yaml.YAMLError) -> ConfigError:
    mark = getattr(error, "problem_mark", None)
    place = f"{shown}:{mark.line + 1}" if mark else shown
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "not readable"
    return ConfigError(f"{place}: not valid YAML: {problem}")


def _pairs(shown: str, node: yaml.Node | None) -> dict[str, tuple[yaml.Node, yaml.Node]]:
    """The keys of a mapping; an empty file or section has none."""
    if node is None or node.tag == "tag:yaml.org,2002:null":
        return {}
    place = f"{shown}:{node.start_mark.line + 1}"
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{place}: expected settings as `key: value`, not {node.value!r:.60}")
    pairs: dict[str, tuple[yaml.Node, yaml.Node]] = {}
    for key, value in node.value:
        if str(key.value) in pairs:
            line = key.start_mark.line + 1
            raise ConfigError(f"{shown}:{line}: {key.value!r} is set twice in this section")
        pairs[str(key.value)] = (key, value)
    return pairs


def _extended(file: _File) -> _Source | None:
    if "extends" not in file.nodes:
        return None
    key, node = file.nodes["extends"]
    name = file.value(node)
    if not isinstance(name, str):
        raise ConfigError(f"{file.at(key)}: extends takes one preset or path, not {name!r:.60}")
    folder = Path(file.shown).parent if file.path.parent != _preset_folder() else Path()
    return _find(name, folder, f"{file.at(key)}: extends {name}")


def _preset_folder() -> Path | None:
    return next((path.resolve().parent for path in presets().values()), None)


def _entries(file: _File, known: Mapping[str, Key]) -> Iterator[tuple[str, str, Any]]:
    sections = {name.partition(".")[0] for name in known if "." in name}
    for name, (key_node, node) in file.nodes.items():
        if name in sections:
            for part, (part_key, part_node) in _pairs(file.shown, node).items():
                yield _entry(file, f"{name}.{part}", part_key, part_node, known)
        elif name != "extends":
            yield _entry(file, name, key_node, node, known)


def _entry(
    file: _File, name: str, key_node: yaml.Node, node: yaml.Node, known: Mapping[str, Key]
) -> tuple[str, str, Any]:
    place = file.at(key_node)
    if name not in known:
        raise ConfigError(f"{place}: no such setting: {name}", _nearest(name, known))
    return name, place, convert(known[name], file.value(node), f"{place}: {name}")


def _nearest(name: str, known: Mapping[str, Key]) -> str:
    """The likeliest meaning: the same key in another place, one like it beside it, or anywhere."""
    section, _, last = name.rpartition(".")
    same = [key for key in known if key.rpartition(".")[2] == last]
    if same:
        return f"did you mean {' or '.join(repr(key) for key in same)}?"
    beside = [key.rpartition(".")[2] for key in known if key.rpartition(".")[0] == section]
    groups = [] if section else [*dict.fromkeys(key.split(".")[0] for key in known), "extends"]
    return (
        did_you_mean(last, [*beside, *groups])
        or did_you_mean(name, known)
        or f"there are: {', '.join(beside)}"
    )


def default_yaml(known: Mapping[str, Key]) -> str:
    """The settings in, a file that sets every one to its default with a comment out."""
    lines, section = [_HEAD], ""
    for key in known.values():
        group, _, name = key.name.rpartition(".")
        if group != section:
            lines.append(f"\n{group}:")
            section = group
        lines += _commented(key, name, "  " if group else "")
    return "\n".join(lines) + "\n"


_HEAD = """\
# Every setting of staa with its default.
# A flag wins over the environment (STAA_SAMPLING_FRAMES=8), that over one file like this one, and
# that over the defaults. A file needs only the keys that it changes, and may begin with
# `extends: fast` (a preset or a path). Paths are relative to the folder that staa runs in.
"""


def _commented(key: Key, name: str, indent: str) -> list[str]:
    unset = f" (null: {key.unset})" if key.unset else ""
    comment = textwrap.wrap(key.line + unset, 98 - len(indent))
    value = key.default if isinstance(key.default, str) else json.dumps(key.default)
    return [*(f"{indent}# {line}" for line in comment), f"{indent}{name}: {value}"]
