"""The gradient flow of a one-layer CNN as a PDE: linear regimes with their bounds, and the non-linear flow simulated.

Example:
    >>> from lastbit.pde import cnn
    >>> problem = cnn.CnnProblem.of(cnn.checkerboard(32), kernel=8)
    >>> found = cnn.find_window(problem, weight_decay=5.0)
    >>> f"{found.converges_below / found.theory_low:.2f} {found.blows_up_above / found.theory_high:.2f}"
    '1.00 1.00'
"""

from lastbit.pde.cnn.activation import REGIMES, regime_shares
from lastbit.pde.cnn.correlation import FftCorrelator, PatchCorrelator, make_correlator
from lastbit.pde.cnn.fixed_point import FixedPoints, find_fixed_points
from lastbit.pde.cnn.flow import CnnFlow, FlowState
from lastbit.pde.cnn.images import checkerboard, load_image, make_image, white_noise
from lastbit.pde.cnn.linear_flow import SimulatedBounds, simulated_bounds
from lastbit.pde.cnn.linearisation import Linearisation, linearise_at, linearise_regime
from lastbit.pde.cnn.phase import PhaseDiagram, phase_diagram
from lastbit.pde.cnn.problem import CnnProblem, initial_kernels
from lastbit.pde.cnn.regimes import RegimeStability, Spectrum, regime_stability
from lastbit.pde.cnn.simulation import Simulation
from lastbit.pde.cnn.status import FlowStatus, flow_status
from lastbit.pde.cnn.time_loop import simulate
from lastbit.pde.cnn.window import Window, find_window

__all__ = [
    "REGIMES",
    "CnnFlow",
    "CnnProblem",
    "FftCorrelator",
    "FixedPoints",
    "FlowState",
    "FlowStatus",
    "Linearisation",
    "PatchCorrelator",
    "PhaseDiagram",
    "RegimeStability",
    "SimulatedBounds",
    "Simulation",
    "Spectrum",
    "Window",
    "checkerboard",
    "find_fixed_points",
    "find_window",
    "flow_status",
    "initial_kernels",
    "linearise_at",
    "linearise_regime",
    "load_image",
    "make_correlator",
    "make_image",
    "phase_diagram",
    "regime_shares",
    "regime_stability",
    "simulate",
    "simulated_bounds",
    "white_noise",
]
