"""What the doctor says, in this order: step, tensor, operation, line, cause with its cure, confirmation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lastbit.launch.pair.stuck import stood_at
from lastbit.report.formatting import count, number, ordinal, plural, show, size
from lastbit.studies.doctor.findings import Confirmation, Finding, Outcome, PrintedDifference, SourceLine, Tried
from lastbit.studies.frame.result import Verdict

__all__ = [
    "NOTHING",
    "answer_lines",
    "at",
    "confirmation_of",
    "confirmed_words",
    "doctor_verdict",
    "operation_words",
    "steps_words",
    "under",
]

FILE_LEFT = "file-left"
"""The cause whose confirmation would change the user's files."""

NOTHING = Verdict("nothing was compared yet.", "no_runs", "")

_CLOCKS = 3
"""Lines that are named of those that decide by a clock."""

_WHERE = {
    "batch": "a batch came in different",
    "load": "what was loaded differs",
    "file": "a file differs",
    "draw": "a random draw differs",
    "scalar": "a number handed over differs",
    "made": "a tensor made from values of Python or NumPy differs",
    "arrival": "values arrived in another order",
    "order": "the same values were taken in another order",
    "uninitialised": "memory was read that nobody had filled",
    "path": "the runs took another course",
    "length": "one run went on where the other ended",
    "outside": "a value came in that differs",
    "compiled": "a compiled kernel gave another result",
}
"""What came in different, by the kind of root, where that is not an operation with equal inputs."""


def at(line: SourceLine | None) -> str:
    """Return a line for a sentence: `train.py:12`."""
    return "" if line is None else f"{Path(line.path).name}:{line.number}"


def operation_words(finding: Finding) -> str:
    """Return what gave other results, or came in different."""
    if finding.root == "operation":
        return f"{finding.operation or 'an operation'} gave another result from equal inputs"
    said = _WHERE.get(finding.root, "where it arose was not seen")
    if finding.is_setting:
        said = "a setting of the optimizer differs"
    if any(finding.values):
        both = " against ".join(finding.values)
        said += f": {finding.argument.replace('_', ' ')} {both}" if finding.argument else f": {both}"
    return f"{said} (in {finding.operation})" if finding.operation else said


def steps_words(one: Outcome) -> str:
    """Return the steps that were compared, and of how many where that is not all."""
    return plural(one.steps, "step") if one.taken <= one.steps else f"{count(one.steps)} of {plural(one.taken, 'step')}"


def _step_words(finding: Finding) -> str:
    if finding.optimizer < 0:
        return "after the last step"
    which = "" if not finding.optimizer else f" of the {ordinal(finding.optimizer + 1)} optimizer"
    return f"step {count(finding.step)}{which}"


def confirmation_of(finding: Finding | None, tried: Sequence[Tried]) -> Confirmation | None:
    """Return what came of the change that the told cause suggests; None where it was not tried."""
    return next((one.confirmation for one in tried if finding is not None and one.cause == finding.cause), None)


def answer_lines(finding: Finding | None, tried: Sequence[Tried] = ()) -> list[tuple[str, str]]:
    """Return the answer line by line: what, and what of it."""
    if finding is None:
        return []
    confirmation = confirmation_of(finding, tried)
    rows = [("Step", f"{_step_words(finding)}, in {finding.process}")]
    if finding.tensor:
        rows.append(("Tensor", finding.tensor))
    arose = "" if finding.root_step == finding.step else f" in step {count(finding.root_step)}"
    rows.append(("Where it arose", f"{operation_words(finding)}{arose}"))
    if finding.line is not None:
        rows.append(("Line", _line(finding.line)))
    if confirmation is not None and confirmation.refuted:
        supposed = finding.cause_said.rstrip(".")
        rows.append(("Likely cause", f"not known; not this, or not this alone: {supposed}"))
    elif finding.cause_said:
        rows.append(("Likely cause", finding.cause_said))
        if finding.cause_line is not None and finding.cause_line != finding.line:
            rows.append(("Its line", _line(finding.cause_line)))
        rows.append(("Cure", finding.cure))
    else:
        rows.append(("Likely cause", "not known: what was seen fits none of the causes that lastbit knows"))
    rows.append(("Cure confirmed", _untried(finding) if confirmation is None else confirmed_words(confirmation)))
    rows += [("Not the cause", _refuted(one)) for one in tried if one.cause != finding.cause]
    return rows


