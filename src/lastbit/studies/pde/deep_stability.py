"""Which steps and weight decays a network of many layers can bear, as a whole and layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lastbit.pde import descent_scheme
from lastbit.pde.deep.bounds import DeepBounds, deep_bounds
from lastbit.report.blocks import Table
from lastbit.report.formatting import bound, count, number, plural
from lastbit.studies.pde.cnn_problem import picture_words
from lastbit.studies.pde.measured import BindingLayer
from lastbit.studies.pde.result import PdeResult, Progress, table_of
from lastbit.studies.pde.settings import DeepStabilitySettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DeepStability", "deep_stability"]

_MOST_CURVES = 8
"""Layers of which each has a curve."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DeepStability(PdeResult):
    """The stability bounds of one deep network, and those of each layer's block."""

    kind: ClassVar[str] = "pde stability"
    figure_size: ClassVar[tuple[float, float]] = (8.8, 3.4)
    forms: ClassVar[tuple[type, ...]] = (DeepStabilitySettings, DeepBounds, BindingLayer)
    settings: DeepStabilitySettings
    bounds: DeepBounds
    problem: str = "deep"

    @property
    def limit(self) -> float:
        """How far the scheme is stable on the negative real axis: 2 for gradient descent."""
        return descent_scheme(self.settings.scheme, self.settings.momentum).step_limit()

    @property
    def start(self) -> str:
        """Where the network is linearised, in a few words."""
        one = self.settings
        if one.train_steps:
            return f"after {plural(one.train_steps, 'step')} of descent from seed {one.seed}"
        return f"at random weights (seed {one.seed})"

    @property
    def words(self) -> str:
        """The network in a few words."""
        one = self.settings
        return (
            f"{plural(one.depth, 'layer')} of width {one.width}, {one.kernel} x {one.kernel} windows, "
            f"{one.activation}, on {picture_words(one.image)} of {one.image_size} x {one.image_size}, {one.pooling} "
            f"pooling, {one.scheme}"
        )

    @property
    def verdict(self) -> str:
        """The answer in one sentence."""
        one = self.bounds
        layers, weights = plural(one.depth, "layer"), plural(one.parameters, "weight")
        subject = f"{layers}, {weights}, {one.scheme}, weight decay {number(one.weight_decay, 6)}"
        start = f"{self.start[0].upper()}{self.start[1:]}: {subject}"
        if not one.converged:
            residual = number(one.residual, 2)
            return f"{start}: the eigenvalues did not converge (residual {residual}); allow more products."
        edge = bound(one.edge_lr, 6)
        said = "no learning rate is too large" if edge == "any" else f"the edge is at lr = {edge}"
        said += f", and layer {one.binding_layer} is sharpest."
        if one.weight_decay < one.alpha_min:
            least = number(one.alpha_min, 6)
            said = f"differences grow at every learning rate, because weight decay is below {least}; {said}"
        if one.is_stable is None:
            return f"{start}: {said}"
        answer, stable = ("Yes", "stable") if one.is_stable else ("No", "unstable")
        return f"{answer}: dt = {number(one.lr, 6)} is {stable} {self.start} for {subject}: {said}"

    @property
    def verdict_kind(self) -> str:
        """`stable`, `unstable`, `edge` where no step was to be judged, or `not_converged`."""
        if not self.bounds.converged:
            return "not_converged"
        return {None: "edge", True: "stable", False: "unstable"}[self.bounds.is_stable]

    @property
    def table(self) -> Table:
        """Each layer's block, then the network."""
        one = self.bounds
        rows = []
        for layer in one.layers:
            name = f"{layer.layer}" if layer.converged else f"{layer.layer} (not converged)"
            rows.append([name, count(layer.parameters), *self._ends(layer.lowest, layer.sharpness, layer.edge_lr)])
        rows.append(["all", count(one.parameters), *self._ends(one.lowest, one.sharpness, one.edge_lr)])
        asked = [] if one.lr is None else [f"alpha max at dt {number(one.lr, 6)}"]
        titles = ["weights", "sharpness", "alpha min", *asked, "edge lr"]
        return table_of(("layer",), titles, rows)

    def _ends(self, lowest: float, sharpness: float, edge: float) -> list[str]:
        most = [] if self.bounds.lr is None else [number(self.limit / self.bounds.lr - sharpness, 6)]
        # 0 − 0 is 0, where −0 would be shown with its sign.
        return [number(sharpness, 6), number(0.0 - lowest, 6), *most, bound(edge, 6)]

    def measured(self) -> Sequence[Any]:
        """Return the bounds of the whole, and `layers`."""
        return self.bounds, BindingLayer(binding_layer=self.bounds.binding_layer)

    def draw_on(self, figure: Figure) -> None:
        """Draw the stable weight decays against the step, and the spectrum of every layer's block."""
        one, limit = self.bounds, self.limit
        region, blocks = figure.subplots(1, 2, width_ratios=(3, 2))
        scale = max(one.sharpness, abs(one.lowest)) or 1.0
        around = [limit / scale] if one.lr is None else [limit / scale, one.lr]
        rates = np.geomspace(min(around) / 6, 6 * max(around), 241)
        low, high = np.full_like(rates, one.alpha_min), limit / rates - one.sharpness
        region.fill_between(rates, low, high, where=high >= low, color="#3b6fb6", alpha=0.4, lw=0, label="stable")
        for layer in one.layers:
            # Of many layers the sharpest alone is drawn: it binds.
            if one.depth <= _MOST_CURVES or layer.layer == one.binding_layer:
                region.plot(rates, limit / rates - layer.sharpness, lw=0.8, label=f"layer {layer.layer} alone, up to")
        if one.lr is not None:
            region.axvline(one.lr, color="black", lw=0.8, ls=":", label=f"dt = {number(one.lr)}")
            region.plot([one.lr], [one.weight_decay], "kx", label=f"weight decay = {number(one.weight_decay)}")
        else:
            decay = f"weight decay = {number(one.weight_decay)}"
            region.axhline(one.weight_decay, color="black", lw=0.8, ls=":", label=decay)
        # Short steps bear any decay: the figure ends where the curves have parted.
        shown = (0.0, one.weight_decay, one.alpha_min)
        heights = (min(shown) - 0.2 * scale, max(3 * scale, 1.3 * max(shown)))
        region.set(xscale="log", xlim=(rates[0], rates[-1]), ylim=heights)
        region.set(xlabel="learning rate, dt", ylabel="weight decay alpha")
        region.legend(frameon=False, fontsize=7)
        ends = [(f"layer {layer.layer}", layer.lowest, layer.sharpness) for layer in one.layers]
        ends.append(("all", one.lowest, one.sharpness))
        names = [name for name, _, _ in ends]
        blocks.barh(
            names,
            [b - a for _, a, b in ends],
            left=[a for _, a, _ in ends],
            height=0.5,
            color="#3b6fb6",
            label="spectrum of the block",
        )
        blocks.use_sticky_edges = False
        blocks.invert_yaxis()
        blocks.axvline(0, color="black", lw=0.8)
        blocks.legend(frameon=False, fontsize=7)
        blocks.set_xlabel("Hessian's eigenvalues, smallest to largest")
        figure.suptitle(f"{self.words}, {self.start}", fontsize=8)


def deep_stability(settings: DeepStabilitySettings, progress: Progress | None = None) -> DeepStability:
    """Return the bounds of a network at its start, or after some descent."""
    bounds = deep_bounds(lr=settings.dt, progress=progress, **settings.model_dump(exclude={"dt"}, exclude_none=True))
    return DeepStability(settings=settings, bounds=bounds)
