import numpy as np
import pytest
import scipy.sparse.linalg as sparse
import torch

from lastbit.core.errors import LastbitError
from lastbit.pde.cnn import CnnProblem
from lastbit.pde.cnn.images import white_noise
from lastbit.pde.cnn.linearisation import linearise_regime
from lastbit.pde.lanczos import extreme_eigenpairs

LIKE = torch.zeros(1, dtype=torch.float64)


def applied(matrices):
    return lambda v: torch.einsum("mij,mj->mi", matrices, v)


def test_ensembles_match_a_dense_solver():
    generator = torch.Generator().manual_seed(0)
    square = torch.randn(4, 60, 60, generator=generator, dtype=torch.float64)
    matrices = square + square.transpose(1, 2)
    matrices[1] *= 1e-9
    matrices[2] += 1e3 * torch.eye(60)
    found = extreme_eigenpairs(applied(matrices), (4, 60), like=LIKE)
    exact = torch.linalg.eigvalsh(matrices)
    scale = exact.abs().amax(1)
    assert found.converged_M.all()
    assert ((found.low_M - exact[:, 0]).abs() <= 1e-8 * scale).all()
    assert ((found.high_M - exact[:, -1]).abs() <= 1e-8 * scale).all()
    residual = applied(matrices)(found.high_vector_MCnm) - found.high_M[:, None] * found.high_vector_MCnm
    assert (residual.norm(dim=1) <= found.residual_M * (1 + 1e-9)).all()


@pytest.mark.parametrize("rank", [0, 1, 2, 5])
def test_low_rank_ends_at_once_and_finds_the_zero(rank):
    generator = torch.Generator().manual_seed(rank)
    basis = torch.linalg.qr(torch.randn(40, 40, generator=generator, dtype=torch.float64))[0][:, :rank]
    matrix = -(basis * torch.arange(1.0, rank + 1, dtype=torch.float64)) @ basis.T
    found = extreme_eigenpairs(applied(matrix[None]), (1, 40), like=LIKE)
    assert found.converged_M.all()
    assert float(found.low_M[0]) == pytest.approx(-rank, abs=1e-12)
    assert float(found.high_M[0]) == pytest.approx(0, abs=1e-12)
    assert found.iterations <= rank + 8


def test_members_that_end_early_do_not_spoil_the_others():
    generator = torch.Generator().manual_seed(3)
    square = torch.randn(30, 30, generator=generator, dtype=torch.float64)
    matrices = torch.stack([torch.eye(30, dtype=torch.float64), square + square.T])
    found = extreme_eigenpairs(applied(matrices), (2, 30), like=LIKE)
    exact = torch.linalg.eigvalsh(matrices)
    assert torch.allclose(found.low_M, exact[:, 0], atol=1e-7)
    assert torch.allclose(found.high_M, exact[:, -1], atol=1e-7)


def test_an_unfinished_search_says_so():
    values = torch.linspace(0, 1, 400, dtype=torch.float64)
    found = extreme_eigenpairs(lambda v: values * v, (1, 400), like=LIKE, max_iterations=6)
    assert not found.converged_M.any()
    assert float(found.residual_M[0]) > 1e-3
    assert float(found.high_M[0]) <= 1


def test_arpack_agrees_on_the_windowed_operator():
    problem = CnnProblem.of(white_noise(40, channels=2), kernel=7, pooling="sum")
    J = linearise_regime(problem, "transitioning")
    size = int(np.prod(problem.kernel_shape))

    def matvec(v):
        return J(torch.as_tensor(v).reshape(1, *problem.kernel_shape)).numpy().ravel()

    operator = sparse.LinearOperator((size, size), dtype=float, matvec=matvec)
    low, high = sparse.eigsh(operator, k=2, which="BE", tol=1e-10, return_eigenvectors=False)
    found = extreme_eigenpairs(J, (1, *problem.kernel_shape), like=problem.images_BCHW)
    assert float(found.low_M[0]) == pytest.approx(low, rel=1e-8)
    assert float(found.high_M[0]) == pytest.approx(high, rel=1e-8)


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(LastbitError, match="not finite"):
        extreme_eigenpairs(lambda v: v * float("inf"), (1, 3), like=LIKE)
