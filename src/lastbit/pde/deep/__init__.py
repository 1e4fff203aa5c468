"""Networks of many convolutional layers: their gradient flow linearised, and the stable steps and decays.

`deep_bounds` answers for one network, `complexity_sweep` for growing ones. At weights of your own: build a
`DeepProblem`, `linearise` it there (a matrix-free Hessian, whole and by layer), take its `spectrum`, or ask `bounds_at`
for everything.
"""

from lastbit.pde.deep.bounds import DeepBounds, LayerBounds, bounds_at, deep_bounds
from lastbit.pde.deep.descent import (
    Descent,
    descend,
    growth_per_step,
    simulated_alpha_min,
    simulated_edge_lr,
)
from lastbit.pde.deep.network import ACTIVATIONS, DeepProblem, deep_problem, initial_kernels
from lastbit.pde.deep.operator import LinearisedFlow, linearise
from lastbit.pde.deep.spectra import Spectrum, block_spectra, spectrum
from lastbit.pde.deep.sweep import ComplexitySweep, ComplexityTrend, complexity_sweep

__all__ = [
    "ACTIVATIONS",
    "ComplexitySweep",
    "ComplexityTrend",
    "DeepBounds",
    "DeepProblem",
    "Descent",
    "LayerBounds",
    "LinearisedFlow",
    "Spectrum",
    "block_spectra",
    "bounds_at",
    "complexity_sweep",
    "deep_bounds",
    "deep_problem",
    "descend",
    "growth_per_step",
    "initial_kernels",
    "linearise",
    "simulated_alpha_min",
    "simulated_edge_lr",
    "spectrum",
]
