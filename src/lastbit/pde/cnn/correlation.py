"""The two linear maps of a convolutional layer, kernel to response and back, implemented in two ways.

With `z(x) = sum_{c,u} K_c(u) I_c(x + u)` (`forward`) and `g_c(u) = sum_{b,x} q_b(x) I_bc(x + u)` (`adjoint`),
`adjoint` is the transpose of `forward`. `FftCorrelator` costs a few FFTs of the image's size whatever the window;
`PatchCorrelator` keeps the patches as a matrix, which wins for small windows.

The kernel is zero outside its window, so the first FFT pass runs over the window's rows only, and the last inverse
pass returns only those.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lastbit.core.errors import choose
from lastbit.pde.cnn.problem import CnnProblem

__all__ = ["ENGINES", "Correlator", "FftCorrelator", "PatchCorrelator", "make_correlator"]

ENGINES = ("auto", "fft", "patches")

_PATCH_LIMIT = 10.0
"""Kernel entries per log2(pixels) up to which patches beat the FFT; measured by `bench/pde_cnn.py`."""
_PATCH_BYTES = 1 << 23
"""Largest patch matrix that pays: beyond the cache, reading it costs more than the FFT."""


class FftCorrelator:
    """Correlation by real FFTs of the image's size.

    A kernel is reflected before its transform, and the resulting shift by one window is undone by rolling the
    image: then both maps are plain products, with the image's spectrum and with its conjugate.
    """

    def __init__(self, problem: CnnProblem) -> None:
        """Transform the images once."""
        images = problem.images_BCHW
        self._size = (images.shape[-2], images.shape[-1])
        self._window = problem.window
        self._positions = problem.positions
        shift = [1 - problem.window[0], 1 - problem.window[1]]
        self._spectrum_BCHw = torch.fft.rfft2(images.roll(shift, (-2, -1)))
        self._conjugate_BCHw = self._spectrum_BCHw.conj().resolve_conj()

    def forward(self, kernel_MCnm: Tensor) -> Tensor:
        """Return `z_MBxy`: two inverse passes over the image, two forward ones of which one is over the window."""
        height, width = self._size
        rows = torch.fft.rfft(kernel_MCnm.flip(-2, -1), n=width)
        spectrum_MCHw = torch.fft.fft(rows, n=height, dim=-2)
        columns = torch.fft.ifft(_contract(spectrum_MCHw, self._spectrum_BCHw, over="C"), dim=-2)
        z: Tensor = torch.fft.irfft(columns[..., : self._positions[0], :], n=width)
        return z[..., : self._positions[1]]

    def adjoint(self, response_MBxy: Tensor) -> Tensor:
        """Return `g_MCnm`."""
        height, width = self._size
        spectrum_MBHw = torch.fft.fft(torch.fft.rfft(response_MBxy, n=width), n=height, dim=-2)
        columns = torch.fft.ifft(_contract(spectrum_MBHw, self._conjugate_BCHw, over="B"), dim=-2)
        rows: Tensor = torch.fft.irfft(columns[..., : self._window[0], :], n=width)
        return rows[..., : self._window[1]].flip(-2, -1)


def _contract(left: Tensor, spectrum_BCHw: Tensor, *, over: str) -> Tensor:
    """Multiply per frequency and sum over channels (`left` is MCHw) or over images (`left` is MBHw)."""
    batch, channels = spectrum_BCHw.shape[:2]
    if batch == 1 and channels == 1:
        return left * spectrum_BCHw
    if over == "C":
        return torch.einsum("mchw,bchw->mbhw", left, spectrum_BCHw)
    return torch.einsum("mbhw,bchw->mchw", left, spectrum_BCHw)


class PatchCorrelator:
    """Correlation by one matrix product with the patches, gathered once: `[C n m, B x]`."""

    def __init__(self, problem: CnnProblem) -> None:
        """Gather the patches."""
        images = problem.images_BCHW
        rows, columns = problem.window
        if problem.boundary == "periodic":
            images = torch.cat([images, images[..., : rows - 1, :]], dim=-2)
            images = torch.cat([images, images[..., : columns - 1]], dim=-1)
        views_BCxynm = images.unfold(-2, rows, 1).unfold(-2, columns, 1)
        self._kernel_shape = problem.kernel_shape
        self._response_shape = (images.shape[0], *problem.positions)
        size = math.prod(self._kernel_shape)
        self._patches_PX = views_BCxynm.permute(1, 4, 5, 0, 2, 3).reshape(size, -1).contiguous()

    def forward(self, kernel_MCnm: Tensor) -> Tensor:
        """Return `z_MBxy`."""
        return (kernel_MCnm.flatten(1) @ self._patches_PX).reshape(-1, *self._response_shape)

    def adjoint(self, response_MBxy: Tensor) -> Tensor:
        """Return `g_MCnm`."""
        return (response_MBxy.flatten(1) @ self._patches_PX.T).reshape(-1, *self._kernel_shape)


Correlator = FftCorrelator | PatchCorrelator
"""A pair of transposed maps between kernels and responses."""


def make_correlator(problem: CnnProblem, engine: str = "auto") -> Correlator:
    """Return the correlator `engine` names; `"auto"` takes patches for small windows and the FFT otherwise.

    Raises:
        LastbitError: unknown engine.
    """
    choose(engine, ENGINES, "engine")
    if engine == "auto":
        batch, channels, height, width = problem.images_BCHW.shape
        size = math.prod(problem.kernel_shape)
        # Patches cost one product per pair of image and channel, the FFT one transform per image and per channel.
        work = size * batch / (batch + channels) * 2 / math.log2(max(height * width, 2))
        held = size * batch * math.prod(problem.positions) * problem.images_BCHW.element_size()
        engine = "patches" if work <= _PATCH_LIMIT and held <= _PATCH_BYTES else "fft"
    return PatchCorrelator(problem) if engine == "patches" else FftCorrelator(problem)
