"""Cause and cure, from the kind of the root and from what the two runs met otherwise: a row for each cause."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lastbit.launch.pair.tapes import Line, Tap, Tape
from lastbit.studies.doctor.cut import Break
from lastbit.studies.doctor.diagnosis import Cause, Intervention, Root
from lastbit.studies.doctor.evidence import Hint, dated, seeding, seeds
from lastbit.studies.doctor.interventions import (
    CLOCK,
    DETERMINISTIC,
    ENTROPY,
    FILES,
    FOLDERS,
    HASH,
    NUMPY,
    PROCESS,
    RANDOM,
    THREADS,
    TORCH,
    WORKERS,
)
from lastbit.studies.doctor.steps import base_of

__all__ = ["CAUSES", "Case", "Row", "cause_of"]


_NOT_DETERMINISTIC = frozenset(
    ("index_put", "index_put_", "_index_put_impl_", "index_add", "index_add_", "scatter_add", "scatter_add_")
)
"""Of themselves, on a CPU with several threads or on a GPU."""

_CLOSE = 5.0
"""What a hint weighs at least that is to be taken for the seed of a generator."""


@dataclass(frozen=True)
class Case:
    """What is known of a root."""

    found: Break
    root: Root
    hints: Sequence[Hint]
    """Those that fit best first."""
    met: Sequence[Tap]
    """All that the process met otherwise in each run, wherever it stands."""
    loaders: bool
    """Whether processes of the program only load data."""
    siblings: bool
    """Whether other processes of the program train too, that are no ranks."""

    @property
    def tape(self) -> Tape:
        """The first run's, of the step in which it arose."""
        return self.found.step.tapes[0]

    @property
    def best(self) -> Hint | None:
        """What fits best."""
        return self.hints[0] if self.hints else None

    def hint(self, *ids: str) -> Hint | None:
        """Return what fits best, if it is one of these."""
        return self.best if self.best is not None and self.best.id in ids else None


@dataclass(frozen=True)
class Row:
    """A cause."""

    id: str
    said: str
    cure: str
    intervention: Intervention | None
    holds: Callable[[Case], Hint | bool | None]
    """What speaks for it: a hint with the line, or that the root itself does."""


def _own_generator(case: Case) -> bool:
    op = case.found.ops[0]
    return op is not None and any(text.endswith("=generator") for text in op.scalars)


def _drawn(case: Case) -> bool:
    return case.root.kind == "draw"


def _taken_in_turn(case: Case) -> bool:
    """Tell whether several threads draw from one generator, one now before and now after the other."""
    op = case.found.ops[0]
    if not _drawn(case) or op is None:
        return False
    drawing = {one.thread for one in case.tape.ops if one.seeded}
    states = {one.generator for one in case.found.step.tapes[1].ops if one.seeded}
    return len(drawing) > 1 and op.generator in states


def _varied_seed(case: Case) -> Hint | None:
    """Return the call that seeds with another number in each run."""
    best = case.best
    if (_drawn(case) and not _own_generator(case)) or (best is not None and best.id == "torch"):
        begins: tuple[str, ...] = ("torch.manual_seed: ", "torch.seed: ")
    elif best is not None and best.id == "draw":
        begins = (best.said.partition(": ")[0].rpartition(".")[0] + ".seed: ",)
    else:
        return best if best is not None and best.id == "seed" and not best.said.endswith(": None") else None
    tap = next((tap for tap in case.met if tap.kind == "seed" and tap.said.startswith(begins)), None)
    return None if tap is None else Hint("seed", tap.line, tap.said, _CLOSE, tap)


