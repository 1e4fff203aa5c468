import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lastbit.core.errors import LastbitError
from lastbit.pde.cnn import CnnProblem
from lastbit.pde.cnn.correlation import FftCorrelator, PatchCorrelator, make_correlator


def slow_responses(image_CHW, kernel_Cnm, boundary):
    """`z(x) = sum_{c,u} K_c(u) I_c(x + u)`, one position at a time."""
    _, height, width = image_CHW.shape
    _, n, m = kernel_Cnm.shape
    if boundary == "valid":
        shape = (height - n + 1, width - m + 1)
    else:
        shape = (height, width)
        image_CHW = np.pad(image_CHW, ((0, 0), (0, n), (0, m)), mode="wrap")
    z = np.zeros(shape)
    for x in range(shape[0]):
        for y in range(shape[1]):
            z[x, y] = (kernel_Cnm * image_CHW[:, x : x + n, y : y + m]).sum()
    return z


@st.composite
def problems(draw):
    size = st.integers(1, 9)
    batch, channels, height, width = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(size), draw(size)
    window = (draw(st.integers(1, height)), draw(st.integers(1, width)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    images = torch.randn(batch, channels, height, width, generator=generator, dtype=torch.float64)
    return CnnProblem.of(images, kernel=window, boundary=draw(st.sampled_from(["valid", "periodic"]))), generator


@settings(deadline=None, max_examples=40)
@given(problems())
def test_both_engines_give_the_plain_sum_and_its_transpose(drawn):
    problem, generator = drawn
    kernel = torch.randn(2, *problem.kernel_shape, generator=generator, dtype=torch.float64)
    fft, patches = FftCorrelator(problem), PatchCorrelator(problem)
    z = fft.forward(kernel)
    expected = np.stack(
        [[slow_responses(image.numpy(), k.numpy(), problem.boundary) for image in problem.images_BCHW] for k in kernel]
    )
    # Rounding of at most a few hundred additions of numbers of order one.
    np.testing.assert_allclose(z.numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(patches.forward(kernel).numpy(), expected, atol=1e-12)
    response = torch.randn(z.shape, generator=generator, dtype=torch.float64)
    np.testing.assert_allclose(fft.adjoint(response), patches.adjoint(response), atol=1e-11)
    left = (response * z).sum((1, 2, 3))
    right = (fft.adjoint(response) * kernel).sum((1, 2, 3))
    np.testing.assert_allclose(left, right, atol=1e-10)


def test_auto_takes_patches_for_small_windows_only():
    image = torch.zeros(64, 64, dtype=torch.float64)
    assert isinstance(make_correlator(CnnProblem.of(image, kernel=8)), PatchCorrelator)
    assert isinstance(make_correlator(CnnProblem.of(image, kernel=32)), FftCorrelator)
    with pytest.raises(LastbitError, match=r"unknown engine 'ftt' \(did you mean 'fft'\?\)"):
        make_correlator(CnnProblem.of(image, kernel=8), "ftt")


def test_members_do_not_mix():
    image = torch.randn(12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for engine in ("fft", "patches"):
        maps = make_correlator(CnnProblem.of(image, kernel=3), engine)
        kernel = torch.ones(2, 1, 3, 3, dtype=torch.float64)
        kernel[1] = float("nan")
        z = maps.forward(kernel)
        assert torch.isfinite(z[0]).all()
        assert torch.isnan(z[1]).all()
