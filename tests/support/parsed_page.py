"""Pages as parsed by a program, and texts that must stay text in them."""

from __future__ import annotations

from html.parser import HTMLParser

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "\"><b onclick='alert(1)'>",
    "<!-- <script>",
    "&lt;i&gt; {{x}} ${x} ]]>",
    "a\nb\u2028c\u202e\u0000",
)
VOID = {"meta", "img", "input", "br", "link"}


class Parsed(HTMLParser):
    """Elements with their attributes, text outside scripts, and the contents of raw elements."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.by_id: dict[str, str] = {}
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        inside = self._open[-1] if self._open else ""
        if inside not in self.raw:
            self.text += data
            return
        self.raw[inside].append(data)
        if (name := self.elements[-1][1].get("id")) is not None:
            self.by_id[name] = self.by_id.get(name, "") + data

    def attributes(self) -> list[tuple[str, str, str | None]]:
        return [(tag, name, value) for tag, attrs in self.elements for name, value in attrs.items()]

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]
