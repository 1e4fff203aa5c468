"""Both ends of the spectrum of a linearised flow, of the whole and of each layer's block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from lastbit.pde.deep.operator import LinearisedFlow
from lastbit.pde.lanczos import extreme_eigenpairs

__all__ = ["Spectrum", "block_spectra", "spectrum"]


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The algebraically smallest and largest eigenvalue of a symmetric operator, each with its vector.

    Attributes:
        lowest: smallest eigenvalue.
        sharpness: largest eigenvalue.
        lowest_mode: unit eigenvector of the smallest.
        sharpest_mode: unit eigenvector of the largest.
        residual: the larger of `|Hv − θv|` over the two; an eigenvalue lies within it of each value.
        converged: whether that is within the tolerance asked for.
    """

    lowest: float
    sharpness: float
    lowest_mode: Tensor
    sharpest_mode: Tensor
    residual: float
    converged: bool


def spectrum(flow: LinearisedFlow, *, tolerance: float = 1e-8, max_products: int = 400, seed: int = 0) -> Spectrum:
    """Return both ends of the spectrum of the data loss's Hessian, by Lanczos on `Hv`.

    Args:
        flow: where.
        tolerance: residual allowed, relative to the largest eigenvalue in size.
        max_products: Hessian-vector products, at most.
        seed: of the start vector.
    """
    return _ends(flow, flow.weights_P, tolerance, max_products, seed)


def block_spectra(
    flow: LinearisedFlow,
    *,
    tolerance: float = 1e-8,
    max_products: int = 400,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Spectrum, ...]:
    """Return both ends of the spectrum of each layer's diagonal block, first layer first; arguments as `spectrum`.

    By Cauchy's interlacing theorem no block reaches beyond the ends of the whole. `progress` is called with (layers
    done, layers).
    """
    parts = flow.problem.split(flow.weights_P)
    found = []
    for layer, part in enumerate(parts):
        found.append(_ends(partial(flow.block, layer), part.ravel(), tolerance, max_products, seed))
        if progress is not None:
            progress(len(found), len(parts))
    return tuple(found)


def _ends(
    operator: Callable[[Tensor], Tensor], like: Tensor, tolerance: float, max_products: int, seed: int
) -> Spectrum:
    found = extreme_eigenpairs(
        lambda v: operator(v[0])[None],
        (1, like.numel()),
        like=like,
        tolerance=tolerance,
        max_iterations=max_products,
        seed=seed,
    )
    return Spectrum(
        lowest=float(found.low_M[0]),
        sharpness=float(found.high_M[0]),
        lowest_mode=found.low_vector_MCnm[0],
        sharpest_mode=found.high_vector_MCnm[0],
        residual=float(found.residual_M[0]),
        converged=bool(found.converged_M[0]),
    )
