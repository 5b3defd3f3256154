"""Whether methods rank the same whatever stands where something is removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from staa_cli.statistics import kendall_tau, rank_correlation

GAINS = {"srg_blur": "blur", "srg_mean": "mean", "srg_noise": "noise"}
"""Metrics that ask the same under several replacements, and the names of these."""


def replacement_agreement(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rank correlations of methods' mean symmetric relevance gains, a row a pair of replacements.

    Only of pairs that at least two methods have both means of; one that has no order, since all of
    its means are equal, has None.

    Args:
        rows: a benchmark's results.
    """
    means = {(row["metric"], row["method"]): row["mean"] for row in rows}  # None for no score
    methods = list(dict.fromkeys(row["method"] for row in rows))
    found = []
    for one, other in combinations(GAINS, 2):
        both = [(means.get((one, name)), means.get((other, name))) for name in methods]
        pairs = np.array([pair for pair in both if None not in pair], np.float64).reshape(-1, 2)
        if len(pairs) < 2:
            continue
        correlations = {
            "kendall": kendall_tau(pairs[:, 0], pairs[:, 1]),
            "spearman": rank_correlation(pairs[:, 0], pairs[:, 1]),
        }
        told = {name: None if np.isnan(value) else value for name, value in correlations.items()}
        found.append({"replacements": [GAINS[one], GAINS[other]], **told, "methods": len(pairs)})
    return found


def agreement_line(result: Mapping[str, Any]) -> str:
    """One line with Kendall's tau of every pair of replacements; empty where there is none.

    Two methods have but one order or the other, which is not worth a line.
    """
    found = result.get("replacement_agreement", ())
    rows = [row for row in found if row["kendall"] is not None and row["methods"] > 2]
    if not rows:
        return ""
    told = ", ".join(f"{row['kendall']:z.2f} {' and '.join(row['replacements'])}" for row in rows)
    return f"Kendall's tau of {rows[0]['methods']} methods' mean SRG between replacements: {told}"
