"""One question, one answer: up to which step is this scheme stable for this equation?"""

from __future__ import annotations

import math
from dataclasses import dataclass

from lastbit.core.errors import LastbitError, choose
from lastbit.pde.builtin_schemes import SCHEMES, make_scheme
from lastbit.pde.linear.problems import PROBLEMS
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
    of_scheme = SCHEMES[scheme].parameters
    for name in parameters:
        choose(name, [*chosen.defaults, *of_scheme], f"parameter of {problem!r} by {scheme!r}")
    for_scheme = {name: parameters.pop(name) for name in of_scheme if name in parameters}
    values = chosen.parameters(parameters)
    time_scheme = make_scheme(scheme, time_order=chosen.time_order, **for_scheme)
    spacing = (float(dx),) * dim
    analysis = VonNeumann(chosen.build(spacing, values), time_scheme)
    limit = analysis.max_stable_dt()
    closed = chosen.closed_form(time_scheme, spacing, values)
    note = limit.note
    if closed is not None and (closed.dt == 0, math.isinf(closed.dt)) != (limit.dt == 0, math.isinf(limit.dt)):
        note = "the limit is that of the closed form: rounding hides from the root condition which waves grow first"
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
        note=note,
        von_neumann=analysis,
    )
