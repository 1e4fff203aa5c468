"""One bad value must not cost a study: what is not finite, all alike or a single example is said, and the rest told."""

import math
import sqlite3
import textwrap
from contextlib import closing

import numpy as np
import pytest
import torch
from torch import nn

from lastbit import Metric, Task, audit, open_study
from lastbit.cli import main
from lastbit.dynamics.blow_up import blow_up

G = torch.Generator().manual_seed(0)
X = torch.randn(60, 4, generator=G)
Y = (X[:, 0] + 0.5 * torch.randn(60, generator=G) > 0).long()


def task(**changes):
    settings = {
        "name": "plain",
        "model": lambda: nn.Linear(4, 2),
        "train": (X, Y),
        "test": (X, Y),
        "optimizer": lambda p: torch.optim.SGD(p, lr=0.5),
        "epochs": 4,
        "batch_size": 20,
    }
    return Task(**settings | changes)


def studied(tmp_path, made, seeds=3, perturbations=3, **settings):
    return audit(made, seeds=seeds, perturbations=perturbations, workers=1, quiet=True, out=tmp_path / "s", **settings)


def whole(study):
    """The page in all its forms, and the result as it is read back."""
    assert study.verdict[1:] in " ".join(study.summary().split())
    assert study.report().exists()
    assert open_study(study.path).result == study.result
    return study.summary()


def test_runs_that_are_all_perfect_have_no_spread_to_report(tmp_path):
    sign = X[:, 0].sign()
    far = torch.stack([3 * sign] * 4, 1)
    study = studied(tmp_path, task(train=(far, (sign > 0).long()), test=(far, (sign > 0).long())))
    result = study.result
    assert (result.verdict_kind, result.exit_code) == ("no_spread", 0)
    assert (result.sigma_total.estimate, result.sigma_total.high) == (0.0, None)
    assert not any(row.difference.measured or row.observed.measured for row in result.smallest_resolvable_difference)
    assert not any(row.n_seeds.measured for row in result.seeds_needed)
    assert "seeds each" not in whole(study)


def test_a_metric_or_loss_that_is_infinite_in_one_run_costs_that_run_alone(tmp_path):
    path = studied(tmp_path, task()).path
    (path / "result.json").unlink()
    with closing(sqlite3.connect(path / "runs.sqlite", isolation_level=None)) as database:
        change = "UPDATE metrics SET value = ? WHERE run = ? AND name = ?"
        database.execute(change, (math.inf, "seed001-p002", "accuracy"))
        database.execute(change, (-math.inf, "seed000-p001", "test_loss"))
    study = open_study(path)
    result = study.result
    assert result.not_measured["metric"] == "accuracy is not finite in 1 run, left out here: seed001-p002"
    assert result.not_measured["loss"] == "test loss is not finite in 1 run, left out here: seed000-p001"
    assert result.sigma_last_bit.n == result.loss.n_runs == 8
    said = " ".join(study.summary().split())
    assert "seed001-p002" in said
    assert "seed000-p001" in said
    assert study.report().exists()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_metric_that_is_finite_in_no_run_is_reported_with_its_own_exit_code(tmp_path, value):
    metric = Metric(name="odd", per_example=lambda outputs, targets: outputs[:, 0] * 0 + value, unit="")
    study = studied(tmp_path, task(metric=metric))
    assert (study.result.verdict_kind, study.result.exit_code) == ("not_finite", 6)
    assert study.verdict == "no spread can be reported: odd is not a finite number in any run."
    assert study.result.control.bitwise_identical
    whole(study)


def test_a_test_set_of_one_example_is_concluded(tmp_path):
    study = studied(tmp_path, task(test=(X[:1], Y[:1])))
    assert study.result.not_measured["distribution"] == "it needs two test examples"
    assert "it needs two test examples" in whole(study)
    assert study.result.exit_code == 0


