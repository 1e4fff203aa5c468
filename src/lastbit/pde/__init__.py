"""Partial differential equations: linear schemes, the CNN gradient-descent PDE, deep networks.

One `TimeScheme` steps all three: `make_scheme` gives those that come with the package, `descent_scheme` the three of
them that are gradient descent.
"""

from lastbit.pde.builtin_schemes import DESCENTS, SCHEMES, descent_scheme, make_scheme
from lastbit.pde.schemes import TimeScheme

__all__ = ["DESCENTS", "SCHEMES", "TimeScheme", "descent_scheme", "make_scheme"]
