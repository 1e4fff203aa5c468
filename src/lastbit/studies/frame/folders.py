"""The folder of a study that begins, or goes on where it was left."""

from __future__ import annotations

import getpass
import os
import platform
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.core.words import command_text
from lastbit.store import StudyFolder, is_free
from lastbit.store.layout import read_json
from lastbit.tasks.config import is_task_file

__all__ = [
    "arms_of",
    "begin_study",
    "check_kind",
    "check_origin",
    "is_part_of_study",
    "new_folder",
    "numbered_folders",
    "other_arithmetic",
    "read_by",
    "refuse_changes",
    "stored_facts",
]


_PARTS = ("study.json", "result.json", "lock", "arrays", "checkpoints", "weights", "output")
"""What a study folder holds besides its database."""

_SAME_BITS = ("torch", "processor", "vector instructions", "gpu", "cudnn")
"""Facts of the environment without which a resumed study would not continue with the same bits."""


def new_folder(kind: str, name: str, out: str | Path | None) -> Path:
    """Return `out`, or by default the next free `lastbit-studies/KIND-NAME-NNN`.

    Args:
        kind: what sort of study it is.
        name: name of its task; characters other than letters, digits, `-` and `_` become hyphens;
            the first 50 count.
        out: the folder that was asked for, or None.
    """
    if out is not None:
        return Path(out)
    number = 1
    while (folder := Path(f"{_stem(kind, name)}-{number:03d}")).exists() and not (folder.is_dir() and is_free(folder)):
        number += 1
    return folder


def numbered_folders(kind: str, name: str) -> list[Path]:
    """Return the folders that `new_folder` gave studies of this name in this place, the latest first."""
    stem = Path(_stem(kind, name))
    found = (path for path in stem.parent.glob(f"{stem.name}-*") if path.name[len(stem.name) + 1 :].isdecimal())
    return sorted(found, key=lambda path: int(path.name[len(stem.name) + 1 :]), reverse=True)


def _stem(kind: str, name: str) -> str:
    # A file system takes 255 bytes of a name, and a character has up to four.
    return f"lastbit-studies/{kind}-" + "".join(c if c.isalnum() or c in "-_" else "-" for c in name)[:50]


def is_part_of_study(path: Path, studies: Collection[Path] = ()) -> bool:
    """Return whether a study keeps, or will keep, something of its own at this path.

    Args:
        path: a file, there or not.
        studies: folders that are one, or become one.
    """
    path = path.resolve()
    known = [study.resolve() for study in studies]
    for folder in (path.parent, path.parent.parent):
        if (folder / "study.json").exists() or folder in known:
            first = path.relative_to(folder).parts[0]
            return first.startswith("runs.sqlite") or first in _PARTS
    return False


def read_by(folder: Path) -> list[Path]:
    """Return the file or folders that the program of a study is read from; none where there is no study."""
    try:
        specs = arms_of(read_json(folder / "study.json")["spec"])
        named = [one["program"][name] for one in specs if "program" in one for name in ("task", "data_root")]
        return [Path(name.rpartition(":")[0] or name) for name in named if name]
    except (LastbitError, KeyError, TypeError, AttributeError):
        return []


def check_kind(folder: StudyFolder, kind: str, called: str) -> None:
    """Refuse a study of another kind.

    Raises:
        LastbitError: it is one.
    """
    found = folder.facts.get("kind")
    if found != kind:
        raise LastbitError(f"{folder.path} is a study of kind {found!r}, not {called}")


def stored_facts(kind: str, called: str, out: str | Path | None, resume: str | Path | None) -> dict[str, Any] | None:
    """Return what `study.json` says of the study that is to be resumed; None where one is to begin.

    Raises:
        LastbitError: both folders are named, or `resume` holds no study of this kind.
    """
    if resume is None:
        return None
    if out is not None:
        raise LastbitError("--out and --resume name the same thing: give --resume to continue, --out to begin")
    with StudyFolder.read(Path(resume)) as folder:
        check_kind(folder, kind, called)
        return folder.facts


