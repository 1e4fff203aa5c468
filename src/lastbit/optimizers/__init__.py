"""What lastbit knows of an optimizer: its direction, linear update, preconditioner, tangent, and the tasks' choices.

One file per family of optimizers, one register that perturbations, stability limits, tangents and the built-in tasks
read. Nothing here imports torch before an optimizer is at hand, so that the choices can be listed without it.
"""

from importlib import import_module

from lastbit.optimizers.linear_update import LinearUpdate
from lastbit.optimizers.parts import Direction, Needs, TangentPoint
from lastbit.optimizers.registry import OPTIMIZERS, OptimizerChoice, register

__all__ = ["OPTIMIZERS", "Direction", "LinearUpdate", "Needs", "OptimizerChoice", "TangentPoint", "register"]

# In the order in which choices are listed.
for _name in ("sgd", "adam", "nadam", "rmsprop", "rprop", "matrices", "refused"):
    import_module(f"lastbit.optimizers.{_name}")
