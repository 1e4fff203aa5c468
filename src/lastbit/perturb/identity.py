"""The perturbation that is none: the control, and the base of every comparison."""

from __future__ import annotations

from typing import ClassVar

from torch import nn
from torch.optim import Optimizer

from lastbit.perturb.base import Attachment, Perturbation

__all__ = ["Identity"]


class Identity(Perturbation):
    """Leaves every step as it is."""

    kind: ClassVar[str] = "identity"

    @property
    def label(self) -> str:
        """`"unperturbed"`."""
        return "unperturbed"

    @classmethod
    def member(cls, index: int, *, seed: int = 0) -> Identity:
        """Return the one identity there is."""
        return cls()

    def attach(self, optimizer: Optimizer, model: nn.Module | None = None) -> Attachment:
        """Count the steps of `optimizer` and do nothing else; see `Perturbation.attach`."""
        return Attachment(optimizer)
