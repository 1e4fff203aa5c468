"""What should be known of a study before its runs: its format, a loss that sums, a perturbation that hardly lands."""

from __future__ import annotations

from typing import Any

import torch

from lastbit.core.errors import LastbitError
from lastbit.core.generators import LentGenerators
from lastbit.dynamics.divergence import measure_divergence
from lastbit.launch.program import CommandProgram
from lastbit.optimizers.registry import rule_of
from lastbit.perturb.registry import PERTURBATIONS
from lastbit.report.formatting import percent, plural
from lastbit.studies.frame.kind import DTYPES, Plan
from lastbit.studies.frame.program import Trainee
from lastbit.studies.frame.rehearsal import first_step
from lastbit.tasks import Task
from lastbit.tasks.stepping import make_optimizers
from lastbit.tasks.summing import said_of_a_sum
from lastbit.train.twins import TwinPlan, lock_step

__all__ = ["notes"]

_STEPS = 3
"""Steps in which a perturbation should have landed: in the first, momentum is still the gradient."""

_NEXT_TO_NOTHING = 0.05
"""Share of weights below which `rescale` has not landed as it is meant to on an optimizer without a registered
direction, of which it knows the realised update alone. Others may change few weights at first, as small updates do."""


def notes(plan: Plan[Any], task: Trainee, *, selects: bool) -> list[str]:
    """Return the sentences, for the task of a plan's first cell.

    Args:
        plan: of the study.
        task: of its first cell.
        selects: whether the study is about the network that a training selects.
    """
    if isinstance(task, CommandProgram) and not task.seeded and hasattr(plan.settings, "seeds"):
        return [
            f"{task.name} has one seed here: write {{seed}} where the command takes one, or --reseed, to measure what "
            "another seed changes."
        ]
    if not isinstance(task, Task):
        return []
    settings = plan.settings_of(plan.cells[0])
    dtype = getattr(settings, "dtype", "float32")
    formats = (dtype,) if isinstance(dtype, str) else tuple(dtype)
    found = [
        _format_note(task, formats),
        _stream_note(task),
        said_of_a_sum(task),
        _landing_note(plan, task, formats[0]),
    ]
    if task.select != "last" and not selects:
        found.append(f"Every epoch is followed here: select={task.select!r} of the task has no part in it.")
    return [note for note in found if note]


def _format_note(task: Task, formats: tuple[str, ...]) -> str:
    """Say that a model which its factory makes in another format than float32 is not trained in that."""
    with LentGenerators(0).active():
        made = {str(parameter.dtype).removeprefix("torch.") for parameter in task.model().parameters()}
    other = sorted(made - {"float32", *formats})
    if not other:
        return ""
    able = [name for name in other if name in DTYPES]
    cure = f"--dtype {able[0]} trains it in that" if able else f"--dtype takes {', '.join(DTYPES)}"
    return f"The model is made in {' and '.join(other)}, but is trained in {' and '.join(formats)} ({cure})."


def _stream_note(task: Task) -> str:
    """Say what of the order a seed decides where that is the examples' own."""
    if not task.train.is_stream:
        return ""
    return (
        "The training examples are a stream, in an order of its own: a seed varies it only where the stream draws from "
        "the global random generators."
    )


def _landing_note(plan: Plan[Any], task: Task, dtype: str) -> str:
    """Say that the perturbation lands on next to no weight in the first steps, and name one that does land."""
    settings = plan.settings_of(plan.cells[0])
    perturb = getattr(settings, "perturb", None)
    runs = getattr(settings, "twins", None) or getattr(settings, "perturbations", 1) - 1
    if perturb in (None, "ulp") or not runs:
        return ""
    steps = min(_STEPS, task.total_steps)
    with first_step(task.name), LentGenerators(0).active():
        optimizers, _ = make_optimizers(task.optimizer, task.model())
        known = [rule_of(type(optimizer), "direction") is not None for optimizer in optimizers.values()]
        blind = perturb == "rescale" and not all(known)
        enough = _NEXT_TO_NOTHING if blind else 0.0
        share = _landed(task, perturb, plan.device, DTYPES[dtype], steps)
        if share > enough:
            return ""
        others = {other: _landed_or_none(task, other, plan.device, DTYPES[dtype], steps) for other in _others(perturb)}
    best = max(others, key=lambda other: others[other])
    better = (
        f"--perturb {best} changes {percent(others[best])}"
        if others[best] > max(share, _NEXT_TO_NOTHING)
        else "no other perturbation does more"
    )
    what = f"{percent(share)} of the weights" if share else "no weight"
    return f"In the first {plural(steps, 'step')} --perturb {perturb} changes {what}; {better}."


def _others(perturb: str) -> list[str]:
    return [name for name in PERTURBATIONS if name not in ("identity", "ulp", perturb)]


def _landed(task: Task, perturb: str, device: torch.device, dtype: torch.dtype, steps: int) -> float:
    """Return the largest share of weights in which a twin differed from its base after any of the first steps."""
    share = 0.0
    with lock_step(task, TwinPlan(twins=1, perturb=perturb), device=device, dtype=dtype) as twins:
        for step in range(1, steps + 1):
            twins.advance(step)
            base, _, twin = twins.weights()
            share = max(share, float(measure_divergence(base, [twin]).whole().share_differing[0, 0]))
    return share


def _landed_or_none(task: Task, perturb: str, device: torch.device, dtype: torch.dtype, steps: int) -> float:
    try:
        return _landed(task, perturb, device, dtype, steps)
    except LastbitError:  # dropout, for one, cannot be reordered
        return 0.0
