"""The edge-of-stability study from end to end on toys, against dense matrices and closed forms."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from lastbit import Task, eos, open_study
from lastbit.core.errors import LastbitError
from lastbit.report.formatting import show
from lastbit.store import StudyFolder
from lastbit.studies.eos.flow import gradient_flow
from lastbit.studies.eos.result import EosResult, EosStudy, conclude
from lastbit.studies.eos.verdict import cell_verdict
from lastbit.studies.frame.control import Control
from lastbit.studies.frame.runner import JobWorker
from lastbit.tasks.metric import MSE

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(40, 4, generator=GENERATOR)
Y = X @ torch.randn(4, 3, generator=GENERATOR)


def half(outputs, targets):
    return 0.5 * (outputs - targets).square().sum(1).mean()


def linear(lr=0.1, epochs=80, batch_size=40, **more):
    """Linear regression: its Hessian is the covariance of the inputs, whatever the weights."""
    settings = {
        "name": "linear",
        "model": lambda: nn.Linear(4, 3, bias=False),
        "train": (X, Y),
        "test": (X, Y),
        "loss": half,
        "optimizer": lambda p: torch.optim.SGD(p, lr=lr),
        "epochs": epochs,
        "batch_size": batch_size,
        "metric": MSE,
    }
    return Task(**{**settings, **more})


COVARIANCE = torch.linalg.eigvalsh((X.T @ X / 40).double())


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return eos(linear(), out=tmp_path_factory.mktemp("eos") / "s", every=1, twins=2, quiet=True)


def test_sharpness_and_limit_are_those_of_the_covariance(study):
    cell = study.result.cells[0]
    assert cell.limit == pytest.approx(20)
    assert list(cell.sharpness) == pytest.approx([float(COVARIANCE[-1])] * 80, rel=1e-2)
    assert cell.ratio_tail.estimate == pytest.approx(float(COVARIANCE[-1]) / 20, rel=1e-2)
    assert cell.entered_at_step is None
    assert study.result.verdict_kind == "below_edge"
    stable = cell.stable_learning_rates[80].whole
    assert stable.max_lr == pytest.approx(2 / float(COVARIANCE[-1]), rel=1e-2)


def test_a_training_that_left_its_limit_again_did_not_stay_below_it(study):
    cell = study.result.cells[0]
    assert cell_verdict(cell).sentence.startswith("training stays below its edge")
    assert cell_verdict(replace(cell, entered_at_step=3)).sentence.startswith("training ends below its edge")


def conclude_again(study):
    with StudyFolder.read(study.path) as folder:
        return conclude(folder)


def test_the_result_holds_every_promised_key_and_survives_json(study):
    told = study.result.to_json()
    for holder in (told, told["cells"][0]):
        for key in (
            "limit",
            "sharpness",
            "ratio_tail",
            "entered_at_step",
            "growth_share_above_limit",
            "per_layer",
            "converged_fraction",
        ):
            assert key in holder
    stored = json.loads((study.path / "result.json").read_text())
    assert stored == told
    assert EosResult.from_json(stored) == study.result == conclude_again(study)
    assert isinstance(open_study(study.path), EosStudy)


def test_the_repeat_matches_bit_for_bit_and_the_twins_landed(study):
    cell = study.result.cells[0]
    assert cell.control == Control(bitwise_identical=True, pairs=1, pairs_identical=1, first_difference=None)
    assert cell.repeat_distance == 0.0
    assert (cell.landing.twins, cell.landing.not_landed) == (2, ())
    data = study.to_xarray()
    assert float(data["distance"].sel(twin="repeat").max()) == 0
    assert float(data["distance"].sel(twin="twin1").max()) > 0


def test_the_growth_rate_above_the_limit_is_that_of_the_sharpest_direction(tmp_path):
    """Past the limit a difference grows by |1 - lr lambda| per step, exactly, for a quadratic loss.

    The weights start without a part in the sharpest direction, so that they do not grow with the difference.
    """
    values, vectors = torch.linalg.eigh((X.T @ X / 40).double())

    def model():
        network = nn.Linear(4, 3, bias=False, dtype=torch.float64)
        with torch.no_grad():
            network.weight -= (network.weight @ vectors[:, -1:]) @ vectors[:, -1:].T
        return network

    task = linear(lr=2.3 / float(values[-1]), epochs=60, model=model, train=(X, 0 * Y), test=(X, 0 * Y))
    study = eos(task, out=tmp_path / "s", every=1, twins=1, dtype="float64", quiet=True)
    data = study.to_xarray()
    distance = data["distance"].sel(twin="twin1").values
    rate = np.log(distance[-1] / distance[-11]) / 10
    assert rate == pytest.approx(np.log(1.3), rel=0.02)
    assert study.result.growth.share_of_steps_above_limit == 1.0
    assert study.result.growth_share_above_limit.estimate == 1.0


def test_weight_decay_moves_the_limit_and_not_the_sharpness_of_the_data_loss(tmp_path):
    task = linear(optimizer=lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=1.5))
    cell = eos(task, out=tmp_path / "s", every=1, twins=0, quiet=True).result.cells[0]
    assert cell.limit == pytest.approx(18.5)
    assert cell.sharpness[0] == pytest.approx(float(COVARIANCE[-1]), rel=1e-2)


class Product(nn.Module):
    """`f = u v`: with the loss `c/2 (f - 1)^2` and decay `alpha`, at rest `u^2 = v^2 = 1 - alpha/c`, and the data
    loss's sharpness there is `c (3 u^2 - 1) = 2 c - 3 alpha`."""

    def __init__(self):
        super().__init__()
        self.u = nn.Parameter(torch.tensor([1.2]))
        self.v = nn.Parameter(torch.tensor([0.5]))

    def forward(self, x):
        return (self.u * self.v).expand(len(x), 1)