def test_test_losses_of_any_size_are_concluded(tmp_path):
    def loss(outputs, targets):
        return nn.functional.cross_entropy(outputs, targets) * (1.0 if outputs.requires_grad else 1e300)

    study = studied(tmp_path, task(loss=loss), dtype="float64")
    plain = studied(tmp_path / "plain", task(), dtype="float64")
    huge, usual = study.result.loss, plain.result.loss
    assert huge.sigma_total.estimate == pytest.approx(1e300 * usual.sigma_total.estimate, rel=1e-6)
    assert huge.sigma_total.high == pytest.approx(1e300 * usual.sigma_total.high, rel=1e-6)
    assert huge.last_bit_variance_share.estimate == pytest.approx(usual.last_bit_variance_share.estimate, rel=1e-6)
    whole(study)


HUGE = """
import torch
from torch import nn
from lastbit import Metric, Task

X = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
Y = X[:, :1]


def make():
    return Task(
        name="huge", model=lambda: nn.Linear(3, 1), train=(X, Y), test=(X, Y), loss=nn.functional.mse_loss,
        metric=Metric(name="within", per_example=lambda o, y: ((o - y).abs() < 0.1).flatten(), unit="%"),
        optimizer=lambda p: torch.optim.SGD(p, lr=6.0), epochs=60, batch_size=64,
    )
"""


@pytest.mark.parametrize(
    ("dtype", "status", "why"),
    [("float64", "diverging", "still growing"), ("float32", "diverged", "is not finite from step")],
)
def test_every_run_that_diverges_finite_or_not_is_a_report_and_exit_code_6(
    tmp_path, monkeypatch, capsys, dtype, status, why
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "huge.py").write_text(textwrap.dedent(HUGE))
    grid = ["--seeds", "2", "--perturbations", "2", "--workers", "1", "--dtype", dtype]
    assert main(["audit", "huge.py:make", *grid, "--out", "s"]) == 6
    told = " ".join(capsys.readouterr().out.split())
    assert "Every run diverged (4 runs): there is no result to compare." in told
    assert (tmp_path / "s" / "report.html").exists()
    study = open_study(tmp_path / "s")
    assert {run.status for run in study.result.runs} == {status}
    assert all(why in run.message for run in study.result.runs)
    assert study.result.control.bitwise_identical
    assert main(["report", "s", "--quiet"]) == 6
    whole(study)


STEPS = np.arange(90)
NOISE = np.exp(np.random.default_rng(0).normal(0, 0.3, 90))


@pytest.mark.parametrize(
    ("losses", "diverges"),
    [
        (1.02**STEPS * NOISE, False),  # by a factor of six
        (1.2**STEPS * NOISE, True),
        (10.0 ** (3.0 * STEPS), True),
        (np.exp(25 - np.abs(STEPS - 30.0)), False),  # a catapult: up by decades, then down below where it began
        (np.where(STEPS < 20, 1.0, 1e6 / (1 + STEPS)), False),  # at another level, and no longer growing
        (2.3 * NOISE, False),
    ],
)
def test_a_finite_loss_diverges_where_it_ends_far_above_its_beginning_and_still_grows(losses, diverges):
    assert (blow_up(losses)[0] == "diverging") is diverges


def test_the_runs_that_diverged_stand_in_the_first_sentence(task_file, tmp_path):
    study = audit(f"{task_file}:explosive", seeds=4, perturbations=2, workers=1, quiet=True, out=tmp_path / "s")
    told = study.result.divergence
    assert 0 < told.diverged < told.runs == 8
    assert told.parted == 0
    assert (study.result.verdict_kind, study.result.exit_code) == ("mixed", 0)
    assert study.verdict.startswith(
        f"{told.diverged} of 8 runs diverged (in {told.seeds_with} of 4 seeds; for another seed"
    )
    assert (told.chance.estimate, told.chance.n) == (told.seeds_with / 4, 4)
    whole(study)
