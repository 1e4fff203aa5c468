"""Where in the complex plane a scheme is stable: the region, as numbers and as a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lastbit.pde.linear.root_condition import amplification_roots
from lastbit.pde.schemes import TimeScheme

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["boundary_locus", "draw_stability_region", "stability_region"]


def stability_region(
    scheme: TimeScheme, real: NDArray[np.float64], imaginary: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return `max |g|` over the roots of the stability polynomial at `z = x + iy`; the region is where it is at most 1.

    Args:
        scheme: the scheme.
        real: the `x`, shape `(X,)`.
        imaginary: the `y`, shape `(Y,)`.

    Returns:
        Array of shape `(Y, X)`.

    Example:
        >>> from lastbit.pde import make_scheme
        >>> float(stability_region(make_scheme("euler"), np.array([-1.0]), np.array([0.0]))[0, 0])
        0.0
    """
    return _spectral_radius(scheme, np.asarray(real)[None, :] + 1j * np.asarray(imaginary)[:, None])


def _spectral_radius(scheme: TimeScheme, z: NDArray[np.complex128]) -> NDArray[np.float64]:
    return np.asarray(np.abs(amplification_roots(scheme.coefficients(z))).max(axis=-1))


def boundary_locus(scheme: TimeScheme, points: int = 360) -> NDArray[np.complex128]:
    """Return every `z` at which some root is `e^{iφ}`, shape `(points, degree)`: the curve that contains the boundary.

    For each angle `φ` these are the roots in `z` of `Σ_j p_j(z) e^{ijφ}`.
    """
    turns = np.exp(2j * np.pi * np.arange(points) / points)
    degree = max(len(p) for p in scheme.polynomials) - 1
    table = np.zeros((scheme.steps + 1, degree + 1))
    for j, polynomial in enumerate(scheme.polynomials):
        table[j, : len(polynomial)] = polynomial
    in_z = turns[:, None] ** np.arange(scheme.steps + 1) @ table
    return amplification_roots(np.where(np.abs(in_z) < 1e-14, 0, in_z))


def draw_stability_region(axes: Axes, scheme: TimeScheme, z: NDArray[np.complex128]) -> None:
    """Draw the region of `scheme` and the curve `z` (`dt·λ(ω)` over frequencies) on a matplotlib `axes`.

    Args:
        axes: where to draw.
        scheme: whose region.
        z: points that must be in view, any shape.
    """
    points = z[np.isfinite(z)]
    points = np.concatenate([points, points.conj()])  # the waves −ω
    left, right = min(points.real.min(initial=-2.2), -2.2) * 1.1, max(points.real.max(initial=0.0) * 1.1, 0.8)
    top = max(1.15 * np.abs(points.imag).max(initial=0.0), 1.6)
    # Equal units on both axes, in a frame 4 wide and 3 high.
    spare = max(8 / 3 * top - (right - left), 0.0)
    left, right = left - 0.7 * spare, right + 0.3 * spare
    top = max(top, 3 / 8 * (right - left))
    real, imaginary = np.linspace(left, right, 201), np.linspace(-top, top, 151)
    radius = stability_region(scheme, real, imaginary)
    axes.contourf(real, imaginary, radius, levels=[-1.0, 1 + 1e-9], colors=["#cfe3f5"])
    axes.contour(real, imaginary, radius, levels=[1 + 1e-9], colors=["#2b6cb0"], linewidths=1.2)
    # A region without inside, such as leapfrog's segment, has nothing to fill: its points are on the locus.
    locus = boundary_locus(scheme, 480).ravel()
    locus = locus[np.isfinite(locus)]
    edge = locus[_spectral_radius(scheme, locus) <= 1 + 1e-6]
    axes.plot(edge.real, edge.imag, ".", markersize=3.5, color="#2b6cb0", markeredgewidth=0, label="edge of stability")
    axes.plot(points.real, points.imag, ".", markersize=2.5, color="#c2410c", markeredgewidth=0, label="the waves")
    axes.axhline(0, color="0.8", linewidth=0.6, zorder=0)
    axes.axvline(0, color="0.8", linewidth=0.6, zorder=0)
    unit = "dt λ" if scheme.time_order == 1 else "dt² λ"
    axes.set(xlabel=f"Re {unit}", ylabel=f"Im {unit}", xlim=(left, right), ylim=(-top, top), aspect="equal")