@pytest.mark.parametrize(("c", "rests"), [(5.9, True), (6.4, False)])
def test_the_edge_of_the_data_loss_lies_at_2_over_lr_minus_alpha(tmp_path, c, rests):
    """At alpha = 1 and lr = 0.2 a sharpness of 8.8 is below the edge at 9; one of 9.8 is past it, though below 10."""
    one = torch.ones(2, 1)
    task = linear(
        name="product",
        model=Product,
        train=(one, one),
        test=(one, one),
        batch_size=2,
        epochs=450,
        loss=lambda o, t: 0.5 * c * (o - t).square().mean(),
        optimizer=lambda p: torch.optim.SGD(p, lr=0.2, weight_decay=1.0),
    )
    cell = eos(task, out=tmp_path / "s", every=7, twins=0, quiet=True).result.cells[0]
    assert cell.limit == pytest.approx(9.0)
    tail = np.array(cell.sharpness[-30:])
    if rests:
        assert tail == pytest.approx([2 * c - 3] * 30, rel=1e-2)
        assert cell.ratio_tail.estimate < 1
    else:
        assert tail.std() > 0.1
        assert np.std(cell.loss[-30:]) > 1e-3 * np.mean(cell.loss[-30:])


def test_a_training_that_blows_up_is_a_result(tmp_path):
    study = eos(linear(lr=1e4, epochs=40), out=tmp_path / "s", every=1, twins=1, quiet=True)
    assert study.result.verdict_kind == "diverged"
    assert study.result.cells[0].status == "diverged"
    assert "not finite" in study.verdict
    json.dumps(study.result.to_json(), allow_nan=False)


def test_mini_batches_are_measured_along_their_own_gradients(tmp_path):
    cell = eos(linear(batch_size=10, epochs=20), out=tmp_path / "s", every=1, twins=0, quiet=True).result.cells[0]
    batch = cell.batch_sharpness
    values = np.array(batch.values)
    assert (values > 0).all()
    assert list(batch.limits) == pytest.approx([20.0] * len(values))
    assert batch.ratio_tail.estimate == pytest.approx(batch.tail.estimate / 20)
    assert f"batch sharpness is {show(batch.ratio_tail, digits=3).value} times the limit" in cell_verdict(cell).sentence


