"""Causes that lie in draws: of a generator that nobody has seeded yet, or that something else draws from too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from lastbit.launch.pair.tapes import Op
from lastbit.report.formatting import plural
from lastbit.studies.doctor import interventions
from lastbit.studies.doctor.causes.case import CLOSE, Case, Row, hinted, of_kind
from lastbit.studies.doctor.evidence import Hint, seeds
from lastbit.studies.doctor.steps import base_of

__all__ = [
    "DRAWS_DIFFER",
    "DRAWS_IN_TURN",
    "DRAW_EXTRA",
    "DRAW_MOVED",
    "NUMPY_IN_LIBRARY",
    "NUMPY_UNSEEDED",
    "RANDOM_IN_LIBRARY",
    "RANDOM_UNSEEDED",
    "SEEDED_LATE",
    "TORCH_UNSEEDED",
]


def _taken_in_turn(case: Case) -> bool:
    """Tell whether several threads draw from one generator, one now before and now after the other."""
    op = case.found.ops[0]
    if not case.drawn or op is None:
        return False
    drawing = {one.thread for one in case.tape.ops if one.seeded}
    states = {one.generator for one in case.found.step.tapes[1].ops if one.seeded}
    return len(drawing) > 1 and op.generator in states


def _drawn_more(case: Case) -> Hint | None:
    """Return the first line that drew from torch's generator before the root, in one run more often."""
    first, second = case.found.ops
    if not case.drawn or case.own_generator or first is None or second is None:
        return None
    both = [
        Counter((op.line, base_of(op)) for op in tape.ops if _of_torch(op) and op.index < root.index)
        for tape, root in zip(case.found.step.tapes, (first, second), strict=True)
    ]
    for line, name in {**both[0], **both[1]}:
        times = [found[line, name] for found in both]
        if line is not None and times[0] != times[1]:
            where = f"{name} at {Path(line.path).name}:{line.number}"
            said = f"{where}, {plural(times[0], 'time')} in the first run and {plural(times[1], 'time')} in the second"
            return Hint("draw", line, said, CLOSE)
    return None


def _of_torch(op: Op) -> bool:
    return op.seeded and not any(text.endswith("=generator") for text in op.scalars)


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


def _torch_unseeded(case: Case) -> Hint | bool | None:
    place = case.found.step.count, case.found.place
    if any(tap.count > 1 or (tap.step, tap.op) <= place for tap in seeds(case.tape, "torch")):
        return None
    return not case.own_generator if case.drawn else case.hint("torch")


def _seeded_late(case: Case) -> Hint | None:
    """Return the first call that seeds torch's generator, where it comes after the draw that differs."""
    op, calls = case.found.ops[0], seeds(case.tape, "torch")
    if op is None or not calls or not case.drawn or case.own_generator:
        return None
    late = all((tap.step, tap.op) > (case.tape.count, op.index) for tap in calls)
    return Hint("seed", calls[0].line, calls[0].said, CLOSE) if late else None


DRAWS_IN_TURN = Row(
    "draws-in-turn",
    "Several threads draw from one generator, and which comes first differs from run to run.",
    "Give each thread a torch.Generator of its own with a seed of its own.",
    None,
    _taken_in_turn,
)

SEEDED_LATE = Row(
    "seeded-late",
    "torch's generator is seeded only after this draw, which nobody's seed decides.",
    "Call torch.manual_seed(SEED) before the first draw, which is mostly the making of the model.",
    interventions.TORCH,
    _seeded_late,
)

TORCH_UNSEEDED = Row(
    "torch-unseeded",
    "torch's generator is used without having been seeded.",
    "Call torch.manual_seed(SEED) before the first draw, which is mostly the making of the model.",
    interventions.TORCH,
    _torch_unseeded,
)

DRAW_EXTRA = Row(
    "draw-extra",
    "torch's generator is seeded, and another line draws from it too, in one run more often than in the other: {said}.",
    "Give that line a torch.Generator of its own, or let it draw equally often in every run.",
    None,
    _drawn_more,
)

DRAW_MOVED = Row(
    "draw-moved",
    "torch's generator is seeded, and something drew from it before, in one run more often than in the other.",
    "Find what drew before; give it a generator of its own.",
    None,
    of_kind("draw"),
)

NUMPY_UNSEEDED = Row(
    "numpy-unseeded",
    "NumPy's global generator is used without having been seeded.",
    "Call numpy.random.seed(SEED) at the start, or draw from numpy.random.default_rng(SEED).",
    interventions.NUMPY,
    _library("numpy.random"),
)

RANDOM_UNSEEDED = Row(
    "random-unseeded",
    "Python's random is used without having been seeded.",
    "Call random.seed(SEED) at the start, or draw from random.Random(SEED).",
    interventions.RANDOM,
    _library("random"),
)

DRAWS_DIFFER = Row(
    "draws-differ",
    "A seeded generator gave other numbers, as something drew from it before in one run only, or in another order.",
    "Give what must repeat a generator of its own.",
    None,
    hinted("draw"),
)

NUMPY_IN_LIBRARY = Row(
    "numpy-in-library",
    "A library draws from NumPy's global generator, which nobody has seeded.",
    "Call numpy.random.seed(SEED) at the start, or hand the library its seed (random_state=SEED).",
    interventions.NUMPY,
    _inside("numpy.random"),
)

RANDOM_IN_LIBRARY = Row(
    "random-in-library",
    "A library draws from Python's random, which nobody has seeded.",
    "Call random.seed(SEED) at the start, or hand the library its seed.",
    interventions.RANDOM,
    _inside("random"),
)
