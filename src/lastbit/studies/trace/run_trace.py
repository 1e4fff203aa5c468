"""The trace: plan, rehearse, train the twins of every member of the sweep, keep what they left."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from lastbit.core.errors import LastbitError
from lastbit.core.status import Role, RunStatus
from lastbit.store import RunRecord, StudyFolder
from lastbit.studies.frame.environment import environment
from lastbit.studies.frame.execution import interrupted
from lastbit.studies.frame.fingerprint import fingerprint
from lastbit.studies.frame.folders import begin_study, stored_facts
from lastbit.studies.frame.progress import GridProgress, grid_progress
from lastbit.studies.frame.settings import command_line, split_settings
from lastbit.studies.trace.lockstep import Traced, rehearse_trace, trace_twins
from lastbit.studies.trace.result import conclude
from lastbit.studies.trace.settings import Member, TraceSettings, members, trace_settings
from lastbit.studies.trace.study import TraceStudy
from lastbit.tasks import Task, TaskConfig, build_task
from lastbit.train import resolve_device

__all__ = ["trace"]


def trace(
    task: str | Task | None = None,
    *,
    perturbation: str | None = None,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    quiet: bool = False,
    **settings: Any,
) -> TraceStudy:
    """Find where and when one bit was amplified in a training, and whether its growth is restrained.

    Trains a base run, its exact repeat and `twins` runs perturbed in the last bit from the same state, in lock step,
    and measures at recorded steps, tensor by tensor, how far each has come from the base. Costs about `twins + 2`
    trainings in time.

    Args:
        task: name of a built-in task (`"digits"`), `"FILE.py:FUNCTION"`, or a `Task`.
        perturbation: how the last bit is perturbed: `"rescale"` (default), `"ulp"`, `"rounding"`, `"reorder"`; the same
            as the setting `perturb`.
        out: folder of the study, new or empty; by default the next free `lastbit-studies/trace-TASK-NNN`.
        resume: folder of a sweep that was interrupted, in place of `out`; its finished members are not trained again.
        quiet: show no progress.
        **settings: those of `TraceSettings` (`twins`, `every`, `from_step`, `renormalise`, `tangent`, `scaled_time`,
            `layer`, `seed`, `device`; `lr` and `dtype` may be sequences: a sweep) and of the task (`epochs`, ...).

    Returns:
        The finished study.

    Raises:
        LastbitError: a setting, the task or the folder does not do; or the user interrupted (finished members
            are safe).

    Example:
        >>> study = trace("digits", epochs=5, quiet=True)  # doctest: +SKIP
        >>> study.result.verdict_kind, study.result.first_difference  # doctest: +SKIP
    """
    if perturbation is not None:
        settings["perturb"] = perturbation
    stored = stored_facts("trace", "a trace", out, resume)
    source, config = _plan(task, settings, stored)
    built = source if isinstance(source, Task) else build_task(source)
    device = resolve_device(config.device)
    built.check()
    sweep = [(member, _task_of(source, built, member)) for member in members(config, built.epochs)]
    for member, task_of_member in sweep:
        rehearse_trace(task_of_member, member, config, device)
    facts = _facts(source, built, config, sweep, environment(device))
    with begin_study(facts, stored, out, resume) as folder:
        _train(folder, sweep, config, quiet=quiet)
        folder.save_result(conclude(folder).to_json())
    return TraceStudy(folder.path)


def _plan(
    task: str | Task | None, settings: Mapping[str, Any], stored: Mapping[str, Any] | None
) -> tuple[TaskConfig | Task, TraceSettings]:
    """Work out what is asked for: the settings given, over those of the study to resume, over the defaults."""
    if stored is not None:
        spec = stored["spec"]
        if not isinstance(task, Task):
            if spec.get("object"):
                raise LastbitError(
                    f"this study traces a Task object ({spec['object']}): resume it from Python, with it"
                )
            before = {**spec["task"], **spec["trace"]}
            task = task or before["task"]
            settings = {**{k: v for k, v in before.items() if k != "task"}, **settings}
        else:
            settings = {**spec["trace"], **settings}
    if not isinstance(task, Task):
        return trace_settings(task, settings)
    flat = {name: value for name, value in settings.items() if value is not None and name != "lr"}
    if settings.get("lr"):
        raise LastbitError("lr belongs to built-in tasks: set it in your Task")
    for_task, for_trace = split_settings({k: v for k, v in flat.items() if k != "dtype"}, TraceSettings)
    if for_task:
        raise LastbitError(f"{next(iter(for_task))} belongs to built-in tasks: set it in your Task")
    _, config = trace_settings("digits", {**for_trace, "dtype": flat.get("dtype"), "lr": None})
    return task, config.model_copy(update={"lr": ()})


def _task_of(source: TaskConfig | Task, built: Task, member: Member) -> Task:
    """Return the task at the rate and length of one member."""
    if isinstance(source, TaskConfig) and member.lr is not None:
        changes: dict[str, Any] = {"lr": member.lr}
        if member.epochs is not None:
            changes["epochs"] = member.epochs
        return build_task(source.model_copy(update=changes))
    return built if member.epochs is None else replace(built, epochs=member.epochs)


def _facts(
    source: TaskConfig | Task,
    built: Task,
    config: TraceSettings,
    sweep: Iterable[tuple[Member, Task]],
    where: dict[str, Any],
) -> dict[str, Any]:
    """Return what `study.json` keeps of a trace."""
    trace_spec = {k: list(v) if isinstance(v, tuple) else v for k, v in config.model_dump().items()}
    spec: dict[str, Any] = {"trace": trace_spec, "fingerprint": fingerprint(built)}
    if isinstance(source, Task):
        spec["object"] = source.name
        options = ", ".join(f"{name}={value!r}" for name, value in trace_spec.items() if name != "lr")
        command = f"lb.trace(<Task {source.name!r}>, {options})"
    else:
        spec["task"] = source.model_dump()
        command = command_line("trace", {**source.model_dump(), **config.model_dump()})
    return {
        "kind": "trace",
        "spec": spec,
        "command": command,
        "members": [
            {
                **asdict(member),
                "epochs": task.epochs,
                "steps": task.total_steps,
                "batch_size": task.batch_size,
            }
            for member, task in sweep
        ],
        "task": task_facts(built),
        "environment": where,
    }


def _train(folder: StudyFolder, sweep: list[tuple[Member, Task]], config: TraceSettings, *, quiet: bool) -> None:
    """Train the twins of every member that is not there yet; the first whose repeat does not match is the last."""
    there = {record.run for record in folder.runs()}
    left = [(member, task) for member, task in sweep if f"{member.name}-base" not in there]
    done = len(sweep) - len(left)
    steps = max(task.total_steps for _, task in sweep)
    try:
        with grid_progress(runs=len(sweep), done=done, steps=steps, quiet=quiet) as progress:
            runs = config.twins + 2
            progress.event(
                f"trace of {len(sweep)} x {runs} runs in lock step (base, exact repeat, {config.twins} twins), "
                f"{sweep[0][1].total_steps} steps, into {folder.path}"
            )
            for number, (member, task) in enumerate(left, start=done):
                progress.started(member.name, 1)
                traced = _traced(member, task, config, progress, steps)
                _keep(folder, number, member, traced)
                progress.finished(member.name, _said(traced), "")
                if traced.arrays["all_max_ulp"][0].any():
                    return
    except KeyboardInterrupt:
        count = len({record.run for record in folder.runs() if record.run.endswith("-base")})
        raise interrupted(folder, count, len(sweep), "trainings", "traced") from None


def _traced(member: Member, task: Task, config: TraceSettings, progress: GridProgress, steps: int) -> Traced:
    device = resolve_device(config.device)

    def on_step(step: int) -> None:
        progress.progressed(member.name, round(step / task.total_steps * steps))

    return trace_twins(task, member, config, device, on_step)


def _said(traced: Traced) -> str:
    relative = traced.arrays["all_relative_l2"][1:, -1]
    cost = traced.seconds
    measuring = cost["divergence"] + cost["sketches"] + cost["probe"]
    return (
        f"relative L2 {float(np.mean(relative)):.2e} after {traced.reached} steps "
        f"({cost['training']:.0f} s training, {measuring:.0f} s measuring)"
    )


def _keep(folder: StudyFolder, number: int, member: Member, traced: Traced) -> None:
    """Write arrays first, then make the runs visible; the base run last, for it says that its member is whole."""
    described = [dict(m) for m in folder.facts["members"]]
    described[number]["cost"] = traced.seconds
    folder.update_facts(members=described)
    names = run_names(len(traced.sketches))
    folder.files(member.name).arrays({**traced.arrays, "label": np.array(traced.labels[1:], dtype=np.str_)})
    for name, arrays in zip(names, traced.sketches, strict=True):
        folder.files(f"{member.name}-{name}").arrays(arrays)
    for index in reversed(range(len(names))):
        name = names[index]
        status, message = _status(traced, index)
        steps, metrics = traced.metrics[index]
        folder.add(
            RunRecord(
                run=f"{member.name}-{name}",
                cell=number,
                role=(Role.BASE, Role.REPEAT)[index] if index < 2 else Role.TWIN,
                twin=max(index - 1, 0),
                label=traced.labels[index],
                status=status,
                message=message,
                seconds=traced.seconds["all"] / len(names),
                steps=steps,
                metrics=metrics,
            )
        )


def run_names(count: int) -> list[str]:
    """Return what the runs of a member are called: `base`, `repeat`, `twin1`, ..."""
    return ["base", "repeat", *(f"twin{index}" for index in range(1, count - 1))]


def _status(traced: Traced, index: int) -> tuple[RunStatus, str]:
    losses = traced.sketches[index]["losses"]
    broken = np.flatnonzero(~np.isfinite(losses))
    if len(broken):
        return RunStatus.DIVERGED, f"the training loss is not finite from step {int(broken[0]) + 1} on"
    if not math.isfinite(float(np.abs(traced.sketches[index]["values"][-1]).sum())):
        return RunStatus.DIVERGED, "weights are not finite at the end"
    return RunStatus.OK, ""


def task_facts(built: Task) -> dict[str, Any]:
    """Return what `study.json` keeps of the task that is trained."""
    return {
        "name": built.name,
        "settings": dict(built.settings),
        "metric": {"name": built.metric.name, "unit": built.metric.unit},
        "train_size": len(built.train),
        "test_size": len(built.test),
        "steps": built.total_steps,
        "steps_per_epoch": built.steps_per_epoch,
    }
