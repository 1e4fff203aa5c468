"""Tables of forced runs made by hand: a network of three layers under rounding, and what is planted in it."""

from dataclasses import replace

import numpy as np

from lastbit.launch.forced.table import ForcedTable, ForcedTensor, Mismatch, Role
from lastbit.studies.same.evidence import Evidence

LAYERS = ("conv1.weight", "fc1.weight", "fc1.bias", "fc2.weight")
STEPS, ROUNDING = 40, 2e-7

TENSORS = (
    ForcedTensor("loss", Role.LOSS, 1, "float32"),
    *(ForcedTensor(name, Role.GRADIENT, 100, "float32") for name in LAYERS),
    *(ForcedTensor(name, Role.WEIGHT, 100, "float32") for name in LAYERS),
    *(ForcedTensor(f"{name}.exp_avg_sq", Role.STATE, 100, "float32") for name in LAYERS),
    ForcedTensor("bn.running_var", Role.BUFFER, 8, "float32"),
    ForcedTensor("ema.fc1.weight", Role.COPY, 100, "float32"),
)


def column(name, role):
    return next(place for place, one in enumerate(TENSORS) if (one.name, one.role) == (name, role))


def table(seed=0, *, equal=False, steps=STEPS, mismatches=(), **facts):
    """Return a table of differences that are rounding; of none where it is equal."""
    draw, shape = np.random.default_rng(seed), (steps, len(TENSORS))
    rounding = draw.lognormal(np.log(ROUNDING), 0.3, size=shape) * (not equal)
    by_element = np.isin([one.role for one in TENSORS], (Role.WEIGHT, Role.STATE, Role.COPY))
    return ForcedTable(
        tensors=TENSORS,
        steps=np.arange(1, steps + 1),
        difference=rounding,
        projection=rounding * draw.normal(0, 0.1, size=shape),
        size=np.ones(shape),
        change=np.where(by_element, 1e-2, np.nan) * np.ones(shape),
        worst=np.where(by_element, draw.uniform(0, 20, size=shape) * (not equal), np.nan),
        bias=np.where(by_element, draw.normal(0, 1e-7, size=shape) * (not equal), np.nan),
        unequal=np.full(shape, 0 if equal else 30),
        mismatches=tuple(Mismatch(*one) for one in mismatches),
        facts=facts,
    )


def planted(found, **changes):
    """Return a table with other values: arrays by name of (rows, column, value)."""
    arrays = {}
    for name, (rows, place, value) in changes.items():
        arrays[name] = getattr(found, name).copy()
        arrays[name][rows, place] = value
    return replace(found, **arrays)


def evidence(candidate, **others):
    """Return it beside a reference that repeats itself, and four jitters."""
    kept = {"control": table(equal=True, steps=len(candidate.steps)), "jitters": [table(n) for n in range(1, 5)]}
    return Evidence.of(candidate, **{**kept, **others})
