"""What becomes of a last-bit difference: divergence between twins, sketches, tangent growth, localisation, verdict."""

from lastbit.dynamics.divergence import Divergence, measure_divergence
from lastbit.dynamics.growth import growth_split, log_growth
from lastbit.dynamics.history import History, init_history, record, to_dataset
from lastbit.dynamics.sketch import CountSketch, Sketch, distance_interval, sketch_differs, sketch_distance, splitmix64
from lastbit.dynamics.tangent import (
    TANGENT_FORMS,
    HessianProduct,
    Tangent,
    TangentGrowth,
    init_tangent,
    step_tangent,
)
from lastbit.dynamics.thinning import Thinning

__all__ = [
    "TANGENT_FORMS",
    "CountSketch",
    "Divergence",
    "HessianProduct",
    "History",
    "Sketch",
    "Tangent",
    "TangentGrowth",
    "Thinning",
    "distance_interval",
    "growth_split",
    "init_history",
    "init_tangent",
    "log_growth",
    "measure_divergence",
    "record",
    "sketch_differs",
    "sketch_distance",
    "splitmix64",
    "step_tangent",
    "to_dataset",
]
