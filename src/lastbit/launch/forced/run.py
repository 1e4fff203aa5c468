"""A program put onto the trajectory of another, beside runs of that other one that tell what rounding alone does."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from lastbit.core.errors import LastbitError
from lastbit.launch.command import CommandRun, what_became_of
from lastbit.launch.forced.folder import is_done, made
from lastbit.launch.forced.moment import STEPPED
from lastbit.launch.forced.record import RECORD, read_about, save_record, unpack
from lastbit.launch.forced.rows import read_rows
from lastbit.launch.forced.table import ForcedTable, merged
from lastbit.launch.pair.call import Call
from lastbit.launch.process import Launched, launched
from lastbit.launch.settings import Launch

__all__ = ["ForcedRun", "Side", "run_against", "run_forced", "run_moved", "run_staircase"]

LAST = 10.0
"""Seconds that a run is given to end by itself once it is no longer compared."""

_STAIR = 2.0**-18
"""By which weights move, relative to themselves, where formats are told apart: 32 bits' worth of float32."""

_QUIET = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
"""Threads that wait leave the processors to the other runs; what they compute is the same."""


@dataclass(frozen=True)
class Side:
    """A program, and what its environment has besides."""

    program: Sequence[str] | Call
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the program, for messages."""
        return self.program.name if isinstance(self.program, Call) else " ".join(self.program)


@dataclass(frozen=True, eq=False)
class ForcedRun:
    """What a candidate and the other followers differed by from the reference that they were put onto."""

    candidate: ForcedTable
    control: ForcedTable | None
    """The reference's own program."""
    jitters: tuple[ForcedTable, ...]
    """The reference's own program at weights that are moved by a bit."""
    double: ForcedTable | None
    """The reference's own program, each operation computed in float64."""
    staircase: tuple[ForcedTable, ForcedTable] | None
    """Of `run_staircase`, where it was run."""
    became: Mapping[str, CommandRun]
    """Of each run, by its role."""
    seconds: float
    timed_out: bool = False


@dataclass(frozen=True)
class Follow:
    """A follower: a program, and how it is put onto the reference."""

    role: str
    side: Side
    light: bool = True
    """Whether only what a forward and backward pass gives is compared."""
    jitter: tuple[float | None, int] | None = None
    """Size and seed, as of `Jitter`."""
    double: bool = False


@dataclass(frozen=True)
class Ran:
    """What an exchange left."""

    tables: Mapping[str, ForcedTable]
    became: Mapping[str, CommandRun]
    timed_out: bool


def run_forced(
    reference: Side,
    candidate: Side,
    launch: Launch,
    *,
    jitters: int = 4,
    double: bool = True,
    every: int = 1,
    objects: Sequence[str] = (),
    control: bool = True,
    record: Path | None = None,
    progress: Callable[[str], None] = lambda said: None,
) -> ForcedRun:
    """Run a reference and its followers at once, each put onto the reference at every step.

    Whatever they started has ended when this returns or raises; it ends too where this process is killed.

    Args:
        reference: the program that leads.
        candidate: the program that is held against it.
        launch: how all are run; its folder takes one for each, and its time is that of all together.
        jitters: runs of the reference at weights moved by a bit.
        double: whether the reference runs in float64, operation by operation, too.
        every: steps between two that are compared and put back.
        objects: variables whose tensors are compared and put back too, as `FILE:NAME,NAME`.
        control: whether the reference's program is put onto itself too.
        record: a file to keep the reference in, for `run_against`.
        progress: told what is being done.

    Raises:
        LastbitError: there is no such program, lastbit would not be reached in it, it fails or makes no optimizer step,
            or both train tensors of other names or shapes.
    """
    began = time.monotonic()
    follows = [Follow("candidate", candidate, light=False)]
    if control:
        follows.append(Follow("control", reference, light=False))
    follows += [Follow(f"jitter-{place + 1}", reference, jitter=(None, place)) for place in range(jitters)]
    if double:
        follows.append(Follow("double", reference, double=True))
    progress(f"running the reference, and onto it {', '.join(one.role for one in follows)}")
    with Exchange(launch.folder, every=every, objects=objects, keeps=record is not None) as exchange:
        ran = exchange.run(reference, follows, launch)
        if record is not None and not ran.timed_out:
            save_record(record, exchange.folder, reference.name, ran.tables, every=every, objects=objects)
    return _forced(ran, time.monotonic() - began)


