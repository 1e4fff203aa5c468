"""Estimates from independent draws: the trace and batch sharpness with their intervals, and the spectral density.

The draws here are Monte Carlo samples made by the measurement itself (probe vectors, mini-batches), not training runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import inf, isfinite, sqrt
from typing import Any

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal
from scipy.stats import t as student
from torch import Tensor, nn

from lastbit.core.errors import LastbitError
from lastbit.core.seeds import torch_stream
from lastbit.core.words import plural
from lastbit.curvature.batches import LossFunction, NotFiniteError
from lastbit.curvature.hessian import HessianOperator
from lastbit.curvature.operators import SymmetricOperator
from lastbit.stats import Estimate

__all__ = ["SpectralDensity", "batch_sharpness", "sample_until", "spectral_density", "trace"]

Array = np.ndarray[Any, np.dtype[np.float64]]


def sample_until(draws: Iterable[float], rtol: float, confidence: float = 0.95, minimum: int = 10) -> Estimate:
    """Draw until the interval's half width is at most `rtol |mean|`, or the draws end; estimate the mean.

    The interval is `mean ± t_{n-1} s / sqrt(n)`. Draws without spread have one of width 0, where `stats.mean_estimate`
    claims none for training runs: probes of a diagonal matrix do agree exactly.

    The stop is the fixed-width rule of Chow and Robbins (Ann. Math. Stat. 36, 1965). It looks at the data after each
    draw, so it tends to stop where the spread happens to look small; `minimum` draws come first for that reason. By
    simulation, with normal, log-normal and exponential draws and `rtol` from 0.05 to 0.2, a nominal 95% interval covers
    the mean in 91% to 96% of cases.

    Args:
        draws: independent samples, drawn one by one.
        rtol: half width wanted, relative to the mean.
        confidence: nominal coverage.
        minimum: draws before the first look, at least 2.

    Returns:
        the estimate, whose note says so where the rule was not met.

    Raises:
        LastbitError: a setting is out of range, or there is no draw.
        NotFiniteError: the mean is not finite.
    """
    if not rtol > 0:
        raise LastbitError(f"rtol = {rtol}: give the relative half width wanted, above 0")
    if minimum < 2:
        raise LastbitError(f"minimum = {minimum}: a spread needs at least 2 samples")
    if not 0 < confidence < 1:
        raise LastbitError(f"confidence = {confidence}: give a number between 0 and 1, such as 0.95")
    samples: list[float] = []
    for draw in draws:
        samples.append(draw)
        if len(samples) >= minimum:
            mean, reach = _student(samples, confidence)
            if reach <= rtol * abs(mean):
                return Estimate(mean, mean - reach, mean + reach, len(samples))
    mean, reach = _student(samples, confidence)
    count = len(samples)
    if not isfinite(reach):
        return Estimate(mean, None, None, count, f"{count} sample(s) without a finite spread: no interval")
    return Estimate(mean, mean - reach, mean + reach, count, f"wider than wanted after {plural(count, 'sample')}")


def _student(samples: list[float], confidence: float) -> tuple[float, float]:
    """Return the mean and half the length of its interval, infinite for a single sample."""
    if not samples:
        raise LastbitError("no sample to take a mean of: give at least one")
    values = np.array(samples)
    mean = float(values.mean())
    if not isfinite(mean):
        raise NotFiniteError(f"the mean of {len(values)} sample(s) is {mean}: training has diverged")
    if len(values) == 1:
        return mean, inf
    quantile = float(student.ppf((1 + confidence) / 2, len(values) - 1))
    return mean, quantile * float(values.std(ddof=1)) / sqrt(len(values))


def _rademacher(operator: SymmetricOperator, generator: torch.Generator) -> Tensor:
    """Draw a vector of random signs for `operator`; on the CPU, so that a seed means the same on every device."""
    signs = torch.randint(0, 2, (operator.size,), generator=generator)
    return (2 * signs - 1).to(operator.device, operator.dtype)


def trace(
    operator: SymmetricOperator,
    *,
    rtol: float = 0.05,
    sketch: int = 8,
    max_samples: int = 200,
    confidence: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Estimate the trace by Hutch++: exactly on a sketched dominant subspace, by random signs on the rest.

    With `Q` an orthonormal basis of the image of `sketch` random vectors and `R = I - Q Q^T`, the trace is
    `tr(Q^T A Q) + E[z^T R A R z]` over random signs `z` (Hutchinson 1990; Meyer, Musco, Musco and Woodruff, SOSA 2021).
    The interval is Student's over the draws of `z`, which are independent of `Q` and which `n` counts; drawing stops by
    the rule of `sample_until`.

    Args:
        operator: the matrix.
        rtol: half width of the interval wanted, relative to the *trace*.
        sketch: vectors of the sketch, each costing two products; 0 gives Hutchinson's estimator.
        max_samples: draws at most.
        confidence: of the interval.
        seed: of sketch and draws.

    Raises:
        LastbitError: a setting is out of range.

    Example:
        >>> import torch
        >>> from lastbit.curvature import DenseOperator
        >>> round(trace(DenseOperator(torch.diag(torch.arange(6.0))), sketch=6).estimate, 4)
        15.0
    """
    if sketch < 0 or max_samples < 2:
        raise LastbitError(f"sketch = {sketch}, max_samples = {max_samples}: give sketch >= 0 and max_samples >= 2")
    generator = torch_stream(seed, "trace")
    exact, basis_PS = 0.0, torch.zeros(operator.size, 0, dtype=operator.dtype, device=operator.device)
    if sketch:
        probes = torch.stack([_rademacher(operator, generator) for _ in range(min(sketch, operator.size))], 1)
        # No QR in half precision.
        image_PS = (operator @ probes).to(torch.promote_types(operator.dtype, torch.float32))
        basis_PS = torch.linalg.qr(image_PS)[0].to(operator.dtype)
        exact = float((basis_PS * (operator @ basis_PS)).sum(dtype=torch.float64))
    if basis_PS.shape[1] == operator.size:
        return Estimate(exact, exact, exact, 0, "exact: the sketch spans the whole space")

    def draws() -> Iterator[float]:
        for _ in range(max_samples):
            probe_P = _rademacher(operator, generator)
            probe_P = probe_P - basis_PS @ (basis_PS.mT @ probe_P)
            # The exact part is added to every draw, so that the stop rule is relative to the trace.
            yield exact + float(probe_P.double().dot((operator @ probe_P).double()))

    return sample_until(draws(), rtol, confidence, minimum=min(10, max_samples))