def _line(line: SourceLine) -> str:
    text = f": {line.text.strip()}" if line.text.strip() else ""
    return f"{line.path}:{line.number}, in {line.function}{text}"


def _untried(finding: Finding) -> str:
    files = finding.cause == FILE_LEFT
    return (
        "not tried: it would take putting your files back, which lastbit leaves as they are" if files else "not tried"
    )


def _refuted(one: Tried) -> str:
    return f"{one.cause_said} ({confirmed_words(one.confirmation)})"


def confirmed_words(found: Confirmation) -> str:
    """Return whether a change cures it, with the rates at which pairs differ."""
    if found.failed:
        return f"not decided: with the change, {found.said}, the program ends before it comes to where the runs differ"
    rates = (
        f"{found.differing_before} of {found.pairs} pairs differ as it is ({show(found.before, '%').words}), "
        f"{found.differing_after} of {found.pairs} with the change, {found.said} ({show(found.after, '%').words})"
    )
    if found.confirmed:
        return f"yes: {rates}"
    if found.differing_after >= found.differing_before:
        return f"no: {rates}"
    return f"not decided: {rates}; as few would differ by chance with probability {number(found.chance, 2)}"


def under(settings: Mapping[str, str]) -> str:
    """Return the settings that a result holds under, for a sentence."""
    return ", ".join(f"{name} {value}" for name, value in settings.items() if value)


def doctor_verdict(name: str, outcomes: Sequence[Outcome], tried: Sequence[Tried] = ()) -> Verdict:
    """Return the sentence, one word and what to do.

    The word is `identical`, `recorded`, `differs`, `exits_differ`, `returned_differs`, `outputs_differ` or `timed_out`.
    """
    last = outcomes[-1]
    if last.finding is not None or not last.equal:
        return _differs(name, outcomes, tried)
    return _timed_out(name, last) if last.timed_out else _equal(name, outcomes)


def _equal(name: str, outcomes: Sequence[Outcome]) -> Verdict:
    """Return the verdict over runs that trained the same weights, whatever else of them differs."""
    last = outcomes[-1]
    compared = f"{steps_words(last)} of {plural(last.tensors, 'tensor')} ({size(last.bytes)})"
    codes = last.exit_codes
    if None not in codes and codes[0] != codes[1]:
        return Verdict(
            f"both runs of {name} train the same weights, in {compared}, but the first ended with exit code {codes[0]} "
            f"and the second with {codes[1]}.",
            "exits_differ",
            "See what both printed: the folders are named below.",
        )
    returned, printed = (_first(outcomes, what) for what in ("returned", "printed"))
    if returned is not None:
        return Verdict(
            f"both runs of {name} train the same weights, in {compared}, but return {returned.first} and "
            f"{returned.second}.",
            "returned_differs",
            "What is returned is made after the training: look at the evaluation.",
        )
    holds = f"It holds under {under(last.settings)}." if last.settings else ""
    if last.how == "recorded":
        said = f"recorded: one run of {name}, {compared}."
        return Verdict(said, "recorded", "Hand the file on, and hold another run against it with --against.")
    if printed is not None:
        return Verdict(
            f"both runs of {name} train the same weights, in {compared}, but what they print differs in "
            f"{plural(printed.lines, 'line')}, first in line {count(printed.line)}.",
            "outputs_differ",
            f"The first run printed {printed.first.strip()!r}, the second {printed.second.strip()!r}. {holds}",
        )
    if last.how == "against the record":
        here = f" ({_changed(last.changed)})" if last.changed else ""
        return Verdict(f"identical: {name} agrees bit for bit with the record in {compared}{here}.", "identical", holds)
    if last.how == "in this process":
        said = f"identical: {name}, run twice in one process, agrees bit for bit in {compared}."
        return Verdict(said, "identical", holds)
    each = f"{compared} compared each time"
    if last.taken > last.steps:
        once = outcomes[0]
        whole = f"{plural(once.steps, 'step')} of {plural(once.tensors, 'tensor')} ({size(once.bytes)})"
        each = f"{whole} compared at once, and {count(last.steps)} of them in turn"
    said = f"identical: {name}, run twice at once and twice in turn, agrees bit for bit in {each}."
    return Verdict(said, "identical", f"{holds}{_paced(last)}")


