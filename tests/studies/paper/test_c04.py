"""The rule of C4 can fail: growth spread evenly over steps or filters, growth that does not end."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lastbit.studies.paper.claims import c04
from lastbit.studies.paper.claims.c04 import CLAIM, Restrained, judge
from lastbit.studies.paper.claims.c04_measure import Grown, Part, spread
from lastbit.studies.paper.lab import Lab

STEPS = tuple(range(1, 301))
BOUND = tuple(1e-6 * np.sqrt(STEPS))


def parts(*growth):
    return tuple(Part(name=f"conv[{i}]", size=9, growth=g) for i, g in enumerate(growth))


JUMP = Grown(
    seed=0,
    sound=True,
    steps=STEPS,
    distance=tuple(np.where(np.array(STEPS) < 100, 1e-7, 0.3)),
    bound=BOUND,
    still_growing=False,
    late_rise=0.0,
    tensors=parts(9.0, 1.0),
    filters=parts(9.0, 0.1, 0.1, 0.0, 0.0, 0.1, 0.0, 0.0),
)
EVEN = replace(JUMP, distance=tuple(np.array(BOUND) * np.exp(0.04 * np.array(STEPS))))


def restrained(twin, n=6):
    return Restrained(twins=tuple(replace(twin, seed=seed) for seed in range(n)))


def test_jumps_of_few_filters_that_end_level_are_held():
    judged = judge(restrained(JUMP))
    assert judged.kind == "held"
    numbers = {one.name: one.value.estimate for one in judged.numbers}
    assert numbers["in_time"] == numbers["in_space"] == numbers["level"] == 1.0
    # All growth in one of 299 steps, so half of it in half a step.
    assert numbers["half_of_growth"] == pytest.approx(0.5 / 299)


def by_chance(seed):
    """A twin whose growth is divided among the steps as the null has it."""
    grown = np.cumsum(np.random.default_rng(seed).exponential(size=len(STEPS)))
    return replace(JUMP, distance=tuple(np.array(BOUND) * np.exp(12 * grown / grown[-1])))


@pytest.mark.parametrize(
    ("twins", "decides"),
    [
        (restrained(EVEN).twins, "in_time"),
        (tuple(map(by_chance, range(8))), "in_time"),
        (restrained(replace(JUMP, filters=parts(*(1.0,) * 8))).twins, "in_space"),
        (restrained(replace(JUMP, still_growing=True, late_rise=2.0)).twins, "level"),
    ],
)
def test_counter_examples_are_not_held(twins, decides):
    judged = judge(Restrained(twins=twins))
    assert judged.kind == "not_held"
    assert judged.numbers[0].name == decides
    assert len({one.name for one in judged.numbers}) == 8


@pytest.mark.parametrize(
    "measured",
    [
        Restrained(twins=()),
        restrained(JUMP, 4),
        restrained(replace(JUMP, sound=False)),
        restrained(replace(JUMP, distance=tuple(0.5 * np.array(BOUND)))),
    ],
)
def test_a_thin_sample_or_a_failed_control_is_undecided(measured):
    assert judge(measured).kind == "undecided"


def test_growth_of_rounding_alone_counts_for_nothing():
    """A random walk has half of its logarithmic growth in few steps; it stays within the bound all the same."""
    walk = replace(JUMP, distance=tuple(1e-7 * np.sqrt(STEPS)))
    assert not walk.left
    assert walk.half is None


def test_spread_is_relative_to_growth_in_proportion_to_the_weights():
    sizes = (1, 2, 5)
    even = tuple(Part(name=str(size), size=size, growth=0.7 * size) for size in sizes)
    assert spread(even) == pytest.approx(1.0)
    # One carrier of effectively 8² / (1 + 4 + 25).
    alone = tuple(replace(part, growth=float(part.size == 5)) for part in even)
    assert spread(alone) == pytest.approx(30 / 64)
    assert spread(()) is None


@pytest.mark.parametrize("scale", ["small", pytest.param("full", marks=pytest.mark.slow)])
def test_pieces_run_from_end_to_end_cut_down(scale, tmp_path, monkeypatch):
    size = c04.SIZES[scale]
    cut = {"epochs": 3, "train_size": 40, "batch_size": 10, "width": 2}
    monkeypatch.setitem(c04.SIZES, scale, replace(size, task="digits", seeds=2, settings={**size.settings, **cut}))
    lab = Lab(scale=scale, device=torch.device("cpu"), folder=Path(tmp_path), workers=1, quiet=True)
    found = {piece.name: json.loads(json.dumps(piece.measure(lab))) for piece in CLAIM.pieces(scale)}
    measured = CLAIM.gather(found)
    assert [twin.steps for twin in measured.twins] == [tuple(range(1, 13))] * 2
    assert all(twin.sound for twin in measured.twins)
    assert judge(measured).kind == "undecided"
    for twin in measured.twins:
        assert len({part.name for part in twin.filters}) == len(twin.filters)
        assert twin.map_of in {part.name.split("[")[0] for part in twin.filters}
    (drawing,) = CLAIM.drawings(measured)
    assert len(drawing.panels) in (2, 3)
    (table,) = CLAIM.tables(measured)
    assert len(table.rows) == 2
    assert len(CLAIM.remarks(measured)) <= 2
