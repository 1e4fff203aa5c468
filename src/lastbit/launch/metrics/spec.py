"""Which number is a run's result, and where it is read: what the flags `--metric...` say."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal, get_args

from lastbit.core.errors import LastbitError, choose
from lastbit.launch.metrics.pattern import check_pattern
from lastbit.launch.metrics.series import last_values

__all__ = ["FLAGS", "MetricSpec", "Reader", "metric_specs"]

Reader = Literal["name", "pattern", "file", "tag", "mlflow"]

FLAGS: dict[str, str] = {
    "name": "--metric",
    "pattern": "--metric",
    "file": "--metric-file",
    "tag": "--metric-tag",
    "mlflow": "--metric-mlflow",
}
"""The flag of each reader."""


@dataclass(frozen=True, kw_only=True)
class MetricSpec:
    r"""One metric of a program.

    Attributes:
        name: what it is called in tables.
        reader: where it is read: "name" and "pattern" in the lines of stdout, "file" in a JSON, JSON lines or CSV file,
            "tag" in TensorBoard's event files, "mlflow" in MLflow's store.
        argument: the name; the pattern (without slashes); PATH:key.path; the tag; the key.
        of: which value of a series counts: "last", "best" or "mean:N".
        higher_is_better: which way is better; None where it was not said.
        unit: printed after the number; "" takes what the program prints.

    Raises:
        LastbitError: one line that says what to write instead.

    Example:
        >>> MetricSpec(name="acc", reader="pattern", argument=r"acc=(\S+)").flag
        "--metric '/acc=(\\S+)/'"
    """

    name: str
    reader: Reader
    argument: str
    of: str = "last"
    higher_is_better: bool | None = None
    unit: str = ""

    def __post_init__(self) -> None:
        """Reject what no run could answer."""
        choose(self.reader, get_args(Reader), "reader of a metric")
        if not self.argument.strip() or any(character in self.argument for character in "\n\r\0"):
            raise LastbitError(f"{FLAGS[self.reader]} {self.argument!r}: write {_FORMS[self.reader]}")
        if self.reader == "pattern":
            check_pattern(self.argument)
        if self.reader == "file":
            file_and_key(self.argument)
        if last_values(self.of) is None and self.higher_is_better is None:
            raise LastbitError("--metric-of best needs --better higher or --better lower")

    @property
    def flag(self) -> str:
        """The flag as it is typed."""
        text = f"/{self.argument}/" if self.reader == "pattern" else self.argument
        return f"{FLAGS[self.reader]} {quoted(text)}"


_FORMS: dict[str, str] = {
    "name": "the name that the lines carry, as in --metric val_acc, or a pattern between slashes",
    "pattern": "a pattern with one group between slashes, as in --metric '/acc=(\\S+)/'",
    "file": "PATH:key.path, as in --metric-file out.json:test.acc, or for CSV PATH:column",
    "tag": "a scalar's tag, as in --metric-tag loss/val",
    "mlflow": "a metric's key, as in --metric-mlflow val_acc",
}


def quoted(text: str) -> str:
    """Return a word of a command line: quoted where a shell would read something into it."""
    plain = text and all(character.isalnum() or character in "_-./:@%+=," for character in text)
    return text if plain else "'" + text.replace("'", "'\"'\"'") + "'"


def file_and_key(argument: str) -> tuple[str, str]:
    """Split PATH:key.path at the last colon.

    Raises:
        LastbitError: there is no path or no key.
    """
    path, _, key = argument.rpartition(":")
    # What follows the colon of a drive is a path.
    drive = len(path) == 1 and key[:1] in ("\\", "/")
    if not path.strip() or not key.strip() or drive:
        raise LastbitError(f"--metric-file {argument!r} names no key: write {_FORMS['file']}")
    return path, key


def metric_specs(
    *,
    metric: Sequence[str] = (),
    metric_file: Sequence[str] = (),
    metric_tag: Sequence[str] = (),
    metric_mlflow: Sequence[str] = (),
    metric_of: Sequence[str] = (),
    better: Sequence[str] = (),
) -> tuple[MetricSpec, ...]:
    """Return what the flags ask for, in the order of the parameters: the first is the verdict's.

    Args:
        metric: names, or patterns between slashes.
        metric_file: PATH:key.path.
        metric_tag: tags.
        metric_mlflow: keys.
        metric_of: which value counts: one for all metrics, or one for each; "last" where none is given.
        better: "higher" or "lower": one for all metrics, or one for each.

    Raises:
        LastbitError: one of them does not fit, or a metric is given twice.

    Example:
        >>> [spec.name for spec in metric_specs(metric=["val_acc"], metric_file=["out.json:test.loss"])]
        ['val_acc', 'test.loss']
    """
    given = [_stdout_argument(text) for text in metric]
    given += [("file", text) for text in metric_file]
    given += [("tag", text) for text in metric_tag]
    given += [("mlflow", text) for text in metric_mlflow]
    for (reader, argument), times in Counter(given).items():
        if times > 1:
            raise LastbitError(f"{FLAGS[reader]} {argument} is given {times} times: give each metric once")
    ofs = _for_each(metric_of, len(given), "--metric-of")
    ways = [
        None if way is None else choose(way, ("higher", "lower"), "--better") == "higher"
        for way in _for_each(better, len(given), "--better")
    ]
    specs = [
        MetricSpec(
            name=_name(reader, argument), reader=reader, argument=argument, of=of or "last", higher_is_better=way
        )
        for (reader, argument), of, way in zip(given, ofs, ways, strict=True)
    ]
    # Two columns of a table never have the same heading.
    names = Counter(spec.name for spec in specs)
    specs = [spec if names[spec.name] == 1 else replace(spec, name=spec.flag) for spec in specs]
    return tuple(specs)


def _stdout_argument(text: str) -> tuple[Reader, str]:
    if len(text) > 1 and text[0] == text[-1] == "/":
        return "pattern", text[1:-1]
    if text.startswith("/"):
        raise LastbitError(f"--metric {text!r} is a pattern without its end: write '{text}/'")
    return "name", " ".join(text.split())


def _name(reader: Reader, argument: str) -> str:
    if reader == "pattern":
        # What does not compile is refused, in words, where the spec is made.
        with suppress(re.error):
            return next(iter(re.compile(argument).groupindex), f"/{argument}/")
        return argument
    return file_and_key(argument)[1] if reader == "file" else argument


def _for_each(given: Sequence[str], metrics: int, flag: str) -> list[str | None]:
    if len(given) not in (0, 1, metrics):
        raise LastbitError(
            f"{flag} is given {len(given)} times for {metrics} metrics: give one for all, or one for each"
        )
    return [given[0] if len(given) == 1 else given[i] if given else None for i in range(metrics)]
