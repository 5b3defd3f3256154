"""``package.module:name``: something in somebody's own code, by where it is.

Importing a module runs it. That is why such a name is taken from the command line and from Python
alone, never from a file or the environment.
"""

from __future__ import annotations

import hashlib
import importlib
import re
import sys
from contextlib import suppress
from pathlib import Path
from types import FunctionType
from typing import Any
from weakref import WeakKeyDictionary

from staa_cli.errors import UnavailableError

_REFERENCE = re.compile(r"(?!timm:)[A-Za-z_][\w.]*:[A-Za-z_]\w*")

# Whose versions say what their code is; a class of one's own derives from theirs.
_NOT_OWN = ("staa_cli", "torch", "builtins", "abc", "typing")

_DIGESTS: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


def is_reference(text: str) -> bool:
    """Whether a text has the form ``package.module:name``; ``timm:NAME`` is a model of timm's."""
    return _REFERENCE.fullmatch(text) is not None


def load_reference(reference: str, kind: str) -> Any:
    """What stands under that name, found where Python finds modules, and in the current folder.

    Args:
        reference: ``package.module:name``.
        kind: what is wanted there, for people: ``function``.

    Raises:
        UnavailableError: there is no such module, it fails, or it has no such name.
    """
    where, _, what = reference.partition(":")
    if (folder := str(Path.cwd())) not in sys.path:
        sys.path.append(folder)
    try:
        loaded = getattr(importlib.import_module(where), what)
    except (Exception, SystemExit) as error:  # whatever somebody's own code meets
        why = str(error).strip().split("\n")[0] or type(error).__name__
        raise UnavailableError(
            f"cannot import {reference}: {why}",
            f"expected an importable package.module:{kind}; -vv shows where the import failed",
        ) from error
    code_sha256(loaded)  # now: the file may be another one by the time that somebody asks
    return loaded


def code_sha256(loaded: Any) -> str:
    """Digest of the file that a function or class is defined in, and those of its own bases.

    As the file was when it was first asked for; what is defined in no file, as at a prompt, has the
    digest of nothing.
    """
    defined = loaded if isinstance(loaded, type | FunctionType) else type(loaded)
    if defined not in _DIGESTS:
        classes = defined.__mro__ if isinstance(defined, type) else (defined,)
        modules = dict.fromkeys(each.__module__ for each in classes)
        own = [name for name in modules if name.partition(".")[0] not in _NOT_OWN]
        digest = hashlib.sha256()
        for file in (getattr(sys.modules.get(name), "__file__", None) for name in own):
            with suppress(OSError):  # gone by now, or inside an archive
                digest.update(Path(file).read_bytes() if file else b"")
        _DIGESTS[defined] = digest.hexdigest()
    return _DIGESTS[defined]
