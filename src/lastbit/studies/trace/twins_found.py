"""What one set of twins shows: the controls first, then what became of the last bit between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from lastbit.dynamics.episodes import Episode, growth_episodes
from lastbit.dynamics.horizon import Horizon, horizons
from lastbit.dynamics.localise import FirstDifference, first_difference
from lastbit.store import RunRecord
from lastbit.studies.frame.control import Control, Difference, LandedRun, Landing, control_of, landing_of
from lastbit.studies.frame.kind import DTYPES
from lastbit.studies.trace.growth import Jump, TangentRate, half_of_growth, largest_jumps, mean_distance, tangent_rate
from lastbit.studies.trace.judged import Judged, judged, known
from lastbit.studies.trace.kicked_found import MechanismFound, mechanism_found
from lastbit.studies.trace.tensors import Participation, TensorGrowth, growth_of_tensors, participation

__all__ = ["FinalDifference", "TwinsFound", "repeat_differs", "twins_found", "what_they_show"]

_SILENT = ("not_reproducible", "not_landed")
"""Kinds of verdict after which nothing is attributed to the last bit: the controls failed."""


@dataclass(frozen=True, kw_only=True)
class FinalDifference:
    """The difference over all weights at the last step: means over twins, the largest for ulps; None: not measured."""

    relative_l2: float | None
    """Geometric mean."""
    largest_relative_l2: float | None = None
    """Of the twin that is furthest from the base."""
    mean_relative_l1: float | None
    max_ulp: float | None
    share_differing: float | None
    loss_gap: float | None
    churn: float | None


@dataclass(frozen=True, kw_only=True)
class TwinsFound(Judged):
    """One training with its twins; where a control failed, nothing that could be taken for a last bit's growth."""

    name: str = ""
    lr: float | None = None
    """None where the task sets its rate itself."""
    dtype: str = ""
    epochs: int | None = None
    from_step: int = 0
    steps: int = 0
    """Of the whole training; it ends earlier where nothing more can be learnt."""
    reached: int = 0
    """The last step taken."""
    recorded_steps: int = 0
    control: Control | None = None
    control_max_difference: float | None = None
    """Largest relative L2 difference of the exact repeat in any tensor."""
    control_max_ulp: int | None = None
    perturbation: Landing | None = None
    statuses: Mapping[str, str] = field(default_factory=dict)
    """How each run ended."""
    cost: Mapping[str, float] = field(default_factory=dict)
    """Seconds, by what they were spent on."""
    first_difference: FirstDifference | None = None
    """Where the twins first part, of the recorded steps."""
    last_equal_step: int | None = None
    """The record before that, where no twin differed yet; None where there is none."""
    episodes: tuple[Episode, ...] = ()
    episodes_share: float | None = None
    """Share of all growth that falls into the episodes."""
    episodes_share_of_steps: float | None = None
    episode_noise: float | None = None
    """The rise that pure noise may show, nats."""
    half_of_growth_in_share_of_steps: float | None = None
    jumps: tuple[Jump, ...] = ()
    participation: Participation | None = None
    tensors: tuple[TensorGrowth, ...] = ()
    most_amplifying: tuple[str, ...] = ()
    """The tensors that grew, by their part of the growth."""
    final: FinalDifference | None = None
    tangent: TangentRate | None = None
    horizons: tuple[Horizon, ...] = ()
    """When the last bit of each format is of order one."""
    mechanism: MechanismFound | None = None
    """Why the last bit grows, where twins were kicked."""
    renormalised: bool = False
    separate: bool = False
    """Whether the twins were runs of their own, of a function or command, rather than in lock step."""
    seed: int | None = None
    """Of such twins."""
    optimizer: str = ""
    """Which optimizer of a function or command this is of: its class, and its process where there are several."""
    distance_interval: tuple[float, float] | None = None
    """The factors that take a distance to the ends of its 95% interval, where it is estimated from sketches."""
    not_measured: Mapping[str, str] = field(default_factory=dict)
    """What cannot be known of this training, and why."""

    @property
    def silent(self) -> bool:
        """Whether the controls failed."""
        return self.verdict_kind in _SILENT


def twins_found(
    cell: Mapping[str, Any], perturb: str, arrays: Mapping[str, np.ndarray], records: Sequence[RunRecord]
) -> TwinsFound:
    """Return what one set of twins shows.

    Args:
        cell: the training, as `study.json` describes it.
        perturb: how its twins were perturbed.
        arrays: what was recorded.
        records: the runs of the study.
    """
    different = repeat_differs(cell["number"], arrays)
    landing = _landing(cell["name"], perturb, arrays)
    (dtype,) = cell["settings"]["dtype"]
    facts: dict[str, Any] = {
        **{name: cell[name] for name in ("name", "epochs", "steps")},
        "lr": cell["program"].get("lr"),
        "dtype": dtype,
        "from_step": cell["settings"]["from_step"],
        "reached": int(arrays["step"][-1]),
        "recorded_steps": len(arrays["step"]),
        "control": control_of([different]),
        "control_max_difference": float(np.nanmax(arrays["relative_l2"][0], initial=0.0)),
        "control_max_ulp": int(arrays["max_ulp"][0].max(initial=0)),
        "perturbation": landing,
        "statuses": {record.run: str(record.status) for record in records if record.cell == cell["number"]},
        "cost": cell.get("cost", {}),
    }
    # What becomes of twins says little where the training that they follow is blowing up.
    blown = [r.message for r in records if r.cell == cell["number"] and r.status == "diverging"]
    return what_they_show(facts, arrays, DTYPES[dtype], blown_up=blown[0] if blown else "")


