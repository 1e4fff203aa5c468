"""How the stable learning rate moves as a network grows in depth, width and kernel size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.pde.deep import ComplexitySweep, complexity_sweep
from lastbit.studies.pde.deep_setting import DeepSetting, deep_setting
from lastbit.studies.pde.figures import check_figure_path
from lastbit.studies.pde.setting import Progress

__all__ = ["ComplexityStudy", "pde_complexity"]


@dataclass(frozen=True, eq=False)
class ComplexityStudy:
    """The edge of stability along each axis of size, every size at every seed."""

    setting: DeepSetting
    sweep: ComplexitySweep

    @property
    def sentence(self) -> str:
        """The answer in one sentence."""
        base = ", ".join(f"{axis} {size}" for axis, size in self.sweep.base.items())
        seeds = len(self.sweep.seeds)
        said = "; ".join(trend.sentence for trend in self.sweep.trends)
        unsure = [trend.axis for trend in self.sweep.trends if not trend.converged]
        if unsure:
            said += f"; eigenvalues did not all converge over {', '.join(unsure)}"
        return f"Around {base}, over {seeds} seed{'s' if seeds > 1 else ''}: {said}."

    @property
    def table(self) -> tuple[list[str], list[list[str]]]:
        """Headers and rows: every size, with the median and the range of the edge over the seeds."""
        rows = []
        for trend in self.sweep.trends:
            for i, size in enumerate(trend.sizes):
                edges = [row[i] for row in trend.edge_lr]
                least = [-row[i] for row in trend.lowest]
                shown = [_rate(value) for value in (median(edges), min(edges), max(edges))]
                rows.append([trend.axis if i == 0 else "", str(size), *shown, f"{median(least):.4g}"])
        return ["axis", "size", "edge lr, median", "least", "most", "alpha min, median"], rows

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON; None stands for a rate without bound and an exponent that has no fit."""
        return {
            "problem": "deep",
            **self.setting.model_dump(exclude={"seed", "depth", "width", "kernel"}),
            **self.sweep.to_json(),
            "sentence": self.sentence,
        }

    def plot(self, path: str | Path) -> None:
        """Draw the edge against size, one panel per axis: a dot for each seed, a line through the medians.

        Raises:
            LastbitError: an ending that is no figure's, or a file that cannot be written.
        """
        target = check_figure_path(path)
        try:
            self.sweep.plot(target)
        except OSError as error:
            raise LastbitError(f"cannot write {target}: {error.strerror or error}") from None


def pde_complexity(
    *,
    depths: Sequence[int] = (1, 2, 3, 4, 6),
    widths: Sequence[int] = (2, 4, 8, 16),
    kernels: Sequence[int] = (1, 3, 5, 7),
    seeds: int = 8,
    progress: Progress | None = None,
    **settings: Any,
) -> ComplexityStudy:
    """Measure how the learning rate at the edge of stability moves with depth, width and kernel size.

    One size varies at a time, the others stay at the base network's. Every size meets every seed.

    Args:
        depths: numbers of layers; an empty sequence leaves the axis out, as for the others.
        widths: channels between layers.
        kernels: rows and columns of the windows.
        seeds: how many draws of the weights: 0, 1, ….
        progress: called with (networks done, networks), each seed's counted.
        **settings: fields of `DeepSetting` but `seed`; `depth` (3), `width` (4) and `kernel` (3) are the base network.

    Raises:
        LastbitError: a setting that cannot be, in one line.

    Example:
        >>> found = pde_complexity(depths=(), widths=(), kernels=(1, 2, 4), seeds=2, image_size=8, images=2)
        >>> [trend.axis for trend in found.sweep.trends]
        ['kernel']
    """
    if "seed" in settings:
        raise LastbitError(f"--seed = {settings['seed']}: a sweep takes --seeds, how many draws of the weights")
    if seeds < 1:
        raise LastbitError(f"--seeds = {seeds}: use 1 or more")
    setting = deep_setting(**{"depth": 3, "width": 4, "kernel": 3, **settings})
    grid = {"depth": tuple(depths), "width": tuple(widths), "kernel": tuple(kernels)}
    for axis, sizes in grid.items():
        _check_sizes(axis, sizes, setting.image_size)
    if not any(grid.values()):
        raise LastbitError("no axis is left: give --depths, --widths or --kernels two sizes or more")
    base = {axis: getattr(setting, axis) for axis in grid}
    sweep = complexity_sweep(
        depths=grid["depth"],
        widths=grid["width"],
        kernels=grid["kernel"],
        base=base,
        seeds=range(seeds),
        progress=progress,
        **setting.arguments("seed", *grid),
    )
    return ComplexityStudy(setting, sweep)


def _check_sizes(axis: str, sizes: tuple[int, ...], image_size: int) -> None:
    """Refuse now what would stop the sweep half-way."""
    shown = ",".join(map(str, sizes))
    if any(size < 1 for size in sizes):
        raise LastbitError(f"--{axis}s {shown}: use sizes of 1 or more")
    if len(set(sizes)) < len(sizes):
        raise LastbitError(f"--{axis}s {shown}: name each size once")
    if len(sizes) == 1:
        raise LastbitError(f"--{axis}s {shown}: a trend needs two sizes or more; use --{axis} {shown} to hold it there")
    if axis == "kernel" and max(sizes, default=0) > image_size:
        raise LastbitError(f"--kernels {shown}: no window may be larger than the image, {image_size} x {image_size}")


def _rate(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "any"
