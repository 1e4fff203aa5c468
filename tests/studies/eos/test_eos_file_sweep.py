"""Sweeps over a function in a user's file: its parameters are the axes."""

import pytest
import torch

from lastbit import eos, sharpness
from lastbit.core.errors import LastbitError
from lastbit.studies.frame.runner import JobWorker
from lastbit.tasks.file_task import load_file_task

TOY = """
import torch
from torch import nn
from lastbit import Task
from lastbit.tasks.metric import MSE

X = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))

def make(lr=0.1, weight_decay=0.0, *, width=3, **more):
    return Task(
        name="linear", model=lambda: nn.Linear(4, width, bias=False), train=(X, X[:, :1].expand(-1, width)),
        test=(X, X[:, :1].expand(-1, width)), loss=lambda out, y: 0.5 * (out - y).square().sum(1).mean(), metric=MSE,
        optimizer=lambda params: torch.optim.SGD(params, lr=lr, weight_decay=weight_decay), epochs=12, batch_size=40,
    )
"""
QUICK = {"every": 1, "twins": 1, "workers": 1, "quiet": True}


@pytest.fixture
def toy(tmp_path):
    path = tmp_path / "toy.py"
    path.write_text(TOY)
    return path


def steepest(toy):
    """Return the largest eigenvalue of the inputs' covariance."""
    x = load_file_task(f"{toy}:make").train.tensors[0].double()
    return float(torch.linalg.eigvalsh(x.T @ x / 40)[-1])


def test_each_combination_is_a_training_against_its_own_limit(toy, tmp_path):
    """The data loss of linear regression has the covariance of the inputs as Hessian, whatever the decay."""
    study = eos(f"{toy}:make", lr=(0.1, 0.2), weight_decay=1, out=tmp_path / "s", **QUICK)
    cells = study.result.cells
    assert [cell.label for cell in cells] == ["lr 0.1", "lr 0.2"]
    assert [cell.limit for cell in cells] == pytest.approx([19, 9])
    for cell in cells:
        assert cell.sharpness == pytest.approx([steepest(toy)] * 12, rel=1e-2)
        assert {name: cell.settings[name] for name in ("lr", "weight_decay")} == {
            name: cell.axes[name] for name in ("lr", "weight_decay")
        }
        assert cell.control.bitwise_identical
    assert "--lr 0.1 0.2 --weight-decay 1 " in study.result.command


def test_one_value_is_passed_and_nothing_else(toy, tmp_path):
    found = sharpness(f"{toy}:make", weight_decay=1, out=tmp_path / "s").result
    assert found.whole.max_lr == pytest.approx(2 / (steepest(toy) + 1), rel=1e-2)
    assert found.task["settings"]["weight_decay"] == 1
    assert "width" not in found.task["settings"]
    swept = eos(f"{toy}:make", width="2,5", out=tmp_path / "w", **QUICK).result
    assert [cell.label for cell in swept.cells] == ["width 2", "width 5"]
    assert [sum(row.size for row in cell.per_layer) for cell in swept.cells] == [8, 20]


def test_an_interrupted_sweep_goes_on_with_the_same_file_alone(toy, tmp_path, monkeypatch):
    task, settings = f"{toy}:make", {"weight_decay": "0,0.5", **QUICK}
    whole = eos(task, out=tmp_path / "whole", **settings).result
    one = JobWorker.run

    def stopping(worker, job, progress):
        if job.cell.name == "cell001":
            raise KeyboardInterrupt
        return one(worker, job, progress)

    monkeypatch.setattr(JobWorker, "run", stopping)
    with pytest.raises(LastbitError, match="1 of 2 trainings finished and safe"):
        eos(task, out=tmp_path / "part", **settings)
    monkeypatch.setattr(JobWorker, "run", one)
    toy.write_text(TOY.replace("weight_decay=weight_decay", "weight_decay=2 * weight_decay"))
    with pytest.raises(LastbitError, match=r"^toy.py, of the task of .* is not what it was when the study was begun"):
        eos(resume=tmp_path / "part", quiet=True)
    toy.write_text(TOY)
    resumed = eos(resume=tmp_path / "part", quiet=True).result
    assert [cell.loss for cell in resumed.cells] == [cell.loss for cell in whole.cells]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": "1,2"}, "--depth: .*has no parameter depth: write `def make"),
        ({"weight_decay": "0,-1"}, "--weight-decay"),
        ({"momentum": 1}, "--momentum"),
        ({"weight_decay": "0,0"}, "name each value once"),
        ({"activation": "relu"}, "activation = .*sets that itself"),
    ],
)
def test_a_mistake_gets_one_line_before_a_folder_is_made(toy, tmp_path, settings, message):
    with pytest.raises(LastbitError, match=message) as caught:
        eos(f"{toy}:make", out=tmp_path / "s", **settings, **QUICK)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "s").exists()
