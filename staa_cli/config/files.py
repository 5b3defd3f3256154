"""Configuration files: presets and YAML, read by key so that messages contain line numbers."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from staa_cli.config.presets import presets
from staa_cli.config.values import Key, convert
from staa_cli.errors import ConfigError
from staa_cli.registry import did_you_mean

_SUFFIXES = (".yaml", ".yml")


OnError = Callable[[ConfigError], None]


def read_config(
    config: str, known: Mapping[str, Key], on_error: OnError | None = None
) -> Iterator[tuple[str, str, Any]]:
    """Read (dotted key, origin, value) from a preset or a path; extended files come first.

    Args:
        config: name of a preset, or a path, which has a slash or ends in .yaml.
        known: all settings by dotted key.
        on_error: called with each error; the faulty entry is skipped. If None, the first error is
            raised.

    Raises:
        ConfigError: a file is missing, is not YAML, extends itself, or has an invalid setting.
    """
    report = _raise if on_error is None else on_error
    chain: list[_File] = []
    pending: list[_Source] = []
    with _reporting(report):
        pending.append(_find(config, Path(), f"--config {config}"))
    while pending:
        with _reporting(report):
            chain.append(_read(pending.pop(), report))
            pending += _extended(chain)
    for file in reversed(chain):
        yield from _entries(file, known, report)


def _raise(error: ConfigError) -> None:
    raise error


@contextmanager
def _reporting(report: OnError) -> Iterator[None]:
    """Pass a ConfigError raised in the block to `report`."""
    try:
        yield
    except ConfigError as error:
        report(error)


@dataclass(frozen=True)
class _Source:
    path: Path
    shown: str
    """Path in messages and origins."""


@dataclass(frozen=True)
class _File(_Source):
    loader: yaml.SafeLoader
    nodes: Mapping[str, tuple[yaml.Node, yaml.Node]]
    """Nodes of key and value of each top-level key."""

    def at(self, node: yaml.Node) -> str:
        """File and line of a node: ``configs/fast.yaml:12``."""
        return f"{self.shown}:{node.start_mark.line + 1}"

    def value(self, node: yaml.Node) -> Any:
        """Value of a node as plain data; tags cannot run code."""
        try:
            return self.loader.construct_object(node, deep=True)
        except yaml.YAMLError as error:
            raise _broken(self.shown, error) from error


def _find(config: str, folder: Path, origin: str) -> _Source:
    known = presets()
    if not config:
        raise ConfigError(f"{origin.rstrip()}: expected a preset or a file, not ''")
    if config in known:
        return _Source(known[config].resolve(), f"configs/{config}.yaml")
    if "/" in config or config.endswith(_SUFFIXES):
        path = folder / config
        return _Source(path.resolve(), str(path))
    hint = did_you_mean(config, known) or (
        f"available presets: {', '.join(known)}; a file name must end in .yaml"
    )
    raise ConfigError(f"{origin}: no such preset", hint)


def _read(source: _Source, report: OnError) -> _File:
    try:
        loader = yaml.SafeLoader(source.path.read_bytes())
        root = loader.get_single_node()
    except OSError as error:
        raise ConfigError(f"{source.shown}: {(error.strerror or str(error)).lower()}") from error
    except yaml.YAMLError as error:
        raise _broken(source.shown, error) from error
    return _File(source.path, source.shown, loader, _pairs(source.shown, root, report))


def _broken(shown: str, error: yaml.YAMLError) -> ConfigError:
    mark = getattr(error, "problem_mark", None)
    place = f"{shown}:{mark.line + 1}" if mark else shown
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "not readable"
    return ConfigError(f"{place}: not valid YAML: {problem}")


def _pairs(
    shown: str, node: yaml.Node | None, report: OnError
) -> dict[str, tuple[yaml.Node, yaml.Node]]:
    """Nodes of key and value by key; none for an empty file or section."""
    if node is None or node.tag == "tag:yaml.org,2002:null":
        return {}
    place = f"{shown}:{node.start_mark.line + 1}"
    if not isinstance(node, yaml.MappingNode):
        content = f"{node.value!r:.60}" if isinstance(node, yaml.ScalarNode) else "a list"
        raise ConfigError(f"{place}: expected settings as `key: value`, not {content}")
    pairs: dict[str, tuple[yaml.Node, yaml.Node]] = {}
    for key, value in node.value:
        if str(key.value) in pairs:
            line = key.start_mark.line + 1
            report(ConfigError(f"{shown}:{line}: {key.value!r} is set twice in this section"))
        pairs[str(key.value)] = (key, value)
    return pairs


def _extended(chain: list[_File]) -> list[_Source]:
    """The file extended by the last file of the chain, if any."""
    file = chain[-1]
    if "extends" not in file.nodes:
        return []
    key, node = file.nodes["extends"]
    name = file.value(node)
    if not isinstance(name, str):
        raise ConfigError(f"{file.at(key)}: extends takes one preset or path, not {name!r:.60}")
    folder = Path(file.shown).parent if file.path.parent != _preset_folder() else Path()
    source = _find(name, folder, f"{file.at(key)}: extends {name}")
    if source.path in [file.path for file in chain]:
        names = " -> ".join([*(file.shown for file in chain), source.shown])
        raise ConfigError(f"{file.shown}: files extend each other in a cycle: {names}")
    return [source]


def _preset_folder() -> Path | None:
    return next((path.resolve().parent for path in presets().values()), None)


def _entries(
    file: _File, known: Mapping[str, Key], report: OnError
) -> Iterator[tuple[str, str, Any]]:
    entries: list[tuple[str, str, Any]] = []
    sections = {name.partition(".")[0] for name in known if "." in name}
    for name, (key_node, node) in file.nodes.items():
        inner: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        if name in sections:
            with _reporting(report):
                pairs = _pairs(file.shown, node, report)
                inner = {f"{name}.{part}": pair for part, pair in pairs.items()}
        elif name != "extends":
            inner = {name: (key_node, node)}
        for setting, (setting_key, setting_node) in inner.items():
            with _reporting(report):
                entries.append(_entry(file, setting, setting_key, setting_node, known))
    yield from entries


def _entry(
    file: _File, name: str, key_node: yaml.Node, node: yaml.Node, known: Mapping[str, Key]
) -> tuple[str, str, Any]:
    place = file.at(key_node)
    if name not in known:
        raise ConfigError(f"{place}: no such setting: {name}", _nearest(name, known))
    return name, place, convert(known[name], file.value(node), f"{place}: {name}")


def _nearest(name: str, known: Mapping[str, Key]) -> str:
    """A hint: the same key in another section, or similar keys in this section or in any."""
    section, _, last = name.rpartition(".")
    flag = "--" + last.replace("_", "-")
    same = [key for key in known if key.rpartition(".")[2] == last]
    same = same or [key for key, item in known.items() if item.flag == flag]
    if same:
        return f"did you mean {' or '.join(repr(key) for key in same)}?"
    siblings = [key.rpartition(".")[2] for key in known if key.rpartition(".")[0] == section]
    groups = [] if section else [*dict.fromkeys(key.split(".")[0] for key in known), "extends"]
    return (
        did_you_mean(last, [*siblings, *groups])
        or did_you_mean(name, known)
        or f"available: {', '.join([*siblings, *groups])}"
    )


def default_yaml(known: Mapping[str, Key]) -> str:
    """The text of a file with all settings at their defaults, each with a comment."""
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
# A flag overrides the environment (STAA_SAMPLING_FRAMES=8), which overrides a file like this one,
# which overrides the defaults. A file needs only the keys that it changes, and may begin with
# `extends: fast` (a preset or a path). Paths are relative to the folder that staa runs in.
"""


def _commented(key: Key, name: str, indent: str) -> list[str]:
    unset = f" (null: {key.unset})" if key.unset else ""
    comment = textwrap.wrap(key.line + unset, 98 - len(indent))
    value = key.default if isinstance(key.default, str) else json.dumps(key.default)
    return [*(f"{indent}# {line}" for line in comment), f"{indent}{name}: {value}"]
