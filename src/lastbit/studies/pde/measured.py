"""What each `pde` command computed, typed, as its JSON holds it beside the verdict and the settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lastbit.pde.cnn.linear_flow import SimulatedBounds
from lastbit.pde.cnn.status import FlowStatus
from lastbit.pde.deep.sweep import ComplexityTrend

__all__ = [
    "BindingLayer",
    "CnnBounds",
    "FlowRecords",
    "LinearLimit",
    "LinearSteps",
    "PhaseGrid",
    "RegimeEnds",
    "SaidTrend",
    "Trends",
    "TriedRate",
    "WindowEnds",
    "WindowFound",
]

Span = tuple[float, float]
"""From, to."""


@dataclass(frozen=True, kw_only=True)
class RegimeEnds:
    """The stable weight decays of a regime, for one kind of support.

    Attributes:
        alpha_min: smallest stable weight decay.
        alpha_max: largest at the step; below `alpha_min` none is stable.
        max_stable_dt: largest stable step.
        stable: whether the weight decay that was given is; None where none was.
        eigenvalue_min: smallest of the regime's operator.
        eigenvalue_max: largest of it.
        residual: which bounds the error of both.
        converged: whether it is within the tolerance.
    """

    alpha_min: float
    alpha_max: float
    max_stable_dt: float
    stable: bool | None
    eigenvalue_min: float
    eigenvalue_max: float
    residual: float
    converged: bool


@dataclass(frozen=True, kw_only=True)
class CnnBounds:
    """The bounds of the one-layer CNN; at the top those of the transitioning regime, windowed.

    Attributes:
        alpha_min: as in `windowed`.
        alpha_max: as in `windowed`.
        max_stable_dt: as in `windowed`.
        stable: as in `windowed`.
        windowed: the transitioning regime with the window of the kernel.
        full_support: the same with a kernel as large as the image.
        regimes: all three by name, each by its support.
        simulated: both ends found by stepping the worst modes; None where that was not asked for.
    """

    alpha_min: float
    alpha_max: float
    max_stable_dt: float
    stable: bool | None
    windowed: RegimeEnds
    full_support: RegimeEnds
    regimes: Mapping[str, Mapping[str, RegimeEnds]]
    simulated: SimulatedBounds | None


@dataclass(frozen=True, kw_only=True)
class BindingLayer:
    """Beside the bounds of a deep network.

    Attributes:
        binding_layer: the layer with the sharpest block, counted from 1.
    """

    binding_layer: int


@dataclass(frozen=True, kw_only=True)
class LinearLimit:
    """Up to which step a classical problem is stable.

    Attributes:
        equation: its formula.
        parameters: every parameter of problem and scheme.
        max_stable_dt: supremum of the stable steps.
        attained: whether it is stable itself.
        critical_frequency: the wave lost first, radians per length along each axis.
        closed_form: the textbook value, None where there is none.
        closed_form_formula: what it was computed from.
        note: what happens beyond the limit.
        stable_for_every_step: whether there is no limit.
        stable: whether the step that was asked about is; None where none was, as for the two that follow.
        amplification_per_step: of the wave that matters there.
        amplified_frequency: of that wave.
    """

    equation: str
    parameters: Mapping[str, float]
    max_stable_dt: float
    attained: bool
    critical_frequency: Sequence[float] | None
    closed_form: float | None
    closed_form_formula: str | None
    note: str
    stable_for_every_step: bool
    stable: bool | None
    amplification_per_step: float | None
    amplified_frequency: Sequence[float] | None


@dataclass(frozen=True, kw_only=True)
class LinearSteps:
    """What a classical problem did on a grid.

    Attributes:
        equation: its formula.
        parameters: every parameter of problem and scheme.
        points: along each axis.
        stable: whether the step is, on this grid.
        max_stable_dt: of all waves.
        max_stable_dt_of_grid: of the waves that this grid has.
        amplification_per_step: by theory, of the wave that matters.
        amplified_frequency: of that wave, radians per length along each axis.
        simulated_amplification_per_step: None where nothing grew.
        ended_at: step after which a number was not finite; None where all were.
        amplitudes: `max |u|` after each step, from step 0; None where it is not finite.
    """

    equation: str
    parameters: Mapping[str, float]
    points: int
    stable: bool
    max_stable_dt: float
    max_stable_dt_of_grid: float
    amplification_per_step: float
    amplified_frequency: Sequence[float]
    simulated_amplification_per_step: float | None
    ended_at: int | None
    amplitudes: Sequence[float | None]


@dataclass(frozen=True, kw_only=True)
class FlowRecords:
    """What one member of the flow did; of each record None is what is not a number or was not asked for.

    Attributes:
        status: how it ended.
        steps: that it ran.
        step: of each record.
        loss: with its weight decay term.
        data_loss: cross-entropy alone.
        kernel_norm: Euclidean.
        twin_difference: mean relative L1 difference to the twin.
        sharpness: largest eigenvalue of the Hessian, weight decay included.
        sharpness_threshold: above which the scheme is linearly unstable, `limit / lr`.
        share_activated: of the positions.
        share_transitioning: of the positions.
        share_not_activated: of the positions.
        theory_high: learning rate from which on the flow blows up; None where theory gives none.
    """

    status: FlowStatus
    steps: int
    step: Sequence[int]
    loss: Sequence[float | None]
    data_loss: Sequence[float | None]
    kernel_norm: Sequence[float | None]
    twin_difference: Sequence[float | None]
    sharpness: Sequence[float | None]
    sharpness_threshold: float
    share_activated: Sequence[float | None]
    share_transitioning: Sequence[float | None]
    share_not_activated: Sequence[float | None]
    theory_high: float | None


@dataclass(frozen=True, kw_only=True)
class PhaseGrid:
    """The phase diagram: rows are weight decays, columns learning rates; None is what is not a number.

    Attributes:
        lr: learning rates.
        weight_decay: weight decays.
        status: how each member ended.
        loss: at the end.
        twin_difference: at the end.
        theory_low: learning rate at which rest is lost, for each weight decay.
        theory_high: learning rate from which on the flow blows up, for each weight decay.
        agreement: share of the decided members that the two curves place right.
        counts: members by status.
    """

    lr: Sequence[float]
    weight_decay: Sequence[float]
    status: Sequence[Sequence[FlowStatus]]
    loss: Sequence[Sequence[float | None]]
    twin_difference: Sequence[Sequence[float | None]]
    theory_low: Sequence[float | None]
    theory_high: Sequence[float | None]
    agreement: float | None
    counts: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class WindowEnds:
    """Both ends of the window of learning rates; None is an end that was not found.

    Attributes:
        converges_below: below which every simulated member converged.
        blows_up_above: from which on the simulated members diverge.
        theory_low: the first by theory.
        theory_high: the second by theory.
        rtol: width of each bracket relative to its middle.
        converges_below_range: between which rates the first lies.
        blows_up_above_range: between which rates the second lies.
    """

    converges_below: float | None
    blows_up_above: float | None
    theory_low: float | None
    theory_high: float
    rtol: float
    converges_below_range: Span | None
    blows_up_above_range: Span | None


@dataclass(frozen=True, kw_only=True)
class TriedRate:
    """One simulation.

    Attributes:
        lr: learning rate.
        status: how it ended.
    """

    lr: float
    status: FlowStatus


@dataclass(frozen=True, kw_only=True)
class WindowFound:
    """The window, and what it was found from.

    Attributes:
        window: both ends.
        sharpness: at the fixed point, weight decay included; None where there is none.
        tried: every learning rate simulated, in order.
    """

    window: WindowEnds
    sharpness: float | None
    tried: Sequence[TriedRate]


@dataclass(frozen=True, kw_only=True)
class SaidTrend:
    """A trend of the edge of stability with a size, and what is said of it.

    Attributes:
        axis: `depth`, `width` or `kernel`.
        sizes: the values it took, S of them.
        edge_lr: learning rate at the edge of stability, `[seeds][S]`.
        lowest: smallest eigenvalue, `[seeds][S]`.
        sharpest_layer: the layer with the sharpest block, `[seeds][S]`, counted from 1.
        exponent: of `edge_lr ∝ size^exponent`; None where none can be fitted.
        interval: 95% interval of the exponent; None where there is none.
        converged: whether every eigenvalue did.
        verdict: the trend in a clause.
        verdict_kind: its direction.
    """

    axis: str
    sizes: Sequence[int]
    edge_lr: Sequence[Sequence[float]]
    lowest: Sequence[Sequence[float]]
    sharpest_layer: Sequence[Sequence[int]]
    exponent: float | None
    interval: tuple[float | None, float | None] | None
    converged: bool
    verdict: str
    verdict_kind: str

    @classmethod
    def of(cls, trend: ComplexityTrend, verdict: str) -> SaidTrend:
        """Return a trend with its clause."""
        return cls(**vars(trend), verdict=verdict, verdict_kind=trend.direction)


@dataclass(frozen=True, kw_only=True)
class Trends:
    """The edge of stability along each axis of size.

    Attributes:
        base: sizes of the network around which they vary.
        settings: that every network shares.
        seeds: of the weights.
        trends: one for each axis.
    """

    base: Mapping[str, int]
    settings: Mapping[str, Any]
    seeds: Sequence[int]
    trends: Sequence[SaidTrend]
