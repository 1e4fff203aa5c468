"""Estimates with intervals: arrays in, numbers with their uncertainty out; no files, no training.

`variance_components` separates the last bit's spread from that of the seeds, `churn` counts disagreements,
`distribution_spread` removes the test set's sampling, `smallest_resolvable_difference` and `seeds_needed` say what that
means for a comparison. `compare_arms`, `compare_several`, `probability_better`, `sequential_boundary` and
`anytime_t_test` decide about arms of trainings, with error rates that are simulated. `remedy_effect` says what a change
does to the spread itself.
"""

from lastbit.stats.anytime import anytime_t_test
from lastbit.stats.best_of import BestOf, best_of_runs, expected_maximum
from lastbit.stats.better import probability_better
from lastbit.stats.components import VarianceComponents, last_bit_by_seed, variance_components
from lastbit.stats.disagreement import ChurnResult, churn, disagreement_matrix
from lastbit.stats.distribution import DistributionSpread, SpreadSplit, distribution_spread
from lastbit.stats.estimate import FEW_SAMPLES, Estimate, few_samples_note, not_measured
from lastbit.stats.last_bit_of_difference import LastBitOfDifference, last_bit_in_difference
from lastbit.stats.means import mean_estimate
from lastbit.stats.paired_examples import PairedExamples, compare_paired_examples
from lastbit.stats.power import ResolvableDifference, SeedsNeeded, seeds_needed, smallest_resolvable_difference
from lastbit.stats.proportions import fewer_by_chance, proportion_estimate
from lastbit.stats.ratios import ratio_of_means
from lastbit.stats.remedies import RemedyEffect, not_worse, remedy_effect
from lastbit.stats.resampling import bootstrap_interval, jackknife_interval
from lastbit.stats.sequential import SequentialDecision, sequential_boundary
from lastbit.stats.several_arms import PairOfArms, SeveralArms, compare_several
from lastbit.stats.two_arms import ArmComparison, Verdict, compare_arms
from lastbit.stats.weight_distances import WeightDistance, mean_relative_l1, weight_distance

__all__ = [
    "FEW_SAMPLES",
    "ArmComparison",
    "BestOf",
    "ChurnResult",
    "DistributionSpread",
    "Estimate",
    "LastBitOfDifference",
    "PairOfArms",
    "PairedExamples",
    "RemedyEffect",
    "ResolvableDifference",
    "SeedsNeeded",
    "SequentialDecision",
    "SeveralArms",
    "SpreadSplit",
    "VarianceComponents",
    "Verdict",
    "WeightDistance",
    "anytime_t_test",
    "best_of_runs",
    "bootstrap_interval",
    "churn",
    "compare_arms",
    "compare_paired_examples",
    "compare_several",
    "disagreement_matrix",
    "distribution_spread",
    "expected_maximum",
    "few_samples_note",
    "fewer_by_chance",
    "jackknife_interval",
    "last_bit_by_seed",
    "last_bit_in_difference",
    "mean_estimate",
    "mean_relative_l1",
    "not_measured",
    "not_worse",
    "probability_better",
    "proportion_estimate",
    "ratio_of_means",
    "remedy_effect",
    "seeds_needed",
    "sequential_boundary",
    "smallest_resolvable_difference",
    "variance_components",
    "weight_distance",
]