def test_batch_sharpness_has_no_edge_under_momentum(tmp_path):
    task = linear(batch_size=10, epochs=6, optimizer=lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.5))
    cell = eos(task, out=tmp_path / "s", every=5, twins=0, quiet=True).result.cells[0]
    assert cell.batch_sharpness.tail.estimate > 0
    assert cell.batch_sharpness.ratio_tail.estimate is None
    assert "without momentum" in cell.batch_sharpness.ratio_tail.note


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=1.5),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
        lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1),
        lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    ],
)
def test_the_stable_rate_of_every_step_is_that_of_the_table(tmp_path, optimizer):
    """The table finds it as the root of the limit over the rate, with an eigenproblem of its own."""
    cell = eos(linear(optimizer=optimizer, epochs=25), out=tmp_path / "s", every=5, twins=0, quiet=True).result.cells[0]
    assert len(cell.stable_lrs) == len(cell.steps) == 5
    for step, found in cell.stable_learning_rates.items():
        rate = cell.stable_lrs[cell.steps.index(step)]
        assert rate == pytest.approx(found.whole.max_lr, rel=2e-2)
    assert cell.stable_lr.first == cell.stable_lrs[0]
    assert cell.stable_lr.lowest == min(cell.stable_lrs)


def test_steps_cut_a_training_short_and_too_rare_measurements_are_refused(tmp_path):
    study = eos(linear(), out=tmp_path / "s", steps=12, every=3, twins=0, quiet=True)
    assert study.result.steps == (3, 6, 9, 12)
    with pytest.raises(LastbitError, match="--every = 91: the training has 80 steps"):
        eos(linear(), out=tmp_path / "t", every=91, quiet=True)
    assert not (tmp_path / "t").exists()


def test_an_even_number_of_steps_between_measurements_is_refused_but_goes_on_in_a_study_begun_with_it(
    tmp_path, monkeypatch
):
    with pytest.raises(LastbitError, match=r"--every = 20: .* period two: write 19 or 21$"):
        eos(linear(), out=tmp_path / "new", every=20, quiet=True)
    assert not (tmp_path / "new").exists()
    monkeypatch.setattr(JobWorker, "run", interrupted)
    small = {"steps": 4, "width": 4, "twins": 1, "quiet": True, "train_size": 60, "every": 1}
    with pytest.raises(LastbitError, match="continue with"):
        eos("digits", out=tmp_path / "s", workers=1, **small)
    monkeypatch.undo()
    facts = tmp_path / "s" / "study.json"
    begun = json.loads(facts.read_text())
    begun["spec"]["settings"]["every"] = 2
    facts.write_text(json.dumps(begun))
    with pytest.raises(LastbitError, match="--every = 4"):
        eos(resume=tmp_path / "s", every=4)
    assert eos(resume=tmp_path / "s", every=2, quiet=True).result.steps == (2, 4)
    assert open_study(tmp_path / "s").report().exists()
    assert eos(resume=tmp_path / "s", quiet=True).result.steps == (2, 4)


def interrupted(*_):
    raise KeyboardInterrupt


