"""How a last-bit difference evolves: divergence between twins, sketches, tangent growth, localisation, verdict."""

from lastbit.dynamics.divergence import Divergence, measure_divergence
from lastbit.dynamics.episodes import Episode, Episodes, growth_episodes, noise_level
from lastbit.dynamics.growth import growth_split, log_growth
from lastbit.dynamics.history import History, init_history, record, to_dataset
from lastbit.dynamics.localise import (
    Concentration,
    FirstDifference,
    Localisation,
    concentration,
    filter_energies,
    first_difference,
    gini,
    localisation,
    participation_ratio,
)
from lastbit.dynamics.product import hessian_product
from lastbit.dynamics.rounding import rounding_bound, single_rounding, unit_roundoff, worst_rounding
from lastbit.dynamics.sketch import (
    CountSketch,
    Sketch,
    distance_interval,
    sketch_differs,
    sketch_distance,
    splitmix64,
    stack_sketches,
)
from lastbit.dynamics.tangent import (
    HessianProduct,
    Tangent,
    TangentGrowth,
    init_tangent,
    step_tangent,
)
from lastbit.dynamics.thinning import Thinning
from lastbit.dynamics.trend import Trend, fit_trend
from lastbit.dynamics.verdict import VERDICTS, Verdict, judge

__all__ = [
    "VERDICTS",
    "Concentration",
    "CountSketch",
    "Divergence",
    "Episode",
    "Episodes",
    "FirstDifference",
    "HessianProduct",
    "History",
    "Localisation",
    "Sketch",
    "Tangent",
    "TangentGrowth",
    "Thinning",
    "Trend",
    "Verdict",
    "concentration",
    "distance_interval",
    "filter_energies",
    "first_difference",
    "fit_trend",
    "gini",
    "growth_episodes",
    "growth_split",
    "hessian_product",
    "init_history",
    "init_tangent",
    "judge",
    "localisation",
    "log_growth",
    "measure_divergence",
    "noise_level",
    "participation_ratio",
    "record",
    "rounding_bound",
    "single_rounding",
    "sketch_differs",
    "sketch_distance",
    "splitmix64",
    "stack_sketches",
    "step_tangent",
    "to_dataset",
    "unit_roundoff",
    "worst_rounding",
]