def what_they_show(
    facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray], dtype: torch.dtype, *, blown_up: str = ""
) -> TwinsFound:
    """Return what twins show whose controls are known.

    Args:
        facts: fields of `TwinsFound`, with `control` and `perturbation`.
        arrays: what was recorded.
        dtype: of the weights.
        blown_up: why the training that they follow is diverging, where it is.
    """
    if facts["control"].first_difference is not None:
        return TwinsFound(verdict_kind="not_reproducible", **facts)
    if not facts["perturbation"].landed_fraction:
        return TwinsFound(verdict_kind="not_landed", **facts)
    episodes = growth_episodes(arrays["step"], mean_distance(arrays))
    tensors = growth_of_tensors(arrays, episodes)
    course = vars(judged(arrays, dtype))
    if blown_up:
        course |= {"verdict_kind": "diverging", "reason": blown_up, "steps_needed": None}
    apart = arrays["relative_l2"][1:]
    if "differs" in arrays:  # differences can cancel in a sketch, and no bit differs unseen
        apart = np.where(arrays["differs"][1:] & (apart == 0), np.finfo(np.float64).tiny, apart)
    first = first_difference(arrays["step"], apart, arrays["tensor"].tolist())
    before = arrays["step"][arrays["step"] < first.step] if first else arrays["step"]
    return TwinsFound(
        **facts,
        **course,
        first_difference=first,
        last_equal_step=int(before[-1]) if len(before) else None,
        episodes=episodes.episodes,
        episodes_share=episodes.share,
        episodes_share_of_steps=episodes.share_of_steps,
        episode_noise=episodes.noise,
        half_of_growth_in_share_of_steps=half_of_growth(arrays),
        jumps=largest_jumps(arrays),
        participation=participation(arrays, episodes),
        tensors=tensors,
        most_amplifying=tuple(row.tensor for row in sorted(tensors, key=lambda row: -row.growth) if row.growth > 0),
        final=_final(arrays),
        tangent=tangent_rate(arrays),
        horizons=_horizons(arrays, dtype, facts.get("distance_interval") or (1.0, 1.0)),
        mechanism=mechanism_found(arrays),
        renormalised=bool(arrays["log_removed"].any()),
    )


def repeat_differs(cell: int, arrays: Mapping[str, np.ndarray]) -> Difference | None:
    """Say where the exact repeat first differs from its base, in any measure or any step's loss."""
    seen = [(int(step), "training loss") for step in arrays["repeat_loss_step"]]
    firsts = zip(arrays["first_step"][0], arrays["tensor"], strict=True)
    seen += [(int(step), str(name)) for step, name in firsts if step >= 0]
    apart = arrays["share_differing"][0].any(axis=-1) | arrays["max_ulp"][0].any(axis=-1)
    seen += [(int(step), "weights") for step in arrays["step"][apart]]
    if not seen:
        return None
    step, what = min(seen, key=lambda place: place[0])
    return Difference(cell=cell, step=step, what=what)


def _landing(name: str, perturb: str, arrays: Mapping[str, np.ndarray]) -> Landing:
    """Say in which twins the perturbation was ever seen, and in what share of the weights."""
    first, last = arrays["first_step_share"][1:], arrays["all_share_differing"][1:, -1]
    landed = (arrays["first_step"][1:] >= 0).any(axis=1) | (first > 0)
    rows = [
        LandedRun(run=f"{name}-twin{i + 1}", landed=bool(landed[i]), first_step=float(first[i]), last_step=float(x))
        for i, x in enumerate(last)
    ]
    return landing_of(perturb, rows)


def _horizons(
    arrays: Mapping[str, np.ndarray], dtype: torch.dtype, factors: tuple[float, float]
) -> tuple[Horizon, ...]:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        relative = arrays["all_l2"][1:].astype(np.float64) / arrays["all_norm"]
    return horizons(arrays["step"], relative, dtype, log_removed=arrays["log_removed"][1:], factors=factors)


def _final(arrays: Mapping[str, np.ndarray]) -> FinalDifference:
    distance, norm = float(mean_distance(arrays)[-1]), float(arrays["all_norm"][-1])

    def last(name: str) -> np.ndarray | None:
        return np.abs(arrays[name][1:, -1]) if name in arrays else None

    means = {name: last(f"all_{name}") for name in ("mean_relative_l1", "share_differing")}
    means |= {name: last(name) for name in ("loss_gap", "churn")}
    ulps = last("all_max_ulp")
    return FinalDifference(
        relative_l2=known(distance / norm) if norm else None,
        largest_relative_l2=known(arrays["all_relative_l2"][1:, -1].max()),
        max_ulp=None if ulps is None else known(ulps.max()),
        **{name: None if found is None else known(found.mean()) for name, found in means.items()},
    )
