"""The registry: names to things, what is imported for them, and what a wrong name is told."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from plugins import declare, on_the_path

from staa_cli.errors import UnavailableError, UsageError
from staa_cli.registry import Registry, did_you_mean

GROUP = "staa.test-fruits"


def accept(name: str, declared: Any) -> str:
    if not isinstance(declared, str):
        raise TypeError("wanted: a word")
    return f"{name} {declared}"


@pytest.fixture
def fruits() -> Registry[str]:
    registry: Registry[str] = Registry("fruit", GROUP, accept)
    for name in ("pear", "apple", "apricot"):
        registry.register(name)(name.upper())
    return registry


@pytest.fixture
def packages(tmp_path: Path) -> Iterator[Path]:
    """A folder for packages that are installed: two, each with a module of its own."""
    (tmp_path / "orchard_a.py").write_text("fig = 'FIG'\nclass Basket:\n    plum = 'PLUM'\n")
    (tmp_path / "orchard_b.py").write_text("import not_there\n\nmore of it")
    (tmp_path / "orchard_c.py").write_text("import sys\nsys.exit('I want out')\n")
    declare(
        tmp_path,
        "orchard-a",
        {GROUP: {"plum": "orchard_a:Basket.plum [extra]", "fig": "orchard_a:fig"}},
    )
    with on_the_path(tmp_path):
        yield tmp_path


def test_names_keep_the_order_of_registration(fruits: Registry[str]) -> None:
    assert fruits.names() == ["pear", "apple", "apricot"]
    assert fruits.names("ap*") == ["apple", "apricot"]
    assert list(fruits.items())[1:] == [("apple", "apple APPLE"), ("apricot", "apricot APRICOT")]
    assert fruits.get("apple") == "apple APPLE"
    assert "apple" in fruits
    assert "plum" not in fruits


def test_a_near_miss_is_told_the_nearest(fruits: Registry[str]) -> None:
    with pytest.raises(UsageError, match="unknown fruit 'aple'") as caught:
        fruits.get("aple")
    assert "'apple'" in str(caught.value.hint)


def test_a_far_miss_is_told_all(fruits: Registry[str]) -> None:
    with pytest.raises(UsageError) as caught:
        fruits.get("zzz")
    assert caught.value.hint == "available: pear, apple, apricot"


def test_a_name_is_taken_once_and_by_what_is_wanted(fruits: Registry[str], packages: Path) -> None:
    for taken in ("pear", "fig"):
        with pytest.raises(ValueError, match=f"a fruit named '{taken}' already exists"):
            fruits.register(taken)("AGAIN")
    with pytest.raises(TypeError, match="a word"):
        fruits.register("kiwi")(3)
    assert "kiwi" not in fruits


def test_the_decorator_returns_what_it_files(fruits: Registry[str]) -> None:
    assert fruits.register("fig")("FIG") == "FIG"


def test_packages_come_last_by_name_and_nothing_is_imported_to_name_them(
    fruits: Registry[str], packages: Path
) -> None:
    assert fruits.names() == ["pear", "apple", "apricot", "fig", "plum"]
    assert "plum" in fruits
    assert fruits.package_of("plum") == "orchard-a 1.0"
    assert fruits.package_of("pear") is None
    assert fruits.package_of("kiwi") is None
    assert "orchard_a" not in sys.modules
    assert fruits.get("plum") == "plum PLUM"
    assert fruits.get("fig") == "fig FIG"


def test_what_a_name_stands_for_is_made_once(packages: Path) -> None:
    made: list[str] = []
    registry: Registry[object] = Registry("fruit", GROUP, lambda name, _: made.append(name))
    assert registry.get("fig") is registry.get("fig")
    assert made == ["fig"]


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("orchard_b:grape", "ModuleNotFoundError: No module named 'not_there'"),
        ("orchard_c:grape", "SystemExit: I want out"),
        ("orchard_a:grape", "AttributeError: .*grape"),
        ("orchard_a:Basket", "TypeError: wanted: a word"),
        ("orchard_d:grape", "ModuleNotFoundError: No module named 'orchard_d'"),
        ("orchard_a", "AttributeError"),
        ("", "ValueError"),
    ],
)
def test_what_does_not_load_is_told_where_it_is_asked_for_and_keeps_nothing_else(
    fruits: Registry[str], packages: Path, target: str, why: str
) -> None:
    if target == "orchard_b:grape":
        (packages / "orchard_b.py").write_text("import not_there\n")
    declare(packages / "b", "orchard-b", {GROUP: {"grape": target}}, "2.1")
    with on_the_path(packages / "b"):
        assert "grape" in fruits.names()
        expected = rf"the fruit 'grape' of orchard-b 2\.1 cannot be loaded: {why}"
        with pytest.raises(UnavailableError, match=expected) as caught:
            fruits.get("grape")
        assert "\n" not in caught.value.cause + str(caught.value.hint)
        assert target in str(caught.value.hint)
        assert [name for name, _ in fruits.items()] == ["pear", "apple", "apricot", "fig", "plum"]
        assert [problem.cause for problem in fruits.problems()] == [caught.value.cause]
        assert fruits.get("fig") == "fig FIG"
    assert fruits.problems() == []


def test_a_name_that_two_declare_names_both(fruits: Registry[str], packages: Path) -> None:
    declare(packages / "b", "orchard-b", {GROUP: {"fig": "orchard_b:fig"}}, "2.1")
    with on_the_path(packages / "b"):
        assert fruits.names().count("fig") == 1
        with pytest.raises(UnavailableError, match="fruit 'fig' is declared by orchard-") as caught:
            fruits.get("fig")
        for package in ("orchard-a 1.0", "orchard-b 2.1"):
            assert package in caught.value.cause
            assert package in str(caught.value.hint)
        assert [name for name, _ in fruits.items()] == ["pear", "apple", "apricot", "plum"]
    assert fruits.get("fig") == "fig FIG"


def test_nothing_near_is_none() -> None:
    assert did_you_mean("zzz", ["apple"]) is None
