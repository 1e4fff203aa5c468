"""Networks of many convolutional layers: their gradient flow linearised, and the stable steps and decays.

`deep_bounds` answers for one network, `complexity_sweep` for growing ones. At weights of your own: build a
`DeepProblem`, `linearise` it there (a matrix-free Hessian, whole and by layer), take its `spectrum`, or ask `bounds_at`
for everything.
"""

from lastbit.pde.deep.bounds import bounds_at, deep_bounds
from lastbit.pde.deep.network import DeepProblem, initial_kernels
from lastbit.pde.deep.operator import linearise, spectrum
from lastbit.pde.deep.sweep import complexity_sweep

__all__ = ["DeepProblem", "bounds_at", "complexity_sweep", "deep_bounds", "initial_kernels", "linearise", "spectrum"]
