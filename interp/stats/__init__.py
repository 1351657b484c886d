"""The one home of statistics: intervals over clusters, tests, corrections, entropy, correlation."""

from interp.stats.bootstrap import PairedBootstrap, paired_bootstrap
from interp.stats.clustered import clustered_mean, paired_difference, ratio_of_means
from interp.stats.clusters import cluster_codes
from interp.stats.corrections import ALPHA, Family, family_wise, fdr_adjust, holm
from interp.stats.correlation import CellMeans, cell_means, correlate, slope
from interp.stats.estimate import (
    FEW_CLUSTERS,
    FEWEST_CLUSTERS,
    Estimate,
    few_clusters,
    half_width,
    interval_text,
)
from interp.stats.information import binary_entropy, entropy
from interp.stats.jackknife import Jackknife, Noise
from interp.stats.means import known_mean, ratio, shares_of_total
from interp.stats.overlap import jaccard
from interp.stats.permutation import diagonal_p
from interp.stats.power import mde
from interp.stats.proportions import clustered_share, wilson

__all__ = [
    "ALPHA",
    "FEWEST_CLUSTERS",
    "FEW_CLUSTERS",
    "CellMeans",
    "Estimate",
    "Family",
    "Jackknife",
    "Noise",
    "PairedBootstrap",
    "binary_entropy",
    "cell_means",
    "cluster_codes",
    "clustered_mean",
    "clustered_share",
    "correlate",
    "diagonal_p",
    "entropy",
    "family_wise",
    "fdr_adjust",
    "few_clusters",
    "half_width",
    "holm",
    "interval_text",
    "jaccard",
    "known_mean",
    "mde",
    "paired_bootstrap",
    "paired_difference",
    "ratio",
    "ratio_of_means",
    "shares_of_total",
    "slope",
    "wilson",
]
