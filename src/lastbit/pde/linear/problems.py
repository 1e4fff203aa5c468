"""The linear equations that come with the package, each with its textbook step limit where there is one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lastbit.core.errors import LastbitError, choose
from lastbit.pde.linear.equations import LinearEquation
from lastbit.pde.linear.operators import derivative_sum, identity, laplacian
from lastbit.pde.linear.stencils import Stencil
from lastbit.pde.schemes import TimeScheme

__all__ = ["PROBLEMS", "ClosedForm", "Problem"]

Spacing = tuple[float, ...]
Values = Mapping[str, float]


@dataclass(frozen=True)
class ClosedForm:
    """A step limit known in closed form: its value and the formula it comes from."""

    dt: float
    formula: str


TermOf = Callable[[Spacing, Values], Stencil]
LimitOf = Callable[[TimeScheme, Spacing, Values], ClosedForm | None]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A built-in equation.

    Attributes:
        name: the name by which it is requested.
        equation: the formula, for a person.
        defaults: its parameters with the values they have if left out.
        terms: from spacing and parameters to the operators of the discretised equation.
        closed_form: from scheme, spacing and parameters to the textbook limit, None where there is none.
        time_order: of the equation.
        largest_dim: how many dimensions it comes in.
        scheme: the only scheme that steps it, if it comes with its own.
    """

    name: str
    equation: str
    defaults: Mapping[str, float]
    terms: tuple[TermOf, ...]
    closed_form: LimitOf
    time_order: int = 1
    largest_dim: int = 3
    scheme: str | None = None

    def build(self, spacing: Spacing, values: Values) -> LinearEquation:
        """Return the discretised equation."""
        return LinearEquation(tuple(term(spacing, values) for term in self.terms), self.time_order)

    def parameters(self, given: Values) -> dict[str, float]:
        """Return the defaults with `given` in their place.

        Raises:
            LastbitError: a name that is not a parameter of this problem, or a value that is not finite.
        """
        for name, value in given.items():
            choose(name, self.defaults, f"parameter of problem {self.name!r}")
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise LastbitError(f"{name} = {value!r} arrived: give a finite number")
        values = {**self.defaults, **{name: float(value) for name, value in given.items()}}
        for name in ("diffusivity", "stiffness", "speed"):
            if name in values and values[name] <= 0:
                raise LastbitError(f"{name} = {values[name]:g} arrived: give a positive number")
        if "accuracy" in values and (values["accuracy"] % 2 or not 2 <= values["accuracy"] <= 12):
            raise LastbitError(f"accuracy = {values['accuracy']:g} arrived: choose one of 2, 4, 6, 8, 10, 12")
        return values


def _diffusion(spacing: Spacing, values: Values) -> Stencil:
    return values["diffusivity"] * laplacian(spacing, accuracy=int(values.get("accuracy", 2)))


def _advection(spacing: Spacing, values: Values) -> Stencil:
    return -values["speed"] * derivative_sum(1, spacing, accuracy=int(values.get("accuracy", 2)))


def _shortest_wave(operator: Stencil) -> float:
    """`|λ|` at `ω·dx = (π, …, π)`, where central differences of even derivatives are largest."""
    corner = [math.pi / dx for dx in operator.spacing]
    return float(abs(operator.symbol(corner[0] if operator.dim == 1 else corner)))


def _shortest_wave_limit(operator: TermOf, formula: str) -> LimitOf:
    """The limit of a symbol that fills `[−|λ|, 0]`, `|λ|` that of the shortest wave."""

    def limit(scheme: TimeScheme, spacing: Spacing, values: Values) -> ClosedForm | None:
        if scheme.time_order != 1 or scheme.real_limit is None:
            return None
        largest = formula if values["accuracy"] == 2 else "max|λ|, at ω·dx = π"
        dt = scheme.real_limit / _shortest_wave(operator(spacing, values))
        return ClosedForm(dt, f"{_number(scheme.real_limit)} / ({largest})")

    return limit


def _biharmonic(spacing: Spacing, values: Values) -> Stencil:
    plain = laplacian(spacing, accuracy=int(values["accuracy"]))
    return -values["stiffness"] * (plain @ plain)


def _centred_closed_form(scheme: TimeScheme, spacing: Spacing, values: Values) -> ClosedForm | None:
    if scheme.imaginary_limit is None or values["accuracy"] != 2:
        return None
    largest = values["speed"] * sum(1 / dx for dx in spacing)
    return ClosedForm(scheme.imaginary_limit / largest, f"{_number(scheme.imaginary_limit)} / (dim·speed/dx)")


def _upwind_closed_form(scheme: TimeScheme, spacing: Spacing, values: Values) -> ClosedForm | None:
    if scheme.name != "euler":
        return None
    return ClosedForm(1 / (values["speed"] * sum(1 / dx for dx in spacing)), "dx / (dim·speed)")