def _from(kind: str) -> Callable[[Case], Hint | None]:
    """Return what tells whether the seed that varies was taken from a clock, from entropy or from the process."""

    def holds(case: Case) -> Hint | None:
        if _own_generator(case) or case.hint("generator"):
            # Its manual_seed is C's, and leaves nothing: what its argument is made of stands on a line nearby.
            close = next((one for one in case.hints if one.id in ("time", "entropy", "process")), None)
            return close if close is not None and close.id == kind and close.weight >= _CLOSE else None
        seed = _varied_seed(case)
        if seed is None:
            return None
        near = any(tap.kind == kind and _beside(tap.line, seed.line) for tap in case.met)
        return seed if near or (kind == "time" and seed.line is not None and dated(seed.line)) else None

    return holds


def _beside(one: Line | None, other: Line | None) -> bool:
    return one is not None and other is not None and one.path == other.path and abs(one.number - other.number) <= 3


def _library(name: str) -> Callable[[Case], Hint | None]:
    """Return what tells whether a draw of a library's unseeded global generator fits best."""

    def holds(case: Case) -> Hint | None:
        hint = case.hint("draw")
        fits = hint is not None and hint.said.startswith(f"{name}.") and not seeds(case.tape, name)
        return hint if fits else None

    return holds


def _inside(library: str) -> Callable[[Case], bool]:
    """Return what tells whether something that cannot be heard drew from a library's unseeded global generator."""

    def holds(case: Case) -> bool:
        first, second = (tape.generators for tape in case.found.step.tapes)
        name = library.partition(".")[0]
        drawn = first.get(f"{name} drawn") == "yes" and first.get(name) != second.get(name)
        return drawn and case.root.kind in ("made", "outside", "order") and not seeds(case.tape, library)

    return holds


def _unseeded(start: str) -> Callable[[Case], Hint | None]:
    def holds(case: Case) -> Hint | None:
        hint = case.hint("seed")
        return hint if hint is not None and hint.said.startswith(start) and hint.said.endswith(": None") else None

    return holds


def _torch_unseeded(case: Case) -> Hint | bool | None:
    place = case.found.step.count, case.found.place
    if any(tap.count > 1 or (tap.step, tap.op) <= place for tap in seeds(case.tape, "torch")):
        return None
    return not _own_generator(case) if _drawn(case) else case.hint("torch")


def _seeded_late(case: Case) -> Hint | None:
    """Return the first call that seeds torch's generator, where it comes after the draw that differs."""
    op, calls = case.found.ops[0], seeds(case.tape, "torch")
    if op is None or not calls or not _drawn(case) or _own_generator(case):
        return None
    late = all((tap.step, tap.op) > (case.tape.count, op.index) for tap in calls)
    return Hint("seed", calls[0].line, calls[0].said, _CLOSE) if late else None


def _generator_seeded(case: Case) -> Hint | None:
    if _drawn(case) and _own_generator(case) and case.root.line is not None:
        return seeding(case.root.line) or Hint("generator", None, "", _CLOSE)
    hint = case.hint("generator")
    return (hint and (seeding(hint.line) if hint.line is not None else None)) or hint


def _threads_differ(case: Case) -> bool:
    first, second = case.found.ops
    computed = case.root.kind in ("operation", "compiled")
    return computed and first is not None and second is not None and first.threads != second.threads


def _threaded(case: Case) -> bool:
    if case.root.kind == "load":
        # Another process sent it; what those met was equal, so that it can only be another one's turn.
        read = any(tap.kind == "file" and tap.line == case.root.line for tap in case.tape.taps)
        return not read and not case.hints
    threads = len({op.thread for op in case.tape.ops}) > 1
    return case.root.kind == "arrival" or (
        threads and case.root.kind in ("path", "order", "outside") and not case.hints
    )


def _workers(case: Case) -> bool:
    loads = any(tap.kind == "batch" and tap.line == case.root.line for tap in case.tape.taps)
    return loads and case.loaders and case.root.kind == "load" and _threaded(case)


def _collective(case: Case) -> bool:
    op = case.found.ops[0]
    values = case.found.values[0]
    names = [op.name if op is not None else "", values.origin.name if values is not None and values.origin else ""]
    return case.root.kind == "arrival" and any("c10d" in name for name in names)


def _kind(*kinds: str) -> Callable[[Case], bool]:
    return lambda case: case.root.kind in kinds


