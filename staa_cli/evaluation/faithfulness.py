"""Does the model need what an attribution highlights? Tested by removing it.

The replacement is always reported: every score depends on it. All metrics use the score of the
explained class: its probability or, for a model with raw values, that value in its units.
"""

from __future__ import annotations

import numpy as np
import torch

from staa_cli.evaluation.base import Curves, Trial, falling, metric
from staa_cli.schema import Float64
from staa_cli.statistics import kendall_tau

SRG = "Bluecher et al. 2024 (arXiv 2401.06654)"
SUBSETS, SUBSET_SHARE = 100, 0.1
KEPT = 0.7
GROUPS = 10
"""Number of groups of tokens whose attribution and effect `saco` compares."""
SIZES, REMOVED, MASKS = (0.1, 0.3, 0.5, 0.7, 0.9), 0.5, 20
"""Of `f_fidelity`: sizes of explanations as shares of the tokens, the removal probability unless
bounded (alpha), and the number of masks for each size."""


def area(curve: Float64) -> float:
    """Area under a curve over [0, 1], by the trapezoid rule."""
    return float(((curve[1:] + curve[:-1]) / 2).mean())


def gain(curves: Curves) -> float:
    """Symmetric relevance gain: area under insertion minus area under deletion."""
    return area(curves.insertion) - area(curves.deletion)


@metric(better="lower", source="Petsiuk et al. 2018 (arXiv 1806.07421), section 4.1")
def deletion(trial: Trial) -> float:
    """Area under the class's score while tokens are removed, the most relevant first."""
    return area(trial.curves.deletion)


@metric(source="Petsiuk et al. 2018 (arXiv 1806.07421), section 4.1")
def insertion(trial: Trial) -> float:
    """Area under the class's score while tokens are inserted, the most relevant first."""
    return area(trial.curves.insertion)


@metric(source=SRG)
def srg(trial: Trial) -> float:
    """Symmetric relevance gain, insertion minus deletion: 0 for an uninformative order."""
    return gain(trial.curves)


@metric(replaces=False, source=SRG)
def srg_blur(trial: Trial) -> float:
    """Symmetric relevance gain with blur as the replacement."""
    return gain(trial.curves_under("blur"))


@metric(replaces=False, source=SRG)
def srg_mean(trial: Trial) -> float:
    """Symmetric relevance gain with the clip's mean color as the replacement."""
    return gain(trial.curves_under("mean"))


@metric(replaces=False, source=SRG)
def srg_noise(trial: Trial) -> float:
    """Symmetric relevance gain with noise of the clip's colors as the replacement."""
    return gain(trial.curves_under("noise"))


@metric(better="lower", source="deletion of whole frames")
def frame_deletion(trial: Trial) -> float:
    """Area under the class's score while frames are removed, the highest score first."""
    return area(trial.frame_curves.deletion)


@metric(source="insertion of whole frames")
def frame_insertion(trial: Trial) -> float:
    """Area under the class's score while frames are inserted, the highest score first."""
    return area(trial.frame_curves.insertion)


@metric(source="Bhatt et al. 2020 (arXiv 2005.00631), definition 3")
def correlation(trial: Trial) -> float:
    """Correlation, over random subsets, of summed attribution and drop of the score."""
    rng = np.random.default_rng([trial.perturbed.seed, 0xB477])
    values = np.ravel(trial.values).astype(np.float64)
    size = max(1, round(SUBSET_SHARE * values.size))
    removed = np.zeros((SUBSETS, values.size), bool)
    for row in removed:
        row[rng.choice(values.size, size, replace=False)] = True
    kept = torch.from_numpy(~removed).reshape(SUBSETS, *trial.values.shape).float()
    all_kept = torch.ones(1, *trial.values.shape)
    scores = trial.perturbed.keep(torch.cat([all_kept, kept])).double().cpu().numpy()
    sums, drops = removed @ values, scores[0] - scores[1:]
    if np.ptp(sums) == 0 or np.ptp(drops) == 0:
        return float("nan")
    return float(np.corrcoef(sums, drops)[0, 1])


@metric(source="Nguyen and Rodriguez Martinez 2020 (arXiv 2007.07584), by steps")
def monotonicity(trial: Trial) -> float:
    """Kendall's tau, over the steps of insertion, of attribution and rise of the score."""
    return kendall_tau(trial.curves.mean_value, np.diff(trial.curves.insertion))


@metric(source="Arya et al. 2019 (arXiv 1909.03012), section 5.2")
def monotonic(trial: Trial) -> float:
    """1 if inserting tokens in rising order of relevance never lowers the score, else 0."""
    return float((np.diff(trial.curves.deletion[::-1]) >= 0).all())


