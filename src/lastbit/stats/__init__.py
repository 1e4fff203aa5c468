"""Estimates with intervals: arrays in, numbers with their uncertainty out; no files, no training.

`variance_components` separates the last bit's spread from that of the seeds, `churn` counts disagreements,
`distribution_spread` removes the test set's sampling, `smallest_resolvable_difference` and `seeds_needed` say what that
means for a comparison.
"""

from lastbit.stats.components import VarianceComponents, last_bit_by_seed, variance_components
from lastbit.stats.disagreement import ChurnResult, churn, disagreement_matrix
from lastbit.stats.distribution import DistributionSpread, SpreadSplit, distribution_spread
from lastbit.stats.estimate import FEW_SAMPLES, Estimate, few_samples_note, not_measured
from lastbit.stats.means import mean_estimate
from lastbit.stats.power import ResolvableDifference, SeedsNeeded, seeds_needed, smallest_resolvable_difference
from lastbit.stats.proportions import fewer_by_chance, proportion_estimate
from lastbit.stats.resampling import bootstrap_interval, jackknife_interval
from lastbit.stats.weight_distances import WeightDistance, mean_relative_l1, weight_distance

__all__ = [
    "FEW_SAMPLES",
    "ChurnResult",
    "DistributionSpread",
    "Estimate",
    "ResolvableDifference",
    "SeedsNeeded",
    "SpreadSplit",
    "VarianceComponents",
    "WeightDistance",
    "bootstrap_interval",
    "churn",
    "disagreement_matrix",
    "distribution_spread",
    "few_samples_note",
    "fewer_by_chance",
    "jackknife_interval",
    "last_bit_by_seed",
    "mean_estimate",
    "mean_relative_l1",
    "not_measured",
    "proportion_estimate",
    "seeds_needed",
    "smallest_resolvable_difference",
    "variance_components",
    "weight_distance",
]
