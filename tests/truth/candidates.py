"""Intervals of a mean over clusters that were compared before one was chosen, all repetitions at once."""

from __future__ import annotations

import numpy as np
from scipy import stats

DRAWS = 999
_WEBB = np.sqrt([1.5, 1.0, 0.5])
Ends = tuple[np.ndarray, np.ndarray]


def t_over_clusters(total: np.ndarray, n: np.ndarray, kind: str) -> Ends:
    """Student's t with clusters - 1: CR1, the plain variance of residuals, or CR3, the jackknife's."""
    clusters, size = len(total), n.sum(axis=0)
    mean = total.sum(axis=0) / size
    residual = total - n * mean
    if kind == "CR3":
        residual = residual / (1 - n / size) * (clusters - 1) / clusters
    error = np.sqrt(clusters / (clusters - 1) * (residual**2).sum(axis=0)) / size
    half = stats.t.ppf(0.975, clusters - 1) * error
    return mean - half, mean + half


def percentile(total: np.ndarray, n: np.ndarray, rng: np.random.Generator) -> Ends:
    """Percentiles of the mean over resampled clusters: what stood here before."""
    counts = _counts(len(total), rng)
    low, high = np.quantile((counts @ total) / (counts @ n), [0.025, 0.975], axis=0)
    return low, high


def bootstrap_t(total: np.ndarray, n: np.ndarray, rng: np.random.Generator) -> Ends:
    """Percentiles of the resampled t statistic, turned around the mean."""
    counts, size = _counts(len(total), rng), n.sum(axis=0)
    mean = total.sum(axis=0) / size
    error = np.sqrt(((total - n * mean) ** 2).sum(axis=0)) / size
    sizes = counts @ n
    means = (counts @ total) / sizes
    square = counts @ total**2 - 2 * means * (counts @ (total * n)) + means**2 * (counts @ n**2)
    errors = np.sqrt(np.maximum(square, 0)) / sizes
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(errors > 1e-9 * error, (means - mean) / errors, np.nan)
    t[:, np.isnan(t).all(axis=0)] = 0
    low, high = np.nanquantile(t, [0.025, 0.975], axis=0)
    return mean - high * error, mean - low * error


def wild_holds(total: np.ndarray, n: np.ndarray, truth: float, rng: np.random.Generator) -> np.ndarray:
    """Whether the wild cluster bootstrap (Webb's weights, null imposed) leaves the truth in its interval.

    Source: Webb (2023), Reworking Wild Bootstrap-Based Inference for Clustered Errors; Cameron, Gelbach &
    Miller (2008).
    """
    size, residual = n.sum(axis=0), total - n * truth
    weights = rng.choice(np.concatenate([-_WEBB, _WEBB]), (DRAWS, len(total)))
    means = (weights @ residual) / size
    square = weights**2 @ residual**2 - 2 * means * (weights @ (residual * n)) + means**2 * (n**2).sum(axis=0)
    mean = residual.sum(axis=0) / size
    error = np.sqrt(((residual - n * mean) ** 2).sum(axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        t, drawn = np.abs(mean / error), np.abs(means / np.sqrt(np.maximum(square, 0)))
    beyond = (drawn >= t * (1 - 1e-9)).sum(axis=0)
    held: np.ndarray = (beyond + 1) / (DRAWS + 1) > 0.05
    return held


def wilson_of_facts(total: np.ndarray, n: np.ndarray) -> Ends:
    """Wilson's interval as if facts were independent: what stood here before."""
    return _wilson(total.sum(axis=0) / n.sum(axis=0), n.sum(axis=0), 1.96)


def wilson_of_clusters(total: np.ndarray, n: np.ndarray) -> Ends:
    """Wilson's interval with the effective sample size alone; where no event was seen, all facts count."""
    size = n.sum(axis=0)
    mean = total.sum(axis=0) / size
    variance = ((total - n * mean) ** 2 / (1 - n / size)).sum(axis=0)
    events = size * mean * (1 - mean)
    design = np.divide(variance, events, out=np.ones_like(events), where=events > 0)
    effective = size / np.maximum(design, 1)
    return _wilson(mean, effective, stats.t.ppf(0.975, len(total) - 1))


def korn_graubard(total: np.ndarray, n: np.ndarray) -> Ends:
    """Clopper-Pearson's interval with the effective sample size, as survey agencies give it."""
    size = n.sum(axis=0)
    mean = total.sum(axis=0) / size
    variance = ((total - n * mean) ** 2 / (1 - n / size)).sum(axis=0)
    events = size * mean * (1 - mean)
    design = np.divide(variance, events, out=np.ones_like(events), where=events > 0)
    shrink = (1.96 / stats.t.ppf(0.975, len(total) - 1)) ** 2
    effective = np.minimum(size / np.where(design > 0, design, 1) * shrink, size)
    right = effective * mean
    low = np.nan_to_num(stats.beta.ppf(0.025, right, effective - right + 1))
    high = np.nan_to_num(stats.beta.ppf(0.975, right + 1, effective - right), nan=1.0)
    return low, high


def _wilson(mean: np.ndarray, n: np.ndarray, t: float) -> Ends:
    center = (mean + t**2 / (2 * n)) / (1 + t**2 / n)
    half = t / (1 + t**2 / n) * np.sqrt(mean * (1 - mean) / n + t**2 / (4 * n**2))
    return center - half, center + half


def _counts(clusters: int, rng: np.random.Generator) -> np.ndarray:
    return rng.multinomial(clusters, np.full(clusters, 1 / clusters), DRAWS).astype(float)
