"""What claims train at every scale is valid: a scale that takes hours must not be refused in the middle of them."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from lastbit.studies.frame.planning import plan_of
from lastbit.studies.kinds import kind_named
from lastbit.studies.paper.claims.c11_measure import TRAININGS
from lastbit.studies.paper.lab import Lab
from lastbit.studies.paper.register import claims
from lastbit.studies.paper.settings import SCALES

TRAINING = ("C1", "C2", "C3", "C4", "C10", "C11")
"""Claims that make studies; the others compute, or train networks of their own."""


class Planned(Exception):
    """Enough is known."""


@dataclass(frozen=True, kw_only=True)
class Clerk(Lab):
    """Works out what a study is asked for, and makes none."""

    def study(self, kind, name, task=None, *, memory_format=None, **settings):
        plan = plan_of(kind_named(kind), task, settings)
        assert plan.cells
        raise Planned


PIECES = [
    pytest.param(scale, piece, id=f"{scale}-{claim.id}-{piece.name}")
    for scale in SCALES
    for claim in claims(TRAINING)
    for piece in claim.pieces(scale)
    if claim.id != "C11" or piece.name in TRAININGS
]


@pytest.mark.parametrize(("scale", "piece"), PIECES)
def test_what_a_piece_trains_can_be_asked_for(scale, piece):
    clerk = Clerk(scale=scale, device=torch.device("cpu"), folder=Path("nowhere"), workers=1, quiet=True)
    with pytest.raises(Planned):
        piece.measure(clerk)