def test_an_interrupted_sweep_goes_on_where_it_stood(tmp_path, monkeypatch):
    settings = {"weight_decay": "0,0.1", "steps": 4, "width": 4, "twins": 1, "quiet": True, "train_size": 60}
    whole = eos("digits", out=tmp_path / "whole", workers=1, **settings).result
    one, count = JobWorker.run, []

    def stopping(*args):
        if count:
            raise KeyboardInterrupt
        count.append(1)
        return one(*args)

    monkeypatch.setattr(JobWorker, "run", stopping)
    with pytest.raises(LastbitError, match="1 of 2 trainings finished and safe: continue with lastbit eos --resume"):
        eos("digits", out=tmp_path / "part", workers=1, **settings)
    monkeypatch.setattr(JobWorker, "run", one)
    with pytest.raises(LastbitError, match="begun with --weight-decay"):
        eos(resume=tmp_path / "part", weight_decay="0,0.3")
    resumed = eos(resume=tmp_path / "part", quiet=True).result
    for before, after in zip(whole.cells, resumed.cells, strict=True):
        assert before.sharpness == after.sharpness
        assert before.loss == after.loss


def test_a_training_that_raises_does_not_end_its_siblings(tmp_path, monkeypatch):
    one = JobWorker.run

    def failing(worker, job, progress):
        if job.cell.name == "cell000":
            raise RuntimeError("a bad\nday")
        return one(worker, job, progress)

    monkeypatch.setattr(JobWorker, "run", failing)
    settings = {"weight_decay": "0,0.1", "steps": 4, "width": 4, "twins": 0, "quiet": True, "train_size": 60}
    result = eos("digits", out=tmp_path / "s", workers=1, **settings).result
    assert (result.runs_planned, result.runs_finished) == (2, 1)
    assert open_study(tmp_path / "s").summary().startswith("Unfinished: 1 of 2 trainings finished.")
    monkeypatch.setattr(JobWorker, "run", one)
    assert eos(resume=tmp_path / "s", quiet=True).result.runs_finished == 2


@pytest.mark.parametrize("slowing", [0.0, 1.0])
def test_the_flow_of_a_quadratic_is_its_closed_form(slowing):
    """For linear regression the residual decays as exp(-t C) along the covariance's eigenvectors."""

    def factor(step):
        return 1 - slowing * step / 60

    task = linear(lr=0.1, epochs=60, schedule=lambda optimizer, _: torch.optim.lr_scheduler.LambdaLR(optimizer, factor))
    found = gradient_flow(task, seed=0, steps=60, device=torch.device("cpu"))
    values, vectors = torch.linalg.eigh((X.T @ X / 40).double())
    from lastbit.perturb.base import Identity
    from lastbit.train.random_streams import streams
    from lastbit.train.training import Training

    start = Training(task, streams(0), Identity(), device=torch.device("cpu"), dtype=torch.float64)
    gap = start.model.weight.detach() - torch.linalg.lstsq(X.double(), Y.double()).solution.T
    parts = (gap @ vectors).square().sum(0)
    passed = np.cumsum([0, *(0.1 * factor(step) for step in range(60))])
    times = torch.from_numpy(np.interp(found["flow_step"], np.arange(61), passed))[:, None]
    losses = 0.5 * (parts * values * torch.exp(-2 * times * values)).sum(1)
    assert found["flow_loss"] == pytest.approx(losses.numpy(), rel=2e-2, abs=1e-5)
    assert found["flow_sharpness"] == pytest.approx([float(values[-1])] * len(times), rel=1e-2)


def test_an_optimizer_without_a_flow_is_refused():
    task = linear(optimizer=lambda p: torch.optim.Adam(p))
    with pytest.raises(LastbitError, match="Adam is no gradient descent"):
        gradient_flow(task, seed=0, steps=3, device=torch.device("cpu"))


def test_settings_of_the_task_belong_into_the_task(tmp_path):
    with pytest.raises(LastbitError, match="lr belongs to built-in tasks"):
        eos(linear(), out=tmp_path / "s", quiet=True, lr=0.1)
    assert not (tmp_path / "s").exists()


def test_an_optimizer_without_a_limit_is_refused_before_a_folder_is_made(tmp_path):
    task = linear(optimizer=lambda p: torch.optim.Rprop(p))
    with pytest.raises(LastbitError, match="Rprop has no stability limit"):
        eos(task, out=tmp_path / "s", quiet=True)
    assert not (tmp_path / "s").exists()