@metric(source="Wu et al. 2024 (arXiv 2404.01415), algorithm 1")
def saco(trial: Trial) -> float:
    """Salience-guided coefficient: do groups of tokens with more attribution matter more.

    Tokens are divided by rank into `GROUPS` groups of equal size, if possible. For every pair of
    groups, the gap between their sums of attribution counts positively if removing the first lowers
    the score at least as much as removing the second, else negatively; the sum is divided by that
    of all gaps: 1 if every pair is in order, -1 if none is. NaN for a constant map.
    """
    if np.ptp(trial.values) == 0:
        return float("nan")
    ranks = falling(trial.values, trial.perturbed.seed)
    count = min(GROUPS, ranks.size)
    group_of = ranks * count // ranks.size  # [T', h, w], 0 for the most relevant
    kept = torch.from_numpy(group_of)[None] != torch.arange(-1, count)[:, None, None, None]
    original, *without = trial.perturbed.keep(kept.float()).double().tolist()
    values = trial.values.astype(np.float64)
    salience = np.array([values[group_of == group].sum() for group in range(count)])
    drops = original - np.array(without)
    first, second = np.triu_indices(count, 1)
    gaps = salience[first] - salience[second]
    signs = np.where(drops[first] >= drops[second], 1.0, -1.0)
    return float(signs @ gaps / np.abs(gaps).sum())


@metric(random_masks=True, replaces=False, source="Zheng et al. 2025 (arXiv 2410.02970), section 4")
def f_fidelity(trial: Trial) -> float:
    """F-Fidelity: drop without some of the most relevant tokens, minus drop without some others.

    FFid+ minus FFid-, mean over explanations of several sizes. FFid+ removes every token of the
    explanation, FFid- every other token, with probability `REMOVED`, or a lower one so that on
    average no more is missing than in training: the model gets no input of an unfamiliar kind. 0
    for an uninformative order; NaN for a model that was trained without random masks.
    """
    masks = trial.random_masks
    if masks is None:
        return float("nan")
    rng = np.random.default_rng([trial.perturbed.seed, 0xFF1D])
    ranks = falling(trial.values, trial.perturbed.seed)
    kept, signs = [], []
    for size in SIZES:
        explanation = ranks < round(size * ranks.size)
        for part, sign in ((explanation, 1.0), (~explanation, -1.0)):
            probability = min(REMOVED, masks.share * part.size / max(1, part.sum()))
            kept.append(~((rng.random((MASKS, *part.shape)) < probability) & part))
            signs.append(sign)
    perturbed = trial.perturbed.under(masks.replacement)
    scores = perturbed.keep(torch.from_numpy(np.concatenate(kept)).float()).double().cpu().numpy()
    means = scores.reshape(len(signs), MASKS).mean(axis=1)
    return float(-(np.array(signs) @ means) / len(SIZES))


@metric(better="lower", source="Liu et al. 2022 (arXiv 2201.12114)")
def polarity_violations(trial: Trial) -> float:
    """1 if removing the most relevant token raises the class's score, else 0."""
    kept = torch.ones(2, *trial.values.shape)
    kept[1] = torch.from_numpy(falling(trial.values, trial.perturbed.seed) > 0)
    original, without = trial.perturbed.keep(kept).tolist()
    return float(without > original)


@metric(source="after arXiv 2411.00630: keep the top 70 %")
def published_faithfulness(trial: Trial) -> float:
    """1 - |change of probability| if only the 70 % most relevant tokens are kept.

    Hardly a test: `random`, too, scores high. NaN for raw values, whose changes have no scale.
    """
    if trial.perturbed.output == "identity":
        return float("nan")
    kept = torch.ones(2, *trial.values.shape)
    ranks = falling(trial.values, trial.perturbed.seed)
    kept[1] = torch.from_numpy(ranks < KEPT * trial.values.size)
    original, reduced = trial.perturbed.keep(kept).tolist()
    return float(1.0 - abs(original - reduced))


@metric(source="after arXiv 2411.00630: Kendall's tau over frames")
def published_tau(trial: Trial) -> float:
    """Kendall's tau, over frames, of their score and of the drop without each of them."""
    frames = len(trial.values)
    if frames < 2:
        return float("nan")
    kept = torch.ones(frames + 1, *trial.values.shape)
    for frame in range(frames):
        kept[frame + 1, frame] = 0
    scores = trial.perturbed.keep(kept).double().cpu().numpy()
    return kendall_tau(trial.values.sum(axis=(1, 2), dtype=np.float64), scores[0] - scores[1:])
