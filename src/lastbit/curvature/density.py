"""The spectral density of an operator by stochastic Lanczos quadrature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal

from lastbit.core.errors import LastbitError
from lastbit.core.seeds import torch_stream
from lastbit.curvature.operators import SymmetricOperator
from lastbit.curvature.stochastic import rademacher

__all__ = ["SpectralDensity", "spectral_density"]

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class SpectralDensity:
    """Quadrature rules for the distribution of eigenvalues, one per probe vector.

    Attributes:
        nodes: `(V, M)`, Ritz values of each probe's Lanczos run (V probes, M steps).
        weights: `(V, M)`, their weights, summing to 1 over M.
        products: operator-vector products spent.
    """

    nodes: Array
    weights: Array
    products: int

    def share_below(self, threshold: float) -> float:
        """Return the share of eigenvalues below `threshold`, up to the resolution of the quadrature."""
        return float((self.weights * (self.nodes < threshold)).sum(axis=1).mean())


def spectral_density(
    operator: SymmetricOperator, *, steps: int = 40, probes: int = 8, seed: int = 0
) -> SpectralDensity:
    """Estimate the distribution of an operator's eigenvalues by stochastic Lanczos quadrature.

    For a probe of random signs `z`, `M` Lanczos steps give nodes (Ritz values) and weights (squared first coordinates
    of their vectors) of the Gauss quadrature for `sum_i (v_i . z)^2 delta(lambda_i) / |z|^2`, whose mean over probes
    is the distribution of eigenvalues. Moments up to order `2M - 1` are exact for each probe. The basis is fully
    reorthogonalised, so no eigenvalue is found twice. Source: Ubaru, Chen and Saad (SIAM J. Matrix Anal. Appl. 38,
    2017); for networks, Ghorbani, Krishnan and Xiao (ICML 2019).

    Args:
        operator: the matrix.
        steps: Lanczos steps per probe.
        probes: number of probe vectors; the cost is `steps * probes` products, memory `steps` vectors.
        seed: of the probes.

    Raises:
        LastbitError: steps or probes is not positive.
    """
    if steps < 1 or probes < 1:
        raise LastbitError(f"steps = {steps}, probes = {probes}: give positive numbers")
    before = operator.products
    generator = torch_stream(seed, "spectral density")
    count = min(steps, operator.size)
    nodes, weights = np.zeros((probes, count)), np.zeros((probes, count))
    for probe in range(probes):
        found, share = _lanczos(operator, count, generator)
        nodes[probe, : len(found)], weights[probe, : len(found)] = found, share
        # A run that ends early found an invariant subspace: its last node is repeated with weight 0.
        nodes[probe, len(found) :] = found[-1]
    return SpectralDensity(nodes, weights, operator.products - before)


def _lanczos(operator: SymmetricOperator, steps: int, generator: torch.Generator) -> tuple[Array, Array]:
    vector_P = rademacher(operator, generator)
    vector_P = vector_P / vector_P.norm()
    basis_MP = torch.empty(steps, operator.size, dtype=operator.dtype, device=operator.device)
    diagonal: list[float] = []
    off: list[float] = []
    for m in range(steps):
        basis_MP[m] = vector_P
        image_P = operator @ vector_P
        diagonal.append(float(image_P.dot(vector_P)))
        used_MP = basis_MP[: m + 1]
        for _ in range(2):
            image_P = image_P - used_MP.mT @ (used_MP @ image_P)
        norm = float(image_P.norm())
        scale = max(map(abs, diagonal + off))
        if m + 1 == steps or norm <= 10 * torch.finfo(image_P.dtype).eps * max(scale, 1e-300):
            break
        off.append(norm)
        vector_P = image_P / norm
    values, vectors = eigh_tridiagonal(np.array(diagonal), np.array(off))
    return values, vectors[0] ** 2
