"""How far methods rank the same under several replacements."""

from __future__ import annotations

from typing import Any

import pytest
from scipy import stats

from staa_cli.benchmark.agreement import agreement_line, replacement_agreement
from staa_cli.benchmark.tables import markdown, quality_parts

MEANS = {
    "srg_blur": {"a": 0.9, "b": 0.5, "c": 0.4, "random": 0.0},
    "srg_mean": {"a": 0.8, "b": 0.2, "c": 0.3, "random": 0.1},
    "srg_noise": {"a": 0.1, "b": 0.2, "c": 0.3, "random": 0.4},
}


def rows(means: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    return [
        {"method": method, "metric": metric, "mean": mean, "low": mean, "high": mean, "n": 3}
        for metric, by_method in means.items()
        for method, mean in by_method.items()
    ]


def test_every_pair_of_replacements_has_scipys_correlations() -> None:
    found = replacement_agreement(rows(MEANS))
    assert [row["replacements"] for row in found] == [
        ["blur", "mean"], ["blur", "noise"], ["mean", "noise"]
    ]  # fmt: skip
    for row in found:
        one, other = ([*MEANS[f"srg_{name}"].values()] for name in row["replacements"])
        assert row["kendall"] == pytest.approx(stats.kendalltau(one, other).statistic)
        assert row["spearman"] == pytest.approx(stats.spearmanr(one, other).statistic)
        assert row["methods"] == 4
    assert found[0]["kendall"] == pytest.approx(4 / 6)  # of six pairs, b and c change places


def test_only_methods_that_have_both_means_count_and_equal_means_have_no_order() -> None:
    means = {"srg_blur": MEANS["srg_blur"], "srg_mean": {"a": 0.8, "b": 0.2, "d": 0.9}}
    (row,) = replacement_agreement(rows(means))
    assert (row["kendall"], row["methods"]) == (1.0, 2)
    assert agreement_line({"replacement_agreement": [row]}) == ""  # of two, it is 1 or -1
    flat = {"srg_blur": {"a": 0.5, "b": 0.5}, "srg_mean": MEANS["srg_mean"]}
    (row,) = replacement_agreement(rows(flat))
    assert (row["kendall"], row["spearman"], row["methods"]) == (None, None, 2)
    assert agreement_line({"replacement_agreement": [row]}) == ""
    assert replacement_agreement(rows({"srg_blur": MEANS["srg_blur"]})) == []


def test_one_line_below_the_table_tells_them() -> None:
    found: dict[str, Any] = {"results": rows(MEANS), "scored": 3, "correct": None, "of": 3}
    found |= {"mask_share": None}
    found |= {"model": "m", "dataset": "d", "seed": 0, "options": {"replacement": "blur"}}
    found |= {"forwards": dict.fromkeys("abc", 1.0) | {"random": 0.0}}
    found["replacement_agreement"] = replacement_agreement(found["results"])
    line = (
        "Kendall's tau of 4 methods' mean SRG between replacements: "
        "0.67 blur and mean, -1.00 blur and noise, -0.67 mean and noise"
    )
    assert agreement_line(found) == line
    assert f"\n\n{line}.\n\n" in markdown(quality_parts(found))
