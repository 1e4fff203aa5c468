"""The rules of C2 can fail: grids without last-bit noise are not held, thin ones are undecided."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lastbit.stats import Estimate, variance_components
from lastbit.studies.paper.claims import c02_measure
from lastbit.studies.paper.claims.c02 import CLAIM, Spreads, judge_found, judge_published
from lastbit.studies.paper.claims.c02_measure import CALM, ROWS, SIZES, Grid, grid_of, settings_of
from lastbit.studies.paper.lab import Lab
from lastbit.tasks.build import resolve
from lastbit.tasks.config import TaskConfig


def grid(name, last_bit, seeds=1.0, shape=(9, 3)):
    """A grid whose spreads are known, its estimates made by the same statistics as an audit's."""
    draw = np.random.default_rng(3)
    effects = draw.standard_normal((shape[0], 1))
    table = 95 + seeds * effects + last_bit * draw.standard_normal(shape)
    found = variance_components(table)
    churn = Estimate(0.02, 0.01, 0.03, shape[0])
    return Grid(
        scale="small",
        name=name,
        verdict_kind="partly_last_bit",
        mean=Estimate(float(table.mean()), None, None, shape[0]),
        last_bit=found.sigma_last_bit,
        seeds=found.sigma_seed,
        total=found.sigma_total,
        share=found.last_bit_variance_share,
        distance=churn,
        churn_last_bit=churn,
        churn_seeds=churn,
        labels=[f"k = {2 * index + 1}" for index in range(shape[1])],
        accuracies=table.T.tolist(),
        diverged=0,
    )


def spreads(last_bit, names=ROWS, **changes):
    return Spreads(grids=[grid(name, last_bit, **changes) for name in names])


LOUD = spreads(1.5)


def with_calm(measured, last_bit):
    return Spreads(grids=[grid(one.name, last_bit) if one.name == CALM else one for one in measured.grids])


def test_spreads_as_large_as_those_of_the_seeds_are_held():
    judged = judge_published(LOUD)
    assert judged.kind == "held"
    assert len(judged.numbers) == len(ROWS)


@pytest.mark.parametrize("last_bit", [0.0, 0.01])
def test_grids_without_last_bit_noise_are_not_held(last_bit):
    assert judge_published(spreads(last_bit)).kind == "not_held"
    assert judge_found(spreads(last_bit)).kind == "not_held"


def test_one_row_without_last_bit_noise_is_named_and_decides():
    judged = judge_published(with_calm(LOUD, 0.01))
    assert judged.kind == "not_held"
    assert ROWS[CALM] in judged.why
    assert judged.numbers[0].name == f"share_{CALM}"


def test_a_share_that_parts_with_the_step_is_found_and_one_that_does_not_is_not():
    assert judge_found(with_calm(LOUD, 0.01)).kind == "held"
    assert judge_found(LOUD).kind == "not_held"


@pytest.mark.parametrize(
    "measured",
    [
        spreads(1.5, shape=(2, 2)),
        spreads(1.5, shape=(1, 3)),
        Spreads(grids=LOUD.grids[:-1]),
        Spreads(grids=[]),
    ],
    ids=["two seeds", "one seed", "a row missing", "nothing"],
)
def test_a_thin_sample_is_undecided(measured):
    assert judge_published(measured).kind == "undecided"
    assert judge_found(measured).kind == "undecided"


def test_rows_whose_controls_failed_say_nothing():
    silent = Estimate(None, None, None, 27, "not measured: a repeat differs")
    measured = Spreads(grids=[replace(one, share=silent, verdict_kind="not_reproducible") for one in LOUD.grids])
    assert judge_published(measured).kind == "undecided"
    assert any("not_reproducible" in remark for remark in CLAIM.remarks(measured))


def test_the_tables_are_seeds_by_perturbations_with_the_spread_of_each():
    one = replace(LOUD.grids[0], labels=("k = 1", "k = 3"), accuracies=((90.0, 92.0), (91.0, None)))
    summary, table, _ = CLAIM.tables(Spreads(grids=[one]))
    assert [row.cells[0] for row in summary.rows] == [ROWS[one.name]]
    assert [tuple(row.cells) for row in table.rows] == [
        ("k = 1", "90", "92", "1.4"),
        ("k = 3", "91", "–", "–"),
        ("SD over updates", "0.71", "–", ""),
    ]


def test_it_draws_a_point_for_each_row():
    (drawing,) = CLAIM.drawings(LOUD)
    assert [len(series.y) for panel in drawing.panels for series in panel.series] == [len(ROWS)] * 3


@pytest.mark.parametrize("scale", SIZES)
def test_the_settings_of_every_row_are_valid(scale):
    for row in ROWS:
        chosen = settings_of(row, SIZES[scale])
        chosen.pop("dtype", None)
        found = resolve(TaskConfig(task=SIZES[scale].task, **chosen))
        assert (found.optimizer == "adamw") == (row == "adamw")
        assert found.nesterov == (row not in ("sgd", "momentum", "adamw"))


@pytest.mark.slow
def test_a_cut_down_run_measures_every_row_and_repeats_to_the_bit(tmp_path, monkeypatch):
    scale = "full"
    cut = {"epochs": 1, "train_size": 100, "batch_size": 32, "model": "resnet8", "width": 4}
    size = replace(
        SIZES[scale], task="digits", seeds=2, perturbations=2, others={}, settings={**SIZES[scale].settings, **cut}
    )
    monkeypatch.setattr(c02_measure, "SIZES", {scale: size})

    def measure(name):
        lab = Lab(scale=scale, device=torch.device("cpu"), folder=tmp_path / name, workers=1, quiet=True)
        (tmp_path / name).mkdir()
        return {piece.name: piece.measure(lab) for piece in CLAIM.pieces(scale)}

    first = measure("first")
    assert list(first) == list(ROWS)
    assert all(np.shape(grid_of(one).accuracies) == (2, 2) for one in first.values())
    judged = judge_published(CLAIM.gather(first))
    assert judged.kind in ("held", "not_held", "undecided")
    assert first == measure("second")