def batch_sharpness(
    model: nn.Module,
    loss_fn: LossFunction,
    batches: Iterable[Any],
    *,
    rtol: float = 0.05,
    confidence: float = 0.95,
    minimum: int = 10,
    parameters: Sequence[str] | None = None,
) -> Estimate:
    """Estimate `E[g^T H g / |g|^2]` over mini-batches, `g` and `H` the gradient and Hessian of the batch's own loss.

    Stochastic gradient descent settles where this reaches `2/lr` (edge of stochastic stability; Andreyev and
    Beneventano, arXiv 2412.20553), while the largest eigenvalue of the full-batch Hessian stays below.
    Batches must be drawn as in training, independently;
    drawing stops when the interval is narrow enough (`sample_until`) or the batches end.

    Args:
        model: the network, in the mode it trains in.
        loss_fn: `loss_fn(outputs, targets)` or a `ModelLoss`.
        batches: mini-batches of the training size, such as an endless sampler cut by `itertools.islice`.
        rtol: half width of the interval wanted, relative to the mean.
        confidence: of the interval.
        minimum: batches before the first look.
        parameters: names to measure; all trainable ones by default.

    Raises:
        LastbitError: as `HessianOperator`; no batch; a batch whose gradient is zero.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(1, 1, bias=False)
        >>> batches = [(torch.ones(4, 1), torch.full((4, 1), 2.0 + i)) for i in range(20)]
        >>> round(batch_sharpness(model, torch.nn.functional.mse_loss, batches).estimate, 5)
        2.0
    """

    def draws() -> Iterator[float]:
        for number, batch in enumerate(batches):
            hessian = HessianOperator(model, loss_fn, batch, parameters=parameters)
            gradient_P = hessian.loss_and_gradient()[1]
            length = gradient_P.norm()
            if length == 0:
                raise LastbitError(f"the gradient of batch {number} is zero: batch sharpness has no direction there")
            direction_P = gradient_P / length
            yield float(direction_P.dot(hessian @ direction_P))

    with torch.no_grad():
        return sample_until(draws(), rtol, confidence, minimum)


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
    vector_P = _rademacher(operator, generator)
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
