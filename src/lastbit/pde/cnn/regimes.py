"""Stable weight decays and steps of the linear regimes, for full support and for the window.

A mode of `d/dt K = -(J + alpha) K` with eigenvalue `lambda` of J is stable under a scheme of step limit `L` (2 for
Euler) iff `0 <= dt (lambda + alpha) <= L`. Over all modes:

    -lambda_min(J)  <=  alpha  <=  L / dt - lambda_max(J)

Below the lower end a mode grows at any step: the flow itself is ill-posed for it (anti-diffusion). Above the upper end
the discretisation fails (CFL). Both ends change roles with the sign of `a = 1/2 - y`: for `y = 1` the transitioning
operator `(a beta / 2) A^T A` is negative, so its largest symbol sets the lower end and its smallest the upper; for
`y = 0` it is the other way round.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from lastbit.core.errors import LastbitError
from lastbit.pde.builtin_schemes import EULER
from lastbit.pde.cnn.activation import REGIMES
from lastbit.pde.cnn.correlation import make_correlator
from lastbit.pde.cnn.linearisation import Linearisation, linearise_regime, regime_constants
from lastbit.pde.cnn.problem import CnnProblem
from lastbit.pde.lanczos import extreme_eigenpairs
from lastbit.pde.schemes import TimeScheme

__all__ = ["RegimeStability", "Spectrum", "full_support_spectrum", "regime_stability"]


@dataclass(frozen=True)
class Spectrum:
    """Both ends of the spectrum of a regime's operator, with the residual that bounds their error."""

    low: float
    high: float
    residual: float
    converged: bool


@dataclass(frozen=True)
class RegimeStability:
    """What is stable in one regime for one kind of support.

    Attributes:
        spectrum: both ends of the operator without weight decay.
        dt: the step.
        weight_decay: the weight decay `max_stable_dt` is for, or None.
        alpha_min: smallest stable weight decay.
        alpha_max: largest stable weight decay at `dt`; below `alpha_min` none is stable.
        max_stable_dt: largest stable step at `weight_decay`, or, where that is None, the largest step for which some
            weight decay is stable. 0 means no step is; infinity means every step is.
    """

    spectrum: Spectrum
    dt: float
    weight_decay: float | None
    alpha_min: float
    alpha_max: float
    max_stable_dt: float

    @property
    def stable(self) -> bool | None:
        """Whether `dt` and `weight_decay` are stable; None without a weight decay."""
        if self.weight_decay is None:
            return None
        # An eigenvalue that is zero comes out as the rounding of the largest: that much is not instability.
        slack = 1e-12 * (abs(self.spectrum.low) + abs(self.spectrum.high) + abs(self.weight_decay))
        return self.alpha_min - slack <= self.weight_decay <= self.alpha_max + slack


def full_support_spectrum(problem: CnnProblem, regime: str, *, gauss_newton: bool = False) -> Spectrum:
    """Return both ends of the symbol, for a kernel as large as the image, with periodic boundary.

    The Fourier modes decouple: at frequency `w` the operator is the C x C matrix
    `sum_b weight_b conj(I_b(w)) I_b(w)^T`, and constants add the Gauss-Newton term at `w = 0` alone. For one image of
    one channel in the transitioning regime this is `(a beta / 2) pool |I(w)|^2`.

    Args:
        problem: its window and boundary do not matter here.
        regime: which one.
        gauss_newton: as in `linearise_regime`.
    """
    images = problem.images_BCHW.double()
    pixels = images.shape[-2] * images.shape[-1]
    pool = 1.0 / pixels if problem.pooling == "mean" else 1.0
    gain_B, slope, weight_B = regime_constants(problem, regime, gauss_newton=gauss_newton)
    gain_B, weight_B = gain_B.double(), weight_B.double()
    spectrum_BCHw = torch.fft.rfft2(images)
    # The constant part of every response: pool r' times the sum over positions, the same at each entry of the kernel.
    mean_BC = pool * slope * spectrum_BCHw[:, :, 0, 0].real
    if images.shape[1] == 1:
        symbol = pool * (weight_B[:, None, None] * spectrum_BCHw[:, 0].abs().square()).sum(0)
        symbol[0, 0] += pixels * (gain_B * mean_BC[:, 0].square()).sum()
    else:
        weighted = pool * weight_B[:, None, None, None] * spectrum_BCHw
        blocks_HwCC = torch.einsum("bchw,bdhw->hwcd", weighted.conj(), spectrum_BCHw)
        blocks_HwCC[0, 0] += pixels * torch.einsum("b,bc,bd->cd", gain_B, mean_BC, mean_BC)
        symbol = torch.linalg.eigvalsh(blocks_HwCC)
    return Spectrum(float(symbol.min()), float(symbol.max()), 0.0, True)


