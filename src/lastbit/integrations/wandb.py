"""Weights & Biases: a group for a study, in it a run for its result and for each of its runs; a sink of the monitor."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from lastbit.core.errors import LastbitError
from lastbit.integrations.library import Progress, check_answers, first_sentence, forgiving, imported
from lastbit.integrations.logged import Logged, LoggedRun, logged
from lastbit.store import write_json

if TYPE_CHECKING:
    from lastbit.curvature import StabilityRecord
    from lastbit.studies.frame.study import Study

__all__ = ["send", "sink"]


def send(study: Study[Any], *, project: str | None, at: str | None, progress: Progress) -> str:
    """Log a study, its report and JSON as an artifact; see `lastbit.integrations.log`.

    Raises:
        LastbitError: W&B is not installed, is switched off, wants a login, or does not take it.
    """
    wandb = imported("wandb", "wandb")
    server, folder = (at, Path()) if at is not None and "://" in at else (None, Path(at or "."))
    _check_folder(folder)
    try:
        online = _is_online(wandb, server)
        told = logged(study)
        # Nothing of the machine that logs: it need not be the one that trained.
        settings = {"console": "off", "silent": True, "x_disable_stats": True, "x_disable_meta": True}
        settings |= {"disable_git": True, "disable_code": True, "x_save_requirements": False}
        settings |= {"base_url": server} if server else {}
        where = {"project": project or "lastbit", "group": told.name, "dir": str(folder), "reinit": "create_new"}

        def begun(name: str, job: str, config: Mapping[str, Any], notes: str = "") -> Any:
            named = {"name": name, "job_type": job, "config": dict(config), "notes": notes}
            return wandb.init(**where, **named, settings=wandb.Settings(**settings))

        with begun(told.name, "study", told.settings, told.verdict) as parent, TemporaryDirectory() as drawn:
            _send_result(wandb, parent, told, study, Path(drawn))
            address = parent.url
        for done, run in enumerate(told.runs):
            progress(done, len(told.runs))
            with begun(run.name, "run", run.settings) as child:
                _send_run(child, run)
    except (wandb.Error, OSError) as error:
        raise LastbitError(
            f"W&B does not log this ({first_sentence(error)}): run wandb login, set WANDB_MODE=offline, or name "
            "another place with --at"
        ) from None
    group = f"group {told.name} of project {where['project']}"
    return f"{group}: {address}" if online else f"{group}: wandb sync {folder / 'wandb' / 'offline-run-*'} uploads it"


def _check_folder(folder: Path) -> None:
    """Refuse a folder that cannot be written, in whose place W&B would take one that nobody finds."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(13, "no permission")
    except OSError as error:
        raise LastbitError(f"cannot write to {folder} ({error.strerror}): name another folder with --at") from None


def _is_online(wandb: Any, server: str | None) -> bool:
    """Return whether a server takes what is logged, and log in there where that is so.

    Raises:
        LastbitError: W&B is switched off, or the server does not answer.
    """
    settings = wandb.setup().settings
    if settings.mode == "disabled":
        raise LastbitError("W&B is switched off (WANDB_MODE=disabled): set WANDB_MODE to online or offline")
    if settings.mode in ("offline", "dryrun"):
        return False
    check_answers(server or settings.base_url)
    wandb.login(host=server)
    return True


def _send_result(wandb: Any, run: Any, told: Logged, study: Study[Any], drawn: Path) -> None:
    report = study.report(drawn / "report.html")
    write_json(drawn / "result.json", study.to_json())
    run.log({"report": wandb.Html(str(report), inject=False)})
    names = ("kind", "verdict", "verdict_kind", "advice", "finished", "command")
    run.summary.update({name: getattr(told, name) for name in names} | dict(told.numbers))
    artifact = wandb.Artifact(re.sub(r"[^\w.-]", "-", told.name), type="lastbit-study")
    artifact.add_file(str(report))
    artifact.add_file(str(drawn / "result.json"))
    run.log_artifact(artifact)


def _send_run(run: Any, told: LoggedRun) -> None:
    rows: dict[int, dict[str, float]] = {}
    for name, points in told.series.items():
        for step, value in points:
            rows.setdefault(step, {})[name] = value
    for step in sorted(rows):
        run.log(rows[step], step=step)
    run.summary.update(dict(told.numbers))


def sink(run: Any = None) -> Callable[[StabilityRecord], None]:
    """Return a sink of the monitor that logs each record's numbers along an axis of their own, `lastbit/step`.

    They go into the row that W&B is filling, so that no step of the caller's own is taken.

    Args:
        run: takes them; by default the one that is active now, `wandb.run`.

    Raises:
        LastbitError: W&B is not installed, or no run is active.
    """
    taking = imported("wandb", "wandb").run if run is None else run
    if taking is None:
        raise LastbitError("W&B has no active run: call wandb.init() first, or give one as wandb.sink(run)")
    taking.define_metric("lastbit/*", step_metric="lastbit/step")
    filled = None

    def log(numbers: Mapping[str, float], step: int) -> None:
        nonlocal filled
        if filled == taking.step:  # nobody has ended the row with the record before: this one would replace it
            taking.log({}, commit=True)
        taking.log({"lastbit/step": step, **numbers}, commit=False)
        filled = taking.step

    return forgiving("W&B", log)
