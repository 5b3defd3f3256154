"""Registry of objects that packages can add: methods, models, metrics, data sets, and others."""

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
    """The known names most similar to a name: at most three of about the same similarity.

    Names that are clearly less similar than the best one are left out.
    """
    similarity = {other: _similarity(name.casefold(), other.casefold()) for other in known}
    best = max(similarity.values(), default=0.0)
    least = max(_LEAST_SIMILARITY, best - _TOLERANCE)
    near = [other for other, value in similarity.items() if value >= least]
    return sorted(near, key=lambda other: -similarity[other])[:3]


_LEAST_SIMILARITY, _TOLERANCE, _PREFIX_SIMILARITY = 0.55, 0.1, 0.9


def _similarity(name: str, known: str) -> float:
    """Similarity from 0 to 1; high for a prefix of a known name."""
    prefix = _PREFIX_SIMILARITY if name and known.startswith(name) else 0.0
    return max(prefix, difflib.SequenceMatcher(None, known, name).ratio())


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A hint with the most similar known names, or None if no name is similar."""
    near = nearest(name, known)
    return f"did you mean {' or '.join(map(repr, near))}?" if near else None


class Registry(Generic[T]):
    """Objects by name: built-in ones, then those registered by the program, then those of packages.

    `get` imports only the requested object; `names` imports nothing.

    Args:
        kind: the noun in messages, for example ``method``.
        group: entry point group of the declarations, for example ``staa.methods``.
        accept: converts a name and the object declared or registered under it to the registry's
            value; raises TypeError for an object of the wrong kind, with the expected one in the
            message.
    """

    def __init__(self, kind: str, group: str, accept: Callable[[str, Any], T]) -> None:
        self.kind, self.group = kind, group
        self._accept = accept
        self._registered: dict[str, T] = {}
        self._loaded: dict[Declaration, T] = {}

    def register(self, name: str) -> Callable[[Registered], Registered]:
        """A decorator that registers an object as `name` until the program ends.

        Raises:
            ValueError: the name already exists.
            TypeError: the object is of the wrong kind.
        """

        def add(item: Registered) -> Registered:
            if name in self:
                raise ValueError(f"a {self.kind} named {name!r} already exists")
            self._registered[name] = self._accept(name, item)
            return item

        return add

    def names(self, pattern: str = "*") -> list[str]:
        """The names that match a shell-style pattern, whether or not the objects can be loaded."""
        declarations = declared(self.group)
        builtin = [name for name, (first, *_) in declarations.items() if first.package is None]
        known = dict.fromkeys([*builtin, *self._registered, *declarations])
        return [name for name in known if fnmatch.fnmatchcase(name, pattern)]

    def get(self, name: str) -> T:
        """The object called `name`.

        Raises:
            UsageError: the name is unknown; the hint lists similar names.
            UnavailableError: several packages declare the name, or its object cannot be loaded.
        """
        if name in self._registered:
            return self._registered[name]
        declarations = declared(self.group).get(name, ())
        if not declarations:
            known = self.names()
            hint = did_you_mean(name, known) or f"available: {', '.join(known)}"
            raise UsageError(f"unknown {self.kind} {name!r}", hint)
        if len(declarations) > 1:
            owners = [item.package or "staa itself" for item in declarations]
            raise UnavailableError(
                f"the {self.kind} {name!r} is declared by {' and by '.join(owners)}",
                f"uninstall {' or '.join(item.package for item in declarations if item.package)}",
            )
        (declaration,) = declarations
        if declaration not in self._loaded:
            self._loaded[declaration] = self._load(declaration)
        return self._loaded[declaration]

    def items(self) -> Iterator[tuple[str, T]]:
        """Names and objects that can be loaded; `problems` lists the errors of the others."""
        for name in self.names():
            try:
                yield name, self.get(name)
            except UnavailableError:
                continue

    def problems(self) -> list[UnavailableError]:
        """The errors of all objects that cannot be loaded."""
        errors = []
        for name in self.names():
            try:
                self.get(name)
            except UnavailableError as error:
                errors.append(error)
        return errors

    def package_of(self, name: str) -> str | None:
        """Name and version of the package that declares an object; None for other objects."""
        return package_of(self.group, name)

    def __contains__(self, name: object) -> bool:
        return name in self._registered or name in declared(self.group)

    def _load(self, declaration: Declaration) -> T:
        if declaration.package is None:  # an error here is a bug in staa
            return self._accept(declaration.name, declaration.load())
        try:
            return self._accept(declaration.name, declaration.load())
        except (Exception, SystemExit) as error:  # package code may raise anything
            reason = str(error).strip().partition("\n")[0]
            raise UnavailableError(
                f"the {self.kind} {declaration.name!r} of {declaration.package} cannot be loaded: "
                f"{type(error).__name__}: {reason}",
                f"it is declared as {declaration.target}; -vv shows where loading failed",
            ) from error
