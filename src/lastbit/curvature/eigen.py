"""Extreme eigenpairs of a symmetric operator from as few products as possible, warm-started and certified.

The solver keeps one orthonormal basis and the operator's image of it, takes Ritz pairs from the projected matrix, and
grows the basis by the residual of a pair that has not converged yet: the Lanczos method with full
reorthogonalisation and thick restarts. A warm start is one weighted *sum* of the previous Ritz vectors: if they
still span nearly an invariant subspace of dimension S, the Krylov space of their sum finds it in S products, and where
only the top vector has turned it loses nothing. `bench/curvature.py` compares the products spent with those of
LOBPCG and of a cold `eigsh`.

Axes: K wanted pairs, M basis vectors, P parameters. Vectors are rows inside and columns in the result.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from lastbit.core.errors import LastbitError, choose
from lastbit.core.seeds import torch_stream
from lastbit.curvature.operators import SymmetricOperator

__all__ = ["Eigenpairs", "top_eigenpairs"]

WARM_VECTORS = 2
"""Ritz vectors kept for the next start. With one, a product less is spent on the digits networks of
`bench/curvature.py`, but where the outermost two swap places the second was mistaken for the first (errors of 2% and
5%); three cost no less and miss no less."""

FOLLOWER_SHARE = 0.1
"""Length of the further columns of the start, relative to 1 for the first. Equal lengths of 0.3 needed 6.1, 6.8 and 4.7
products in the same measurement (four seeds), 0.1 needs 5.9, 6.5 and 3.8 and misses no more."""

RANDOM_SHARE = 0.1
"""Length of the random direction mixed into a warm start, relative to 1 for each vector of the start: it keeps a new
eigenvector that is orthogonal to all of them from being missed, and costs no product."""


@dataclass(frozen=True)
class Eigenpairs:
    """Eigenpairs with their certificate.

    An eigenvalue of the operator lies within `residuals[i]` of `values[i]`, whether the pair has converged or not.

    Attributes:
        values: `(K,)`, the wanted end first: descending for the largest, ascending for the smallest, and the largest
            followed by the smallest for both ends.
        vectors: `(P, K)`, orthonormal columns.
        residuals: `(K,)`, `|A v - value v|`.
        converged: `(K,)` booleans, `residual <= max(tol |value|, atol)`, for the smallest of several ends also
            `residual <= floor` times the norm; all False where the products did not suffice to give as many pairs as
            were wanted.
        products: operator-vector products spent.
        which: the end asked for.
        warm: `(P, S)`, Ritz vectors to start the next measurement from, converged or not.
    """

    values: Tensor
    vectors: Tensor = field(repr=False)
    residuals: Tensor
    converged: Tensor
    products: int
    which: str
    warm: Tensor = field(repr=False)

    @property
    def all_converged(self) -> bool:
        """Whether every pair met the tolerance."""
        return bool(self.converged.all())

    @property
    def largest(self) -> float:
        """The algebraically largest value found."""
        return float(self.values.max())

    @property
    def smallest(self) -> float:
        """The algebraically smallest value found."""
        return float(self.values.min())


class _Subspace:
    """An orthonormal basis `V`, its image `W = A V` and the projected matrix `T = V A V^T` in float64."""

    def __init__(self, operator: SymmetricOperator, capacity: int, seed: int) -> None:
        self.operator = operator
        self.capacity = capacity
        self.basis_MP = torch.empty(capacity, operator.size, dtype=operator.dtype, device=operator.device)
        self.image_MP = torch.empty_like(self.basis_MP)
        self.projected = torch.zeros(capacity, capacity, dtype=torch.float64)
        self.size = 0
        # Drawn on the CPU, so that a seed means the same start on every device.
        self.generator = torch_stream(seed, "eigen start")

    def random(self) -> Tensor:
        """Draw a standard normal vector."""
        vector = torch.randn(self.operator.size, generator=self.generator, dtype=torch.float64)
        return vector.to(self.operator.device, self.operator.dtype)

    def expand(self, vector_P: Tensor) -> None:
        """Add the direction of `vector_P` that is new; a random one where nothing new is left."""
        used_MP = self.basis_MP[: self.size]
        while True:
            before = vector_P.norm()
            # Twice is enough (Kahan and Parlett): one pass leaves a component as large as the rounding.
            for _ in range(2):
                vector_P = vector_P - used_MP.mT @ (used_MP @ vector_P)
            if vector_P.norm() > 10 * torch.finfo(vector_P.dtype).eps * before:
                break
            vector_P = self.random()
        vector_P = vector_P / vector_P.norm()
        vector_P = vector_P - used_MP.mT @ (used_MP @ vector_P)
        vector_P = vector_P / vector_P.norm()
        m = self.size
        self.basis_MP[m] = vector_P
        self.image_MP[m] = self.operator @ vector_P
        column = (self.basis_MP[: m + 1] @ self.image_MP[m]).to("cpu", torch.float64)
        self.projected[: m + 1, m] = column
        self.projected[m, : m + 1] = column
        self.size += 1

    def ritz(self) -> tuple[Tensor, Tensor]:
        """Return Ritz values, ascending, and their coordinates as columns."""
        values, coordinates = torch.linalg.eigh(self.projected[: self.size, : self.size])
        return values, coordinates

    def combine(self, coordinates_MK: Tensor, rows_MP: Tensor) -> Tensor:
        """Return the combinations of `rows_MP` with these coordinates as columns, as rows."""
        return coordinates_MK.mT.to(rows_MP.device, rows_MP.dtype) @ rows_MP[: self.size]

    def restart(self, values: Tensor, coordinates_MK: Tensor) -> None:
        """Shrink the basis to the Ritz vectors with these coordinates."""
        basis_KP, image_KP = self.combine(coordinates_MK, self.basis_MP), self.combine(coordinates_MK, self.image_MP)
        self.size = len(values)
        self.basis_MP[: self.size] = basis_KP
        self.image_MP[: self.size] = image_KP
        self.projected.zero_()
        self.projected[: self.size, : self.size] = torch.diag(values)

    def residuals(self, values: Tensor, coordinates_MK: Tensor) -> Tensor:
        """Return `A y - theta y` for the Ritz pairs with these coordinates, as rows."""
        scaled = values.to(self.operator.device, self.operator.dtype)[:, None]
        return self.combine(coordinates_MK, self.image_MP) - scaled * self.combine(coordinates_MK, self.basis_MP)


def top_eigenpairs(
    operator: SymmetricOperator,
    k: int = 1,
    *,
    which: str = "largest",
    tol: float = 1e-3,
    atol: float = 0.0,
    floor: float = 0.0,
    start: Tensor | Eigenpairs | None = None,
    max_products: int | None = None,
    max_basis: int | None = None,
    seed: int = 0,
) -> Eigenpairs:
    """Return the `k` algebraically largest or smallest eigenpairs of a symmetric operator.

    A pair has converged when its residual `|A v - value v| <= max(tol |value|, atol)`: an eigenvalue is that close.
    Each end is judged relative to itself, since the other may be larger by decades. The value's own error is mostly
    smaller, of the order of `residual^2 / gap`. Nothing short of the full spectrum certifies that no larger eigenvalue
    was missed: where the outermost eigenvalues lie closer together than a few times `tol`, the value may belong to the
    second of them. A random share in every start makes anything worse unlikely.

    Args:
        operator: the matrix, by its products.
        k: pairs wanted (at each end for `"both"`).
        which: `"largest"`, `"smallest"` (algebraic ends) or `"both"`.
        tol: tolerance relative to the value's size.
        atol: absolute residual that is enough, for values near zero.
        floor: residual that is enough for the *smallest* pairs, relative to the largest Ritz value in size: the
            smallest eigenvalue of a Hessian may be zero, and no residual is small relative to that. Such a pair is
            done, but its value is known to within its residual only.
        start: what to start from: an earlier result, a vector `(P,)` or columns `(P, S)`, the most trusted first. The
            present gradient after an earlier result's `warm` vectors is the best start known during training: it
            leans towards the top of the spectrum (Gur-Ari, Roberts and Dyer, arXiv 1812.04754) and costs no product.
        max_products: most products to spend; what has been reached by then is returned with `converged` False.
            `10 k + 200` by default.
        max_basis: basis vectors held (memory: twice as many vectors of P numbers); `2 k + 20` by default.
        seed: of the random start direction.

    Raises:
        LastbitError: a setting is out of range, or the start does not fit the operator.

    Example:
        >>> import torch
        >>> from lastbit.curvature import DenseOperator
        >>> pairs = top_eigenpairs(DenseOperator(torch.diag(torch.tensor([3.0, 1.0, -5.0]))), tol=1e-5)
        >>> round(pairs.largest, 4), pairs.all_converged
        (3.0, True)
    """
    choose(which, ("largest", "smallest", "both"), "which")
    ends = 2 if which == "both" else 1
    if isinstance(k, bool) or not isinstance(k, int) or k < 1 or ends * k > operator.size:
        raise LastbitError(
            f"k = {k!r} eigenpairs ({which}) of an operator with {operator.size} rows: give 1 up to "
            f"{operator.size // ends}"
        )
    if not tol >= 0 or not atol >= 0 or not floor >= 0 or (tol == 0 and atol == 0):
        raise LastbitError(
            f"tol = {tol}, atol = {atol}, floor = {floor}: give non-negative numbers, tol and atol not both zero"
        )
    wanted = ends * k
    budget = max_products if max_products is not None else 10 * wanted + 200
    if budget < 1:
        raise LastbitError(f"max_products = {budget}: give at least 1")
    capacity = min(operator.size, max(max_basis or 2 * wanted + 20, wanted + 3))
    space = _Subspace(operator, capacity, seed)
    before = operator.products
    space.expand(_start_vector(space, start))
    while True:
        values, coordinates = space.ritz()
        picked = _picked(len(values), k, which)
        residuals_KP = space.residuals(values[picked], coordinates[:, picked])
        norms = residuals_KP.norm(dim=1).to("cpu", torch.float64)
        enough = torch.clamp(tol * values[picked].abs(), min=max(atol, torch.finfo(torch.float64).tiny))
        if which != "largest":
            lower = slice(k if which == "both" else 0, None)
            enough[lower] = enough[lower].clamp(min=floor * float(values.abs().max()))
        excess = norms / enough
        spent = operator.products - before
        if (len(picked) == wanted and bool((excess <= 1).all())) or space.size == operator.size or spent >= budget:
            break
        # The wanted pairs in turn; with both ends, the worse one, so that neither waits for the other.
        open_pairs = torch.nonzero(excess > 1)[:, 0]
        worst = int(excess.argmax()) if which == "both" or not len(open_pairs) else int(open_pairs[0])
        direction_P = residuals_KP[worst]
        if space.size == capacity:
            # The wanted Ritz vectors and their neighbours stay: half of the basis.
            keep = min(max(capacity // 2, wanted + 1), capacity - 1)
            kept = _picked(len(values), -(-keep // ends), which)[:keep]
            space.restart(values[kept], coordinates[:, kept])
        space.expand(direction_P)
    warm = _picked(len(values), max(k, WARM_VECTORS), which)
    return Eigenpairs(
        values=values[picked],
        vectors=space.combine(coordinates[:, picked], space.basis_MP).mT,
        residuals=norms,
        converged=(excess <= 1) if len(picked) == wanted else torch.zeros(len(picked), dtype=torch.bool),
        products=spent,
        which=which,
        warm=space.combine(coordinates[:, warm], space.basis_MP).mT,
    )


def _start_vector(space: _Subspace, start: Tensor | Eigenpairs | None) -> Tensor:
    noise_P = space.random()
    if start is None:
        return noise_P
    columns = start.warm if isinstance(start, Eigenpairs) else start
    columns = columns[:, None] if columns.ndim == 1 else columns
    size = space.operator.size
    if columns.ndim != 2 or len(columns) != size:
        raise LastbitError(
            f"start has shape {tuple(columns.shape)}: give columns of {size} numbers, as Eigenpairs.vectors holds"
        )
    columns = columns.to(space.operator.device, space.operator.dtype)
    if not torch.isfinite(columns).all():
        raise LastbitError("start holds NaN or infinite numbers: leave it out to start cold")
    columns = columns / columns.norm(dim=0).clamp(min=torch.finfo(columns.dtype).tiny)
    start_P: Tensor = columns[:, 0] + FOLLOWER_SHARE * columns[:, 1:].sum(1) + RANDOM_SHARE * noise_P / noise_P.norm()
    return start_P


def _picked(size: int, k: int, which: str) -> Tensor:
    """Return the positions of the wanted Ritz values in ascending order, the wanted end first."""
    top = torch.arange(size).flip(0)[:k]
    bottom = torch.arange(size)[:k]
    if which == "both":
        # With fewer Ritz values than wanted, the middle ones must not be counted at both ends.
        return torch.cat([top[: (size + 1) // 2], bottom[: size // 2]])
    return top if which == "largest" else bottom
