"""The gradient flow of the one-layer CNN linearised, at any kernel or in one of its three regimes, matrix-free.

The loss of image b is `l(p_b)` of the pooled value `p_b = pool sum_x r(z_b(x))`, with `l' = a = s(p) - y` and
`l'' = s(p)(1 - s(p))`. Its second derivative along a kernel `v` with response `u = v * I` is

    J v = 1/B sum_b A_b^T [ l''_b pool^2 r'(z_b) <r'(z_b), u_b> + a_b pool r''(z_b) u_b ]

with `A_b^T` the adjoint of the correlation: one forward and one adjoint map per product. The first part is the
Gauss-Newton term, of rank one per image; the second carries the curvature of the activation. Near the kernel the flow
`d/dt K = -(grad + alpha K)` is `d/dt v = -(J + alpha) v`.

Where every position is in one regime, `r'` and `r''` are constants, and so is everything but the correlation:

| regime | r' | r'' | with `s` linearised at `p = 0` |
| --- | --- | --- | --- |
| activated | 1 | 0 | `J v = l'' pool^2 A^T 1 <1, A v>`, `l'' = s'(0) = 1/4` |
| transitioning | 1/2 | beta/2 | `J v = (a beta / 2) pool A^T A v` plus the Gauss-Newton term with `r' = 1/2` |
| not_activated | 0 | 0 | `J = 0` |
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lastbit.core.errors import choose
from lastbit.pde.cnn.activation import REGIMES, swish, swish_curvature, swish_slope
from lastbit.pde.cnn.correlation import Correlator, make_correlator
from lastbit.pde.cnn.problem import CnnProblem

__all__ = ["Linearisation", "linearise_at", "linearise_regime", "regime_constants"]


@dataclass(frozen=True, eq=False)
class Linearisation:
    """The operator `J`: symmetric, on kernels `[M, C, n, m]`, one for each of M members.

    Attributes:
        correlator: the two correlation maps.
        gain_MB: `l'' / B`.
        slope_MBxy: `pool r'(z)`, broadcastable to responses.
        weight_MBxy: `a pool r''(z) / B`, broadcastable to responses.
    """

    correlator: Correlator
    gain_MB: Tensor
    slope_MBxy: Tensor
    weight_MBxy: Tensor

    def __call__(self, kernel_MCnm: Tensor) -> Tensor:
        """Return `J v`, without weight decay."""
        u = self.correlator.forward(kernel_MCnm)
        projected_MB11 = self.gain_MB[..., None, None] * (self.slope_MBxy * u).sum((-2, -1), keepdim=True)
        return self.correlator.adjoint(self.weight_MBxy * u + projected_MB11 * self.slope_MBxy)


def linearise_at(problem: CnnProblem, kernel_MCnm: Tensor, correlator: Correlator | None = None) -> Linearisation:
    """Return the Hessian of the data loss at each kernel: the local linearisation of the flow.

    Args:
        problem: images, labels and activation.
        kernel_MCnm: one kernel per member.
        correlator: the problem's, if it is at hand.
    """
    maps = make_correlator(problem) if correlator is None else correlator
    z = maps.forward(kernel_MCnm)
    batch = z.shape[1]
    p_MB = problem.pool * swish(z, problem.beta).sum((-2, -1))
    s_MB = torch.sigmoid(p_MB)
    a_MB = s_MB - problem.labels_B
    return Linearisation(
        correlator=maps,
        gain_MB=s_MB * (1 - s_MB) / batch,
        slope_MBxy=problem.pool * swish_slope(z, problem.beta),
        weight_MBxy=(a_MB * problem.pool / batch)[..., None, None] * swish_curvature(z, problem.beta),
    )


def regime_constants(problem: CnnProblem, regime: str, *, gauss_newton: bool) -> tuple[Tensor, float, Tensor]:
    """Return `l'' / B` per image, `r'`, and `a r'' / B` per image, all without the pooling weight."""
    choose(regime, REGIMES, "regime")
    a_B = 0.5 - problem.labels_B
    slope = {"activated": 1.0, "transitioning": 0.5, "not_activated": 0.0}[regime]
    keep_gain = regime == "activated" or (regime == "transitioning" and gauss_newton)
    curvature = problem.beta / 2 if regime == "transitioning" else 0.0
    return torch.full_like(a_B, (0.25 if keep_gain else 0.0) / len(a_B)), slope, a_B * (curvature / len(a_B))


def linearise_regime(
    problem: CnnProblem, regime: str, *, gauss_newton: bool = False, correlator: Correlator | None = None
) -> Linearisation:
    """Return the operator of a regime, the output slope taken at the kernel zero (`a = 1/2 - y`, `s' = 1/4`).

    Args:
        problem: images, labels and activation.
        regime: `"activated"`, `"transitioning"` or `"not_activated"`.
        gauss_newton: keep the Gauss-Newton term of the transitioning regime. Without it (the usual form) `a` is held
            constant; with it the operator is exactly the Hessian at the zero kernel. Both agree where the
            positions' sum of every entry of the window vanishes, as it does for images of zero mean.
        correlator: the problem's, if available.

    Raises:
        LastbitError: unknown regime.
    """
    gain_B, slope, weight_B = regime_constants(problem, regime, gauss_newton=gauss_newton)
    return Linearisation(
        correlator=make_correlator(problem) if correlator is None else correlator,
        gain_MB=gain_B[None],
        slope_MBxy=(problem.pool * slope) * torch.ones_like(gain_B)[None, :, None, None],
        weight_MBxy=problem.pool * weight_B[None, :, None, None],
    )
