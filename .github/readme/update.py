"""Makes every figure and picture of the README anew: ``python .github/readme/update.py [WORD]``.

A part of the README between ``<!-- made by: COMMAND -->`` and ``<!-- end -->`` is what COMMAND
prints. With WORD, only the parts whose command contains it are made.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PART = re.compile(r"(<!-- made by: (?P<command>.+?) -->\n)(?P<body>.*?)(<!-- end -->)", re.DOTALL)


def commands(text: str) -> list[str]:
    """The commands that a README names, in order."""
    return [match["command"] for match in PART.finditer(text)]


def make(match: re.Match[str], word: str) -> str:
    """A part as its command makes it, or as it is where the command does not contain `word`."""
    command = match["command"]
    if word not in command:
        return match[0]
    print(f"$ {command}", file=sys.stderr)
    done = subprocess.run(
        command, shell=True, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    body = done.stdout.strip()
    if not body.startswith(("|", "<", "!")):
        body = f"```text\n{body}\n```"
    return f"{match[1]}{body}\n{match[4]}"


def main() -> None:
    """Rewrite README.md."""
    readme = ROOT / "README.md"
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    readme.write_text(PART.sub(lambda match: make(match, word), readme.read_text()))


if __name__ == "__main__":
    main()
