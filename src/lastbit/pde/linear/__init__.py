"""Linear equations, time schemes, and von Neumann's analysis of the two together.

`analyse` answers for the built-in problems. For your own: build an operator (`derivative`, `laplacian`, a `Stencil` or
a `FourierMultiplier`), make a `LinearEquation` of it, take a scheme (`make_scheme`, or a `TimeScheme` by its
polynomials or companion matrix), and ask `VonNeumann(equation, scheme)` for its symbol, amplification factor and
largest stable step; `simulate` steps the same equation on a `Grid`.

Everything here is NumPy in float64 (`simulate` in the precision of its field) and on the CPU.
"""

from lastbit.pde.linear.analysis import Analysis, analyse
from lastbit.pde.linear.equations import LinearEquation
from lastbit.pde.linear.grids import BOUNDARIES, Grid
from lastbit.pde.linear.operators import FourierMultiplier, Operator, derivative, identity, laplacian
from lastbit.pde.linear.problems import PROBLEMS, ClosedForm, Problem
from lastbit.pde.linear.region import boundary_locus, draw_stability_region, stability_region
from lastbit.pde.linear.simulation import Simulation, simulate, simulated_limit
from lastbit.pde.linear.stability import StabilityLimit, VonNeumann
from lastbit.pde.linear.stencils import Stencil
from lastbit.pde.linear.weights import finite_difference_weights

__all__ = [
    "BOUNDARIES",
    "PROBLEMS",
    "Analysis",
    "ClosedForm",
    "FourierMultiplier",
    "Grid",
    "LinearEquation",
    "Operator",
    "Problem",
    "Simulation",
    "StabilityLimit",
    "Stencil",
    "VonNeumann",
    "analyse",
    "boundary_locus",
    "derivative",
    "draw_stability_region",
    "finite_difference_weights",
    "identity",
    "laplacian",
    "simulate",
    "simulated_limit",
    "stability_region",
]
