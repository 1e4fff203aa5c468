"""The rules of C11 can fail: an edge that does not move with the decay is not held, thin samples are undecided."""

from dataclasses import replace

import pytest
import torch

from lastbit.stats import Estimate
from lastbit.studies.paper.claims import c11_measure
from lastbit.studies.paper.claims.c11 import CLAIM
from lastbit.studies.paper.claims.c11_measure import SIZES, TRAININGS, Edge, Size
from lastbit.studies.paper.claims.c11_rules import Decayed, Window, judge_found, judge_published
from lastbit.studies.paper.lab import Lab
from lastbit.studies.paper.rules import Bracket

LR = 0.1


def window(image, decay, *, shift=None, beyond=0.0, sharpness=1.0):
    """A flow whose edge lies `shift` above the sharpness at rest, and which blows up `beyond` past 2/decay."""
    low = 2 / (sharpness + (decay if shift is None else shift))
    high = 2 / decay * (1 + beyond)
    return Window(
        image=image,
        decay=decay,
        low=(low * 0.9999, low * 1.0001),
        high=(high * 0.999, high * 1.001),
        theory_low=2 / (sharpness + decay),
        theory_high=2 / decay,
        sharpness=sharpness,
    )


def edge(training, decay, ratio, width=0.01):
    """A network that ends at `ratio` times its largest stable learning rate."""
    sharpness, half = ratio * 2 / LR - decay, width * 2 / LR
    return Edge(
        training=training,
        decay=decay,
        limit=2 / LR - decay,
        sharpness=Estimate(sharpness, sharpness - half, sharpness + half, 50),
        ratio=Estimate(ratio, ratio - width, ratio + width, 50),
        steps=(15, 30),
        course=(sharpness, None),
    )


def edges(stands=1.0, falls=1.0, batches=1.0, width=0.01):
    ratios = {"steep": stands, "default": falls, "logistic": falls, "batches": batches}
    return tuple(
        one for name, ratio in ratios.items() for one in (edge(name, 0.0, 1.03), edge(name, 1.0, ratio, width))
    )


BOARDS = tuple(window("checkerboard", decay) for decay in (0.4, 1.6))
NOISE = tuple(window("noise", decay) for decay in (0.4, 1.6))
GROWING = (
    Bracket(what="checkerboard", foretold=9.0, low=8.99, high=9.01),
    Bracket(what="noise", foretold=0.4, low=0.3996, high=0.4004),
)
PUBLISHED = Decayed(windows=(*BOARDS, *NOISE), growing=GROWING, edges=edges())
FOUND = Decayed(
    windows=(*BOARDS, NOISE[0], window("noise", 1.6, beyond=0.05)), growing=GROWING, edges=edges(falls=0.2, batches=0.7)
)


def test_each_form_holds_where_it_is_so_and_the_other_does_not():
    assert (judge_published(PUBLISHED).kind, judge_found(PUBLISHED).kind) == ("held", "not_held")
    assert (judge_published(FOUND).kind, judge_found(FOUND).kind) == ("not_held", "held")


@pytest.mark.parametrize(("judge", "measured"), [(judge_published, PUBLISHED), (judge_found, FOUND)])
def test_an_edge_that_does_not_move_with_the_decay_is_not_held(judge, measured):
    still = tuple(window("checkerboard", decay, shift=0.0) for decay in (0.4, 1.6))
    judged = judge(replace(measured, windows=(*still, *measured.windows[2:])))
    assert judged.kind == "not_held"
    assert judged.numbers[0].name == "shift"


def test_a_network_whose_sharpness_does_not_move_with_the_decay_is_not_held():
    still = edge("steep", 1.0, 1.08)
    assert still.sharpness.estimate == pytest.approx(1.03 * 2 / LR)
    others = [one for one in FOUND.edges if (one.training, one.decay) != ("steep", 1.0)]
    judged = judge_found(replace(FOUND, edges=(*others, still)))
    assert judged.kind == "not_held"
    assert judged.numbers[0].name.startswith("sharpness_steep")


@pytest.mark.parametrize(("judge", "measured"), [(judge_published, PUBLISHED), (judge_found, FOUND)])
def test_modes_that_grow_from_elsewhere_on_are_not_held(judge, measured):
    off = replace(GROWING[0], low=9.3, high=9.4)
    assert judge(replace(measured, growing=(off, GROWING[1]))).kind == "not_held"


def test_two_over_the_decay_is_no_bound_where_a_flow_ends_before_it():
    early = window("noise", 0.4, beyond=-0.05)
    assert judge_found(replace(FOUND, windows=(*FOUND.windows, early))).kind == "not_held"
    never = (*BOARDS, *NOISE)
    assert judge_found(replace(FOUND, windows=never)).kind == "not_held"


@pytest.mark.parametrize(("judge", "measured"), [(judge_published, PUBLISHED), (judge_found, FOUND)])
@pytest.mark.parametrize(
    "thin",
    [
        {"windows": BOARDS[:1]},
        {"windows": ()},
        {"growing": ()},
        {"edges": ()},
        {"edges": edges(stands=1.0, width=0.3)},
    ],
    ids=["one decay", "no flow", "no linear flow", "no network", "wide intervals"],
)
def test_a_thin_sample_is_undecided(judge, measured, thin):
    if judge is judge_found and "edges" in thin and thin["edges"]:
        thin = {"edges": edges(falls=0.2, width=0.3)}
    assert judge(replace(measured, **thin)).kind == "undecided"


def test_it_draws_and_tabulates_what_was_measured():
    (drawing,) = CLAIM.drawings(FOUND)
    assert drawing.panels[0].series[0].y == pytest.approx([0.4, 0.4, 1.6, 1.6], rel=1e-2)
    assert [len(panel.series) for panel in drawing.panels] == [2, 2, 3]
    assert [len(table.rows) for table in CLAIM.tables(FOUND)] == [4, 2, 8]


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize("scale", ["small", "full"])
def test_a_cut_down_run_measures_every_piece_and_repeats_to_the_bit(scale, tmp_path, monkeypatch):
    size = SIZES[scale]
    cut = Size(
        image=12, kernel=3, decays=size.decays[1:3], trained=size.trained[:2], settings={"every": 5, "steps": 30}
    )
    monkeypatch.setattr(c11_measure, "SIZES", {scale: cut})
    short = {name: (words, task, {**changes, "steps": 30}) for name, (words, task, changes) in TRAININGS.items()}
    monkeypatch.setattr(c11_measure, "TRAININGS", short)

    def measure(name):
        (tmp_path / name).mkdir()
        lab = Lab(scale=scale, device=torch.device("cpu"), folder=tmp_path / name, workers=1, quiet=True)
        return {piece.name: piece.measure(lab) for piece in CLAIM.pieces(scale)}

    first = measure("first")
    measured = CLAIM.gather(first)
    assert [one.decay for one in measured.edges] == list(cut.trained) * len(TRAININGS)
    assert len(measured.windows) == 4
    assert judge_published(measured).kind in ("held", "not_held", "undecided")
    assert first == measure("second")
