"""What becomes of a last-bit difference: divergence between twins, sketches, tangent growth, localisation, verdict."""

from lastbit.dynamics.divergence import Divergence, measure_divergence
from lastbit.dynamics.history import History, init_history, record, to_dataset
from lastbit.dynamics.sketch import CountSketch, Sketch, distance_interval, sketch_differs, sketch_distance, splitmix64
from lastbit.dynamics.thinning import Thinning

__all__ = [
    "CountSketch",
    "Divergence",
    "History",
    "Sketch",
    "Thinning",
    "distance_interval",
    "init_history",
    "measure_divergence",
    "record",
    "sketch_differs",
    "sketch_distance",
    "splitmix64",
    "to_dataset",
]
