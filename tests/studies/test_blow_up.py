"""One blow-up that stays finite is `diverging` in every kind of study; an edge is where the loss is pushed back."""

import pytest
import torch
from torch import nn

from lastbit import MSE, StabilityMonitor, Task, audit, eos, open_study, trace
from lastbit.studies.eos.verdict import study_verdict

X = torch.rand(50, 1, generator=torch.Generator().manual_seed(0)) * 100
LIMIT = 2 / (2 * float((X.double() ** 2).mean()))


def line(relative, steps=100, momentum=0.0):
    """Least squares with one direction: nothing holds descent past its limit."""
    lr = relative * LIMIT * (1 + momentum)
    return Task(
        name="line",
        model=lambda: nn.Linear(1, 1, bias=False),
        train=(X, 5 * X),
        test=(X, 5 * X),
        loss=nn.functional.mse_loss,
        metric=MSE,
        optimizer=lambda params: torch.optim.SGD(params, lr=lr, momentum=momentum),
        epochs=steps,
        batch_size=50,
    )


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_blow_up_is_no_edge(tmp_path, momentum):
    study = eos(line(1.06, steps=60, momentum=momentum), twins=0, every=1, quiet=True, out=tmp_path / "eos")
    cell = study.result.cells[0]
    assert (cell.status, cell.verdict_kind, study.result.verdict_kind) == ("diverging", "diverging", "diverging")
    assert "decades above its first value and is still growing" in study.verdict
    assert cell.ratio_tail.estimate == pytest.approx(1.06, rel=1e-3)


def test_growth_that_has_not_gone_far_yet_is_beyond_the_edge(tmp_path):
    study = eos(line(1.003), twins=0, every=1, quiet=True, out=tmp_path / "eos")
    assert study.result.verdict_kind == "beyond_edge"
    assert "Nothing has held it yet" in study.result.advice


def test_trace_says_so_too(tmp_path):
    result = trace(line(1.06), twins=1, quiet=True, out=tmp_path / "trace").result
    assert result.verdict_kind == "diverging"
    assert set(result.statuses.values()) == {"diverging"}


def test_audit_says_so_too(tmp_path):
    result = audit(line(1.06), seeds=1, perturbations=2, workers=1, quiet=True, out=tmp_path / "audit").result
    assert {run.status for run in result.runs} == {"diverging"}
    assert "still growing" in result.runs[0].message


def test_monitor_says_so_too(tmp_path):
    task = line(1.06)
    model = task.model()
    optimizer = task.optimizer(model.parameters())
    options = {"every": 1, "budget": None, "study": tmp_path / "monitor"}
    monitor = StabilityMonitor(model, optimizer, task.loss, (X, 5 * X), **options)
    for _ in range(100):
        optimizer.zero_grad()
        task.loss(model(X), 5 * X).backward()
        optimizer.step()
        monitor.step()
    monitor.close()
    assert open_study(tmp_path / "monitor").result.verdict_kind == "diverging"


def test_a_sweep_has_one_word_only_where_its_trainings_agree(tmp_path):
    kinds = {}
    for relative in (0.5, 1.06):
        kinds[relative] = eos(line(relative), twins=0, every=1, quiet=True, out=tmp_path / str(relative)).result.cells
    (below,), (beyond,) = kinds.values()
    assert study_verdict([below, below], []).kind == "below_edge"
    assert study_verdict([below, beyond], []).kind == "mixed"
