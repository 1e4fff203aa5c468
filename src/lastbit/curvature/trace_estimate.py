"""The trace of an operator by random probes, with an interval."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from lastbit.core.errors import LastbitError
from lastbit.core.seeds import torch_stream
from lastbit.curvature.intervals import sample_until
from lastbit.curvature.operators.base import SymmetricOperator
from lastbit.stats import Estimate

__all__ = ["rademacher", "trace"]


def rademacher(operator: SymmetricOperator, generator: torch.Generator) -> Tensor:
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
        probes = torch.stack([rademacher(operator, generator) for _ in range(min(sketch, operator.size))], 1)
        # No QR in half precision.
        image_PS = (operator @ probes).to(torch.promote_types(operator.dtype, torch.float32))
        basis_PS = torch.linalg.qr(image_PS)[0].to(operator.dtype)
        exact = float((basis_PS * (operator @ basis_PS)).sum(dtype=torch.float64))
    if basis_PS.shape[1] == operator.size:
        return Estimate(exact, exact, exact, 0, "exact: the sketch spans the whole space")

    def draws() -> Iterator[float]:
        for _ in range(max_samples):
            probe_P = rademacher(operator, generator)
            probe_P = probe_P - basis_PS @ (basis_PS.mT @ probe_P)
            # The exact part is added to every draw, so that the stop rule is relative to the trace.
            yield exact + float(probe_P.double().dot((operator @ probe_P).double()))

    return sample_until(draws(), rtol, confidence, minimum=min(10, max_samples))[0]
