"""Files that a command writes besides its study, checked before anything is trained."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from json import dumps
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from lastbit.core.errors import LastbitError
from lastbit.core.terminal import printed_aside, say, write
from lastbit.core.words import capitalised

if TYPE_CHECKING:
    from lastbit.studies.frame.study import Study
    from lastbit.studies.gate.answer import GateAnswer

__all__ = [
    "JSON_HELP",
    "JsonWriter",
    "check_folder",
    "check_writable",
    "hand_over",
    "json_alone",
    "present",
    "text_alone",
    "write_json",
    "write_text",
]

JSON_HELP = "Write the whole result to this file too, or with - alone to standard output."

_OTHER_FORMS = (".csv", ".tsv", ".parquet", ".nc", ".html", ".xlsx")
"""Names behind which nobody, and no reader of metrics, looks for JSON."""

JsonWriter: TypeAlias = Callable[[Mapping[str, Any]], Path | None]
"""Writes a result as JSON and returns the file that it wrote, if it was one."""


def present(
    study: Study[Any] | GateAnswer,
    *,
    report: Path | None = None,
    json: JsonWriter | None = None,
    export: Path | None = None,
    figures: Path | None = None,
    texts: Mapping[str, Path] = MappingProxyType({}),
    quiet: bool = False,
) -> None:
    """Draw the report of a study, write the other files that were asked for, print what it says and where they lie.

    Args:
        study: the study, or what a session of candidates says.
        report: its report; by default where `Study.report` puts it.
        json: writes the whole result.
        export: file for the runs as a table; of studies alone.
        figures: folder for every figure.
        texts: files for what methods of the study return as text, by their names.
        quiet: print the verdict alone.

    Raises:
        LastbitError: a file cannot be written; the others are, and the answer is printed.
    """
    files: dict[str, Callable[[], Path | None]] = {"report": lambda: study.report(report)}
    if json is not None:
        files["JSON"] = lambda: json(study.to_json())
    if export is not None:
        of_study = cast("Study[Any]", study)
        files["table"] = lambda: of_study.export(export)
    if figures is not None:
        files["figures"] = lambda: figures if study.save_figures(figures) else None
    for name, path in texts.items():
        files[name] = partial(write_text, path, getattr(study, name), f"--{name}")
    hand_over(files, study.verdict, study.print_summary, quiet)


def hand_over(
    files: Mapping[str, Callable[[], Path | None]], verdict: str, show: Callable[[], None], quiet: bool
) -> None:
    """Write every file first and print last: an answer that cannot be shown is not lost.

    Args:
        files: what writes each and returns where, None where it is no file, by what it is called.
        verdict: printed alone where `quiet`.
        show: prints the whole answer.
        quiet: whether to print the verdict alone.

    Raises:
        LastbitError: the first file that cannot be written; the others are, and the answer is printed.
    """
    paths, failed = {}, []
    for name, save in files.items():
        try:
            if (path := save()) is not None:
                paths[name] = path
        except LastbitError as error:
            failed.append(error)
    if quiet:
        say(capitalised(verdict))
    else:
        show()
        width = max(map(len, paths), default=0)
        for name, path in paths.items():
            say(f"{name:<{width}}  {path}")
    if failed:
        raise failed[0]


def check_writable(
    *targets: Path | None,
    reads: Iterable[str | Path | None] = (),
    studies: Iterable[Path] = (),
    instead: str = "file",
) -> None:
    """Refuse files that could not be written at the end, or must not be; None stands for what was not asked for.

    Args:
        targets: the files.
        reads: files that the command reads, and folders whose files it may read.
        studies: folders of the studies that it makes or reads.
        instead: what another is to be named of.

    Raises:
        LastbitError: a folder is missing or cannot be written, the name is a folder's, or writing there would
            overwrite an input, a part of a study, or the other file.
    """
    written: list[Path] = []
    read = [Path(one) for one in reads if one]
    for target in [one for one in targets if one is not None and str(one) != "-"]:
        try:
            _check_place(target, instead)
            _check_content(target, read, list(studies), instead)
        except OSError as error:
            raise LastbitError(f"cannot write {target} ({error.strerror or error}): name another {instead}") from None
        if target.resolve() in written:
            raise LastbitError(f"two files are to be written to {target}: name another for one of them")
        written.append(target.resolve())


def check_folder(target: Path, studies: Iterable[Path] = ()) -> None:
    """Refuse a folder that could not be written to at the end, or must not be.

    Args:
        target: the folder, there or not.
        studies: folders of the studies that the command reads.

    Raises:
        LastbitError: it is a file, a study's own or one that cannot be made or written to.
    """
    written = target
    with suppress(OSError):  # of a name that is none for a folder, which is told below
        if target.is_dir():
            written = target / "x"  # as if a file were written into it: nothing that a study keeps lies there then
        elif target.exists():
            raise LastbitError(f"{target} is a file: name a folder for the figures")
    check_writable(written, studies=studies, instead="folder")


def _check_place(target: Path, instead: str) -> None:
    folder = target.absolute().parent
    if target.is_dir():
        raise LastbitError(f"{target} is a folder: name a file in it")
    if not folder.is_dir():
        raise LastbitError(
            f"cannot write {target}: the folder {folder} does not exist; make it, or name another {instead}"
        )
    if not os.access(target if target.exists() else folder, os.W_OK):
        raise LastbitError(f"cannot write {target}: no permission; name another {instead}")


def _check_content(target: Path, reads: list[Path], studies: list[Path], instead: str) -> None:
    """Refuse a file whose content is somebody else's."""
    from lastbit.studies.frame.folders import is_part_of_study, read_by

    if is_part_of_study(target, studies):
        raise LastbitError(f"{target} is a part of a study, which would be lost: name another {instead}")
    if not target.exists():
        return
    for one in [*reads, *(name for study in studies for name in read_by(study))]:
        if one.exists() and (one.samefile(target) or (one.is_dir() and target.resolve().is_relative_to(one.resolve()))):
            raise LastbitError(f"{target} is what this command reads, and would be overwritten: name another {instead}")


