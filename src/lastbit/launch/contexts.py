"""The last bit perturbed by hand: every optimizer inside a `with`, or one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer

from lastbit.core.config import validated
from lastbit.core.errors import LastbitError, choose
from lastbit.launch.everywhere import Everywhere
from lastbit.perturb.base import Attachment, Perturbation
from lastbit.perturb.registry import PERTURBATIONS

__all__ = ["named_perturbation", "perturb_optimizer", "perturbed"]


def perturbed(perturb: str = "auto", **parameters: Any) -> Everywhere:
    """Perturb every optimizer that steps inside a `with`, in a notebook or any loop.

    Args:
        perturb: `"auto"` (rescaled where the optimizer's direction is known, else rounded at random), `"rescale"`,
            `"rounding"` or `"ulp"`.
        **parameters: of the perturbation: `k` of rescale and auto, `seed` of the others; see `lastbit.perturb`.

    Raises:
        LastbitError: no such perturbation, or parameters that it does not take.

    Example:
        >>> import torch
        >>> weight = torch.nn.Parameter(torch.ones(3))
        >>> optimizer = torch.optim.SGD([weight], lr=0.1)
        >>> with perturbed(k=3) as everywhere:
        ...     weight.sum().backward()
        ...     optimizer.step()
        >>> everywhere.steps
        1
    """
    if perturb == "reorder":
        raise LastbitError("reorder needs the model: write ReorderBatch(seed=1).attach(optimizer, model)")
    return Everywhere(named_perturbation(perturb, parameters))


def perturb_optimizer(optimizer: Optimizer, perturb: str = "auto", **parameters: Any) -> Attachment:
    """Perturb every step of one optimizer from now on, until the attachment that is returned is detached.

    Args:
        optimizer: which one.
        perturb: as for `perturbed`.
        **parameters: likewise.

    Raises:
        LastbitError: no such perturbation, parameters that it does not take, or an optimizer that it cannot perturb.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(3))], lr=0.1)
        >>> attachment = perturb_optimizer(optimizer, "rescale", k=3)
        >>> attachment.detach()
    """
    if not isinstance(optimizer, Optimizer):
        raise LastbitError(f"perturb_optimizer needs a torch.optim.Optimizer, got {type(optimizer).__name__}")
    return named_perturbation(perturb, parameters).attach(optimizer)


def named_perturbation(perturb: str, parameters: Mapping[str, Any]) -> Perturbation:
    """Return the perturbation that `perturbed` makes of its arguments.

    Raises:
        LastbitError: no such perturbation, or parameters that it does not take.
    """
    family = PERTURBATIONS[choose(perturb, [name for name in PERTURBATIONS if name != "identity"], "perturbation")]
    defaults = {"k": 3} if "k" in family.model_fields else {}
    return validated(family, {**defaults, **parameters})
