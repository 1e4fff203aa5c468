"""What the cells of an edge-of-stability study say together: the result that terminal, JSON and report share."""

from __future__ import annotations

from typing import Any

from lastbit.store import StudyFolder
from lastbit.studies.eos.analysis import analyse_cell, control_of
from lastbit.studies.eos.size_trend import size_trends
from lastbit.studies.eos.verdict import cell_kind, study_verdict
from lastbit.studies.frame.unfinished import with_progress

__all__ = ["HEADLINES", "conclude"]

HEADLINES = (
    "limit",
    "steps",
    "sharpness",
    "limits",
    "ratios",
    "ratio_tail",
    "sharpness_tail",
    "entered_at_step",
    "stable_lr",
    "growth_share_above_limit",
    "growth",
    "per_layer",
    "batch_sharpness",
    "converged_fraction",
)
"""What the result repeats at its top of the first training: the whole answer where there is no sweep."""


def conclude(folder: StudyFolder) -> dict[str, Any]:
    """Return the result of the trainings that are in.

    At the top the keys of the first training (`HEADLINES`), the verdict and the settings; `cells[]` holds every
    training in full, in the order of the sweep.
    """
    facts = folder.facts
    settings = {cell["name"]: cell for cell in facts["cells"]}
    records = {record.run: record for record in folder.runs()}
    found = []
    for name, cell in settings.items():
        if name not in records:
            continue
        record, arrays = records[name], folder.arrays(name)
        analysed = analyse_cell(
            arrays, facts.get("stable", {}).get(name, {}), dtype=facts["spec"]["eos"]["dtype"], status=record.status
        )
        found.append(
            {
                **{key: value for key, value in cell.items() if key != "settings"},
                "settings": cell["settings"],
                "status": str(record.status),
                "message": record.message,
                "seconds": record.seconds,
                "control": control_of(arrays),
                **analysed,
            }
        )
    for cell in found:
        cell["verdict_kind"] = cell_kind(cell)
    trends = size_trends(found)
    if found:
        said = study_verdict(found, trends)
        first = {name: found[0][name] for name in (*HEADLINES, "control")}
    else:
        said = "no training is finished yet.", "no_runs", ""
        first = {}
    return {
        "kind": "eos",
        **with_progress(folder, said, len(found), len(settings), "trainings"),
        **first,
        "cells": found,
        "trends": trends,
        "cells_planned": len(settings),
        "cells_finished": len(found),
        "task": facts["task"],
        "spec": facts["spec"],
        "command": facts["command"],
        "environment": facts["environment"],
    }
