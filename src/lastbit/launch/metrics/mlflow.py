"""Metrics of MLflow's stores in the working directory, read only, without MLflow.

From version 3.7 on the default store is `sqlite:///mlflow.db` with the table `metrics` (key, value, timestamp, step,
is_nan, run_uuid; mlflow/store/tracking/dbmodels/models.py), before it the folder `mlruns/EXPERIMENT/RUN/metrics/KEY`
with lines of "timestamp value step" (mlflow/store/tracking/file_store.py). Timestamps are milliseconds since 1970. The
database keeps infinities as the largest float64, and NaN as 0 with a mark.
"""

from __future__ import annotations

import math
import sqlite3
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from lastbit.core.errors import LastbitError
from lastbit.launch.metrics.series import MetricSeries
from lastbit.launch.metrics.written import SLACK, content_of, paths_below

__all__ = ["read_key"]

_SECONDS = 30.0
"""How long a database may take to answer."""

_ROWS = "SELECT run_uuid, timestamp, step, value, is_nan FROM metrics WHERE key = ? AND timestamp >= ?"


@dataclass(frozen=True, order=True)
class _Logged:
    """One value; the order is that of the run."""

    step: int
    timestamp: int
    value: float
    text: str = ""


def read_key(key: str, folder: Path, since: float) -> MetricSeries:
    """Return the values that a run logged under a key since a time, in the order of step, then time.

    Every `mlflow.db` and `mlruns` below the folder is looked at, symbolic links are not followed. Of several runs that
    logged the key since then the one that began last counts.

    Raises:
        LastbitError: there is no store, nothing was logged under the key since then, or a store cannot be read.
    """
    start = math.floor((since - SLACK) * 1000)
    runs: dict[tuple[str, str], list[_Logged]] = {}
    keys: dict[str, None] = {}
    databases = paths_below(folder, lambda name: name == "mlflow.db")
    for path in databases:
        for run, logged in _of_database(path, key, start, keys):
            runs.setdefault((str(path), run), []).append(logged)
    for path, name in _metric_files(folder, since):
        keys[name] = None
        if name == key:
            found = [logged for logged in _of_file(path, since) if logged.timestamp >= start]
            if found:
                runs[str(path), ""] = found
    if not runs:
        if not keys and not databases:
            cure = f"there is no mlflow.db and no mlruns below {folder}: let the program log there by mlflow.log_metric"
        elif keys:
            cure = f"choose one of {', '.join(sorted(keys)[:10])}"
        else:
            cure = "nothing was logged since the run began: let it log by mlflow.log_metric"
        raise LastbitError(f"--metric-mlflow {key}: the run logged nothing under this key: {cure}")
    (store, run), found = max(runs.items(), key=lambda item: min(logged.timestamp for logged in item[1]))
    found.sort(key=lambda logged: (logged.step, logged.timestamp))
    place = Path(store).relative_to(folder)
    return MetricSeries(
        values=tuple(logged.value for logged in found),
        where=f"MLflow, {key} in {place}" + (f", run {run}" if run else ""),
        steps=tuple(logged.step for logged in found),
        printed=tuple(logged.text for logged in found if logged.text),
    )


def _of_database(path: Path, key: str, start: int, keys: dict[str, None]) -> Iterator[tuple[str, _Logged]]:
    """Yield the run and value of each row, and note the keys that were logged since the start."""
    end = time.monotonic() + _SECONDS
    try:
        connection = sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True)
        try:
            # The file is not ours: no functions from its schema, and no query that runs for ever.
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.set_progress_handler(lambda: time.monotonic() > end, 100_000)
            for run, timestamp, step, value, is_nan in connection.execute(_ROWS, (key, start)):
                yield str(run), _Logged(int(step), int(timestamp), _number(float(value), bool(is_nan)))
            known = "SELECT DISTINCT key FROM metrics WHERE timestamp >= ? ORDER BY key LIMIT 11"
            keys.update((str(one), None) for (one,) in connection.execute(known, (start,)))
        finally:
            connection.close()
    except (sqlite3.Error, TypeError, ValueError, OverflowError) as error:
        raise LastbitError(
            f"{path} is no store of MLflow that can be read ({error}): let the program log anew"
        ) from None


def _number(value: float, is_nan: bool) -> float:
    if is_nan:
        return math.nan
    return math.copysign(math.inf, value) if abs(value) >= sys.float_info.max else value


def _metric_files(folder: Path, since: float) -> Iterator[tuple[Path, str]]:
    """Yield each metric's file in each `mlruns`, with its key; a key with slashes lies in folders."""
    for path in paths_below(folder, lambda _: True, since):
        parts = path.relative_to(folder).parts
        if "mlruns" in parts:
            inside = parts[parts.index("mlruns") + 1 :]
            if len(inside) > 3 and inside[2] == "metrics":
                yield path, "/".join(inside[3:])


def _of_file(path: Path, since: float) -> Iterator[_Logged]:
    for line in content_of(path, since).decode("utf-8", "replace").splitlines():
        words = line.split()
        try:
            timestamp, text, step = (*words, "0")[:3]
            yield _Logged(int(step), int(timestamp), float(text), text)
        except ValueError:
            raise LastbitError(
                f"{path} is no metric of MLflow (line {line[:40]!r}): let the program log anew"
            ) from None
