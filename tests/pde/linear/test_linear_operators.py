"""Operators against dense matrices, `np.roll`, sines and cosines; symbols against eigenvalues."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from operators import FourierMultiplier, applied

from lastbit.core.errors import LastbitError
from lastbit.pde.linear import Grid, Stencil, derivative, laplacian
from lastbit.pde.linear.operators import identity


def rolled(stencil, u):
    """The slow, readable twin of `applied` on a periodic grid."""
    axes = tuple(range(u.ndim))
    return sum(
        c * np.roll(u, [-s for s in offset], axes)
        for offset, c in zip(stencil.offsets, stencil.coefficients, strict=True)
    )


def same_multiset(a, b, tolerance):
    """Whether two sets of complex numbers match one to one, by greedy nearest pairing."""
    rest = list(b)
    for value in a:
        nearest = min(range(len(rest)), key=lambda i: abs(rest[i] - value))
        if abs(rest.pop(nearest) - value) > tolerance:
            return False
    return not rest


def operators(spacing):
    dim = len(spacing)
    yield laplacian(spacing)
    yield laplacian(spacing, accuracy=4)
    yield laplacian(spacing) @ laplacian(spacing)
    yield derivative(1, spacing=spacing, axis=dim - 1)
    yield derivative(1, spacing=spacing, accuracy=1, side="backward")
    yield derivative(3, spacing=spacing, accuracy=2, side="forward")
    yield 0.3 * laplacian(spacing) - 2.0 * derivative(1, spacing=spacing) - 0.5 * identity(spacing)


@pytest.mark.parametrize("shape", [(9,), (8,), (5, 4), (3, 4, 3)])
def test_symbol_is_the_spectrum_of_the_matrix_on_a_periodic_grid(shape):
    spacing = (0.5, 0.7, 0.4)[: len(shape)]
    grid = Grid(shape=shape, spacing=spacing)
    omega = grid.frequencies()
    for operator in operators(spacing):
        dense = operator.matrix(grid).toarray()
        symbol = operator.symbol(omega[:, 0] if len(shape) == 1 else omega)
        assert same_multiset(symbol, np.linalg.eigvals(dense), 1e-9 * abs(dense).sum(axis=1).max())


@pytest.mark.parametrize("shape", [(9,), (5, 4), (3, 4, 5)])
def test_waves_are_eigenvectors_with_the_symbol_for_eigenvalue(shape):
    spacing = (0.5, 0.7, 0.4)[: len(shape)]
    grid = Grid(shape=shape, spacing=spacing)
    x = grid.coordinates()
    for operator in operators(spacing):
        for omega in grid.frequencies()[::3]:
            wave = np.exp(1j * sum(w * c for w, c in zip(omega, x, strict=True)))
            factor = operator.symbol(omega[0] if len(shape) == 1 else omega)
            np.testing.assert_allclose(
                applied(operator, wave, grid), factor * wave, atol=1e-11 * max(1, abs(factor)) * 10
            )


@pytest.mark.parametrize("boundary", ["periodic", "dirichlet", "neumann"])
@pytest.mark.parametrize("shape", [(7,), (4, 5), (3, 2, 4)])
def test_matrix_equals_the_shifted_field(boundary, shape):
    spacing = (1.0, 0.5, 0.8)[: len(shape)]
    grid = Grid(shape=shape, spacing=spacing, boundary=boundary)
    u = np.random.default_rng(0).standard_normal(shape)
    for operator in operators(spacing):
        np.testing.assert_allclose(applied(operator, u, grid).ravel(), operator.matrix(grid) @ u.ravel(), atol=1e-11)
        if boundary == "periodic":
            np.testing.assert_allclose(applied(operator, u, grid), rolled(operator, u), atol=1e-11)


def test_dirichlet_and_neumann_laplacians_are_the_textbook_matrices():
    textbook = np.diag(np.full(6, -2.0)) + np.diag(np.ones(5), 1) + np.diag(np.ones(5), -1)
    dirichlet = laplacian((1.0,)).matrix(Grid(shape=(6,), spacing=(1.0,), boundary="dirichlet"))
    np.testing.assert_array_equal(dirichlet.toarray(), textbook)
    textbook[0, 0] = textbook[-1, -1] = -1.0
    neumann = laplacian((1.0,)).matrix(Grid(shape=(6,), spacing=(1.0,), boundary="neumann"))
    np.testing.assert_array_equal(neumann.toarray(), textbook)


@pytest.mark.parametrize("boundary", ["dirichlet", "neumann"])
@pytest.mark.parametrize("accuracy", [2, 4, 6])
def test_symbol_holds_on_bounded_grids_for_symmetric_stencils(boundary, accuracy):
    grid = Grid(shape=(6, 5), spacing=(0.5, 0.25), boundary=boundary)
    operator = laplacian(grid.spacing, accuracy=accuracy)
    assert operator.is_symmetric()
    eigenvalues = np.linalg.eigvals(operator.matrix(grid).toarray())
    assert same_multiset(operator.symbol(grid.frequencies()), eigenvalues, 1e-9 * abs(eigenvalues).max())
    wave = np.sin if boundary == "dirichlet" else np.cos
    x, y = grid.coordinates()
    for omega in grid.frequencies():
        mode = wave(omega[0] * x) * wave(omega[1] * y)
        np.testing.assert_allclose(applied(operator, mode, grid), operator.symbol(omega).real * mode, atol=1e-9)


def stencils():
    point = st.tuples(st.integers(-3, 3))
    return st.dictionaries(point, st.floats(-3, 3, allow_subnormal=False), min_size=1, max_size=5).map(
        lambda d: Stencil(tuple(d), tuple(d.values()), (0.5,))
    )


@settings(deadline=None, max_examples=50)
@given(stencils(), stencils(), st.floats(-6, 6), st.floats(-2, 2))
def test_symbol_is_a_homomorphism(a, b, omega, factor):
    np.testing.assert_allclose((a + b).symbol(omega), a.symbol(omega) + b.symbol(omega), atol=1e-12)
    np.testing.assert_allclose((a - b).symbol(omega), a.symbol(omega) - b.symbol(omega), atol=1e-12)
    np.testing.assert_allclose((a @ b).symbol(omega), a.symbol(omega) * b.symbol(omega), atol=1e-10)
    np.testing.assert_allclose((factor * a).symbol(omega), factor * a.symbol(omega), atol=1e-12)
    plain = sum(c * np.exp(1j * omega * 0.5 * s) for (s,), c in zip(a.offsets, a.coefficients, strict=True))
    np.testing.assert_allclose(a.symbol(omega), plain, atol=1e-12)


def test_long_waves_keep_their_relative_accuracy():
    theta = np.array([1e-3, 1e-5, 1e-8])
    np.testing.assert_allclose(laplacian((1.0,)).symbol(theta), -4 * np.sin(theta / 2) ** 2, rtol=1e-14)
    fourth = laplacian((1.0,), accuracy=4).symbol(theta).real
    np.testing.assert_allclose(fourth, -4 * np.sin(theta / 2) ** 2 - 4 / 3 * np.sin(theta / 2) ** 4, rtol=1e-12)


@pytest.mark.parametrize(
    ("order", "accuracy", "side"),
    [(1, 2, "central"), (2, 4, "central"), (1, 1, "backward"), (1, 3, "forward"), (3, 2, "central"), (4, 6, "central")],
)
def test_order_of_accuracy(order, accuracy, side):
    def error(dx):
        return abs(derivative(order, spacing=(dx,), accuracy=accuracy, side=side).symbol(1.0) - 1j**order)

    observed = math.log2(error(0.2) / error(0.1))
    assert observed == pytest.approx(accuracy, abs=0.2)


def test_an_exact_symbol_differentiates_exactly():
    grid = Grid(shape=(16,), spacing=(2 * np.pi / 16,))
    gradient = FourierMultiplier(lambda omega: 1j * omega[..., 0], grid.spacing)
    (x,) = grid.coordinates()
    np.testing.assert_allclose(gradient.matrix(grid) @ np.sin(3 * x), 3 * np.cos(3 * x), atol=1e-12)
    assert gradient.symbol(1.5) == 1.5j


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda: Grid(shape=(0,), spacing=(1.0,)), "holds no point"),
        (lambda: Grid(shape=(2, 2, 2, 2), spacing=(1.0,) * 4), "one to three"),
        (lambda: Grid(shape=(4,), spacing=(math.nan,)), "positive finite"),
        (lambda: Grid(shape=(4,), spacing=(1.0, 1.0)), "one per axis"),
        (lambda: Grid(shape=(4,), spacing=(1.0,), boundary="neuman"), "did you mean 'neumann'"),
        (lambda: derivative(2, spacing=(1.0,), accuracy=3), "even"),
        (lambda: derivative(1, spacing=(1.0,), axis=1), "axis 1"),
        (lambda: derivative(1, spacing=(1.0,), side="left"), "side of the difference"),
        (lambda: derivative(0, spacing=(1.0,)), "at least 1"),
        (lambda: laplacian((1.0,)) + laplacian((2.0,)), "use one spacing"),
        (lambda: Stencil(((0,),), (math.inf,), (1.0,)), "finite"),
        (lambda: Stencil(((0,), (1,)), (1.0,), (1.0,)), "give one each"),
        (lambda: Stencil(((0, 1),), (1.0,), (1.0,)), "one per axis"),
        (lambda: laplacian((1.0, 1.0)).symbol(np.zeros(3)), "dimensions"),
        (lambda: laplacian((1.0, 1.0)).symbol(1.0), "dimensions"),
        (lambda: laplacian((1.0,)).matrix(Grid(shape=(4,), spacing=(2.0,))), "use one spacing"),
    ],
)
def test_bad_input_is_one_clear_line(action, message):
    with pytest.raises(LastbitError, match=message) as caught:
        action()
    assert "\n" not in str(caught.value)
