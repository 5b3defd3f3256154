"""The floors of the house: a room imports only from floors below its own, all the way down."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "staa_cli"

FLOORS = (
    {"schema", "errors", "failures", "entry_points", "registry", "references", "files", "paths"}
    | {"memory", "cores"}
    | {"formatting", "statistics"},
    {"config", "remote"},
    {"models", "video", "synthetic"},
    {"methods"},
    {"explain"},
    {"evaluation", "footage"},
    {"render"},
    {"results"},
    {"api", "jobs", "benchmark", "live"},
    {"training"},
    {"cli"},
    {"__main__"},
)
"""From the ground up. The modules of the ground floor are one room."""
GROUND = FLOORS[0]
HEAVY = {"torch", "torchvision", "timm", "av", "PIL", "imageio", "matplotlib", "captum"}
NEVER = {
    "remote": HEAVY | {"fsspec", "aiohttp"},
    "config": HEAVY,
    "cli": HEAVY,
    "render": {"torch", "torchvision", "timm", "captum"},
    "results": {"torch", "torchvision", "timm", "captum"},
} | dict.fromkeys(GROUND, HEAVY)
"""What importing a room must not bring, not even through another one."""

FILES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def floor(room: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def room_of(module: str) -> str:
    return module.removeprefix("staa_cli").lstrip(".").partition(".")[0] or "__init__"


@cache
def imports(module: str) -> tuple[tuple[str, bool], ...]:
    """What a module imports, and whether that happens when it is imported itself."""
    return tuple(_imports(FILES[module]))


def _imports(path: Path) -> Iterator[tuple[str, bool]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    late = {id(inner) for function in functions for inner in ast.walk(function)}
    typing = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) not in late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in FILES else str(node.module), id(node) not in late


@cache
def brought(module: str) -> frozenset[str]:
    """Every module that importing one brings, of this package and of others."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        if name in FILES:
            parents = name.split(".")[:-1]
            waiting += [".".join(parents[: n + 1]) for n in range(len(parents))]
            waiting += [inner for inner, at_import in imports(name) if at_import]
    return frozenset(found - {module})


def test_every_room_has_a_floor() -> None:
    rooms = {room_of(module) for module in FILES} - {"__init__"}
    assert rooms == set().union(*FLOORS)


@pytest.mark.parametrize("module", FILES)
def test_a_room_imports_only_from_below(module: str) -> None:
    here = room_of(module)
    if here == "__init__":
        return
    for name, _ in imports(module):
        there = room_of(name)
        if name.partition(".")[0] != "staa_cli" or there in (here, "__init__"):
            continue
        if not {here, there} <= GROUND:
            assert floor(there) < floor(here), f"{module} imports {name}, which is not below it"


@pytest.mark.parametrize("module", [name for name in FILES if room_of(name) in NEVER])
def test_what_must_not_come_along_does_not(module: str) -> None:
    for name in brought(module):
        assert name.partition(".")[0] not in NEVER[room_of(module)], f"{module} brings {name}"


def test_the_test_follows_imports() -> None:
    assert "torch" in brought("staa_cli.explain.pipeline")
    assert "staa_cli.schema" in brought("staa_cli.results.report")
