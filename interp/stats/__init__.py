"""The one home of statistics (numpy and scipy): intervals, tests, corrections, entropy, correlation, means and ratios."""

from interp.stats.bootstrap import PairedBootstrap, paired_bootstrap
from interp.stats.clusters import cluster_codes, cluster_totals, resampled_counts
from interp.stats.corrections import fdr_adjust, holm
from interp.stats.correlation import Correlation, Means, correlate, resampled_means, slope
from interp.stats.information import binary_entropy, entropy
from interp.stats.jackknife import Jackknife
from interp.stats.means import known_mean, ratio, shares_of_total
from interp.stats.overlap import jaccard
from interp.stats.permutation import diagonal_p
from interp.stats.proportions import wilson
from interp.stats.ratios import Ratio, ratio_of_means

__all__ = [
    "Correlation",
    "Jackknife",
    "Means",
    "PairedBootstrap",
    "Ratio",
    "binary_entropy",
    "cluster_codes",
    "cluster_totals",
    "correlate",
    "diagonal_p",
    "entropy",
    "fdr_adjust",
    "holm",
    "jaccard",
    "known_mean",
    "paired_bootstrap",
    "ratio",
    "ratio_of_means",
    "resampled_counts",
    "resampled_means",
    "shares_of_total",
    "slope",
    "wilson",
]
