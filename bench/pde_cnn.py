"""How fast the one-layer CNN's PDE is against its promises; each line says what was promised and what was found.

Run it alone on a quiet machine: `python bench/pde_cnn.py`. `--quick` takes the plain loops at 128^2/16^2 and leaves
out the engines.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from lastbit.pde import descent_scheme
from lastbit.pde.cnn import CnnProblem, checkerboard
from lastbit.pde.cnn.correlation import FftCorrelator, PatchCorrelator
from lastbit.pde.cnn.flow import CnnFlow
from lastbit.pde.cnn.images import white_noise
from lastbit.pde.cnn.phase import phase_diagram
from lastbit.pde.cnn.problem import initial_kernels
from lastbit.pde.cnn.regimes import regime_stability


def patches_by_position(image, n, m):
    """im2col by slices, one copy per position of the window: the faster of two plain ways."""
    rows, columns = image.shape[0] - n + 1, image.shape[1] - m + 1
    patches = np.empty((rows * columns, n * m))
    for x in range(rows):
        for y in range(columns):
            patches[x * columns + y] = image[x : x + n, y : y + m].ravel()
    return patches


def patches_by_index(image, n, m):
    """im2col by an index array, computed anew each time: the shorter of two plain ways."""
    rows, columns = image.shape[0] - n + 1, image.shape[1] - m + 1
    x, y = np.divmod(np.arange(rows * columns), columns)
    u, v = np.divmod(np.arange(n * m), m)
    return image[x[:, None] + u, y[:, None] + v]


def plain_step(image, kernel, lr, decay, gather):
    """One step of the flow from patches gathered anew."""
    patches = gather(image, *kernel.shape)
    z = patches @ kernel.ravel()
    s = 1 / (1 + np.exp(-z))
    p = (z * s).mean()
    a = 1 / (1 + np.exp(-p)) - 1
    gradient = a * ((s + z * s * (1 - s)) @ patches).reshape(kernel.shape) / len(z)
    return kernel - lr * (gradient + decay * kernel)


def plain_loop(image, kernel, lr, decay):
    """One step of the flow with each position's patch gathered where it is needed: the formula as it is written."""
    n, m = kernel.shape
    rows, columns = image.shape[0] - n + 1, image.shape[1] - m + 1
    z = np.empty((rows, columns))
    for x in range(rows):
        for y in range(columns):
            z[x, y] = (image[x : x + n, y : y + m] * kernel).sum()
    s = 1 / (1 + np.exp(-z))
    a = 1 / (1 + np.exp(-(z * s).mean())) - 1
    slope = s + z * s * (1 - s)
    gradient = np.zeros_like(kernel)
    for x in range(rows):
        for y in range(columns):
            gradient += slope[x, y] * image[x : x + n, y : y + m]
    return kernel - lr * (a * gradient / z.size + decay * kernel)


def seconds(action, repeats):
    """Best wall and CPU seconds of one call."""
    action()
    wall, cpu = [], []
    for _ in range(repeats):
        at, used = time.perf_counter(), time.process_time()
        action()
        wall.append(time.perf_counter() - at)
        cpu.append(time.process_time() - used)
    return min(wall), min(cpu)


def flow_against_plain(size, window, members):
    problem = CnnProblem.of(checkerboard(size), kernel=window)
    flow = CnnFlow(problem)
    start = initial_kernels(problem, seeds=range(members))
    ones = torch.ones(members)
    state = flow.init(start, 0.03 * ones, 20 * ones, ones)
    stepped, _ = flow.step(state)
    image, kernel = checkerboard(size)[0].numpy(), start[0, 0].numpy()
    expected = plain_loop(image, kernel, float(state.lr_M[0]), 20.0)
    error = np.abs(stepped.kernel_MCnm[0, 0].numpy() - expected).max()
    wall, cpu = seconds(lambda: flow.step(state), 10)
    print(
        f"non-linear flow, {size}^2 image, {window}^2 window, {members} members: {1e3 * wall / members:.2f} ms wall, "
        f"{1e3 * cpu / members:.2f} ms CPU per member and step (promised 4.6 ms: a thousandth of 4.6 CPU s); "
        f"largest difference to the plain loop after a step {error:.1e}"
    )
    ways = {
        "position by position": lambda: plain_loop(image, kernel, 0.03, 20.0),
        "im2col by slices, BLAS": lambda: plain_step(image, kernel, 0.03, 20.0, patches_by_position),
        "im2col by an index array, BLAS": lambda: plain_step(image, kernel, 0.03, 20.0, patches_by_index),
    }
    for name, way in ways.items():
        slow_wall, slow_cpu = seconds(way, 2)
        print(
            f"  plain NumPy, {name}: {slow_wall:.2f} s wall, {slow_cpu:.2f} s CPU; "
            f"ratio {slow_wall / wall * members:,.0f} wall, {slow_cpu / cpu * members:,.0f} CPU"
        )


def engines():
    print("correlation, forward and adjoint, microseconds per member (FFT, patches):")
    for size, window in ((64, 4), (64, 8), (64, 12), (64, 16), (128, 8), (128, 16), (256, 8), (256, 32)):
        problem = CnnProblem.of(white_noise(size), kernel=window)
        cells = []
        for members in (1, 16):
            kernel = initial_kernels(problem, seeds=range(members))
            for maps in (FftCorrelator(problem), PatchCorrelator(problem)):
                wall, _ = seconds(lambda maps=maps, kernel=kernel: maps.adjoint(maps.forward(kernel)), 5)
                cells.append(f"{1e6 * wall / members:7.0f}")
        print(f"  {size:4d}^2, {window:2d}^2: one member {' '.join(cells[:2])}, sixteen {' '.join(cells[2:])}")


def phase():
    problem = CnnProblem.of(checkerboard(64), kernel=8)
    at, used = time.perf_counter(), time.process_time()
    diagram = phase_diagram(
        problem,
        lrs=torch.logspace(-1.7, 1.3, 64),
        weight_decays=torch.logspace(-1, 1.3, 64),
        steps=400,
        scheme=descent_scheme(),
    )
    print(
        f"phase diagram, 64 x 64 members x 400 steps at 64^2/8^2: {time.perf_counter() - at:.1f} s wall, "
        f"{time.process_time() - used:.1f} s CPU on {torch.get_num_threads()} threads (promised 120 s on two cores); "
        f"theory places {100 * diagram.agreement():.1f}% right"
    )


def bounds():
    for name, image in (("white noise", white_noise(1024)), ("checkerboard", checkerboard(1024))):
        problem = CnnProblem.of(image, kernel=64)
        at, used = time.perf_counter(), time.process_time()
        found = regime_stability(problem, dt=1e-3)["transitioning"]["windowed"]
        print(
            f"windowed bounds, {name} 1024^2/64^2, all regimes: {time.perf_counter() - at:.1f} s wall, "
            f"{time.process_time() - used:.1f} s CPU (promised 10 s); relative residual "
            f"{found.spectrum.residual / max(abs(found.spectrum.low), abs(found.spectrum.high)):.0e}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    flow_against_plain(*((128, 16) if quick else (256, 32)), members=1)
    flow_against_plain(*((128, 16) if quick else (256, 32)), members=8)
    bounds()
    phase()
    if not quick:
        engines()
