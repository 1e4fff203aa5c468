"""One way to a metric, wherever its program puts it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lastbit.launch.metrics.files import is_newer, read_file
from lastbit.launch.metrics.mlflow import read_key
from lastbit.launch.metrics.series import MetricSeries
from lastbit.launch.metrics.spec import MetricSpec
from lastbit.launch.metrics.stdout import matched, named
from lastbit.launch.metrics.tensorboard import read_tag
from lastbit.launch.metrics.written import SLACK, paths_below

__all__ = ["read_metric", "written_after"]


def read_metric(spec: MetricSpec, *, stdout: str, folder: Path, since: float, stderr: str = "") -> MetricSeries:
    r"""Return the values of a metric in one run.

    Args:
        spec: which metric, and where it is read.
        stdout: what the run printed; bytes that are no text decoded with `errors="replace"`.
        folder: the working directory of the run.
        since: when the run began, `time.time()`; what is older belongs to another run.
        stderr: what it printed there, as logging and progress bars do: read where stdout does not have the metric.

    Returns:
        The values in the order of the run, at least one. Their unit is the spec's where it has one.

    Raises:
        LastbitError: there is none, or it cannot be told which; one line that says what to write instead.

    Example:
        >>> spec = MetricSpec(name="acc", reader="name", argument="acc")
        >>> read_metric(spec, stdout="acc: 0.5\nacc: 0.75\n", folder=Path(), since=0.0).values
        (0.5, 0.75)
    """
    if spec.reader == "name":
        series = named(stdout, spec.argument, stderr)
    elif spec.reader == "pattern":
        series = matched(stdout, spec.argument, stderr)
    elif spec.reader == "file":
        series = read_file(spec.argument, folder, since)
    elif spec.reader == "tag":
        series = read_tag(spec.argument, folder, since)
    else:
        series = read_key(spec.argument, folder, since)
    return replace(series, unit=spec.unit) if spec.unit else series


def written_after(spec: MetricSpec, folder: Path, time: float) -> bool:
    """Tell whether what a metric is read from was written to after a time: then it may be another run's.

    Args:
        spec: which metric, and where it is read.
        folder: the working directory of the run.
        time: when the run ended, `time.time()`.
    """
    if spec.reader == "file":
        return is_newer(spec.argument, folder, time)
    if spec.reader == "tag":
        return bool(paths_below(folder, lambda name: "tfevents" in name, time + SLACK))
    if spec.reader == "mlflow":
        stores = paths_below(folder, lambda _: True, time + SLACK)
        return any("mlruns" in path.relative_to(folder).parts or path.name.startswith("mlflow.db") for path in stores)
    return False
