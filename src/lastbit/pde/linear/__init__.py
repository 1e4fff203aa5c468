"""Linear equations, time schemes, and von Neumann's analysis of the two together.

`analyse` answers for the built-in problems. For your own: build an operator (`derivative`, `laplacian` or a
`Stencil`), make a `LinearEquation` of it, take a scheme (`make_scheme`, or a `TimeScheme` by its
polynomials or companion matrix), and ask `VonNeumann(equation, scheme)` for its symbol, amplification factor and
largest stable step; `simulate` steps the same equation on a `Grid`.

Everything here is NumPy in float64 (`simulate` in the precision of its field) and on the CPU.
"""

from lastbit.pde.builtin_schemes import make_scheme
from lastbit.pde.linear.analysis import analyse
from lastbit.pde.linear.equations import LinearEquation
from lastbit.pde.linear.grids import Grid
from lastbit.pde.linear.operators import derivative, laplacian
from lastbit.pde.linear.simulation import simulate
from lastbit.pde.linear.stability import VonNeumann
from lastbit.pde.linear.stencils import Stencil
from lastbit.pde.schemes import TimeScheme

__all__ = [
    "Grid",
    "LinearEquation",
    "Stencil",
    "TimeScheme",
    "VonNeumann",
    "analyse",
    "derivative",
    "laplacian",
    "make_scheme",
    "simulate",
]
