"""Whole studies on a CUDA device: what repeats there bit for bit, and what cannot says so."""

import pytest
import torch
from torch import nn

import lastbit as lb
from lastbit.studies.frame.study import Study
from lastbit.train.replicas.engines import ENGINES

DEVICE = "cuda"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
CALM = {"quiet": True, "device": DEVICE, "epochs": 2, "train_size": 200}
GRID = {"seeds": 2, "perturbations": 2}


@pytest.fixture
def alone(tmp_path):
    return lb.audit("digits", **GRID, **CALM, workers=1, out=tmp_path / "alone")


def test_an_audit_repeats_under_deterministic_algorithms(alone):
    assert alone.result.control.bitwise_identical
    assert alone.result.perturbation.landed_fraction == 1


def test_runs_by_graphs_are_those_of_one_after_another(alone, tmp_path, assert_same_arrays):
    together = lb.audit("digits", **GRID, **CALM, executor="replicas", replicas=4, out=tmp_path / "together")
    assert together.result.control.bitwise_identical
    assert together.result.execution["together"]["engine"] == "graphs"
    assert_same_arrays(alone.path, together.path)


def test_runs_in_a_stack_repeat_within_it(tmp_path, monkeypatch):
    monkeypatch.delitem(ENGINES, "graphs")
    study = lb.audit("digits", **GRID, **CALM, executor="replicas", replicas=4, out=tmp_path / "stack")
    assert study.result.execution["together"]["engine"] == "stack"
    assert study.result.control.bitwise_identical


class Adds(nn.Module):
    """Sums by `index_add_`, of which CUDA has an algorithm that takes atomic additions in whatever order they come."""

    def __init__(self):
        super().__init__()
        self.table, self.head = nn.Parameter(torch.randn(4, 8)), nn.Linear(8, 2)

    def forward(self, x):
        rows = (x[:, 0] > 0).long() + 2 * (x[:, 1] > 0).long()
        return self.head(torch.nn.functional.embedding(rows, self.table))


def test_what_has_no_deterministic_algorithm_is_measured_by_the_control(toy_task, tmp_path):
    study = lb.audit(toy_task(model=Adds), **GRID, device=DEVICE, quiet=True, workers=1, out=tmp_path / "adds")
    # PyTorch may have a deterministic algorithm in its place: the control says which.
    control = study.result.control
    assert control.bitwise_identical == (control.first_difference is None)
    assert control.bitwise_identical or study.result.verdict_kind == "not_reproducible"


@pytest.mark.parametrize("study", [lb.trace, lb.sharpness], ids=["trace", "sharpness"])
def test_other_studies_repeat_there(study, tmp_path):
    settings = {name: value for name, value in CALM.items() if study is lb.trace or name != "epochs"}
    found = study("digits", **settings, out=tmp_path / "study")
    assert isinstance(found, Study)
    assert found.result.control.bitwise_identical


def test_the_edge_is_followed_there(tmp_path):
    found = lb.eos("digits", quiet=True, device=DEVICE, train_size=100, steps=40, out=tmp_path / "eos")
    assert found.result.control.bitwise_identical


def test_half_precision_repeats_in_step(tmp_path):
    options = {**CALM, "dtype": "bfloat16", "executor": "replicas", "replicas": 4}
    assert lb.audit("digits", **GRID, **options, out=tmp_path / "half").result.control.bitwise_identical
