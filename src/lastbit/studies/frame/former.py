"""What `study.json` said in format 1, in the words of today: such studies are opened, drawn and exported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lastbit.store import SCHEMA

__all__ = ["present_facts"]


def present_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of a study as a study of today holds them; those of today as they are."""
    if facts["schema"] == SCHEMA:
        return dict(facts)
    kind, spec = facts["kind"], dict(facts["spec"])
    settings = spec.pop(_SETTINGS[kind], {}) if kind in _SETTINGS else {}
    extra = {name: spec.pop(name) for name in ("after", "by", "checkpoint") if name in spec}
    program = {"program": spec.pop("task")} if "task" in spec else {}
    present = {"settings": {**settings, **extra}, **program, **spec}
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
                "stable": stable.get(cell["name"], {}),
            }
        )
    return found


_AXES = ("lr", "momentum", "weight_decay", "depth", "width", "kernel")


def _task(facts: Mapping[str, Any]) -> dict[str, Any]:
    task = dict(facts["task"])
    batch, size = task.get("batch_size", task.get("settings", {}).get("batch_size", 0)), task.get("train_size", 0)
    return {"batch_size": batch, "full_batch": bool(size) and batch >= size, "test_size": 0, **task}
