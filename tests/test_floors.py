"""The floors of the house: a room imports only from rooms below it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "staa_cli"

# From the ground up; a room may import what stands before it.
_LIST = """
errors paths schema words files memory failures registry references metrics.statistics
models.names
config_values presets config_files config sampling inputs timeline
synthetic.scenes synthetic.drawing synthetic.events synthetic.twins models video methods metrics
render report facts outputs clips attribution pipeline workload comparison batch
stream __init__ progress console cli synthetic __main__
"""
ROOMS = _LIST.split()
HEAVY = {"torch", "torchvision", "timm", "av", "PIL", "imageio", "matplotlib", "captum"}
LIGHT = {*ROOMS[: ROOMS.index("timeline")], "progress", "console", "cli", "__init__", "__main__"}


def room(module: str) -> str:
    """``synthetic.events`` where a part has a floor of its own, else the first word."""
    first, *rest = module.split(".")
    return next((r for r in (".".join([first, *rest[:1]]), first) if r in ROOMS), first)


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """What a file imports, and whether that happens when the file itself is imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    late = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for n in ast.walk(f)}
    for part in ast.walk(tree):
        if isinstance(part, ast.If) and "TYPE_CHECKING" in ast.unparse(part.test):
            late |= {id(node) for node in ast.walk(part)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) not in late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "staa_cli":
            for alias in node.names:
                inner = "__init__" if alias.name.startswith("__") else alias.name
                yield f"staa_cli.{inner}", id(node) not in late
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module or "", id(node) not in late


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_from_below(path: Path) -> None:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    here = room(".".join(part for part in parts if part != "__init__" or len(parts) == 1))
    for module, at_import in imports(path):
        top, _, inner = module.partition(".")
        if top in HEAVY and at_import:
            assert here not in LIGHT, f"{here} imports {module} when it is imported itself"
            assert here not in ("render", "report") or top not in ("torch", "torchvision", "timm")
        if top != "staa_cli" or room(inner) in (here, "__init__"):
            continue
        assert room(inner) in ROOMS, f"{module} has no floor"
        assert ROOMS.index(room(inner)) < ROOMS.index(here), f"{here} imports {module} from above"
