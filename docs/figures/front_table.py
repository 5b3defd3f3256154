"""The table in the README: some rows and columns of the committed benchmark.

python docs/figures/front_table.py
"""

from __future__ import annotations

from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "benchmark" / "tiny-events" / "benchmark.md"
METHODS = (
    *("staa-class", "staa", "rollout", "grad-attention"),
    *("integrated-gradients", "occlusion", "kernel-shap"),
)
METRICS = ("srg", "pointing", "temporal_auc")


def main() -> None:
    """Print the table: chosen methods, and all baselines, which need no forward pass."""
    caption, _, head, _, *lines = SOURCE.read_text(encoding="utf-8").splitlines()
    rows = [cells(line) for line in lines[: lines.index("")]]
    shown = [row for row in rows if row[0] in METHODS or row[1] == "0"]
    names = cells(head)
    columns = [0, 1, *(n for n, name in enumerate(names) if name.split(" ")[0] in METRICS)]
    print(f"{caption}\n")
    for row in (names, ["---"] * len(names), *shown):
        print(f"|{'|'.join(f' {row[n]} ' for n in columns)}|".replace(" --- ", "---"))
    print("\n`!` does not beat every baseline.")


def cells(line: str) -> list[str]:
    """The cells of a line of a Markdown table."""
    return [cell.strip() for cell in line.strip("|").split("|")]


if __name__ == "__main__":
    main()
