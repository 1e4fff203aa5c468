"""Causes that lie in an order: in which something comes, is listed, or is hashed."""

from __future__ import annotations

from lastbit.studies.doctor import interventions
from lastbit.studies.doctor.causes.case import Case, Row, hinted
from lastbit.studies.doctor.evidence import Hint

__all__ = [
    "ADDRESS_ORDER",
    "COLLECTIVE_ORDER",
    "COMPLETION_ORDER",
    "FOLDER_ORDER",
    "HASH_ORDER",
    "OBJECT_ORDER",
    "THREAD_ORDER",
    "WORKER_ORDER",
]

_READY = ("concurrent.futures.as_completed", "multiprocessing.Pool.imap_unordered")
"""What gives results as they are ready."""


def _taken(case: Case) -> Hint | None:
    """Return where other things came from threads or processes, or in another order: the last such line before."""
    # What threads do meanwhile is counted too, so that the number of operations before it says little.
    taps = [tap for tap in case.met if tap.kind == "taken" and (tap.count > 1 or tap.step <= case.found.step.count)]
    last = max(taps, key=lambda tap: (tap.step, tap.op), default=None)
    return case.hint("taken") or (None if last is None else Hint("taken", last.line, last.said, 0.0, last))


def _as_completed(case: Case) -> Hint | None:
    hint = _taken(case) if case.hint("taken") or _threaded(case) else None
    return hint if hint is not None and hint.said.startswith(_READY) else None


def _in_turn(case: Case) -> Hint | bool | None:
    return _taken(case) or True if _threaded(case) else case.hint("taken")


def _threaded(case: Case) -> bool:
    others = [hint for hint in case.hints if hint.id != "taken"]
    if case.root.kind == "load":
        # Another process sent it; what those met was equal, so that it can only be another one's turn.
        read = any(tap.kind == "file" and tap.line == case.root.line for tap in case.tape.taps)
        return not read and not others
    threads = len({op.thread for op in case.tape.ops}) > 1
    return case.root.kind == "arrival" or (threads and case.root.kind in ("path", "order", "outside") and not others)


def _workers(case: Case) -> bool:
    loads = any(tap.kind == "batch" and tap.line == case.root.line for tap in case.tape.taps)
    return loads and case.loaders and case.root.kind == "load" and _threaded(case)


def _collective(case: Case) -> bool:
    op = case.found.ops[0]
    values = case.found.values[0]
    names = [op.name if op is not None else "", values.origin.name if values is not None and values.origin else ""]
    return case.root.kind == "arrival" and any("c10d" in name for name in names)


COLLECTIVE_ORDER = Row(
    "collective-order",
    "What other ranks sent was taken in the order in which it came.",
    "Receive from each rank by its number, and add in the order of ranks.",
    None,
    _collective,
)

WORKER_ORDER = Row(
    "worker-order",
    "Several workers load data at the same time, and what they give is taken in the order in which it comes.",
    "Leave the DataLoader's in_order as it is, or give each batch its number and use them in that order.",
    interventions.WORKERS,
    _workers,
)

THREAD_ORDER = Row(
    "thread-order",
    "Threads or processes work at the same time, and what they give is taken in the order in which it comes.",
    "Collect what they give by the number of the task, and use it in that order; or use one worker.",
    None,
    _in_turn,
)

COMPLETION_ORDER = Row(
    "completion-order",
    "Results of threads or processes are taken as they are ready, by as_completed() or imap_unordered().",
    "Use map() or imap(), which keep the order of the tasks, or sort the results by the number of the task.",
    interventions.ORDER,
    _as_completed,
)

FOLDER_ORDER = Row(
    "folder-order",
    "Files are taken in the order in which the system lists them.",
    "Sort the list: sorted(os.listdir(...)).",
    interventions.FOLDERS,
    hinted("folder"),
)

HASH_ORDER = Row(
    "hash-order",
    "hash() of a string, and with it the order of a set, is another in each process.",
    "Sort what comes out of the set, or set PYTHONHASHSEED=0.",
    interventions.HASH,
    hinted("hash"),
)

OBJECT_ORDER = Row(
    "object-order",
    "A set of objects is in the order of their addresses, which differ from run to run whatever PYTHONHASHSEED is.",
    "Use dict.fromkeys(...) in place of the set, which keeps the order in which they come, or a list.",
    interventions.ADDRESSES,
    hinted("hash", "set"),
)

ADDRESS_ORDER = Row(
    "address-order",
    "id() is the address of an object, which differs from run to run.",
    "Order by a name or a number that you gave.",
    interventions.ADDRESSES,
    hinted("address"),
)