def _owner() -> dict[str, str]:
    """Return who works here: the user and the computer."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a user without a name, as in some containers
        user = str(os.getuid()) if hasattr(os, "getuid") else ""
    return {"user": user, "host": platform.node()}


def check_origin(stored: Mapping[str, Any], folder: Path) -> None:
    """Refuse to run the task file that a study names which another user or another computer began.

    Args:
        stored: of `stored_facts`.
        folder: of the study.

    Raises:
        LastbitError: it is such a study; says which file would run.
    """
    begun, here = stored.get("owner"), _owner()
    if begun == here:
        return
    for spec in arms_of(stored["spec"]):
        task = str(spec.get("program", {}).get("task", ""))
        words = spec.get("command", {}).get("words", ())
        if words or is_task_file(task):
            _refuse_strangers(task, words, folder, begun, here)


def _refuse_strangers(task: str, words: Sequence[str], folder: Path, begun: Any, here: Mapping[str, str]) -> None:
    by = "an unknown user"
    if isinstance(begun, dict):
        by = f"{begun.get('user') or 'an unknown user'} on {begun.get('host') or 'an unknown computer'}"
    runs = command_text(map(str, words)) if words else Path(task.rpartition(":")[0] or task).absolute()
    raise LastbitError(
        f"{folder} was begun by {by}, not by {here['user']} on {here['host']}, and to resume it runs {runs}: read that "
        f"{'command' if words else 'file'}, then add --trust (in Python, trust=True)"
    )


def begin_study(
    facts: dict[str, Any], stored: Mapping[str, Any] | None, out: str | Path | None, resume: str | Path | None
) -> StudyFolder:
    """Make the folder of a study, or open the one to go on with.

    Args:
        facts: what `study.json` is to say.
        stored: of `stored_facts`.
        out: folder of a new study; the next free one where it is None.
        resume: folder to go on with, in place of `out`.

    Raises:
        LastbitError: the folder does not do, or the study was begun with other settings or arithmetic.
    """
    if resume is None or stored is None:
        return StudyFolder.create(new_folder(facts["kind"], facts["task"]["name"], out), {**facts, "owner": _owner()})
    refuse_changes(stored, facts, Path(resume))
    return StudyFolder.resume(Path(resume))


def arms_of(spec: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return what `study.json` says of each of a study's programs, given what it says of the study."""
    arms: Sequence[Mapping[str, Any]] = spec.get("arms", [spec])
    return arms


def _parts(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Yield what two studies say of the same thing, by its name."""
    pairs = [(before, after), *zip(before.get("arms", ()), after.get("arms", ()), strict=False)]
    for one, other in pairs:
        for part in {**one, **other}:
            said = one.get(part, {}), other.get(part, {})
            if all(isinstance(each, dict) for each in said):
                yield part, *said


def refuse_changes(stored: Mapping[str, Any], now: Mapping[str, Any], folder: Path, free: Collection[str] = ()) -> None:
    """Refuse to go on with a study under other settings, another task or another machine's arithmetic.

    Args:
        stored: what `study.json` says.
        now: what it would say of what is asked for.
        folder: of the study.
        free: settings that may be others.

    Raises:
        LastbitError: names the first that is another.
    """
    for part, before, after in _parts(stored["spec"], now["spec"]):
        for name in {**before, **after}:
            if before.get(name) != after.get(name) and name not in free:
                if (part, name) == ("command", "words"):
                    ran, asked = (command_text(map(str, one.get(name, ()))) for one in (before, after))
                    raise LastbitError(
                        f"{folder} was begun with the command {ran}, not {asked}: leave it out to resume, or start "
                        "another study with --out"
                    )
                flag = f"--{name.replace('_', '-')}"
                raise LastbitError(
                    f"{folder} was begun with {flag} {before.get(name)}, not {after.get(name)}: "
                    f"leave {flag} out to resume, or start another study with --out"
                )
    for name, digest in stored.get("sources", {}).items():
        if now["sources"].get(name) != digest:
            what = "command" if "command" in stored["spec"] else "task"
            raise LastbitError(
                f"{name}, of the {what} of {folder}, is not what it was when the study was begun: put it back as it "
                "was, or start another study with --out"
            )
    if stored["spec"].get("fingerprint") != now["spec"]["fingerprint"]:
        raise LastbitError(
            f"the task of {folder} is no longer the one it was begun with (its initial weights, data or sizes differ): "
            "put the task back as it was, or start another study with --out"
        )
    other = other_arithmetic(stored["environment"], now["environment"])
    if other is not None:
        before, after = stored["environment"].get(other), now["environment"].get(other)
        raise LastbitError(
            f"{folder} was begun with {other} {before!r}, here it is {after!r}, and the bits would differ: "
            "resume it where it was begun, or start another study with --out"
        )


def other_arithmetic(before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
    """Return the first fact in which two environments differ so that bits would; None where there is none."""
    return next((name for name in _SAME_BITS if before.get(name) != after.get(name)), None)
