"""Extreme eigenpairs against dense decompositions, and what a warm start saves."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lastbit.core.errors import LastbitError
from lastbit.curvature import DenseOperator, top_eigenpairs

FLOAT = torch.float64


def matrix_with(spectrum, seed=0):
    generator = torch.Generator().manual_seed(seed)
    basis, _ = torch.linalg.qr(torch.randn(len(spectrum), len(spectrum), dtype=FLOAT, generator=generator))
    matrix = basis @ torch.diag(torch.as_tensor(spectrum, dtype=FLOAT)) @ basis.mT
    return (matrix + matrix.mT) / 2, basis


def network_like(size=300, seed=0):
    """A few outliers above a bulk around zero, the spectrum of a trained network's Hessian."""
    rng = np.random.default_rng(seed)
    return np.sort(np.concatenate([[-3.0, 6.0, 7.5, 8.0, 11.0, 12.0], rng.normal(0, 0.3, size - 6)]))


@pytest.mark.parametrize("which", ["largest", "smallest", "both"])
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("max_basis", [None, 8, 40])
def test_the_ends_of_the_spectrum(which, k, max_basis):
    spectrum = network_like()
    matrix, _ = matrix_with(spectrum)
    operator = DenseOperator(matrix)
    pairs = top_eigenpairs(operator, k, which=which, tol=1e-8, atol=1e-8, max_basis=max_basis, max_products=4000)
    top, bottom = spectrum[::-1][:k], spectrum[:k]
    expected = {"largest": top, "smallest": bottom, "both": np.concatenate([top, bottom])}[which]
    assert pairs.all_converged
    assert pairs.products == operator.products
    np.testing.assert_allclose(pairs.values, expected, rtol=1e-12, atol=1e-10)
    torch.testing.assert_close(
        pairs.vectors.mT @ pairs.vectors, torch.eye(len(expected), dtype=FLOAT), atol=1e-10, rtol=0
    )
    true_residuals = (matrix @ pairs.vectors - pairs.vectors * pairs.values).norm(dim=0)
    torch.testing.assert_close(true_residuals, pairs.residuals, rtol=1e-4, atol=1e-12)


@given(
    spectrum=st.lists(st.floats(-10, 10), min_size=1, max_size=12),
    which=st.sampled_from(["largest", "smallest", "both"]),
    tol=st.floats(1e-6, 0.3),
    budget=st.integers(1, 15),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=80)
def test_every_value_is_within_its_residual_of_an_eigenvalue(spectrum, which, tol, budget, seed):
    if which == "both" and len(spectrum) < 2:
        which = "largest"
    matrix, _ = matrix_with(spectrum, seed)
    true = torch.linalg.eigvalsh(matrix)
    pairs = top_eigenpairs(DenseOperator(matrix), which=which, tol=tol, atol=1e-9, max_products=budget, seed=seed)
    assert pairs.products <= budget
    for value, residual, converged in zip(pairs.values, pairs.residuals, pairs.converged, strict=True):
        assert (true - value).abs().min() <= residual + 1e-9
        complete = len(pairs.values) == (2 if which == "both" else 1)
        assert bool(converged) == (complete and bool(residual <= max(tol * abs(value), 1e-9)))


def test_the_algebraic_end_is_found_where_the_largest_magnitude_is_negative():
    matrix, _ = matrix_with(np.r_[-50.0, np.linspace(-1, 1, 60), 4.0])
    pairs = top_eigenpairs(DenseOperator(matrix), tol=1e-6)
    assert pairs.largest == pytest.approx(4.0, rel=1e-9)


def test_repeated_eigenvalues_come_out_once_each():
    matrix, _ = matrix_with(np.r_[np.zeros(40), 5.0, 5.0, 5.0])
    pairs = top_eigenpairs(DenseOperator(matrix), 3, tol=1e-8)
    np.testing.assert_allclose(pairs.values, [5, 5, 5], rtol=1e-9)
    torch.testing.assert_close(pairs.vectors.mT @ pairs.vectors, torch.eye(3, dtype=FLOAT), atol=1e-9, rtol=0)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_tiny_and_zero_operators(size):
    pairs = top_eigenpairs(DenseOperator(torch.zeros(size, size, dtype=FLOAT)), size, atol=1e-12)
    assert pairs.all_converged
    assert (pairs.values == 0).all()
    assert pairs.products <= size


def test_too_few_products_are_reported_as_not_converged():
    matrix, _ = matrix_with(network_like())
    pairs = top_eigenpairs(DenseOperator(matrix), 2, tol=1e-6, max_products=3)
    assert pairs.products == 3
    assert not pairs.all_converged
    assert (pairs.residuals > 1e-6 * pairs.values.abs()).all()


def test_single_precision_reaches_one_part_in_a_thousand():
    spectrum = network_like(700)
    matrix, _ = matrix_with(spectrum)
    pairs = top_eigenpairs(DenseOperator(matrix.float()), 2, tol=1e-3)
    assert pairs.all_converged
    np.testing.assert_allclose(pairs.values, spectrum[::-1][:2], rtol=1e-3)


def test_a_warm_start_costs_fewer_products_and_finds_a_newcomer():
    spectrum = network_like()
    matrix, basis = matrix_with(spectrum)
    cold = top_eigenpairs(DenseOperator(matrix), tol=1e-2)
    turned = torch.randn(300, 300, dtype=FLOAT, generator=torch.Generator().manual_seed(1)) * 2e-3
    moved = DenseOperator(matrix + turned + turned.mT)
    warm = top_eigenpairs(moved, tol=1e-2, start=cold)
    assert warm.all_converged
    assert warm.products < cold.products
    assert warm.largest == pytest.approx(float(torch.linalg.eigvalsh(moved.matrix)[-1]), rel=1e-2)
    # A new top direction, orthogonal to every vector of the start, must not be missed.
    newcomer = DenseOperator(matrix + 30.0 * torch.outer(basis[:, 100], basis[:, 100]))
    found = top_eigenpairs(newcomer, tol=1e-2, start=basis[:, -3:])
    assert found.largest == pytest.approx(30.0 + spectrum[100], rel=1e-2)


def test_the_same_seed_gives_the_same_bits():
    operator = DenseOperator(matrix_with(network_like())[0])
    first, second = (top_eigenpairs(operator, 2, seed=5) for _ in range(2))
    assert torch.equal(first.vectors, second.vectors)
    assert not torch.equal(first.vectors, top_eigenpairs(operator, 2, seed=6).vectors)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"which": "top"}, "unknown which 'top'"),
        ({"k": 0}, "k = 0 eigenpairs"),
        ({"k": 4}, "give 1 up to 3"),
        ({"k": 2, "which": "both"}, "give 1 up to 1"),
        ({"tol": 0.0}, "not both zero"),
        ({"tol": float("nan")}, "non-negative"),
        ({"max_products": 0}, "at least 1"),
        ({"start": torch.ones(4)}, "columns of 3 numbers"),
        ({"start": torch.full((3,), torch.nan)}, "start holds NaN"),
    ],
)
def test_bad_settings_are_one_clear_line(options, message):
    with pytest.raises(LastbitError, match=message):
        top_eigenpairs(DenseOperator(torch.eye(3)), **options)
