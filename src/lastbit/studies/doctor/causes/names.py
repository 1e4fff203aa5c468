"""Files whose names are drawn at random, so that the order of the names is another in each run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from lastbit.launch.pair.tapes import Line, Tap
from lastbit.studies.doctor import interventions
from lastbit.studies.doctor.causes.case import Case, Row
from lastbit.studies.doctor.evidence import Hint

__all__ = ["RANDOM_NAMES"]


def _random_names(case: Case) -> Hint | None:
    """Return the line that names the files, where each run lists as many and reads others, which it made itself."""
    runs = [tape.taps for tape in case.found.step.tapes]
    if case.hint("file", "folder", "entropy") is None or case.root.kind == "draw" or not _listed_others(*runs):
        return None
    read = [{_stem(path) for path, _ in _files(taps, written=False)} for taps in runs]
    alone = read[0] - read[1]
    if not alone or not read[1] - read[0]:
        return None
    made = next((tap for path, tap in _files(runs[0], written=True) if _stem(path) in alone), None)
    made = made or _drawn(case)
    return None if made is None else Hint("names", made.line, made.said, 0.0, made)


def _files(taps: Sequence[Tap], *, written: bool) -> Iterable[tuple[Path, Tap]]:
    for tap in taps:
        path, _, said = tap.said.rpartition(": ")
        if tap.kind == "file" and (said == "written") is written:
            yield Path(path), tap


def _stem(path: Path) -> str:
    """Return a name without its endings: a file is often written under another one, and renamed once it is whole."""
    return path.name.lstrip(".").partition(".")[0]


def _listed_others(first: Sequence[Tap], second: Sequence[Tap]) -> bool:
    """Tell whether a line listed as many names in each run, several, and others."""
    ours, theirs = _listings(first), _listings(second)
    return any(
        ours[line][0] == theirs[line][0] not in ("0", "1") and ours[line][1] != theirs[line][1]
        for line in ours.keys() & theirs.keys()
    )


def _listings(taps: Sequence[Tap]) -> dict[Line | None, tuple[str, str]]:
    """Return how many names lines listed, and the digest of these whatever their order."""
    told = {tap.line: tap.said.rpartition(": ")[2] for tap in taps if tap.kind == "folder"}
    return {line: (said.partition(" ")[0], said.rpartition(", names crc32 ")[2]) for line, said in told.items()}


def _drawn(case: Case) -> Tap | None:
    """Return what asked for entropy most often before."""
    place = case.found.step.count, case.found.place
    taps = [tap for tap in case.met if tap.kind == "entropy" and (tap.count > 1 or (tap.step, tap.op) <= place)]
    return max(taps, key=lambda tap: tap.count, default=None)


RANDOM_NAMES = Row(
    "random-names",
    "Files get random names, and are taken in the order of these, which is another in each run.",
    'Name each file by the number of its part, as in f"part{number:05}.pt", or keep a list of them in their order.',
    interventions.NAMES,
    _random_names,
)