def run_staircase(
    reference: Side, candidate: Side, launch: Launch, *, every: int = 1
) -> tuple[ForcedTable, ForcedTable]:
    """Return `run_moved` of two programs.

    Raises:
        LastbitError: as `run_forced`.
    """
    return (
        run_moved(reference, launch.into("staircase-reference"), every=every),
        run_moved(candidate, launch.into("staircase-candidate"), every=every),
    )


def run_moved(side: Side, launch: Launch, *, every: int = 1) -> ForcedTable:
    """Return how far a program's gradients move where its weights move by 2^-18, along its own run.

    In a format of few bits, weights that are rounded move by a whole step of it or not at all, and so do gradients.

    Raises:
        LastbitError: as `run_forced`.
    """
    with Exchange(launch.folder, every=every, objects=(), keeps=False) as exchange:
        return exchange.run(side, [Follow("staircase", side, jitter=(_STAIR, 0))], launch).tables["staircase"]


def run_against(
    record: Path, candidate: Side, launch: Launch, *, progress: Callable[[str], None] = lambda said: None
) -> ForcedRun:
    """Run a candidate put onto a reference that was recorded, on this machine or on another.

    Args:
        record: what `run_forced` wrote.
        candidate: the program that is held against it.
        launch: how it is run.
        progress: told what is being done.

    Raises:
        LastbitError: it is no record, or as `run_forced`.
    """
    began = time.monotonic()
    about = read_about(record)
    progress("running the candidate, put onto the record")
    options = {"every": about["every"], "objects": about["objects"], "keeps": True}
    with Exchange(launch.folder, **options) as exchange:
        tables = unpack(record, exchange.folder, "candidate")
        ran = exchange.run_on(Follow("candidate", candidate, light=False), about["reference"], launch)
    return _forced(replace(ran, tables={**tables, **ran.tables}), time.monotonic() - began)


def _forced(ran: Ran, seconds: float) -> ForcedRun:
    tables = ran.tables
    jitters = tuple(table for role, table in sorted(tables.items()) if role.startswith("jitter-"))
    return ForcedRun(
        tables["candidate"],
        tables.get("control"),
        jitters,
        tables.get("double"),
        None,
        ran.became,
        seconds,
        ran.timed_out,
    )


class Exchange:
    """The folder through which programs are put onto one another, while it is entered.

    Args:
        folder: in which it is made.
        every: steps between two that are compared.
        objects: as of `run_forced`.
        keeps: whether messages are kept.
    """

    def __init__(self, folder: Path, *, every: int, objects: Sequence[str], keeps: bool) -> None:
        self.folder = folder.absolute() / "exchange"
        self._keeps = keeps
        self._told = {"exchange": str(self.folder), "every": every, "objects": list(objects)}

    def __enter__(self) -> Self:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        return self

    def __exit__(self, *error: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, reference: Side, follows: Sequence[Follow], launch: Launch) -> Ran:
        """Run a reference with its followers, and read what they wrote.

        Raises:
            LastbitError: one failed by itself, made no optimizer step, or trains something else.
        """
        made(self.folder, [one.role for one in follows])
        record = str(self.folder / RECORD) if self._keeps else None
        lead = {"role": "reference", "followers": [one.role for one in follows], "record": record}
        with ExitStack() as stack:
            runs = {"reference": stack.enter_context(_launched(reference, launch.into("reference"), self._told | lead))}
            for one in follows:
                runs[one.role] = stack.enter_context(self._following(one, launch, keeps=False))
            _wait(runs, self.folder, launch.timeout)
            stopped = {role for role, run in runs.items() if not run.over}
        names = {"reference": reference.name} | {one.role: one.side.name for one in follows}
        return _left(runs, stopped, self.folder, names)

    def run_on(self, follow: Follow, reference: str, launch: Launch) -> Ran:
        """Run a follower of messages that lie there, and read what it wrote.

        Raises:
            LastbitError: as of `run`.
        """
        with self._following(follow, launch, keeps=True) as one:
            runs = {follow.role: one}
            _wait(runs, self.folder, launch.timeout)
            stopped = set() if one.over else {follow.role}
        return _left(runs, stopped, self.folder, {follow.role: follow.side.name, "reference": reference})

    def _following(self, one: Follow, launch: Launch, *, keeps: bool) -> AbstractContextManager[Launched]:
        told = {"role": one.role, "light": one.light, "jitter": one.jitter, "double": one.double, "keeps": keeps}
        return _launched(one.side, launch.into(one.role), self._told | told)


