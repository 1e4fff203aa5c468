"""The trainings of an edge-of-stability study: what a built-in task is at its edge, and the cells of a sweep."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.optimizers.registry import OPTIMIZERS
from lastbit.report.formatting import number
from lastbit.studies.eos.settings import EosSettings
from lastbit.studies.frame.kind import Cell
from lastbit.studies.frame.program import Program, axis_values
from lastbit.tasks import TaskConfig
from lastbit.tasks.models import MODELS

__all__ = ["edge_cells", "edge_defaults", "settled"]

DEFAULT_LR = {"sgd": 0.1, "heavy ball": 0.2, "nesterov": 0.05, "adam": 3e-3, "adamw": 3e-3, "rmsprop": 1e-3}
"""Rates at which the digits network sharpens to its edge within the default steps (measured)."""

_STEPS, _EXAMPLES = 1500, 600


def edge_defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a built-in task at its edge: full-batch descent of a small smooth network.

    Args:
        given: what was asked for, of the task and of the study.
    """
    optimizer, model = given.get("optimizer") or "sgd", given.get("model") or "mlp"
    if optimizer not in OPTIMIZERS or model not in MODELS:
        return {}
    momenta = given.get("momentum")
    momentum = axis_values("momentum", momenta) if momenta not in (None, (), []) else ()
    heavy = optimizer == "sgd" and (any(momentum) or bool(given.get("nesterov")))
    method = "nesterov" if given.get("nesterov") else "heavy ball" if heavy else optimizer
    examples = _whole(given.get("train_size"), _EXAMPLES)
    batch, steps = _whole(given.get("batch_size"), examples), _whole(given.get("steps"), _STEPS)
    found = {
        "optimizer": optimizer,
        "model": model,
        "lr": DEFAULT_LR[method],
        "weight_decay": 1e-2 if optimizer == "adamw" else 0.0,
        "width": 64 if model == "mlp" else MODELS[model].width,
        "activation": "tanh",
        "loss": "squared-error",
        "schedule": "constant",
        "train_size": examples,
        "batch_size": batch,
        "epochs": -(-steps // max(1, examples // batch)),
        "norm": "none",
        "augment": "none",
    }
    options = OPTIMIZERS[optimizer].options
    found |= {"momentum": 0.9 if given.get("nesterov") else 0.0} if "momentum" in options else {}
    found |= {"nesterov": False} if "nesterov" in options else {}
    found |= {"depth": 2} if model == "mlp" else {"depth": 3, "kernel": 3} if model == "cnn" else {}
    return found


def _whole(value: Any, default: int) -> int:
    """Return a number of something that was asked for; what is no such number is for the settings to refuse."""
    return value if isinstance(value, int) and value > 0 else default


def settled(settings: EosSettings, program: Program) -> EosSettings:
    """Return the settings with the steps of a built-in task filled in.

    Raises:
        LastbitError: the gradient flow is asked for of an optimizer that has none.
    """
    source = program.source
    if not isinstance(source, TaskConfig) or source.is_file:
        return settings
    if settings.flow and source.optimizer != "sgd":
        raise LastbitError(f"--flow: {source.optimizer} has no gradient flow of the loss to compare; sgd has")
    return settings.model_copy(update={"steps": settings.steps or _STEPS})


def edge_cells(settings: EosSettings, program: Program) -> list[Cell]:
    """Return the trainings of a sweep: every combination of the axes' values with every seed, seeds fastest."""
    axes = {axis: _values(program, axis) for axis in EosSettings.arguments}
    varied = [axis for axis in EosSettings.arguments if len(axes[axis]) > 1]
    seeds = range(settings.seed, settings.seed + settings.seeds)
    found = []
    for place, (*values, seed) in enumerate(product(*axes.values(), seeds)):
        chosen = {axis: value for axis, value in zip(axes, values, strict=True) if value is not None}
        words = [f"{axis.replace('_', ' ')} {number(chosen[axis], 6)}" for axis in varied]
        words += [f"seed {seed}"] if settings.seeds > 1 else []
        label, mine = ", ".join(words), {"seed": seed}
        found.append(Cell(number=place, name=f"cell{place:03d}", label=label, seed=seed, program=chosen, settings=mine))
    return found


def _values(program: Program, axis: str) -> tuple[Any, ...]:
    """Return the values along an axis: None alone where the task sets that itself."""
    source = program.source
    own = None if not isinstance(source, TaskConfig) or source.is_file else getattr(source, axis)
    return program.axes.get(axis, (own,))
