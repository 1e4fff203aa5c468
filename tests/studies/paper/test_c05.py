"""The rule of C5 can fail: a threshold off by a few per cent is not held, too little is undecided."""

from dataclasses import replace

import pytest

from lastbit.studies.paper.claims.c05 import CLAIM, Heated, judge
from lastbit.studies.paper.rules import Bracket

LIMITS = tuple(
    Bracket(what=f"{dim}-D, dx = 1", foretold=0.5 / dim, low=0.5 / dim, high=0.5005 / dim) for dim in (1, 2, 3)
)
MEASURED = Heated(limits=LIMITS, ratios=(0.9, 1.1), growth={"1-D": (1.0, 1.2)}, profiles={"0.9": (0.0, 1.0)})


def test_thresholds_as_foretold_are_held():
    assert judge(MEASURED).kind == "held"


@pytest.mark.parametrize("factor", [0.97, 1.03])
def test_a_threshold_off_by_a_few_per_cent_is_not_held(factor):
    off = replace(LIMITS[1], low=LIMITS[1].low * factor, high=LIMITS[1].high * factor)
    judged = judge(replace(MEASURED, limits=(LIMITS[0], off, LIMITS[2])))
    assert judged.kind == "not_held"
    assert "2-D" in judged.why


@pytest.mark.parametrize("limits", [LIMITS[:2], (), (*LIMITS[:2], replace(LIMITS[2], high=LIMITS[2].high * 1.1))])
def test_a_thin_sample_is_undecided(limits):
    assert judge(replace(MEASURED, limits=limits)).kind == "undecided"


def test_it_draws_what_was_measured():
    (drawing,) = CLAIM.drawings(MEASURED)
    assert [series.y for series in drawing.panels[1].series] == [(1.0, 1.2)]
    (table,) = CLAIM.tables(MEASURED)
    assert [row.cells[0] for row in table.rows] == [one.what for one in LIMITS]