def _launched(side: Side, launch: Launch, told: Mapping[str, Any]) -> AbstractContextManager[Launched]:
    """Run one program with its part in the exchange."""
    held = dict(os.environ if launch.environment is None else launch.environment)
    settings = launch.settings
    if side.env.keys() & {"OMP_NUM_THREADS", "MKL_NUM_THREADS"}:
        settings = replace(settings, threads=None)
    mine = replace(launch, settings=settings, environment=_QUIET | held | dict(side.env))
    given = side.program.given() if isinstance(side.program, Call) else None
    words = side.program.words if isinstance(side.program, Call) else side.program
    return launched(words, mine, told={"forced": dict(told)}, given=given)


def _wait(runs: Mapping[str, Launched], folder: Path, timeout: float | None) -> None:
    """Wait until all have ended or have no more to say, or the time runs out."""
    deadline = None if timeout is None else time.monotonic() + timeout
    done: dict[str, float] = {}
    while True:
        over = {role for role, run in runs.items() if run.over}
        now = time.monotonic()
        for role in runs.keys() - {"reference"}:
            inbox = folder / "inbox" / role
            if role in over:  # nobody waits for it any more
                shutil.rmtree(inbox, ignore_errors=True)
            elif "reference" in over:
                (inbox / "over").touch()
            if is_done(folder, role):
                done.setdefault(role, now)
        said = {role for role, since in done.items() if now - since > LAST}
        if runs.keys() - over <= said or any(folder.glob("refused-*")):
            return
        if deadline is not None and now > deadline:
            for role in runs.keys() - over:
                runs[role].timed_out = True
            return
        time.sleep(0.02)


def _left(runs: Mapping[str, Launched], stopped: set[str], folder: Path, names: Mapping[str, str]) -> Ran:
    """Return what the runs left, when all have ended.

    Raises:
        LastbitError: one failed by itself, made no optimizer step, or trains something else.
    """
    became = {role: what_became_of(run) for role, run in runs.items()}
    timed_out = any(run.timed_out for run in became.values())
    if said := [path.read_text("utf-8") for path in folder.glob("refused-*")]:
        raise LastbitError(f"{names['candidate']} trains other tensors than {names['reference']}: {said[0]}")
    for role, run in became.items():
        if role == "double":  # without it less is known of rounding, and that is said
            continue
        if run.exit_code and role not in stopped:
            moved = role.startswith(("jitter", "staircase"))
            how = "fails where its weights are moved by a bit" if moved else "failed by itself"
            raise LastbitError(f"{names[role]} {how} ({run.ended_with}): {run.last_line}")
        if run.troubles:
            raise LastbitError(f"lastbit cannot work inside {names[role]}: {run.troubles[0]}")
        if role in stopped:
            continue
        run.check_steps(int((runs[role].records / STEPPED).exists()), names[role])
    return Ran({role: _table(runs[role].records) for role in runs if role != "reference"}, became, timed_out)


def _table(records: Path) -> ForcedTable:
    """Return what the processes of a run wrote."""
    paths = sorted(records.glob("rows-*.jsonl"))
    return merged([(path.stem.removeprefix("rows-process_").removeprefix("rows-"), read_rows(path)) for path in paths])
