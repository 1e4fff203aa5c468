"""The perturbations there are, by name; a new row buys the whole contract suite."""

from __future__ import annotations

from lastbit.core.errors import choose
from lastbit.perturb.auto import Auto
from lastbit.perturb.base import Identity, Perturbation, check_integer
from lastbit.perturb.flip_ulp import FlipUlp
from lastbit.perturb.reorder_batch import ReorderBatch
from lastbit.perturb.rescale import Rescale
from lastbit.perturb.stochastic_rounding import StochasticRounding

__all__ = ["PERTURBATIONS", "make_perturbation"]

PERTURBATIONS: dict[str, type[Perturbation]] = {
    kind.kind: kind for kind in (Identity, Rescale, FlipUlp, StochasticRounding, ReorderBatch, Auto)
}
"""Every perturbation by its `kind`."""


def make_perturbation(kind: str, index: int, *, seed: int = 0) -> Perturbation:
    """Return member `index` of the perturbations of one kind.

    Args:
        kind: a key of `PERTURBATIONS`.
        index: 0 is the unperturbed base of every kind; i > 0 is `Rescale(k=2 * i + 1)`, or another seed for each i.
        seed: selects another family of draws where there are any.

    Raises:
        LastbitError: no such kind, or a number out of its range.

    Example:
        >>> [make_perturbation("rescale", index).label for index in range(3)]
        ['unperturbed', 'k = 3', 'k = 5']
    """
    family = PERTURBATIONS[choose(kind, PERTURBATIONS, "perturbation")]
    check_integer("seed", seed, least=0)
    if check_integer("index", index, least=0) == 0:
        return Identity()
    return family.member(index, seed=seed)
