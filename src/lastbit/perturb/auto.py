"""The perturbation that suits an optimizer: rescaled where its direction is known, else rounded at random."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import field_validator
from torch import nn
from torch.optim import Optimizer

from lastbit.optimizers.step import knows_direction
from lastbit.perturb.base import Attachment, Count, Perturbation, Positive, pairing
from lastbit.perturb.rescale import Rescale
from lastbit.perturb.stochastic_rounding import StochasticRounding

__all__ = ["Auto"]


class Auto(Perturbation):
    """`Rescale(k)` of an optimizer whose direction is registered, else `StochasticRounding(seed)`.

    Rescaling needs the direction of an update, of which an optimizer without a registered one (of torch's, LBFGS) shows
    only what the rounding left: there it lands on next to nothing, and rounding the realised update lands on a quarter
    of the weights that move. Each has the bound in its docstring.

    Args:
        k: of `Rescale`.
        seed: of `StochasticRounding`, at least 0.

    Raises:
        LastbitError: a number is none that they take.

    Example:
        >>> import torch
        >>> weight = torch.nn.Parameter(torch.ones(3))
        >>> [Auto(k=3).chosen(kind([weight])).kind for kind in (torch.optim.NAdam, torch.optim.LBFGS)]
        ['rescale', 'rounding']
    """

    kind: ClassVar[str] = "auto"
    k: Positive
    seed: Count = 0

    @field_validator("k")
    @classmethod
    def _as_rescale_takes_it(cls, k: int) -> int:
        return Rescale(k=k).k

    @property
    def label(self) -> str:
        """The factor, as in `"k = 3"`."""
        return f"k = {self.k}"

    @classmethod
    def member(cls, index: int, *, seed: int = 0) -> Self:
        """Return k = 3, 5, 7, ... for index 1, 2, 3, ..., each with a seed of its own."""
        return cls(k=2 * index + 1, seed=pairing(seed, index))

    def chosen(self, optimizer: Optimizer) -> Perturbation:
        """Return what is done to `optimizer`."""
        return Rescale(k=self.k) if knows_direction(optimizer) else StochasticRounding(seed=self.seed)

    def attach(self, optimizer: Optimizer, model: nn.Module | None = None) -> Attachment:
        """Perturb every step of `optimizer`; see `Perturbation.attach`."""
        return self.chosen(optimizer).attach(optimizer, model)
