"""Both ends of the spectrum of many symmetric operators at once, by Lanczos with full reorthogonalisation.

The members of an ensemble are a tensor axis: every iteration applies all operators in one call. Each end comes with
the norm of its residual `|J v - theta v|`, computed from the vector itself: an eigenvalue lies within it of `theta`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lastbit.core.errors import LastbitError
from lastbit.core.seeds import torch_stream

__all__ = ["Extremes", "extreme_eigenpairs"]


@dataclass(frozen=True, eq=False)
class Extremes:
    """Smallest and largest eigenvalue of each member.

    Attributes:
        low_M: smallest eigenvalues.
        high_M: largest eigenvalues.
        low_vector_MCnm: their unit eigenvectors.
        high_vector_MCnm: likewise.
        residual_M: the larger of the two residuals' norms.
        converged_M: whether the residual is within the tolerance.
        iterations: operator applications.
    """

    low_M: Tensor
    high_M: Tensor
    low_vector_MCnm: Tensor
    high_vector_MCnm: Tensor
    residual_M: Tensor
    converged_M: Tensor
    iterations: int


def extreme_eigenpairs(
    operator: Callable[[Tensor], Tensor],
    shape: tuple[int, ...],
    *,
    like: Tensor,
    tolerance: float = 1e-8,
    max_iterations: int = 400,
    seed: int = 0,
) -> Extremes:
    """Return both ends of the spectrum of each member's operator.

    Args:
        operator: maps `[M, ...]` to the same shape; symmetric, member by member.
        shape: members first.
        like: gives format and device.
        tolerance: residual allowed, relative to the largest eigenvalue in size.
        max_iterations: operator applications, at most.
        seed: of the start vectors.

    Raises:
        LastbitError: the operator returned a value that is not finite.
    """
    members, dimension = shape[0], int(torch.Size(shape[1:]).numel())
    generator = torch_stream(seed, "pde", "lanczos")

    def draw() -> Tensor:
        start = torch.randn(members, dimension, dtype=torch.float64, generator=generator)
        return torch.nn.functional.normalize(start, dim=1).to(like)

    def apply(v_MP: Tensor) -> Tensor:
        out = operator(v_MP.reshape(shape)).reshape(members, dimension)
        if not bool(torch.isfinite(out).all()):
            raise LastbitError("the linearised operator gave a value that is not finite: the kernel is too large")
        return out

    limit = min(dimension, max_iterations)
    basis_MJP = torch.zeros(members, min(limit, 32), dimension, dtype=like.dtype, device=like.device)
    matrix_MJJ = torch.zeros(members, limit, limit, dtype=torch.float64)
    v_MP = draw()
    j = 0
    while True:
        if j == basis_MJP.shape[1]:
            more = min(limit - j, j)
            basis_MJP = torch.cat([basis_MJP, basis_MJP.new_zeros(members, more, dimension)], dim=1)
        basis_MJP[:, j] = v_MP
        w_MP = apply(v_MP)
        alpha = (v_MP * w_MP).sum(1)
        matrix_MJJ[:, j, j] = alpha.double().cpu()
        w_MP = _orthogonalised(w_MP, basis_MJP[:, : j + 1])
        beta = w_MP.norm(dim=1)
        j += 1
        scale = matrix_MJJ[:, :j, :j].abs().amax((1, 2)).clamp(min=torch.finfo(torch.float64).tiny)
        # A vanishing remainder means the space is invariant: go on from a fresh vector, uncoupled.
        broken = beta.double().cpu() <= 64 * torch.finfo(like.dtype).eps * scale
        check = j == limit or j % 8 == 0 or j <= 4 or bool(broken.all())
        if check and (j == limit or _settled(matrix_MJJ[:, :j, :j], torch.where(broken, 0, beta.cpu()), tolerance)):
            break
        if bool(broken.any()):
            fresh = torch.nn.functional.normalize(_orthogonalised(draw(), basis_MJP[:, :j]), dim=1)
            mask = broken.to(like.device)[:, None]
            beta, w_MP = torch.where(mask[:, 0], 0, beta), torch.where(mask, fresh, w_MP)
            v_MP = torch.where(mask, fresh, w_MP / torch.where(mask[:, 0], 1, beta)[:, None])
        else:
            v_MP = w_MP / beta[:, None]
        matrix_MJJ[:, j - 1, j] = matrix_MJJ[:, j, j - 1] = beta.double().cpu()
    return _ritz(apply, matrix_MJJ[:, :j, :j], basis_MJP[:, :j], shape, tolerance)


def _orthogonalised(w_MP: Tensor, basis_MJP: Tensor) -> Tensor:
    """Return `w` without its parts along the basis; twice, which is enough (Kahan and Parlett)."""
    for _ in range(2):
        w_MP = w_MP - torch.einsum("mj,mjp->mp", torch.einsum("mjp,mp->mj", basis_MJP, w_MP), basis_MJP)
    return w_MP


def _settled(matrix_MJJ: Tensor, beta_M: Tensor, tolerance: float) -> bool:
    """Whether both Ritz residuals `|beta s_last|` of every member are within the tolerance."""
    values, vectors = torch.linalg.eigh(matrix_MJJ)
    residual = beta_M[:, None].double() * vectors[:, -1, [0, -1]].abs()
    scale = values.abs().amax(1, keepdim=True)
    return bool((residual <= tolerance * scale).all())


def _ritz(
    apply: Callable[[Tensor], Tensor], matrix_MJJ: Tensor, basis_MJP: Tensor, shape: tuple[int, ...], tolerance: float
) -> Extremes:
    """Return the outer Ritz pairs with their true residuals."""
    values, vectors = torch.linalg.eigh(matrix_MJJ)
    pairs, residuals = [], []
    for end in (0, -1):
        weights = vectors[:, :, end].to(basis_MJP)
        v_MP = torch.nn.functional.normalize(torch.einsum("mj,mjp->mp", weights, basis_MJP), dim=1)
        image = apply(v_MP)
        theta = (v_MP * image).sum(1)
        pairs.append((theta, v_MP.reshape(shape)))
        residuals.append((image - theta[:, None] * v_MP).norm(dim=1))
    scale = values.abs().amax(1).to(basis_MJP)
    residual = torch.maximum(*residuals)
    # The rounding of the operator itself puts a floor under any residual.
    allowed = max(tolerance, 256 * torch.finfo(basis_MJP.dtype).eps) * scale
    return Extremes(
        low_M=pairs[0][0],
        high_M=pairs[1][0],
        low_vector_MCnm=pairs[0][1],
        high_vector_MCnm=pairs[1][1],
        residual_M=residual,
        converged_M=residual <= allowed,
        iterations=matrix_MJJ.shape[1] + 2,
    )