def _paced(last: Outcome) -> str:
    """Return that a clock decides something, which these runs asked at one pace."""
    if not last.clocks:
        return ""
    where = ", ".join(map(at, last.clocks[:_CLOCKS])) + (", …" if len(last.clocks) > _CLOCKS else "")
    return f" A clock decides at {where}: runs at another pace may differ; count steps there instead."


def _first(outcomes: Sequence[Outcome], what: str) -> PrintedDifference | None:
    return next((one for outcome in outcomes for one in outcome.printed if one.what == what), None)


def _changed(changed: Mapping[str, tuple[str, str]]) -> str:
    return "; ".join(
        f"{name} {there or 'none'} there, {here or 'none'} here" for name, (there, here) in changed.items()
    )


def _differs(name: str, outcomes: Sequence[Outcome], tried: Sequence[Tried]) -> Verdict:
    last = outcomes[-1]
    if any(last.failed) and not all(last.failed):
        return _failed_alone(name, last)
    how = {
        "lock step": f"two runs of {name} with the same seed differ",
        "one after the other": f"a second run of {name} differs from the one before it, though two at once are equal,",
        "first runs against later": f"later runs of {name} differ from the first two, though each pair is equal,",
        "against the record": f"this run of {name} differs from the record",
        "in this process": f"two runs of {name} in one process with the same seed differ",
    }[last.how]
    found = last.finding
    if found is None:
        return Verdict(f"{how} after {plural(last.steps, 'equal step')}.", "differs", _unknown(last))
    tensor = f", in {found.tensor}" if found.tensor else ""
    where = f" at {at(found.line)}" if found.line is not None else ""
    verdict = f"{how} from {_step_words(found)} on{tensor}: {operation_words(found)}{where}."
    advice = [found.cause_said, found.cure] if found.cause_said else [_unknown(last)]
    confirmation = confirmation_of(found, tried)
    if confirmation is not None and confirmation.refuted:
        changes = "; ".join(one.confirmation.said for one in tried)
        advice = [f"The cause is not known. Tried was: {changes}; the runs differ all the same."]
    elif confirmation is not None and confirmation.confirmed:
        advice.append("Repeated with that change, the difference is gone.")
    if last.how == "against the record" and found.is_setting and not found.cause_said:
        there, here = (f"{found.argument} {value}" for value in found.values)
        advice = [f"The record was made with {there}, this run has {here}: give it the same, or record anew."]
    if last.changed:
        advice.append(f"The record was made with other versions or settings: {_changed(last.changed)}.")
    return Verdict(verdict, "differs", " ".join(part for part in advice if part))


def _failed_alone(name: str, last: Outcome) -> Verdict:
    """Return the verdict over two runs of which one failed where the other went on."""
    which, failed = next(one for one in zip(("first", "second"), last.failed, strict=True) if one[1])
    how, _, said = failed.partition(": ")
    killed = " It was killed, by whoever is short of memory, perhaps." if how == "signal 9" else ""
    return Verdict(
        f"one run of {name} failed and the other went on: the {which} ended with {how} after "
        f"{plural(last.steps, 'equal step')}: {said}",
        "exits_differ",
        f"Nothing that is trained differed before it.{killed} What it printed is in the study's folder, under output.",
    )


def _unknown(last: Outcome) -> str:
    return "The cause is not known; the page shows what was seen."


def _timed_out(name: str, last: Outcome) -> Verdict:
    waits = [one for one in last.processes if any(one.waiting)]
    said = f"the time ran out after {plural(last.steps, 'equal step')} of {name}"
    if waits and not all(waits[0].waiting):
        first = waits[0].waiting[0]
        early, late = ("first", "second") if first else ("second", "first")
        said += f", while the {early} run waited for the {late} at step {count(waits[0].steps + 1)}"
    names = zip(("first", "second"), map(stood_at, last.stacks), strict=True)
    places = ", ".join(f"{line} in the {which} run" for which, line in names if line)
    where = f"Where the main thread stood: {places}; the report shows all threads. " if places else ""
    return Verdict(f"{said}.", "timed_out", f"{where}If nothing hangs, give it more time with --timeout.")
