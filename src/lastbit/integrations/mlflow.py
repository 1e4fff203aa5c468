"""MLflow: a run for a study, a nested run for each of its runs; a sink for the monitor."""

from __future__ import annotations

import os
import posixpath
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from lastbit.core.errors import LastbitError, MissingExtraError
from lastbit.integrations.library import Progress, check_answers, first_sentence, forgiving, imported
from lastbit.integrations.logged import Logged, LoggedRun, logged
from lastbit.store import write_json

if TYPE_CHECKING:
    from lastbit.curvature import StabilityRecord
    from lastbit.studies.frame.study import Study

__all__ = ["send", "sink"]

_DATABASES = ("sqlite:", "postgresql", "mysql", "mssql")
"""How the address of a database begins, which `mlflow-skinny` cannot read."""

_METRICS, _PARAMETERS = 1000, 100
"""How many of them MLflow takes at once (mlflow/utils/validation.py)."""


def send(study: Study[Any], *, project: str | None, at: str | None, progress: Progress) -> str:
    """Log a study, its report and JSON as artifacts; see `lastbit.integrations.log`.

    Raises:
        LastbitError: MLflow is not installed, or does not take it.
    """
    mlflow = imported("mlflow", "mlflow")
    place = at or mlflow.get_tracking_uri()
    _check_place(place)
    told = logged(study)
    try:
        client = mlflow.MlflowClient(tracking_uri=place)
        name = project or "lastbit"
        found = client.get_experiment_by_name(name)
        experiment = client.create_experiment(name) if found is None else found.experiment_id
        tags = {"mlflow.note.content": f"{told.verdict}\n\n{told.advice}", **_tags(told)}
        with _run(client, client.create_run(experiment, tags=tags, run_name=told.name), True) as run_id:
            _send(client, run_id, ((name, value, 0) for name, value in told.numbers.items()), told.settings)
            for done, run in enumerate(told.runs):
                progress(done, len(told.runs))
                begun = client.create_run(experiment, tags={"mlflow.parentRunId": run_id}, run_name=run.name)
                with _run(client, begun, run.ok) as child:
                    _send(client, child, _values(run), run.settings)
            with TemporaryDirectory() as folder:
                client.log_artifact(run_id, str(study.report(Path(folder) / "report.html")))
                write_json(Path(folder) / "result.json", study.to_json())
                client.log_artifact(run_id, str(Path(folder) / "result.json"))
    except (mlflow.MlflowException, OSError) as error:
        raise LastbitError(
            f"MLflow does not log to {place} ({first_sentence(error)}): name another place with --at, such as "
            "sqlite:///mlflow.db or http://127.0.0.1:5000"
        ) from None
    return f"experiment {name} at {place}, run {told.name} ({run_id})"


def _check_place(place: str) -> None:
    """Refuse a server or a database that is not there, which MLflow itself would try for an hour.

    Raises:
        LastbitError: it is not, or a database needs more of MLflow than is installed.
    """
    if place.startswith(("http://", "https://")):
        check_answers(place)
    if place.startswith(_DATABASES) and find_spec("sqlalchemy") is None:
        raise MissingExtraError(f"to log to {place}", "the whole of MLflow", "mlflow", ", or name a server with --at")
    folder = Path(place.removeprefix("sqlite:///").partition("?")[0]).absolute().parent
    if place.startswith("sqlite:///") and not os.access(folder, os.W_OK):
        raise LastbitError(f"MLflow cannot write {place}: make the folder {folder}, or name another place with --at")


@contextmanager
def _run(client: Any, begun: Any, ok: bool) -> Iterator[str]:
    """Give the id of a run that was begun, and end it: as failed where the block fails, or it is not `ok`."""
    run_id: str = begun.info.run_id
    try:
        yield run_id
    except BaseException:
        with suppress(Exception):
            client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id, "FINISHED" if ok else "FAILED")


def _tags(told: Logged) -> dict[str, str]:
    names = ("kind", "verdict", "verdict_kind", "finished", "command")
    return {f"lastbit.{name}": str(getattr(told, name)) for name in names}


def _values(run: LoggedRun) -> Iterator[tuple[str, float, int]]:
    for name, points in run.series.items():
        yield from ((name, value, step) for step, value in points)
    yield from ((name, value, run.selected) for name, value in run.numbers.items())


def _send(client: Any, run_id: str, values: Iterable[tuple[str, float, int]], settings: Mapping[str, Any]) -> None:
    """Log values and settings of a run, as many at once as MLflow takes."""
    from mlflow.entities import Metric, Param

    found, now = list(values), time.time_ns() // 1_000_000
    allowed = _allowed([*dict.fromkeys(name for name, _, _ in found)])
    metrics = [Metric(allowed[name], value, now, step) for name, value, step in found]
    parameters = [Param(name, str(value)) for name, value in settings.items()]
    for at in range(0, len(metrics), _METRICS):
        client.log_batch(run_id, metrics=metrics[at : at + _METRICS])
    for at in range(0, len(parameters), _PARAMETERS):
        client.log_batch(run_id, params=parameters[at : at + _PARAMETERS])


def _allowed(names: Iterable[str]) -> dict[str, str]:
    """Return each name as MLflow takes it, `_` for what it does not, and no two alike.

    Example:
        >>> _allowed(["acc@1", "acc_1", "result/loss"])
        {'acc@1': 'acc_1', 'acc_1': 'acc_1_', 'result/loss': 'result/loss'}
    """
    found: dict[str, str] = {}
    for name in names:
        taken = posixpath.normpath(re.sub(r"[^\w.\- :/]", "_", name)).lstrip("./") or "_"
        while taken in found.values():
            taken += "_"
        found[name] = taken
    return found


def sink(run_id: str | None = None) -> Callable[[StabilityRecord], None]:
    """Return a sink of the monitor that logs each record's numbers.

    Args:
        run_id: of the run that takes them; by default the one that is active now.

    Raises:
        LastbitError: MLflow is not installed, or no run is active.
    """
    mlflow = imported("mlflow", "mlflow")
    active = mlflow.active_run()
    if run_id is None and active is None:
        raise LastbitError("MLflow has no active run: call mlflow.start_run() first, or name one with run_id=")
    client, taking = mlflow.MlflowClient(), run_id or active.info.run_id

    def log(numbers: Mapping[str, float], step: int) -> None:
        _send(client, taking, ((name, value, step) for name, value in numbers.items()), {})

    return forgiving("MLflow", log)
