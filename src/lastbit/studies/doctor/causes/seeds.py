"""Causes that lie in how a generator is seeded: with another number in each run, or with none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lastbit.launch.pair.tapes import Line
from lastbit.studies.doctor import interventions
from lastbit.studies.doctor.causes.case import CLOSE, Case, Row
from lastbit.studies.doctor.evidence import Hint, dated, in_place, seeding

__all__ = [
    "DEFAULT_RNG",
    "GENERATOR_SEED",
    "RANDOM_RANDOM",
    "SEED_CLOCK",
    "SEED_ENTROPY",
    "SEED_FALLBACK",
    "SEED_PROCESS",
    "SEED_VARIES",
]


def _varied_seed(case: Case) -> Hint | None:
    """Return the call that seeds with another number in each run."""
    best = case.best
    if (case.drawn and not case.own_generator) or (best is not None and best.id == "torch"):
        begins: tuple[str, ...] = ("torch.manual_seed: ", "torch.seed: ")
    elif best is not None and best.id == "draw":
        begins = (best.said.partition(": ")[0].rpartition(".")[0] + ".seed: ",)
    else:
        return best if best is not None and best.id == "seed" and not best.said.endswith(": None") else None
    tap = next((tap for tap in case.met if tap.kind == "seed" and tap.said.startswith(begins)), None)
    return None if tap is None else Hint("seed", tap.line, tap.said, CLOSE, tap)


def _from(kind: str) -> Callable[[Case], Hint | None]:
    """Return what tells whether the seed that varies was taken from a clock, from entropy or from the process."""

    def holds(case: Case) -> Hint | None:
        if case.own_generator or case.hint("generator"):
            # Its manual_seed is C's, and leaves nothing: what its argument is made of stands on a line nearby.
            close = next((one for one in case.hints if one.id in ("time", "entropy", "process")), None)
            fits = close is not None and close.id == kind and close.weight >= CLOSE
            return replace(close, said="") if close is not None and fits else None
        seed = _varied_seed(case)
        if seed is None or seed.line is None:
            return None
        near = next(
            (tap.line for tap in (*case.met, *case.loading) if tap.kind == kind and _beside(tap.line, seed.line)), None
        )
        date = dated(seed.line) if near is None and kind == "time" else None
        asks = near if date is None else date.line
        if asks is None:
            return None
        return replace(seed, said="" if asks == seed.line else f", for which {Path(asks.path).name}:{asks.number} asks")

    return holds


def _fallback(case: Case) -> Hint | None:
    """Return the line that takes the clock in place of a seed, by `or`."""
    seed = None if case.own_generator else _varied_seed(case)
    return None if seed is None or seed.line is None else in_place(seed.line)


def _beside(one: Line | None, other: Line | None) -> bool:
    return one is not None and other is not None and one.path == other.path and abs(one.number - other.number) <= 3


def _unseeded(start: str) -> Callable[[Case], Hint | None]:
    def holds(case: Case) -> Hint | None:
        hint = case.hint("seed")
        return hint if hint is not None and hint.said.startswith(start) and hint.said.endswith(": None") else None

    return holds


def _generator_seeded(case: Case) -> Hint | None:
    if case.drawn and case.own_generator and case.root.line is not None:
        return seeding(case.root.line) or Hint("generator", None, "", CLOSE)
    hint = case.hint("generator")
    return (hint and (seeding(hint.line) if hint.line is not None else None)) or hint


SEED_FALLBACK = Row(
    "seed-fallback",
    'A generator is seeded with the time in place of a seed that is 0 or None: "or" takes 0 for none.',
    'Write "seed if seed is not None else ..." there, or hand over a seed that is not 0.',
    interventions.CLOCK,
    _fallback,
)

SEED_CLOCK = Row(
    "seed-clock",
    "A generator is seeded with the time{said}.",
    "Seed with a fixed number, or print the seed and take it as an option.",
    interventions.CLOCK,
    _from("time"),
)

SEED_ENTROPY = Row(
    "seed-entropy",
    "A generator is seeded with the system's entropy.",
    "Seed with a fixed number, or print the seed and take it as an option.",
    interventions.ENTROPY,
    _from("entropy"),
)

SEED_PROCESS = Row(
    "seed-process",
    "A generator is seeded with the number of the process.",
    "Seed with the rank or with the worker's id instead, which are the same in every run.",
    interventions.PROCESS,
    _from("process"),
)

SEED_VARIES = Row(
    "seed-varies",
    "A generator is seeded with another number in each run.",
    "Seed with a fixed number; hash() of a string is none, and torch.seed() draws one.",
    interventions.HASH,
    _varied_seed,
)

GENERATOR_SEED = Row(
    "generator-seed",
    "A torch.Generator is seeded at random, by seed().",
    "Call its manual_seed(SEED) instead.",
    None,
    _generator_seeded,
)

DEFAULT_RNG = Row(
    "default-rng",
    "numpy.random.default_rng() without a seed takes one from the system's entropy.",
    "Give it one: numpy.random.default_rng(SEED); in a worker, one made of the worker's id.",
    interventions.ENTROPY,
    _unseeded("numpy.random.default_rng"),
)

RANDOM_RANDOM = Row(
    "random-random",
    "random.Random() without a seed takes one from the system's entropy.",
    "Give it one: random.Random(SEED).",
    interventions.ENTROPY,
    _unseeded("random.Random"),
)
