"""What becomes of a last-bit difference: divergence between twins, sketches, tangent growth, localisation, verdict."""

from lastbit.dynamics.sketch import CountSketch, Sketch, distance_interval, sketch_differs, sketch_distance, splitmix64
from lastbit.dynamics.thinning import Thinning

__all__ = [
    "CountSketch",
    "Sketch",
    "Thinning",
    "distance_interval",
    "sketch_differs",
    "sketch_distance",
    "splitmix64",
]
