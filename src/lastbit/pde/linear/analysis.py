"""One question, one answer: up to which step is this scheme stable for this equation?"""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lastbit.core.errors import LastbitError, choose
from lastbit.pde.builtin_schemes import SCHEMES, make_scheme
from lastbit.pde.linear.problems import PROBLEMS, Problem
from lastbit.pde.linear.region import draw_stability_region
from lastbit.pde.linear.stability import VonNeumann

__all__ = ["Analysis", "analyse"]


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """The stability of one built-in problem under one scheme.

    Attributes:
        problem: name of the problem.
        equation: its formula.
        scheme: name of the scheme.
        dim: number of dimensions.
        dx: grid spacing, the same along every axis.
        parameters: every parameter of problem and scheme, defaults included.
        max_stable_dt: supremum of the stable steps; `inf` if all are, 0 if none is.
        critical_frequency: the wave lost first, radians per length along each axis; None if none ever is.
        attained: whether `max_stable_dt` itself is stable.
        closed_form: the textbook value, None where there is none.
        closed_form_formula: what it was computed from.
        note: what happens beyond the limit.
        von_neumann: the analysis itself, for more questions.
    """

    problem: str
    equation: str
    scheme: str
    dim: int
    dx: float
    parameters: dict[str, float]
    max_stable_dt: float
    critical_frequency: tuple[float, ...] | None
    attained: bool
    closed_form: float | None
    closed_form_formula: str | None
    note: str
    von_neumann: VonNeumann

    @property
    def sentence(self) -> str:
        """The answer in one sentence."""
        subject = f"{self.problem} in {self.dim}-D by {self.scheme} on dx = {self.dx:g}"
        if self.max_stable_dt == 0 or math.isinf(self.max_stable_dt):
            return f"{subject}: {self.note}."
        relation = "≤" if self.attained else "<"
        return f"{subject} is stable for dt {relation} {self.max_stable_dt:.10g}; {self.note}."

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON. A limit that does not exist is None, with `stable_for_every_step` true."""
        unbounded = math.isinf(self.max_stable_dt)
        closed = self.closed_form
        return {
            "problem": self.problem,
            "equation": self.equation,
            "scheme": self.scheme,
            "dim": self.dim,
            "dx": self.dx,
            "parameters": dict(self.parameters),
            "max_stable_dt": None if unbounded else self.max_stable_dt,
            "stable_for_every_step": unbounded,
            "attained": self.attained,
            "critical_frequency": None if self.critical_frequency is None else list(self.critical_frequency),
            "closed_form": None if closed is None or math.isinf(closed) else closed,
            "closed_form_formula": self.closed_form_formula,
            "note": self.note,
            "sentence": self.sentence,
        }

    def plot(self, path: str | Path) -> None:
        """Write a figure to `path` (PNG, SVG or PDF by its ending).

        On the left `|g|` along the diagonal of frequencies for steps below, at and above the limit; on the right the
        scheme's stability region with `dt·λ(ω)` at the limit.

        Raises:
            LastbitError: an ending that is not a figure's.
        """
        from matplotlib.figure import Figure

        target = Path(path)
        choose(target.suffix.lower().lstrip(".") or "(none)", ["png", "svg", "pdf"], "figure format")
        omega = np.linspace(0, math.pi / self.dx, 257)
        waves = omega if self.dim == 1 else np.repeat(omega[:, None], self.dim, axis=1)
        limit = self.max_stable_dt
        if limit == 0 or math.isinf(limit):
            scale = float(np.abs(self.von_neumann.symbol(waves)).max())
            reference = 1 / (scale if self.von_neumann.equation.time_order == 1 else math.sqrt(scale))
            steps = [0.1 * reference, reference, 10 * reference] if math.isinf(limit) else [0.1 * reference, reference]
        else:
            reference, steps = limit, [0.9 * limit, limit, 1.1 * limit]
        figure = Figure(figsize=(8.4, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        shades = ("#2b6cb0", "#4a5568", "#c2410c")
        for dt, colour, style in zip(steps, shades, (":", "-", "--"), strict=False):
            label = f"dt = {dt:.4g}"
            left.plot(
                omega * self.dx, self.von_neumann.amplification_factor(waves, dt), style, color=colour, label=label
            )
        left.axhline(1, color="0.6", linewidth=0.8)
        left.set(xlabel="ω dx (every axis)" if self.dim > 1 else "ω dx", ylabel="|g|, amplification per step")
        left.set_xticks([0, math.pi / 2, math.pi], ["0", "π/2", "π"])
        left.legend(frameon=False)
        draw_stability_region(right, self.von_neumann.scheme, self.von_neumann.scaled_symbol(waves, reference))
        right.set_title(f"stability region, ω at dt = {reference:.4g}", fontsize=9)
        left.set_title(f"{self.problem}, {self.scheme}, {self.dim}-D, dx = {self.dx:g}", fontsize=9)
        figure.savefig(target)


def analyse(problem: str, *, dx: float = 1.0, scheme: str = "euler", dim: int = 1, **parameters: float) -> Analysis:
    """Find the largest stable step of a built-in problem under a built-in scheme.

    Args:
        problem: one of `PROBLEMS`.
        dx: grid spacing along every axis, in the problem's length.
        scheme: one of `SCHEMES`; underscores may stand for the hyphens.
        dim: number of dimensions, 1 to 3 (1 for Lax–Wendroff).
        **parameters: of the problem (`diffusivity`, `speed`, `stiffness`, `decay`, `accuracy`) and of the scheme
            (`momentum`), each where it has one.

    Raises:
        LastbitError: a problem, scheme or parameter that does not exist, or a value it cannot take.

    Example:
        >>> analyse("heat", dx=0.5).max_stable_dt  # dx²/2
        0.125
        >>> analyse("advection-centred").max_stable_dt  # FTCS: unstable for every step
        0.0
    """
    chosen = PROBLEMS[choose(problem, PROBLEMS, "problem")]
    scheme = choose(scheme.replace("_", "-"), SCHEMES, "scheme")
    if chosen.scheme is not None and scheme != chosen.scheme:
        raise LastbitError(f"problem {problem!r} brings its own step: write scheme {chosen.scheme!r}, not {scheme!r}")
    if not (math.isfinite(dx) and dx > 0):
        raise LastbitError(f"dx = {dx} arrived: give a positive finite length")
    if not 1 <= dim <= chosen.largest_dim:
        allowed = "1" if chosen.largest_dim == 1 else f"1 to {chosen.largest_dim}"
        raise LastbitError(f"problem {problem!r} in {dim} dimensions: write {allowed}")
    for_scheme, for_problem = _sorted_parameters(chosen, scheme, parameters)
    values = chosen.parameters(for_problem)
    time_scheme = make_scheme(scheme, time_order=chosen.time_order, **for_scheme)
    spacing = (float(dx),) * dim
    analysis = VonNeumann(chosen.build(spacing, values), time_scheme)
    limit = analysis.max_stable_dt()
    closed = chosen.closed_form(time_scheme, spacing, values)
    return Analysis(
        problem=problem,
        equation=chosen.equation,
        scheme=scheme,
        dim=dim,
        dx=float(dx),
        parameters={**values, **time_scheme.parameters},
        max_stable_dt=limit.dt if closed is None else closed.dt,
        critical_frequency=limit.critical_frequency,
        attained=limit.attained,
        closed_form=None if closed is None else closed.dt,
        closed_form_formula=None if closed is None else closed.formula,
        note=limit.note,
        von_neumann=analysis,
    )


def _sorted_parameters(
    problem: Problem, scheme: str, given: dict[str, float]
) -> tuple[dict[str, float], dict[str, float]]:
    """Parameters of the scheme, and of the problem; a name that belongs to neither is an error that lists both."""
    of_scheme = list(inspect.signature(SCHEMES[scheme]).parameters)
    for name in given:
        choose(name, [*problem.defaults, *of_scheme], f"parameter of {problem.name!r} by {scheme!r}")
    mine = {name: value for name, value in given.items() if name in of_scheme}
    return mine, {name: value for name, value in given.items() if name not in of_scheme}