def _advection_diffusion_closed_form(scheme: TimeScheme, spacing: Spacing, values: Values) -> ClosedForm | None:
    if scheme.name != "euler":
        return None
    kappa, c, dim = values["diffusivity"], values["speed"], len(spacing)
    # Hindmarsh, Gresho and Griffiths, Int. J. Numer. Methods Fluids 4 (1984).
    short, long = 1 / (2 * kappa * sum(1 / dx**2 for dx in spacing)), 2 * kappa / (dim * c**2)
    return ClosedForm(min(short, long), "min(dx² / (2·dim·diffusivity), 2·diffusivity / (dim·speed²))")


def _wave_closed_form(scheme: TimeScheme, spacing: Spacing, values: Values) -> ClosedForm | None:
    fastest = values["speed"] * math.sqrt(_shortest_wave(laplacian(spacing, accuracy=int(values["accuracy"]))))
    formula = "2·√dim·speed/dx" if values["accuracy"] == 2 else "√max|λ|, at ω·dx = π"
    if scheme.time_order == 2:
        limit = None if scheme.real_limit is None else math.sqrt(scheme.real_limit)
    else:
        limit = scheme.imaginary_limit
    return None if limit is None else ClosedForm(limit / fastest, f"{_number(limit)} / ({formula})")


def _anti_diffusion_closed_form(scheme: TimeScheme, spacing: Spacing, values: Values) -> ClosedForm | None:
    if scheme.time_order != 1 or scheme.real_limit is None:
        return None
    least = values["diffusivity"] * sum(4 / dx**2 for dx in spacing)
    formula = f"{_number(scheme.real_limit)} / decay, if decay ≥ 4·dim·diffusivity/dx² = {least:.6g}; otherwise none"
    # Short waves of a symbol that ends at 0 neither grow nor decay; one beyond it grows for every step.
    return ClosedForm(scheme.real_limit / values["decay"] if values["decay"] >= least else 0.0, formula)


def _number(value: float) -> str:
    return "∞" if math.isinf(value) else f"{value:.6g}"


PROBLEMS: dict[str, Problem] = {
    problem.name: problem
    for problem in (
        Problem(
            name="heat",
            equation="∂u/∂t = diffusivity·Δu, central differences",
            defaults={"diffusivity": 1.0, "accuracy": 2},
            terms=(_diffusion,),
            closed_form=_shortest_wave_limit(_diffusion, "4·dim·diffusivity/dx²"),
        ),
        Problem(
            name="advection-upwind",
            equation="∂u/∂t = −speed·Σ∂u/∂x, backward (upwind) differences",
            defaults={"speed": 1.0},
            terms=(lambda spacing, values: -values["speed"] * derivative_sum(1, spacing, accuracy=1, side="backward"),),
            closed_form=_upwind_closed_form,
        ),
        Problem(
            name="advection-centred",
            equation="∂u/∂t = −speed·Σ∂u/∂x, central differences (FTCS with scheme euler)",
            defaults={"speed": 1.0, "accuracy": 2},
            terms=(_advection,),
            closed_form=_centred_closed_form,
        ),
        Problem(
            name="advection-lax-wendroff",
            equation="∂u/∂t = −speed·∂u/∂x, Lax–Wendroff",
            defaults={"speed": 1.0},
            terms=(_advection, lambda spacing, values: values["speed"] * values["speed"] / 2 * laplacian(spacing)),
            closed_form=lambda _, spacing, values: ClosedForm(spacing[0] / values["speed"], "dx / speed"),
            largest_dim=1,
            scheme="euler",
        ),
        Problem(
            name="advection-diffusion",
            equation="∂u/∂t = diffusivity·Δu − speed·Σ∂u/∂x, central differences",
            defaults={"diffusivity": 1.0, "speed": 1.0},
            terms=(lambda spacing, values: _diffusion(spacing, values) + _advection(spacing, values),),
            closed_form=_advection_diffusion_closed_form,
        ),
        Problem(
            name="wave",
            equation="∂²u/∂t² = speed²·Δu, central differences",
            defaults={"speed": 1.0, "accuracy": 2},
            terms=(
                lambda spacing, values: values["speed"] ** 2 * laplacian(spacing, accuracy=int(values["accuracy"])),
            ),
            closed_form=_wave_closed_form,
            time_order=2,
        ),
        Problem(
            name="biharmonic",
            equation="∂u/∂t = −stiffness·Δ²u, central differences",
            defaults={"stiffness": 1.0, "accuracy": 2},
            terms=(_biharmonic,),
            closed_form=_shortest_wave_limit(_biharmonic, "16·dim²·stiffness/dx⁴"),
        ),
        Problem(
            name="anti-diffusion",
            equation="∂u/∂t = −diffusivity·Δu − decay·u, central differences",
            defaults={"diffusivity": 1.0, "decay": 5.0},
            terms=(lambda spacing, values: -1.0 * _diffusion(spacing, values) - values["decay"] * identity(spacing),),
            closed_form=_anti_diffusion_closed_form,
        ),
    )
}
"""Built-in problems by name."""
