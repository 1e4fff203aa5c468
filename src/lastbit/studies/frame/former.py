"""What `study.json` said in format 1, in the words of today: such studies are opened, drawn and exported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lastbit.store import SCHEMA
from lastbit.tasks import TaskConfig

__all__ = ["present_facts"]


def present_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of a study as a study of today holds them; those of today as they are."""
    if facts["schema"] == SCHEMA:
        return dict(facts)
    kind, spec = facts["kind"], dict(facts["spec"])
    settings = dict(spec.pop(_SETTINGS[kind], {}))
    extra = {name: spec.pop(name) for name in ("after", "by", "checkpoint") if name in spec}
    program = spec.pop("task", {})
    if kind in ("eos", "sharpness"):
        # Their settings were those of the task too, with a list of values along each axis.
        program = {name: settings.pop(name) for name in TaskConfig.model_fields if name in settings}
    axes = {name: values for name, values in program.items() if isinstance(values, list)}
    program |= {name: values[0] if values else None for name, values in axes.items()}
    axes = {name: values for name, values in axes.items() if len(values) > 1}
    present = {"settings": {**settings, **extra}, "program": program, "axes": axes, **spec}
    return {**facts, "spec": present, "cells": _cells(facts, settings), "task": _task(facts)}


_SETTINGS = {"audit": "audit", "trace": "trace", "eos": "eos", "sharpness": "settings"}
"""What each kind called its settings."""


def _cells(facts: Mapping[str, Any], settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one entry per cell, with what each kind said of it."""
    if facts["kind"] == "audit":
        seeds = range(settings["seeds"])
        before = [{"name": f"seed{seed:03d}", "label": f"seed {seed}", "seed": seed} for seed in seeds]
    else:
        before = [dict(cell) for cell in facts.get("members", facts.get("cells", []))]
    stable = facts.get("stable", {})
    found = []
    for number, cell in enumerate(before):
        axes = {name: cell[name] for name in _AXES if cell.get(name) is not None}
        own = {"dtype": [cell["dtype"]], "from_step": cell["from_step"]} if facts["kind"] == "trace" else {}
        found.append(
            {
                "label": "",
                "seed": settings.get("seed", 0),
                **cell,
                "number": number,
                "program": axes,
                "settings": own,
                "task_settings": cell.get("settings", facts["task"].get("settings", {})),
                "stable": stable.get(cell["name"]) if stable else None,
            }
        )
    return found


_AXES = ("lr", "momentum", "weight_decay", "depth", "width", "kernel")


def _task(facts: Mapping[str, Any]) -> dict[str, Any]:
    task = dict(facts["task"])
    batch, size = task.get("batch_size", task.get("settings", {}).get("batch_size", 0)), task.get("train_size", 0)
    return {"batch_size": batch, "full_batch": bool(size) and batch >= size, "test_size": 0, **task}
