"""The frame of a page: one HTML file with its styles and scripts, which loads nothing else.

Everything that is not written here is text and is escaped: with `escaped` in HTML, with
`data_block` in JSON. A content security policy allows only the page's own script and style, by
their hashes; there are no inline handlers and no style attributes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from staa_cli import __version__
from staa_cli.paths import as_text, textual

_ASSETS = files("staa_cli.results.pages") / "assets"


def page(
    title: str,
    body: str,
    *,
    styles: Sequence[str],
    scripts: Sequence[str],
    media: str = "data:",
    connect: str | None = None,
    generator: str = "staa",
) -> str:
    """A complete page.

    Args:
        title: plain text.
        body: HTML.
        styles: names of style sheets among the assets, in order.
        scripts: names of scripts among the assets, in order; they share one scope.
        media: sources of video that the policy allows, besides none.
        connect: sources that its scripts may talk to, besides none.
        generator: what writes the page, in front of the version.
    """
    style, script = assets(styles), assets(scripts)
    policy = (
        f"default-src 'none'; script-src {_source(script)}; style-src {_source(style)}; "
        f"img-src data:; media-src {media}; base-uri 'none'; form-action 'none'"
        f"{f'; connect-src {connect}' if connect else ''}"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<meta name="generator" content="{generator} {escaped(__version__)}">\n'
        f"<title>{escaped(title)}</title>\n<style>{style}</style>\n</head>\n"
        f"<body>\n{body}\n<script>{script}</script>\n</body>\n</html>\n"
    )


def is_page(path: Path, generator: str) -> bool:
    """Whether a file is a page that was written by that part of staa."""
    try:
        with path.open("rb") as file:
            return f'<meta name="generator" content="{generator} '.encode() in file.read(2000)
    except OSError:
        return False


def escaped(text: str) -> str:
    """Text of a user on one line, for HTML and its attributes."""
    return escape(" ".join(as_text(text).split()))


def words(text: str) -> str:
    """Text of a user as an element: its direction, such as that of Arabic, ends with it."""
    return f"<bdi>{escaped(text)}</bdi>"


def keys_dialog(keys: Mapping[str, str]) -> str:
    """A list of keys, which scripts open: each key, or several with blanks, with what it does."""
    rows = "".join(
        f"<dt><kbd>{'</kbd><kbd>'.join(names.split())}</kbd></dt><dd>{text}</dd>"
        for names, text in keys.items()
    )
    return (
        f'<dialog class="keys" aria-label="Keys"><dl>{rows}</dl>'
        '<form method="dialog"><button>close</button></form></dialog>'
    )


def data_block(name: str, value: Any) -> str:
    """JSON for scripts, in an element with that id; nothing in it can end the element."""
    content = json.dumps(textual(value), allow_nan=False, separators=(",", ":"), sort_keys=True)
    content = content.replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{content}</script>'


def base64_block(name: str, content: bytes) -> str:
    """Bytes for scripts, in an element with that id."""
    return f'<script type="text/plain" id="{name}">{base64.b64encode(content).decode()}</script>'


def assets(names: Sequence[str]) -> str:
    """The contents of assets, one after the other."""
    return "".join((_ASSETS / name).read_text(encoding="utf-8") for name in names)


def _source(content: str) -> str:
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    return f"'sha256-{digest}'"
