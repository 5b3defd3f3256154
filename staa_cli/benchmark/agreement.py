"""Agreement of method rankings between replacements of removed tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from staa_cli.statistics import kendall_tau, rank_correlation

GAINS = {"srg_blur": "blur", "srg_mean": "mean", "srg_noise": "noise"}
"""Metric -> replacement, for metrics that differ only in the replacement."""


def replacement_agreement(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rank correlations of methods' mean symmetric relevance gains, one row per replacement pair.

    Pairs need at least two methods with both means. A correlation is None if all means of one
    replacement are equal.

    Args:
        rows: a benchmark's results.
    """
    means = {(row["metric"], row["method"]): row["mean"] for row in rows}  # None for no score
    methods = list(dict.fromkeys(row["method"] for row in rows))
    agreement = []
    for first, second in combinations(GAINS, 2):
        both = [(means.get((first, name)), means.get((second, name))) for name in methods]
        pairs = np.array([pair for pair in both if None not in pair], np.float64).reshape(-1, 2)
        if len(pairs) < 2:
            continue
        correlations = {
            "kendall": kendall_tau(pairs[:, 0], pairs[:, 1]),
            "spearman": rank_correlation(pairs[:, 0], pairs[:, 1]),
        }
        defined = {name: None if np.isnan(value) else value for name, value in correlations.items()}
        replacements = [GAINS[first], GAINS[second]]
        agreement.append({"replacements": replacements, **defined, "methods": len(pairs)})
    return agreement


def agreement_line(result: Mapping[str, Any]) -> str:
    """One line with Kendall's tau of every pair of replacements; empty if there is none.

    Two methods do not count: their tau can only be 1 or -1.
    """
    agreement = result.get("replacement_agreement", ())
    rows = [row for row in agreement if row["kendall"] is not None and row["methods"] > 2]
    if not rows:
        return ""
    pairs = ", ".join(f"{row['kendall']:z.2f} {' and '.join(row['replacements'])}" for row in rows)
    return f"Kendall's tau of {rows[0]['methods']} methods' mean SRG between replacements: {pairs}"
