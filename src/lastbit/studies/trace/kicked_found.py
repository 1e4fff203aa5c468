"""What twins that were kicked by every size say of why the last bit grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lastbit.dynamics.mechanism import Mechanism, Response, mechanism, response
from lastbit.stats import Estimate, mean_estimate, not_measured

__all__ = ["MechanismFound", "Switch", "mechanism_found", "responses"]


@dataclass(frozen=True, kw_only=True)
class Switch:
    """The first switch of one seed.

    Attributes:
        seed: of the training.
        size: of the smallest kick that met one, relative to the weights.
        start: the record before it lies above the linear answer.
        end: the record after which it does.
        tensors: whose own difference jumped there by at least the square root of the whole's, in the order of the
            network: those up to the layer whose units switched.
        last: the last of them; None where the whole grew without a jump.
    """

    seed: int
    size: float
    start: int
    end: int
    tensors: tuple[str, ...]
    last: str | None


@dataclass(frozen=True, kw_only=True)
class MechanismFound(Mechanism):
    """Why the last bit grows in one training, from kicks in trainings of several seeds.

    Attributes:
        rate: growth of the smallest kick as long as it is small, nats per step, mean over seeds with its 95% interval.
        tangent_rate: that of a tangent carried along the same base runs over the same steps; not measured without one.
        ratio: learning rate over the largest stable one, mean over seeds of the mean along the training.
        above_limit: share of the looks at which it was above 1; None where there was none.
        control: whether a twin that was not kicked stayed equal to its base, bit for bit, in every seed.
        switches: the first of each seed that met one.
    """

    rate: Estimate
    tangent_rate: Estimate
    ratio: Estimate
    above_limit: float | None
    control: bool
    switches: tuple[Switch, ...]


def responses(arrays: Mapping[str, np.ndarray]) -> list[Response]:
    """Return what the kicks of each seed did."""
    steps, sizes = arrays["kick_step"], arrays["kick_size"]
    return [response(steps, sizes, relative) for relative in arrays["kick_relative"]]


def mechanism_found(arrays: Mapping[str, np.ndarray]) -> MechanismFound | None:
    """Return why the last bit grows; None where no twin was kicked."""
    if "kick_step" not in arrays:
        return None
    every, seeds = responses(arrays), len(arrays["kick_seed"])
    ratios = arrays["kick_ratio"]
    tangent = not_measured("no tangent was carried: --tangent does", seeds)
    if "kick_tangent" in arrays:
        tangent = _rate(arrays["kick_step"], list(arrays["kick_tangent"]), every)
    if ratios.size:
        ratio = mean_estimate(ratios.mean(axis=1))
    else:
        ratio = not_measured("curvature has no meaning for its optimizer or its step", seeds)
    return MechanismFound(
        **vars(mechanism(every)),
        rate=_rate(arrays["kick_step"], [one.gain for one in every], every),
        tangent_rate=tangent,
        ratio=ratio,
        above_limit=float((ratios > 1).mean()) if ratios.size else None,
        control=not arrays["kick_repeat"].any(),
        switches=tuple(_switch(arrays, place, one) for place, one in enumerate(every) if one.step is not None),
    )


def _rate(steps: np.ndarray, grown: Sequence[np.ndarray], every: Sequence[Response]) -> Estimate:
    """Return the growth per step as long as the smallest kick is small; `grown` of each seed (S,) in nats."""
    ends = [one.small for one in every]
    if not all(end > 0 and np.isfinite(of[end]) for of, end in zip(grown, ends, strict=True)):
        return not_measured("of one seed not even the smallest kick is small after a step", len(every))
    return mean_estimate([of[end] / (steps[end] - steps[0]) for of, end in zip(grown, ends, strict=True)])


def _switch(arrays: Mapping[str, np.ndarray], place: int, found: Response) -> Switch:
    assert found.step is not None, "it has switched"
    assert found.switched is not None, "it has switched"
    steps, sizes = arrays["kick_step"], arrays["kick_size"]
    at, size = int(np.searchsorted(steps, found.step)), int(np.searchsorted(sizes, found.switched))
    own, whole = arrays["kick_l2"][place, size].astype(np.float64), arrays["kick_relative"][place, size]
    # It may have taken several records to come as far above: the jump is the largest growth on the way there.
    with np.errstate(divide="ignore", invalid="ignore"):
        grown, gains = np.diff(np.log(own[: at + 1]), axis=0), np.diff(np.log(whole[: at + 1]))
    jump = int(np.argmax(gains)) if at else 0
    names = arrays["tensor"].tolist()
    jumped = [name for name, gain in zip(names, grown[jump], strict=True) if gain >= gains[jump] / 2] if at else []
    return Switch(
        seed=int(arrays["kick_seed"][place]),
        size=float(sizes[size]),
        start=int(steps[jump]),
        end=int(steps[min(jump + 1, len(steps) - 1)]),
        tensors=tuple(map(str, jumped)),
        last=str(jumped[-1]) if jumped else None,
    )
