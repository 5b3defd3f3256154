"""One registry for every noun that a package may add to: methods, models, metrics, data sets."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from staa_cli.entry_points import Declaration, declared, package_of
from staa_cli.errors import UnavailableError, UsageError

T = TypeVar("T")
Registered = TypeVar("Registered")


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
    """Names to things: those that come with staa, then a program's own, then those of packages.

    A thing is imported when it is asked for, and no other one with it; to name it imports nothing.

    Args:
        kind: the word used in messages, for example ``method``.
        group: of the entry points that declare such things, for example ``staa.methods``.
        accept: makes of a name, and of what is declared or registered under it, what is filed;
            raises TypeError, saying what is wanted, where it is no such thing.
    """

    def __init__(self, kind: str, group: str, accept: Callable[[str, Any], T]) -> None:
        self.kind, self.group = kind, group
        self._accept = accept
        self._registered: dict[str, T] = {}
        self._loaded: dict[Declaration, T] = {}

    def register(self, name: str) -> Callable[[Registered], Registered]:
        """A decorator that files what it decorates under `name`, for as long as the program runs.

        Raises:
            ValueError: the name is taken.
            TypeError: what is decorated is no such thing.
        """

        def add(thing: Registered) -> Registered:
            if name in self:
                raise ValueError(f"a {self.kind} named {name!r} already exists")
            self._registered[name] = self._accept(name, thing)
            return thing

        return add

    def names(self, pattern: str = "*") -> list[str]:
        """The names that match a shell-style pattern, of things that load and of others."""
        found = declared(self.group)
        builtin = [name for name, (first, *_) in found.items() if first.package is None]
        known = dict.fromkeys([*builtin, *self._registered, *found])
        return [name for name in known if fnmatch.fnmatchcase(name, pattern)]

    def get(self, name: str) -> T:
        """What stands under `name`.

        Raises:
            UsageError: nothing does; the hint names the nearest names.
            UnavailableError: several packages declare it, or what one declares cannot be loaded.
        """
        if name in self._registered:
            return self._registered[name]
        declarations = declared(self.group).get(name, ())
        if not declarations:
            known = self.names()
            hint = did_you_mean(name, known) or f"available: {', '.join(known)}"
            raise UsageError(f"unknown {self.kind} {name!r}", hint)
        if len(declarations) > 1:
            packages = [each.package or "staa itself" for each in declarations]
            raise UnavailableError(
                f"the {self.kind} {name!r} is declared by {' and by '.join(packages)}",
                f"uninstall {' or '.join(each.package for each in declarations if each.package)}",
            )
        (declaration,) = declarations
        if declaration not in self._loaded:
            self._loaded[declaration] = self._load(declaration)
        return self._loaded[declaration]

    def items(self) -> Iterator[tuple[str, T]]:
        """Pairs of name and thing, of all that load; `problems` tells of the others."""
        for name in self.names():
            try:
                yield name, self.get(name)
            except UnavailableError:
                continue

    def problems(self) -> list[UnavailableError]:
        """What keeps things from loading, each of which is left out where all are asked for."""
        found = []
        for name in self.names():
            try:
                self.get(name)
            except UnavailableError as error:
                found.append(error)
        return found

    def package_of(self, name: str) -> str | None:
        """Name and version of the package that declares a thing; None of any other thing."""
        return package_of(self.group, name)

    def __contains__(self, name: object) -> bool:
        return name in self._registered or name in declared(self.group)

    def _load(self, declaration: Declaration) -> T:
        if declaration.package is None:  # what fails in staa itself is a bug, and shown as one
            return self._accept(declaration.name, declaration.load())
        try:
            return self._accept(declaration.name, declaration.load())
        except (Exception, SystemExit) as error:  # whatever somebody else's code meets
            why = str(error).strip().partition("\n")[0]
            raise UnavailableError(
                f"the {self.kind} {declaration.name!r} of {declaration.package} cannot be loaded: "
                f"{type(error).__name__}: {why}",
                f"it is declared as {declaration.target}; -vv shows where loading failed",
            ) from error
