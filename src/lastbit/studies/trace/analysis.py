"""The result of a trace: controls first, then what became of the last bit, then one sentence."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lastbit.core.plain import plain
from lastbit.store import RunRecord, StudyFolder
from lastbit.studies.frame.settings import DTYPES
from lastbit.studies.frame.unfinished import with_progress
from lastbit.studies.trace.jumps import largest_jumps
from lastbit.studies.trace.measures import (
    concentration_facts,
    curve,
    first_facts,
    half_of_growth,
    judged,
    tangent_facts,
    tensor_rows,
    twins_grew,
)
from lastbit.studies.trace.sentence import sentence

__all__ = ["analyse_trace", "finished_members"]

Array = np.ndarray[Any, Any]


def finished_members(folder: StudyFolder) -> list[dict[str, Any]]:
    """Return those members of the sweep whose runs are all in, as `study.json` names them."""
    done = {record.run for record in folder.runs()}
    return [member for member in folder.facts["members"] if f"{member['name']}-base" in done]


def analyse_trace(folder: StudyFolder) -> dict[str, Any]:
    """Return the result of a trace as plain values.

    The keys of the first member stand at the top; `members` holds every one with its learning rate and format.
    """
    facts = folder.facts
    finished = finished_members(folder)
    records = folder.runs()
    found = [_member(member, folder.arrays(member["name"]), records) for member in finished]
    first = found[0] if found else {"verdict": "no_runs", "verdict_kind": "no_runs"}
    told, advice = sentence(found) if found else ("no training is finished yet.", "")
    # Members are traced one after another, and the first whose repeat does not match is the last.
    kind = "not_reproducible" if any(m["verdict"] == "not_reproducible" for m in found) else first["verdict_kind"]
    said = with_progress(folder, (told, kind, advice), len(found), len(facts["members"]), "trainings")
    return {
        "schema": facts["schema"],
        "kind": "trace",
        **first,
        "members": found,
        "sentence": said["verdict"],
        "advice": said["advice"],
        "finished": said["finished"],
        "task": facts["task"],
        "spec": facts["spec"],
        "command": facts["command"],
        "environment": facts["environment"],
        "execution": facts.get("execution", {}),
        "members_planned": len(facts["members"]),
        "runs": [_run_row(record) for record in records],
    }


def _run_row(record: RunRecord) -> dict[str, Any]:
    return {
        "run": record.run,
        "label": record.label,
        "role": str(record.role),
        "status": str(record.status),
        "message": record.message,
        "seconds": record.seconds,
        "metrics": plain({name: values[-1] if values else None for name, values in record.metrics.items()}),
    }


def _member(member: dict[str, Any], arrays: dict[str, Array], records: list[RunRecord]) -> dict[str, Any]:
    """Return the result of one set of twins. Where the controls failed, nothing is laid to the last bit."""
    control = _control(arrays)
    landing = _landing(arrays)
    result: dict[str, Any] = {
        **{name: member[name] for name in ("name", "lr", "dtype", "epochs", "from_step")},
        "steps": member["steps"],
        "reached": int(arrays["step"][-1]),
        "recorded_steps": len(arrays["step"]),
        "control": control,
        "control_max_difference": control["max_difference"],
        "perturbation": landing,
        "statuses": {r.run: str(r.status) for r in records if r.run.startswith(f"{member['name']}-")},
        "cost": member.get("cost", {}),
    }
    silent = "not_reproducible" if not control["bitwise_identical"] else ""
    silent = silent or ("not_landed" if not landing["landed_fraction"] else "")
    if silent:
        return result | _nothing(silent)
    facts = judged(arrays, DTYPES[member["dtype"]])
    episodes = twins_grew(arrays)
    tensors = tensor_rows(arrays, episodes)
    ranked = sorted(tensors, key=lambda row: -row["growth"])
    grew = [row["tensor"] for row in ranked if row["growth"] > 0]
    return result | {
        **facts,
        "verdict_kind": facts["verdict"],
        "first_difference": first_facts(arrays),
        "episodes": [
            {"start": e.start, "end": e.end, "rise": e.rise, "rate": e.rate, "share": e.share}
            for e in episodes.episodes
        ],
        "episodes_share": episodes.share,
        "episodes_share_of_steps": episodes.share_of_steps,
        "episode_noise": episodes.noise,
        "half_of_growth_in_share_of_steps": half_of_growth(arrays),
        "jumps": largest_jumps(arrays),
        "participation": concentration_facts(arrays, episodes),
        "tensors": tensors,
        "most_amplifying": grew,
        "final": _final(arrays),
        "tangent": tangent_facts(arrays),
        "renormalised": bool(arrays["log_removed"].any()),
    }


def _nothing(kind: str) -> dict[str, Any]:
    """Return a result without a number that could be taken for a last bit's growth."""
    silent = (
        "growth_rate_per_step",
        "growth_rate_interval",
        "e_folding_steps",
        "saturation_step",
        "saturation_level",
        "saturation_level_l2",
        "saturation_range",
        "first_difference",
        "participation",
        "decades",
        "final",
        "tangent",
        "rounding_bound",
        "slope_last_third",
        "slope_interval",
        "steps_needed",
        "half_of_growth_in_share_of_steps",
    )
    return {
        "verdict": kind,
        "verdict_kind": kind,
        "reason": "",
        **dict.fromkeys(silent),
        "episodes": [],
        "episodes_share": None,
        "episodes_share_of_steps": None,
        "episode_noise": None,
        "tensors": [],
        "most_amplifying": [],
        "jumps": [],
        "renormalised": False,
    }


