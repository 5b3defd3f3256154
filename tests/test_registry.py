"""The registry: names to things, and what a wrong name is told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from staa_cli.errors import UsageError
from staa_cli.registry import Registry, did_you_mean


@pytest.fixture
def fruits() -> Registry[str]:
    registry: Registry[str] = Registry("fruit")
    for name in ("pear", "apple", "apricot"):
        registry.register(name)(name.upper())
    return registry


def test_names_keep_the_order_of_registration(fruits: Registry[str]) -> None:
    assert fruits.names() == ["pear", "apple", "apricot"]
    assert fruits.names("ap*") == ["apple", "apricot"]
    assert list(fruits.items()) == [("pear", "PEAR"), ("apple", "APPLE"), ("apricot", "APRICOT")]
    assert fruits.get("apple") == "APPLE"
    assert "apple" in fruits
    assert "plum" not in fruits


def test_a_near_miss_is_told_the_nearest(fruits: Registry[str]) -> None:
    with pytest.raises(UsageError, match="unknown fruit 'aple'") as caught:
        fruits.get("aple")
    assert "'apple'" in str(caught.value.hint)


def test_a_far_miss_is_told_all(fruits: Registry[str]) -> None:
    with pytest.raises(UsageError) as caught:
        fruits.get("zzz")
    assert caught.value.hint == "there are: pear, apple, apricot"


def test_a_name_is_taken_once(fruits: Registry[str]) -> None:
    with pytest.raises(ValueError, match="'pear' is registered twice"):
        fruits.register("pear")("PEAR AGAIN")


def test_the_decorator_returns_what_it_files(fruits: Registry[str]) -> None:
    assert fruits.register("fig")("FIG") == "FIG"


def test_modules_are_imported_at_the_first_look_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "staa_test_plugin.py").write_text(
        "import staa_test_host\nstaa_test_host.things.register('late')(1)\n"
    )
    (tmp_path / "staa_test_host.py").write_text(
        "from staa_cli.registry import Registry\nthings = Registry('thing', ['staa_test_plugin'])\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    from staa_test_host import things  # type: ignore[import-not-found]

    assert "staa_test_plugin" not in sys.modules
    assert things.names() == ["late"]


def test_nothing_near_is_none() -> None:
    assert did_you_mean("zzz", ["apple"]) is None