@contextmanager
def json_alone(json: Path | None) -> Iterator[JsonWriter | None]:
    """Return what writes a result as JSON, None where none was asked for.

    With `-` it is written to standard output when the block ends, and all else that is printed in the block goes to
    standard error, so that a program can read the one.

    Raises:
        LastbitError: the file has the name of another form.
    """
    if json is not None and json.suffix.lower() in _OTHER_FORMS:
        raise LastbitError(
            f"--json {json} would be JSON under the name of something else: write --json {json.with_suffix('.json')}; "
            "lastbit report DIR --export FILE.csv writes the runs as a table"
        )
    if json is None or str(json) != "-":
        yield None if json is None else partial(write_json, json)
        return
    results: list[Mapping[str, Any]] = []
    with text_alone(lambda: [dumps(result, indent=2, allow_nan=False) + "\n" for result in results]):
        yield results.append


@contextmanager
def text_alone(texts: Callable[[], Iterable[str]]) -> Iterator[None]:
    """Write texts to standard output when the block ends, where all that is printed in it goes to standard error.

    Where the block raises, standard output stays empty.

    Args:
        texts: asked for when the block has ended.
    """
    with printed_aside():
        yield
    for text in texts():
        # Escapes: valid whatever the encoding of the stream is, and nothing that a terminal would obey.
        write(text, sys.stdout)


def write_json(target: Path, result: Mapping[str, Any]) -> Path:
    """Write a result as JSON.

    Raises:
        LastbitError: the file cannot be written.
    """
    return write_text(target, lambda: dumps(result, indent=2, allow_nan=False, ensure_ascii=False) + "\n", "--json")


def write_text(target: Path, text: Callable[[], str], flag: str) -> Path:
    """Write what a result says as text.

    Raises:
        LastbitError: the file cannot be written; names the flag.
    """
    try:
        # What UTF-8 has no bytes for, half of a surrogate pair in a damaged name, has an escape in JSON.
        target.write_bytes(text().encode(errors="backslashreplace"))
    except OSError as error:
        raise LastbitError(f"cannot write {target} ({error.strerror}): name another file with {flag}") from None
    return target
