"""Regenerates the figures and pictures of the pages: ``python docs/figures/update.py [WORD]``.

The part of README.md or of a page in docs/ between ``<!-- made by: COMMAND -->`` and
``<!-- end -->`` is the output of COMMAND. With WORD, only commands that contain it are run.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PART = re.compile(r"(<!-- made by: (?P<command>.+?) -->\n)(?P<body>.*?)(<!-- end -->)", re.DOTALL)


def commands(text: str) -> list[str]:
    """The commands of a page, in order."""
    return [match["command"] for match in PART.finditer(text)]


def printed(command: str) -> str:
    """Output of a command in Markdown."""
    print(f"$ {command}", file=sys.stderr)
    done = subprocess.run(
        command, shell=True, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    body = done.stdout.strip()
    if not body.startswith(("<", "!")) and "\n|---" not in body:  # not Markdown
        body = f"```text\n{body}\n```"
    return body


def put(text: str, command: str, body: str) -> str:
    """The page with a new body in the part of a command."""
    return PART.sub(
        lambda match: f"{match[1]}{body}\n{match[4]}" if match["command"] == command else match[0],
        text,
    )


def main() -> None:
    """Update the pages part by part, so that concurrent edits and finished parts are kept.

    A part whose command fails, for example because it needs videos that are not here, is kept too.
    """
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    failed = []
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for command in commands(page.read_text()):
            if word in command:
                try:
                    body = printed(command)
                except subprocess.CalledProcessError:
                    failed.append(command)
                else:
                    page.write_text(put(page.read_text(), command, body))
    if failed:
        sys.exit("\n".join(["failed, and their parts are as they were:", *failed]))


if __name__ == "__main__":
    main()
