"""One registry for everything that has a name: methods, models, views, writers."""

from __future__ import annotations

import difflib
import fnmatch
import importlib
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from staa_cli.errors import UsageError

T = TypeVar("T")


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """The known names that are most like a name, at most three that are about equally so.

    Those that are clearly less like it than the best one would only hide that.
    """
    likeness = {each: _likeness(name.casefold(), each.casefold()) for each in known}
    best = max(likeness.values(), default=0.0)
    near = [each for each, ratio in likeness.items() if ratio >= max(_ALIKE, best - _EQUALLY)]
    return sorted(near, key=lambda each: -likeness[each])[:3]


_ALIKE, _EQUALLY, _BEGUN = 0.55, 0.1, 0.9


def _likeness(name: str, known: str) -> float:
    """0 to 1; a name that was begun and not ended is very like it."""
    begun = _BEGUN if name and known.startswith(name) else 0.0
    return max(begun, difflib.SequenceMatcher(None, known, name).ratio())


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A hint naming the nearest known names, or None when nothing is near."""
    near = nearest(name, known)
    return f"did you mean {' or '.join(map(repr, near))}?" if near else None


class Registry(Generic[T]):
    """Names to things, in order of registration.

    Args:
        kind: the word used in messages, for example ``method``.
        modules: modules that register themselves when they are imported. They are imported at the
            first look-up, so that naming the registry costs nothing.
    """

    def __init__(self, kind: str, modules: Iterable[str] = ()) -> None:
        self.kind = kind
        self._modules = list(modules)
        self._items: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """A decorator that files what it decorates under `name`.

        Raises:
            ValueError: the name is taken.
        """

        def add(item: T) -> T:
            if name in self._items:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            self._items[name] = item
            return item

        return add

    def names(self, pattern: str = "*") -> list[str]:
        """The registered names that match a shell-style pattern."""
        return [name for name in self._loaded() if fnmatch.fnmatchcase(name, pattern)]

    def get(self, name: str) -> T:
        """What is registered under `name`.

        Raises:
            UsageError: nothing is; the hint names the nearest names.
        """
        items = self._loaded()
        if name not in items:
            hint = did_you_mean(name, items) or f"there are: {', '.join(items)}"
            raise UsageError(f"unknown {self.kind} {name!r}", hint)
        return items[name]

    def items(self) -> Iterator[tuple[str, T]]:
        """Pairs of name and thing."""
        return iter(self._loaded().items())

    def __contains__(self, name: str) -> bool:
        return name in self._loaded()

    def _loaded(self) -> dict[str, T]:
        while self._modules:
            importlib.import_module(self._modules.pop(0))
        return self._items
