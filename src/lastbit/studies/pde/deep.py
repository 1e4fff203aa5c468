"""Which steps and weight decays a network of many layers can bear, as a whole and layer by layer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.pde import descent_scheme
from lastbit.pde.deep import DeepBounds, deep_bounds
from lastbit.studies.pde.deep_setting import DeepSetting, deep_setting
from lastbit.studies.pde.figures import new_figure, save
from lastbit.studies.pde.setting import Progress

__all__ = ["DeepStability", "pde_deep"]


@dataclass(frozen=True, eq=False)
class DeepStability:
    """The stability bounds of one deep network, and those of each layer's block."""

    setting: DeepSetting
    bounds: DeepBounds

    @property
    def limit(self) -> float:
        """How far the scheme is stable on the negative real axis: 2 for gradient descent."""
        limit = descent_scheme(self.bounds.scheme, self.bounds.momentum).real_limit
        assert limit is not None  # bounds_at refuses schemes without one
        return limit

    @property
    def sentence(self) -> str:
        """The answer in one sentence."""
        one, start = self.bounds, self.setting.start_words
        if one.is_stable is None or not one.converged:
            return f"{start[0].upper()}{start[1:]}: {one.sentence}"
        verdict = "stable" if one.is_stable else "unstable"
        return f"dt = {one.lr:g} is {verdict} {start} for {one.sentence}"

    @property
    def table(self) -> tuple[list[str], list[list[str]]]:
        """Headers and rows: each layer's block, then the network."""
        one = self.bounds
        rows = []
        for layer in one.layers:
            name = f"{layer.layer}" if layer.converged else f"{layer.layer} (not converged)"
            rows.append([name, str(layer.parameters), *self._ends(layer.lowest, layer.sharpness, layer.edge_lr)])
        rows.append(["all", str(one.parameters), *self._ends(one.lowest, one.sharpness, one.edge_lr)])
        asked = [] if one.lr is None else [f"alpha max at dt {one.lr:g}"]
        return ["layer", "weights", "sharpness", "alpha min", *asked, "edge lr"], rows

    def _ends(self, lowest: float, sharpness: float, edge: float | None) -> list[str]:
        most = [] if self.bounds.lr is None else [f"{self.limit / self.bounds.lr - sharpness:.6g}"]
        # 0 − 0 is 0, where −0 would be shown with its sign.
        return [f"{sharpness:.6g}", f"{0.0 - lowest:.6g}", *most, "any" if edge is None else f"{edge:.6g}"]

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON: the setting, the bounds of the whole, and `layers`."""
        return {
            "problem": "deep",
            **self.setting.model_dump(),
            **self.bounds.to_json(),
            "dt": self.bounds.lr,
            "sentence": self.sentence,
        }

    def plot(self, path: str | Path) -> None:
        """Draw the stable weight decays against the step, and the spectrum of every layer's block.

        Raises:
            LastbitError: an ending that is no figure's, or a file that cannot be written.
        """
        import numpy as np

        one, limit = self.bounds, self.limit
        figure = new_figure(8.8, 3.4)
        region, blocks = figure.subplots(1, 2, width_ratios=(3, 2))
        scale = max(one.sharpness, abs(one.lowest)) or 1.0
        around = [limit / scale] if one.lr is None else [limit / scale, one.lr]
        rates = np.geomspace(min(around) / 6, 6 * max(around), 241)
        low, high = np.full_like(rates, one.alpha_min), limit / rates - one.sharpness
        region.fill_between(rates, low, high, where=high >= low, color="#3b6fb6", alpha=0.4, lw=0, label="stable")
        for layer in one.layers:
            region.plot(rates, limit / rates - layer.sharpness, lw=0.8, label=f"layer {layer.layer} alone, up to")
        if one.lr is not None:
            region.axvline(one.lr, color="black", lw=0.8, ls=":")
            region.plot([one.lr], [one.weight_decay], "kx")
        else:
            region.axhline(one.weight_decay, color="black", lw=0.8, ls=":")
        region.set_xscale("log")
        region.set_xlim(rates[0], rates[-1])
        # Short steps bear any decay: the figure ends where the curves have parted.
        shown = (0.0, one.weight_decay, one.alpha_min)
        region.set_ylim(min(shown) - 0.2 * scale, max(3 * scale, 1.3 * max(shown)))
        region.set_xlabel("learning rate, dt")
        region.set_ylabel("weight decay alpha")
        if one.depth <= 8:
            region.legend(frameon=False, fontsize=7)
        ends = [(f"layer {layer.layer}", layer.lowest, layer.sharpness) for layer in one.layers]
        ends.append(("all", one.lowest, one.sharpness))
        names = [name for name, _, _ in ends]
        blocks.barh(names, [b - a for _, a, b in ends], left=[a for _, a, _ in ends], height=0.5, color="#3b6fb6")
        blocks.use_sticky_edges = False
        blocks.invert_yaxis()
        blocks.axvline(0, color="black", lw=0.8)
        blocks.set_xlabel("Hessian's eigenvalues, smallest to largest")
        figure.suptitle(f"{self.setting.words}, {self.setting.start_words}", fontsize=8)
        save(figure, path)


def pde_deep(*, dt: float | None = None, progress: Progress | None = None, **settings: Any) -> DeepStability:
    """Say which learning rates and weight decays a deep network can bear.

    Args:
        dt: the learning rate to judge; without it the answer is the edge alone.
        progress: called with (spectra done, spectra).
        **settings: fields of `DeepSetting`.

    Raises:
        LastbitError: a setting that cannot be, in one line.

    Example:
        >>> found = pde_deep(depth=1, width=1, kernel=2, activation="linear", image="checkerboard", image_size=4)
        >>> found.table[0][-1], found.table[1][-1][0]
        ('edge lr', 'all')
    """
    if dt is not None and not (math.isfinite(dt) and dt > 0):
        raise LastbitError(f"dt = {dt:g}: use a positive, finite step")
    setting = deep_setting(**settings)
    return DeepStability(setting, deep_bounds(lr=dt, progress=progress, **setting.arguments()))
