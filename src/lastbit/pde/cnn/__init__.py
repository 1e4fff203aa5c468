"""The gradient flow of a one-layer CNN as a PDE: linear regimes with their bounds, and the non-linear flow simulated.

Example:
    >>> from lastbit.pde import cnn
    >>> problem = cnn.CnnProblem.of(cnn.checkerboard(32), kernel=8)
    >>> found = cnn.find_window(problem, weight_decay=5.0)
    >>> f"{found.converges_below / found.theory_low:.2f} {found.blows_up_above / found.theory_high:.2f}"
    '1.00 1.00'
"""

from lastbit.pde.cnn.images import checkerboard
from lastbit.pde.cnn.problem import CnnProblem
from lastbit.pde.cnn.time_loop import simulate
from lastbit.pde.cnn.window import find_window

__all__ = ["CnnProblem", "checkerboard", "find_window", "simulate"]