def _windowed_spectrum(problem: CnnProblem, J: Linearisation, tolerance: float) -> Spectrum:
    """Return both ends of the windowed operator `W A A^T W`, by Lanczos on FFT products."""
    ends = extreme_eigenpairs(J, (1, *problem.kernel_shape), like=problem.images_BCHW, tolerance=tolerance)
    low, high = float(ends.low_M[0]), float(ends.high_M[0])
    # An end that is zero (a null space) comes out as the rounding of the other.
    rounding = 1e-13 * max(abs(low), abs(high))
    low, high = (0.0 if abs(end) <= rounding else end for end in (low, high))
    return Spectrum(low, high, float(ends.residual_M[0]), bool(ends.converged_M[0]))


def _bounds(
    spectrum: Spectrum, dt: float, weight_decay: float | None, scheme: TimeScheme
) -> tuple[float, float, float]:
    """Return `alpha_min`, `alpha_max` and `max_stable_dt` of an operator with this spectrum."""
    if not (math.isfinite(dt) and dt > 0):
        raise LastbitError(f"dt = {dt}: use a positive, finite step")
    if weight_decay is not None and not math.isfinite(weight_decay):
        raise LastbitError(f"weight decay = {weight_decay}: use a finite number")
    limit = scheme.step_limit()
    alpha_min = -spectrum.low + 0.0
    rounding = 1e-12 * max(abs(spectrum.low), abs(spectrum.high))
    if weight_decay is None:
        fastest = spectrum.high - spectrum.low
    elif weight_decay < alpha_min - rounding:
        return alpha_min, limit / dt - spectrum.high, 0.0
    else:
        fastest = spectrum.high + weight_decay
    max_dt = limit / fastest if fastest > rounding else math.inf
    return alpha_min, limit / dt - spectrum.high, max_dt


def regime_stability(
    problem: CnnProblem,
    *,
    dt: float,
    weight_decay: float | None = None,
    scheme: TimeScheme = EULER,
    gauss_newton: bool = False,
    tolerance: float = 1e-6,
) -> dict[str, dict[str, RegimeStability]]:
    """Return the bounds of all three regimes, `[regime][support]`.

    Args:
        problem: images, window, labels, activation.
        dt: step of the scheme (the learning rate).
        weight_decay: what `max_stable_dt` is for.
        scheme: of the steps.
        gauss_newton: as in `linearise_regime`.
        tolerance: of the windowed eigenvalues.

    Raises:
        LastbitError: an invalid step or weight decay.

    Example:
        >>> from lastbit.pde.cnn.images import checkerboard
        >>> problem = CnnProblem.of(checkerboard(16), kernel=4, pooling="sum")
        >>> found = regime_stability(problem, dt=1e-3)["transitioning"]
        >>> round(found["full_support"].alpha_min), round(found["windowed"].alpha_min)
        (16384, 676)
    """
    correlator = make_correlator(problem)
    found: dict[str, dict[str, RegimeStability]] = {}
    for regime in REGIMES:
        J = linearise_regime(problem, regime, gauss_newton=gauss_newton, correlator=correlator)
        spectra = {
            "full_support": full_support_spectrum(problem, regime, gauss_newton=gauss_newton),
            "windowed": _windowed_spectrum(problem, J, tolerance),
        }
        found[regime] = {
            support: RegimeStability(spectrum, dt, weight_decay, *_bounds(spectrum, dt, weight_decay, scheme))
            for support, spectrum in spectra.items()
        }
    return found