def _control(arrays: dict[str, Array]) -> dict[str, Any]:
    """Compare the exact repeat with its base, in every measure and at every step's loss."""
    weights = float(np.nanmax(arrays["relative_l2"][0], initial=0.0))
    differing = arrays["share_differing"][0]
    gap = arrays["repeat_loss_step"]
    first = [int(gap[0])] if len(gap) else []
    steps = arrays["first_step"][0]
    first += [int(steps[steps >= 0].min())] if (steps >= 0).any() else []
    identical = not first and not differing.any() and not arrays["max_ulp"][0].any()
    where = None
    if first:
        step = min(first)
        tensors = [str(n) for n, s in zip(arrays["tensor"], steps, strict=True) if s == step]
        where = {"step": step, "what": "training loss" if len(gap) and int(gap[0]) == step else tensors[0]}
    return {
        "bitwise_identical": identical,
        "max_difference": weights,
        "max_ulp": int(arrays["max_ulp"][0].max(initial=0)),
        "first_difference": where,
    }


def _landing(arrays: dict[str, Array]) -> dict[str, Any]:
    """Say in which twins the perturbation was ever seen, and in what share of the weights."""
    share = arrays["all_share_differing"][1:]
    first = arrays["first_step_share"][1:]
    landed = np.asarray((arrays["first_step"][1:] >= 0).any(axis=1) | (first > 0))
    return {
        "twins": len(landed),
        "landed_fraction": float(landed.mean()),
        "first_step_share": float(np.median(first)),
        "last_step_share": float(np.median(share[:, -1])),
    }


def _final(arrays: dict[str, Array]) -> dict[str, float | None]:
    """Return the measures at the last step over all weights: means over twins, the largest for ulps."""
    distance, norm = float(curve(arrays)[-1]), float(arrays["all_norm"][-1])
    values = {
        "relative_l2": distance / norm if norm else math.nan,
        "mean_relative_l1": float(arrays["all_mean_relative_l1"][1:, -1].mean()),
        "max_ulp": float(arrays["all_max_ulp"][1:, -1].max()),
        "share_differing": float(arrays["all_share_differing"][1:, -1].mean()),
        "loss_gap": float(np.abs(arrays["loss_gap"][1:, -1]).mean()),
        "churn": float(arrays["churn"][1:, -1].mean()),
    }
    found: dict[str, float | None] = plain(values)
    return found
