"""References ``package.module:name`` to objects in the user's code.

Importing a module runs it. Therefore references are accepted only on the command line and from
Python, never from a file or the environment.
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

# Packages whose version identifies their code: their base classes are not part of the digest.
_EXCLUDED = ("staa_cli", "torch", "builtins", "abc", "typing")

_DIGESTS: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


def is_reference(text: str) -> bool:
    """Whether a text has the form ``package.module:name``; ``timm:NAME`` is a timm model."""
    return _REFERENCE.fullmatch(text) is not None


def load_reference(reference: str, kind: str) -> Any:
    """Import an object from the module search path or the current folder.

    Args:
        reference: ``package.module:name``.
        kind: of the expected object, for messages: ``function``.

    Raises:
        UnavailableError: the module does not exist, fails to import, or does not have the name.
    """
    module, _, name = reference.partition(":")
    if (folder := str(Path.cwd())) not in sys.path:
        sys.path.append(folder)
    try:
        loaded = getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:  # user code may raise anything
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise UnavailableError(
            f"cannot import {reference}: {reason}",
            f"expected an importable package.module:{kind}; -vv shows where the import failed",
        ) from error
    code_sha256(loaded)  # cached now, as the file may change later
    return loaded


def code_sha256(loaded: Any) -> str:
    """SHA-256 of the source files of a function, or of a class and its bases.

    Computed once per object. An object without a file, such as one defined at a prompt, has the
    digest of empty input.
    """
    defined = loaded if isinstance(loaded, type | FunctionType) else type(loaded)
    if defined not in _DIGESTS:
        classes = defined.__mro__ if isinstance(defined, type) else (defined,)
        modules = dict.fromkeys(item.__module__ for item in classes)
        names = [name for name in modules if name.partition(".")[0] not in _EXCLUDED]
        digest = hashlib.sha256()
        for file in (getattr(sys.modules.get(name), "__file__", None) for name in names):
            with suppress(OSError):  # removed, or inside an archive
                digest.update(Path(file).read_bytes() if file else b"")
        _DIGESTS[defined] = digest.hexdigest()
    return _DIGESTS[defined]