def _id(*ids: str) -> Callable[[Case], Hint | None]:
    return lambda case: case.hint(*ids)


def _other_process(case: Case) -> bool:
    op = case.found.ops[0]
    alone = op is not None and base_of(op) in _NOT_DETERMINISTIC
    return case.siblings and not alone and case.root.kind in ("outside", "order", "operation")


def _left_file(case: Case) -> Hint | None:
    hint = case.hint("file")
    return hint if hint is not None and not hint.said.endswith(": written") else None


CAUSES: tuple[Row, ...] = (
    Row(
        "uninitialised",
        "Memory is used that nobody has filled: it holds what was there before.",
        "Make it with torch.zeros, or fill all of it before it is read.",
        DETERMINISTIC,
        _kind("uninitialised"),
    ),
    Row(
        "draws-in-turn",
        "Several threads draw from one generator, and which comes first differs from run to run.",
        "Give each thread a torch.Generator of its own with a seed of its own.",
        None,
        _taken_in_turn,
    ),
    Row(
        "seed-clock",
        "A generator is seeded with the time.",
        "Seed with a fixed number, or print the seed and take it as an option.",
        CLOCK,
        _from("time"),
    ),
    Row(
        "seed-entropy",
        "A generator is seeded with the system's entropy.",
        "Seed with a fixed number, or print the seed and take it as an option.",
        ENTROPY,
        _from("entropy"),
    ),
    Row(
        "seed-process",
        "A generator is seeded with the number of the process.",
        "Seed with the rank or with the worker's id instead, which are the same in every run.",
        PROCESS,
        _from("process"),
    ),
    Row(
        "seed-varies",
        "A generator is seeded with another number in each run.",
        "Seed with a fixed number; hash() of a string is none, and torch.seed() draws one.",
        HASH,
        _varied_seed,
    ),
    Row(
        "seeded-late",
        "torch's generator is seeded only after this draw, which nobody's seed decides.",
        "Call torch.manual_seed(SEED) before the first draw, which is mostly the making of the model.",
        TORCH,
        _seeded_late,
    ),
    Row(
        "torch-unseeded",
        "torch's generator is used without having been seeded.",
        "Call torch.manual_seed(SEED) before the first draw, which is mostly the making of the model.",
        TORCH,
        _torch_unseeded,
    ),
    Row(
        "generator-seed",
        "A torch.Generator is seeded at random, by seed().",
        "Call its manual_seed(SEED) instead.",
        None,
        _generator_seeded,
    ),
    Row(
        "draw-moved",
        "torch's generator is seeded, and something drew from it before, in one run more often than in the other.",
        "Find what drew before; give it a generator of its own.",
        None,
        _drawn,
    ),
    Row(
        "threads-differ",
        "The two runs used different numbers of threads, which add in another order.",
        "Fix the number: torch.set_num_threads(N), or OMP_NUM_THREADS=N.",
        THREADS,
        _threads_differ,
    ),
    Row(
        "other-process",
        "Another process writes the same memory at the same time.",
        "Let each process train its own copy and average, or take turns.",
        None,
        _other_process,
    ),
    Row(
        "operation",
        "The operation is not deterministic: its threads add in whatever order they come.",
        "Call torch.use_deterministic_algorithms(True), or run with one thread.",
        DETERMINISTIC,
        _kind("operation"),
    ),
    Row(
        "compiled",
        "A compiled kernel is not deterministic: its threads add in whatever order they come.",
        "Call torch.use_deterministic_algorithms(True) before it is compiled, or run with one thread.",
        DETERMINISTIC,
        _kind("compiled"),
    ),
    Row(
        "collective-order",
        "What other ranks sent was taken in the order in which it came.",
        "Receive from each rank by its number, and add in the order of ranks.",
        None,
        _collective,
    ),
    Row(
        "worker-order",
        "Several workers load data at the same time, and what they give is taken in the order in which it comes.",
        "Leave the DataLoader's in_order as it is, or give each batch its number and use them in that order.",
        WORKERS,
        _workers,
    ),
    Row(
        "thread-order",
        "Threads or processes work at the same time, and what they give is taken in the order in which it comes.",
        "Collect what they give by the number of the task, and use it in that order; or use one worker.",
        None,
        _threaded,
    ),
    Row(
        "numpy-unseeded",
        "NumPy's global generator is used without having been seeded.",
        "Call numpy.random.seed(SEED) at the start, or draw from numpy.random.default_rng(SEED).",
        NUMPY,
        _library("numpy.random"),
    ),
    Row(
        "random-unseeded",
        "Python's random is used without having been seeded.",
        "Call random.seed(SEED) at the start, or draw from random.Random(SEED).",
        RANDOM,
        _library("random"),
    ),
    Row(
        "default-rng",
        "numpy.random.default_rng() without a seed takes one from the system's entropy.",
        "Give it one: numpy.random.default_rng(SEED); in a worker, one made of the worker's id.",
        ENTROPY,
        _unseeded("numpy.random.default_rng"),
    ),
    Row(
        "random-random",
        "random.Random() without a seed takes one from the system's entropy.",
        "Give it one: random.Random(SEED).",
        ENTROPY,
        _unseeded("random.Random"),
    ),
    Row(
        "draws-differ",
        "A seeded generator gave other numbers, as something drew from it before in one run only, or in another order.",
        "Give what must repeat a generator of its own.",
        None,
        _id("draw"),
    ),
    Row(
        "entropy",
        "A value is made of the system's entropy (os.urandom, uuid, secrets).",
        "Draw it from a seeded generator instead.",
        ENTROPY,
        _id("entropy"),
    ),
    Row(
        "clock",
        "A value or a decision hangs on the clock.",
        "Count steps instead of seconds.",
        CLOCK,
        _id("time"),
    ),
    Row(
        "process-id",
        "A value hangs on the number of the process.",
        "Use the rank or the worker's id, which are the same in every run.",
        PROCESS,
        _id("process"),
    ),
    Row(
        "folder-order",
        "Files are taken in the order in which the system lists them.",
        "Sort the list: sorted(os.listdir(...)).",
        FOLDERS,
        _id("folder"),
    ),
    Row(
        "file-left",
        "A file that is read had other contents in each run, or was there in one only: a run left it behind.",
        "Remove it before each run, or write it to a folder of the run's own.",
        FILES,
        _left_file,
    ),
    Row(
        "network",
        "What is used came over the network.",
        "Download it once, and read the copy.",
        None,
        _id("network"),
    ),
    Row(
        "hash-order",
        "hash() of a string, and with it the order of a set, is another in each process.",
        "Sort what comes out of the set, or set PYTHONHASHSEED=0.",
        HASH,
        _id("hash"),
    ),
    Row(
        "address-order",
        "id() is the address of an object, which differs from run to run.",
        "Order by a name or a number that you gave.",
        None,
        _id("address"),
    ),
    Row(
        "numpy-in-library",
        "A library draws from NumPy's global generator, which nobody has seeded.",
        "Call numpy.random.seed(SEED) at the start, or hand the library its seed (random_state=SEED).",
        NUMPY,
        _inside("numpy.random"),
    ),
    Row(
        "random-in-library",
        "A library draws from Python's random, which nobody has seeded.",
        "Call random.seed(SEED) at the start, or hand the library its seed.",
        RANDOM,
        _inside("random"),
    ),
)
"""Those that the root itself shows come first; the first that holds is the cause."""


def cause_of(case: Case) -> Cause | None:
    """Return the cause that the evidence points at; None where it points at none."""
    for row in CAUSES:
        speaks = row.holds(case)
        if speaks:
            line = speaks.line if isinstance(speaks, Hint) else None
            own = line is not None and "site-packages" not in line.path
            return Cause(row.id, row.said, row.cure, row.intervention, line if own else None)
    return None
