"""A linear probe: standardized logistic regression, and folds that keep groups of facts together."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from interp.errors import ConfigError, MeasurementError

__all__ = ["L2_GRID", "LinearProbe", "balanced_accuracy", "choose_l2", "fit_probe", "grouped_folds"]

L2_GRID = (1.0, 0.1, 0.01, 0.001)
"""Penalties that the inner cross-validation chooses from; the first of equals wins, so the stronger."""
_INNER_FOLDS = 3
_MOST_STEPS = 1000
_LEAST_SPREAD = 1e-4  # of the median feature's size: less than that is rounding, and is not blown up to one


@dataclass(frozen=True)
class LinearProbe:
    """A fitted probe.

    Attributes:
        classes: Labels that it can give.
        weights: Of the standardized features.
        bias: Of each class.
        mean: Of the features it was trained on.
        scale: What they are divided by.
        converged: Whether the fit ended before its last step.
    """

    classes: Int[np.ndarray, " class"]
    weights: Float[np.ndarray, "class model"]
    bias: Float[np.ndarray, " class"]
    mean: Float[np.ndarray, " model"]
    scale: Float[np.ndarray, " model"]
    converged: bool = True

    def predict(
        self, x: Float[np.ndarray, "*example model"], mean: Float[np.ndarray, "*#example model"] | None = None
    ) -> Int[np.ndarray, "*example"]:
        """Return the label of each example; ``mean`` replaces the one that the probe takes off."""
        standard = (x - (self.mean if mean is None else mean)) / self.scale
        return self.classes[(standard @ self.weights.T + self.bias).argmax(axis=-1)]


def fit_probe(
    x: Float[np.ndarray, "example model"], y: Int[np.ndarray, " example"], l2: float
) -> LinearProbe:
    """Fit a probe: least mean cross-entropy, classes weighing the same, plus ``l2 / 2`` squared weights.

    Features are standardized first, in float64. With fewer examples than features the fit is done in the
    positions of the examples, where the same minimum lies. Examples of one class make a probe that always
    gives it.
    """
    x = np.asarray(x, dtype=np.float64)
    classes = np.unique(y)
    mean = x.mean(axis=0)
    size = np.sqrt((x**2).mean(axis=0))
    scale = np.maximum(x.std(axis=0), max(_LEAST_SPREAD * float(np.median(size)), np.finfo(np.float64).tiny))
    if len(classes) == 1:
        return LinearProbe(classes, np.zeros((1, len(mean))), np.zeros(1), mean, scale)
    standard = (x - mean) / scale
    basis = None
    if len(standard) < standard.shape[1]:
        _, _, basis = np.linalg.svd(standard, full_matrices=False)
        standard = standard @ basis.T
    weights, bias, converged = _minimum(standard, y, 1 / (l2 * len(y)))
    if basis is not None:
        weights = weights @ basis
    return LinearProbe(classes, weights, bias, mean, scale, converged)


def _minimum(x: np.ndarray, y: np.ndarray, c: float) -> tuple[np.ndarray, np.ndarray, bool]:
    """scikit-learn's logistic regression, with a row of weights per class also where there are two."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fitted = LogisticRegression(C=c, class_weight="balanced", max_iter=_MOST_STEPS).fit(x, y)
    for warning in caught:
        if not issubclass(warning.category, ConvergenceWarning):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    converged = not any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    if len(fitted.coef_) == 1:
        zero = np.zeros_like(fitted.coef_)
        return np.concatenate([zero, fitted.coef_]), np.append(0.0, fitted.intercept_), converged
    return fitted.coef_, fitted.intercept_, converged


def choose_l2(
    x: Float[np.ndarray, "example model"], y: Int[np.ndarray, " example"], groups: Sequence[str]
) -> float:
    """Return the penalty of `L2_GRID` with the best balanced accuracy, cross-validated in these examples."""
    if len(set(groups)) < _INNER_FOLDS:
        return L2_GRID[0]
    folds = grouped_folds(groups, _INNER_FOLDS)
    guesses = [np.empty_like(y) for _ in L2_GRID]
    for fold in range(_INNER_FOLDS):
        train, test = folds != fold, folds == fold
        for l2, guess in zip(L2_GRID, guesses, strict=True):
            guess[test] = fit_probe(x[train], y[train], l2).predict(x[test])
    return L2_GRID[int(np.argmax([balanced_accuracy(y, guess) for guess in guesses]))]


def balanced_accuracy(y: Int[np.ndarray, " example"], guess: Int[np.ndarray, " example"]) -> float:
    """Return the mean over classes of the share of their examples that were guessed right, 0 to 1."""
    return float(np.mean([(guess[y == label] == label).mean() for label in np.unique(y)]))


def grouped_folds(
    groups: Sequence[str], n_folds: int, labels: Int[np.ndarray, " fact"] | None = None
) -> Int[np.ndarray, " fact"]:
    """Deal facts to folds, no group to two of them; with labels, the labels' shares as equal as that allows.

    The fold of a fact depends on the names of the groups, not on the order of the facts.

    Raises:
        ConfigError: Fewer than two folds.
        MeasurementError: Fewer groups than folds, or a label in fewer groups than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    if n_folds < 2:
        raise ConfigError(f"'folds' is {n_folds}; at least 2 are needed: one is held out at a time.")
    names = np.array(groups)
    if len(set(groups)) < n_folds:
        raise MeasurementError(
            f"{len(names)} facts in {len(set(groups))} groups for {n_folds} folds; a group cannot be "
            "divided. Use fewer folds, or more facts."
        )
    y = np.zeros(len(names), dtype=np.int64) if labels is None else labels
    for label in np.unique(y):
        having = len(set(names[y == label].tolist()))
        if having < n_folds:
            raise MeasurementError(
                f"Label {label} has {int((y == label).sum())} facts in {having} groups; {n_folds} folds need "
                "one each. Use fewer folds, or leave it out."
            )
    folds = np.empty(len(names), dtype=np.int64)
    for fold, (_, test) in enumerate(StratifiedGroupKFold(n_folds).split(np.zeros(len(names)), y, names)):
        folds[test] = fold
    return folds
