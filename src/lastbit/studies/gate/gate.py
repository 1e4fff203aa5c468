"""`lb.gate`: keep or discard one candidate of many, with a ledger that makes the whole session honest."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import torch

from lastbit.core.config import validated
from lastbit.core.errors import LastbitError, choose
from lastbit.core.keywords import takes
from lastbit.core.terminal import say
from lastbit.core.threads import needs_threads
from lastbit.core.threads import threads as torch_threads
from lastbit.core.words import command_text
from lastbit.report.formatting import plural
from lastbit.store import Ledger
from lastbit.studies.frame.asked import Asked
from lastbit.studies.frame.cluster import on_cluster
from lastbit.studies.frame.execution import Interrupted
from lastbit.studies.frame.result import Verdict
from lastbit.studies.frame.settings import command_words
from lastbit.studies.frame.sources import sources_of
from lastbit.studies.frame.study import Study
from lastbit.studies.gate.answer import GateAnswer
from lastbit.studies.gate.contender import Contender, contender
from lastbit.studies.gate.decide import Decider
from lastbit.studies.gate.measured import Measured, read_baseline
from lastbit.studies.gate.result import session_row
from lastbit.studies.gate.session import default_folder, joined, stored_session, the_only_session
from lastbit.studies.gate.session_runs import SessionRuns
from lastbit.studies.gate.settings import GateSettings, RunSettings, gate_keywords
from lastbit.studies.gate.verdict import gate_verdict, session_verdict
from lastbit.tasks import Task
from lastbit.tasks.config import is_task_file
from lastbit.tasks.registry import TASKS

__all__ = ["gate", "gate_status"]

Baseline: TypeAlias = str | Path | Study[Any] | Sequence[str]
Candidate: TypeAlias = str | Sequence[str]


@takes(gate_keywords())
def gate(
    baseline: Baseline,
    candidate: Candidate,
    *,
    ledger: str | Path | None = None,
    quiet: bool = False,
    **settings: Any,
) -> GateAnswer:
    """Decide whether one candidate of many is kept, discarded or undecided, against a baseline.

    A ledger holds the session: of all its keeps at most 5% are false in expectation. A candidate that is kept is the
    baseline of those after it. The same call again goes on where it was stopped, or returns what was decided.

    Args:
        baseline: the first baseline of the session: the text of a task with its options (`"digits --lr 0.1"`) or of a
            command (`"python train.py --seed {seed}"`), the words of a command as a list, `"FILE.py:FUNCTION"`, or an
            audit of one, whose runs are then read.
        candidate: likewise, but for the audit.
        ledger: folder of the session; beside the audit, or `lastbit-studies/gate-NAME`, by default.
        quiet: show no progress.
        **settings: of the session and of its runs.

    Returns:
        The answer: `verdict_kind` is `keep`, `discard` or `undecided`, `comparison` has the numbers.

    Raises:
        LastbitError: a program or a setting is invalid; the session is another's, or all candidates that it declared
            were compared; a program makes no optimizer step.

    Example:
        >>> from lastbit import gate
        >>> answer = gate("digits", "digits --lr 0.02", candidates=20)  # doctest: +SKIP
        >>> answer.verdict_kind  # doctest: +SKIP
        'discard'
    """
    known = [one.name for one in gate_keywords()]
    given = {choose(name, known, "setting"): value for name, value in settings.items() if value is not None}
    own = validated(GateSettings, {n: given.pop(n) for n in [*given] if n in GateSettings.model_fields}, flag="--")
    how = validated(RunSettings, {n: given.pop(n) for n in [*given] if n in RunSettings.model_fields}, flag="--")
    threads = given.pop("threads", None)
    asked = Asked(threads=threads, **how.model_dump())
    path = _audit(baseline)
    measured = None if path is None else read_baseline(path)
    if measured is not None:
        measured = measured.under({**given, "threads": threads})
        given = {**measured.settings_for(given), **given}
    first = contender(measured.text, given, measured.folder) if measured else contender(_text(baseline), given)
    one = contender(_text(candidate), given)
    _check(first, one, measured)
    folder = Path(ledger) if ledger is not None else default_folder(path, first.name)
    before = stored_session(folder)
    count = threads or (before.facts["threads"] if before else None) or _threads(first, measured, asked)

    def tell(said: str) -> None:
        if not quiet:
            say(said, error=True)

    with on_cluster(asked, first.plan.device, count) as room, joined(folder, first, own, count) as held:
        if before is None:
            tell(f"a session of {plural(held.status().declared, 'candidate')} begins in {folder}")
            if measured is not None and measured.remark:
                tell(measured.remark)
        runs = SessionRuns(folder=folder, asked=asked, threads=count, room=room, tell=tell)
        decider = Decider(ledger=held, baseline=first, settings=given, measured=measured, runs=runs, tell=tell)
        try:
            with closing(runs):
                claim = decider.decide(one, again=own.again)
        except KeyboardInterrupt:
            raise Interrupted("stopped; finished runs are safe, and the same command goes on from them") from None
        except LastbitError:
            held.withdraw()
            raise
        session = session_row(folder, held.status())
    was = claim.decision is not None
    said = gate_verdict(session, claim.candidate, before=was)
    shown = first.text if path is None else str(path)
    options = ["--baseline", shown, "--ledger", str(folder), *_options(own, given, measured)]
    command = command_text(["lastbit", "gate", *options, "--", *shlex.split(one.text)])
    return GateAnswer(said=said, session=session, command=command, candidate=claim.candidate, before=was)


def _audit(baseline: Any) -> Path | None:
    """Return the folder of a baseline that was measured before; None of a program.

    Raises:
        LastbitError: it is a word that is neither.
    """
    if isinstance(baseline, Study):
        return baseline.path
    if isinstance(baseline, Path) or (isinstance(baseline, str) and _is_folder(baseline)):
        return Path(baseline)
    if isinstance(baseline, str) and len(baseline.split()) == 1:
        word = baseline.strip()
        if word not in TASKS and not is_task_file(word) and not word.endswith(".py") and shutil.which(word) is None:
            raise LastbitError(
                f"the baseline {word!r} is neither a folder nor a command: name an audit's folder, a task, or a "
                "command in quotes, 'python train.py --seed {seed}'"
            )
    return None


def _is_folder(text: str) -> bool:
    try:
        return bool(text) and Path(text).is_dir()
    except (OSError, ValueError):  # a command that is longer than any name
        return False


def _text(program: Any) -> str:
    """Return a program as text.

    Raises:
        LastbitError: it stands in this process alone, or there is none.
    """
    if isinstance(program, list | tuple) and program and all(isinstance(word, str) for word in program):
        return command_text(program)
    if isinstance(program, str):
        return program
    if isinstance(program, list | tuple):
        raise LastbitError("there is no program: write it behind --, as in -- python train.py --seed {seed}")
    raise LastbitError(
        "a session outlives this process, which a function or a Task of it does not: give a command, a task with its "
        "options, or FILE.py:FUNCTION"
    )


def _check(first: Contender, one: Contender, measured: Measured | None) -> None:
    """Refuse what cannot be run or not be compared, before anything is claimed.

    Raises:
        LastbitError: a program is missing or fails at once, takes no seed, or is measured by something else.
    """
    now = sources_of(first.plan.program) if measured else {}
    for name, digest in measured.sources.items() if measured else ():
        if now.get(name, digest) != digest:
            raise LastbitError(
                f"{name} is not what it was when {measured.path if measured else ''} was made: put it back as it was, "
                "or give the command as the baseline"
            )
    for each in (first, one):
        if not each.seeded:
            raise LastbitError(
                f"no seed reaches {each.text}, so that all its runs would be one: write {{seed}} where it takes its "
                "seed, or give --reseed"
            )
    ours, theirs = first.measure, one.measure
    if (ours.metric, ours.unit) != (theirs.metric, theirs.unit):
        raise LastbitError(
            f"the baseline is measured by {ours.metric or 'what it returns'} and the candidate by "
            f"{theirs.metric or 'what it returns'}: compare programs with the same metric"
        )
    with torch_threads(1):
        first.check()
        one.check()


def _threads(first: Contender, measured: Measured | None, asked: Asked) -> int:
    """Return with how many threads the runs of a new session compute: those of the audit, else what pays."""
    if measured is not None and measured.threads is not None:
        return measured.threads
    if asked.executor == "ray":
        return asked.cluster_threads
    task = first.task
    small = isinstance(task, Task) and not needs_threads(task.model, task.batch_size)
    return 1 if small else torch.get_num_threads()


def _options(own: GateSettings, given: Mapping[str, Any], measured: Measured | None) -> list[str]:
    """Return the words of the settings that were given."""
    told = own.model_dump(exclude_unset=True, exclude={"again", "declare"})
    known = measured.settings if measured else {}
    several = {name: (v,) if isinstance(v, str) and name in ("metric", "better") else v for name, v in given.items()}
    return command_words({**told, **{name: v for name, v in several.items() if known.get(name) != v}})


def gate_status(ledger: str | Path | None = None, *, baseline: str | Path | Study[Any] | None = None) -> GateAnswer:
    """Return what a session holds: its candidates, keeps, the error rate that is left and the runs spent.

    Args:
        ledger: folder of the session; by default that beside the baseline, or the only one in `lastbit-studies`.
        baseline: the audit that the session began with.

    Raises:
        LastbitError: there is no session, its ledger is damaged, or the baseline is no audit.

    Example:
        >>> from lastbit import gate_status
        >>> gate_status().session.keeps  # doctest: +SKIP
        3
    """
    audit = None if baseline is None else _audit(baseline)
    if audit is None and baseline is not None:
        raise LastbitError(
            f"the baseline {baseline!r} is no audit's folder: name the folder of the session with --ledger"
        )
    if ledger is None:
        ledger = the_only_session() if audit is None else default_folder(audit, "")
    folder = Path(ledger)
    session = session_row(folder, Ledger.read(folder))
    said = Verdict(session_verdict(session), "session", "")
    return GateAnswer(
        said=said, session=session, command=command_text(["lastbit", "gate", "--status", "--ledger", str(folder)])
    )
