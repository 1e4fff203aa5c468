import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lastbit.core.errors import LastbitError
from lastbit.pde.cnn import SCHEMES, make_scheme


def one_step_map(scheme, h):
    """The matrix of (value, dt * velocity) -> (value, dt * velocity), from the update as code runs it."""
    columns = []
    for value, velocity in ((1.0, 0.0), (0.0, 1.0)):
        v, u = torch.tensor(value, dtype=torch.float64), torch.tensor(velocity, dtype=torch.float64)
        direction, u = scheme.direction(h * v, u)
        columns.append([float(v - direction), float(u)])
    return np.array(columns).T


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(SCHEMES), st.floats(0, 0.99), st.floats(-1, 5))
def test_amplification_factor_is_the_spectral_radius_of_the_update(name, momentum, h):
    scheme = make_scheme(name, None if name == "euler" else momentum)
    matrix = one_step_map(scheme, h)
    trace, det = scheme.coefficients(torch.tensor(h, dtype=torch.float64))
    assert float(trace) == pytest.approx(np.trace(matrix), abs=1e-12) or name == "euler"
    if name != "euler":
        assert float(det) == pytest.approx(np.linalg.det(matrix), abs=1e-12)
    radius = np.abs(np.linalg.eigvals(matrix if name != "euler" else matrix[:1, :1])).max()
    # Near a double root an eigenvalue moves by the square root of the rounding.
    assert float(scheme.amplification_factor(torch.tensor(h, dtype=torch.float64))) == pytest.approx(radius, abs=1e-7)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9, 0.99])
def test_step_limits_are_the_closed_forms(momentum):
    assert make_scheme("euler").step_limit() == pytest.approx(2)
    assert make_scheme("heavy-ball", momentum).step_limit() == pytest.approx(2 + 2 * momentum)
    expected = (2 + 2 * momentum) / (1 + 2 * momentum)
    assert make_scheme("nesterov", momentum).step_limit() == pytest.approx(expected)


@pytest.mark.parametrize("name", SCHEMES)
def test_step_limit_is_where_the_amplification_factor_passes_one(name):
    scheme = make_scheme(name)
    limit = scheme.step_limit()
    inside = torch.linspace(0, limit, 2001, dtype=torch.float64)
    assert (scheme.amplification_factor(inside) <= 1 + 1e-12).all()
    assert float(scheme.amplification_factor(torch.tensor(1.001 * limit, dtype=torch.float64))) > 1
    assert float(scheme.amplification_factor(torch.tensor(-0.001, dtype=torch.float64))) > 1


@pytest.mark.parametrize("name", SCHEMES)
def test_updates_are_those_of_torch_optim(name):
    scheme = make_scheme(name)
    parameter = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=scheme.momentum, nesterov=name == "nesterov")
    v, u = parameter.detach().clone(), torch.zeros(2, dtype=torch.float64)
    for _ in range(20):
        optimizer.zero_grad()
        (1.5 * parameter.square().sum()).backward()
        optimizer.step()
        direction, u = scheme.direction(3 * v, u)
        v = v - 0.1 * direction
    assert torch.allclose(v, parameter.detach(), rtol=1e-13)


def test_bad_schemes_are_refused():
    with pytest.raises(LastbitError, match=r"unknown scheme 'eular' \(did you mean 'euler'\?\)"):
        make_scheme("eular")
    with pytest.raises(LastbitError, match="momentum = 1"):
        make_scheme("nesterov", 1.0)
    with pytest.raises(LastbitError, match="momentum = nan"):
        make_scheme("heavy-ball", float("nan"))
    with pytest.raises(LastbitError, match=r"Euler has no momentum, got 0\.9"):
        make_scheme("euler", 0.9)
