"""The trace as a whole: controls before numbers, numbers against slow twins, what is kept on disk."""

import json
import math
import time

import numpy as np
import pytest
import torch
from torch import nn

from lastbit import compare_sketches, open_study, trace
from lastbit.core.errors import LastbitError
from lastbit.core.seeds import stream_seed
from lastbit.dynamics.sketch import CountSketch
from lastbit.dynamics.thinning import Thinning
from lastbit.perturb.registry import make_perturbation
from lastbit.studies.trace import recorder
from lastbit.studies.trace.recorder import SKETCH_SEED
from lastbit.studies.trace.result import TraceResult
from lastbit.tasks import Task
from lastbit.tasks.file_task import load_file_task
from lastbit.tasks.metric import MSE
from lastbit.train.random_streams import streams
from lastbit.train.training import Training

KEYS = (
    "verdict",
    "growth_rate_per_step",
    "e_folding_steps",
    "saturation_step",
    "saturation_level",
    "first_difference",
    "episodes",
    "participation",
    "control_max_difference",
    "tensors",
)


@pytest.fixture(scope="module")
def traced(task_file, tmp_path_factory):
    """A finished trace of 90 steps and two twins."""
    out = tmp_path_factory.mktemp("traces") / "lively"
    return trace(f"{task_file}:lively", twins=2, tangent=True, out=out, quiet=True)


def small(task, tmp_path, **options):
    return trace(task, **{"twins": 1, "quiet": True, "out": tmp_path / "study", **options})


def alone(task, index, steps, kind="rescale"):
    """Train one run by itself and return its weights by name."""
    perturbation = make_perturbation(kind, index, seed=stream_seed(0, "perturbation"))
    training = Training(task, streams(0), perturbation, device=torch.device("cpu"), dtype=torch.float32)
    with training.active():
        while training.position < steps:
            training.step()
    training.close()
    return {name: p.detach().clone() for name, p in training.model.named_parameters()}


def test_result_holds_everything_it_promises(traced):
    result = traced.result
    stored = json.loads((traced.path / "result.json").read_text())
    assert stored == result.to_json()
    assert set(KEYS) <= stored.keys()
    assert TraceResult.from_json(stored) == result
    assert result.verdict_kind in ("stable", "restrained", "diverged", "undecided")
    assert result.first_difference.step == 1
    assert result.first_difference.tensor in result.first_difference.tensors
    assert result.control_max_difference == 0
    assert result.perturbation.landed_fraction == 1
    assert [row.tensor for row in result.tensors] == [f"layers.{i}.{p}" for i in (0, 2) for p in ("weight", "bias")]
    assert sum(row.growth_share for row in result.tensors) == pytest.approx(1)
    assert result.episodes[0].end > result.episodes[0].start
    assert {name: stored[name] for name in stored["members"][0] if name != "verdict"} == {
        name: value for name, value in stored["members"][0].items() if name != "verdict"
    }
    assert result.members[0].verdict == traced.verdict
    assert traced.verdict.startswith(result.verdict_kind)


def test_the_exact_repeat_is_zero_in_every_measure(traced):
    repeat = traced.to_xarray().sel(twin="repeat")
    for name in ("mean_relative_l1", "l2", "relative_l2", "max_ulp", "share_differing", "cosine"):
        assert not repeat[name].values.any()
        assert not repeat[f"all_{name}"].values.any()
    assert not np.nan_to_num(repeat["loss_gap"].values).any()
    assert not repeat["churn"].values.any()
    assert (repeat["first_step"].values == -1).all()
    same = compare_sketches(traced.path, traced.path, second_run="repeat")
    assert not same["differs"].values.any()
    assert not same["distance"].values.any()


def test_lock_step_gives_each_run_the_bits_it_has_alone(traced, task_file):
    task = load_file_task(f"{task_file}:lively")
    data = traced.to_xarray()
    for steps in (7, task.total_steps):
        base = alone(task, 0, steps)
        for index, twin in enumerate(("twin1", "twin2"), start=1):
            other = alone(task, index, steps)
            row = data.sel(twin=twin, step=steps)
            for name, a in base.items():
                a, b = a.double().numpy(), other[name].double().numpy()
                at = row.sel(tensor=name)
                assert float(at["l2"]) == pytest.approx(np.linalg.norm(b - a), rel=1e-12)
                assert float(at["relative_l2"]) == pytest.approx(np.linalg.norm(b - a) / np.linalg.norm(a), rel=1e-12)
                size = np.abs(a) + np.abs(b)
                l1 = np.divide(2 * np.abs(a - b), size, out=np.zeros_like(a), where=size > 0)
                assert float(at["mean_relative_l1"]) == pytest.approx(l1.mean(), rel=1e-12)
                assert float(at["share_differing"]) == (a != b).mean()


def test_losses_and_churn_are_those_of_runs_alone(traced, task_file):
    task = load_file_task(f"{task_file}:lively")
    losses = []
    for index in (0, 1):
        perturbation = make_perturbation("rescale", index, seed=0)
        training = Training(task, streams(0), perturbation, device=torch.device("cpu"), dtype=torch.float32)
        with training.active():
            while training.position < task.total_steps:
                training.step()
            losses.append((torch.stack(training.losses).double().numpy(), training.evaluate().predictions_N))
        training.close()
    data = traced.to_xarray().sel(twin="twin1")
    gaps = (losses[1][0] - losses[0][0])[data["step"].values[1:] - 1]
    np.testing.assert_array_equal(data["loss_gap"].values[1:], gaps)
    assert np.isnan(data["loss_gap"].values[0])
    assert float(data["churn"].values[-1]) == np.mean(losses[0][1] != losses[1][1])


def test_sketches_give_the_distance_of_any_pair_within_their_interval(traced, task_file):
    task = load_file_task(f"{task_file}:lively")
    one, two = (alone(task, index, task.total_steps) for index in (1, 2))
    found = compare_sketches(traced.path, traced.path, first_run="twin1", second_run="twin2").isel(step=-1)
    for name, a in one.items():
        exact = float((two[name].double() - a.double()).norm())
        estimate = float(found["distance"].sel(tensor=name))
        # Six standard deviations of 1/sqrt(2 x 64): a hash that is what it claims never passes.
        assert estimate == pytest.approx(exact, rel=6 / math.sqrt(128))
        assert bool(found["differs"].sel(tensor=name)) == (exact > 0)
    key = CountSketch(one, seed=SKETCH_SEED)(one).fingerprints.numpy()
    with np.load(traced.path / "arrays" / "float32-twin1.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["fingerprints"][-1], key)


def test_separate_studies_of_other_length_compare_at_shared_steps(traced, task_file, tmp_path):
    shorter = small(f"{task_file}:lively", tmp_path, epochs=10)
    same = compare_sketches(traced.path, shorter.path)
    assert same["step"].values.tolist() == list(range(31))
    assert not same["differs"].values.any()
    apart = compare_sketches(traced.path, shorter.path, second_run="twin1")
    exact = shorter.to_xarray().sel(twin="twin1")["all_l2"]
    assert apart["all_distance"].values[1:] == pytest.approx(exact.values[1:], rel=0.5)
    with pytest.raises(LastbitError, match="choose one of base, twin1, repeat"):
        compare_sketches(traced.path, shorter.path, second_run="twin9")
    late = small(f"{task_file}:lively", tmp_path, epochs=20, from_step=50, out=tmp_path / "late")
    with pytest.raises(LastbitError, match="no step in common"):
        compare_sketches(shorter.path, late.path)


def test_sketches_of_another_hash_are_refused_in_one_line(traced, task_file, tmp_path, monkeypatch):
    monkeypatch.setattr(recorder, "SKETCH_SEED", 0)
    older = small(f"{task_file}:lively", tmp_path, epochs=1)
    for pair in ((older.path, traced.path), (traced.path, older.path)):
        with pytest.raises(LastbitError) as refused:
            compare_sketches(*pair)
        line = f"{older.path} is of an earlier lastbit, whose sketches another hash made: trace it again"
        assert str(refused.value) == line


def test_arrays_have_named_dimensions(traced, tmp_path):
    data = traced.to_xarray()
    assert data["l2"].dims == ("twin", "step", "tensor")
    assert dict(data.sizes) | {"probe_step": 0, "filter": 0, "tangent_step": 0} == {
        "twin": 3,
        "step": 91,
        "tensor": 4,
        "probe_step": 0,
        "filter": 0,
        "tangent_step": 0,
    }
    assert data["twin"].values.tolist() == ["repeat", "twin1", "twin2"]
    assert data["label"].values.tolist() == ["repeat", "k = 3", "k = 5"]
    again = open_study(traced.path)
    assert again.verdict == traced.verdict
    assert again.to_xarray().identical(data)
    table = traced.export(tmp_path / "curves.csv").read_text().splitlines()
    assert len(table) == 1 + 3 * 91
    with pytest.raises(LastbitError, match=r"\.csv, \.parquet, \.nc"):
        traced.export(tmp_path / "curves.xls")


def test_a_repeat_that_differs_ends_the_trace_and_says_where(task_file, tmp_path):
    study = small(f"{task_file}:unseeded", tmp_path)
    assert study.result.verdict_kind == "not_reproducible"
    assert not study.passed
    assert study.result.control.first_difference.step == 5
    assert "step 5" in study.verdict
    assert study.result.control_max_difference > 0
    assert study.result.growth_rate_per_step is None
    assert study.result.tensors == study.result.episodes == ()
    assert study.result.reached < 18


def test_a_perturbation_that_changes_nothing_is_not_called_stable(task_file, tmp_path):
    study = small(f"{task_file}:still", tmp_path)
    assert study.result.verdict_kind == "not_landed"
    assert not study.passed


def test_a_run_that_stops_being_finite_is_diverged(tmp_path):
    def exploding(params):
        return torch.optim.SGD(params, lr=1e6)

    x = torch.randn(16, 3, generator=torch.Generator().manual_seed(0))
    task = Task(
        name="explosive",
        model=lambda: nn.Linear(3, 1),
        train=(x, x[:, :1]),
        test=(x, x[:, :1]),
        loss=nn.functional.mse_loss,
        metric=MSE,
        optimizer=exploding,
        batch_size=16,
        epochs=60,
    )
    study = small(task, tmp_path, tangent=True)
    assert study.result.verdict_kind == "diverged"
    assert study.result.reached < 60
    assert study.passed
    json.dumps(study.result.to_json(), allow_nan=False)


@pytest.mark.parametrize("kind", ["ulp", "rescale"])
def test_twins_branch_at_the_step_they_are_told_to(task_file, tmp_path, kind):
    study = small(f"{task_file}:lively", tmp_path, from_step=40, perturb=kind)
    data = study.to_xarray()
    assert data["step"].values[[0, -1]].tolist() == [40, 90]
    assert not data["l2"].isel(step=0).values.any()
    assert data["max_ulp"].sel(twin="twin1").isel(step=1).values.any()
    assert study.result.first_difference.step == 41
    whole = small(f"{task_file}:lively", tmp_path, out=tmp_path / "whole", every=10)
    base = compare_sketches(study.path, whole.path)
    assert base["step"].values[-1] == 90
    assert not base["differs"].values.any()


def test_every_thins_what_is_recorded_and_keeps_the_last_step(task_file, tmp_path):
    study = small(f"{task_file}:lively", tmp_path, every=7)
    assert study.to_xarray()["step"].values.tolist() == [*range(0, 90, 7), 90]


def test_measuring_changes_no_bit_of_the_runs(traced, task_file, tmp_path):
    plain = small(f"{task_file}:lively", tmp_path, every=30)
    for run in ("base", "twin1"):
        both = compare_sketches(traced.path, plain.path, first_run=run, second_run=run)
        assert not both["differs"].values.any()


def test_ten_thousand_steps_of_sixty_tensors_stay_below_100_mb_per_run(tmp_path):
    class Deep(nn.Sequential):
        def __init__(self):
            super().__init__(*(nn.Linear(4, 4) for _ in range(30)))

    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    task = Task(
        name="sixty",
        model=Deep,
        train=(x, x),
        test=(x, x),
        loss=nn.functional.mse_loss,
        metric=MSE,
        batch_size=8,
        epochs=20,
        optimizer=lambda params: torch.optim.SGD(params, lr=0.1),
    )
    study = small(task, tmp_path)
    data = study.to_xarray()
    assert data.sizes["tensor"] == 60
    folder = study.path / "arrays"
    # The arrays of the member hold the repeat and the twin; each run adds its sketches.
    size = (folder / "float32.npz").stat().st_size / 2 + (folder / "float32-twin1.npz").stat().st_size
    per_step = size / data.sizes["step"]
    assert per_step * Thinning().bound(10_000) < 100e6


def test_a_dropout_network_repeats_and_its_tangent_draws_the_same_masks(tmp_path):
    x = torch.randn(32, 6, generator=torch.Generator().manual_seed(0))
    task = Task(
        name="dropout",
        model=lambda: nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Dropout(0.5), nn.Linear(16, 2)),
        train=(x, (x[:, 0] > 0).long()),
        test=(x, (x[:, 0] > 0).long()),
        batch_size=16,
        epochs=6,
        optimizer=lambda params: torch.optim.SGD(params, lr=0.3),
    )
    watched = small(task, tmp_path, tangent=True, dtype="float64")
    assert watched.result.control.bitwise_identical
    plain = small(task, tmp_path, out=tmp_path / "plain", dtype="float64")
    assert not compare_sketches(watched.path, plain.path)["differs"].values.any()


def test_a_task_object_keeps_its_own_settings(tmp_path):
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    task = Task(
        name="mine",
        model=lambda: nn.Linear(3, 2),
        train=(x, torch.arange(8) % 2),
        test=(x, torch.arange(8) % 2),
        optimizer=lambda params: torch.optim.Adam(params, lr=0.1),
        batch_size=4,
        epochs=2,
    )
    with pytest.raises(LastbitError, match="lr belongs to built-in tasks"):
        trace(task, lr=0.1, out=tmp_path / "study")
    with pytest.raises(LastbitError, match=r"unknown setting 'twin' \(did you mean 'twins'\?\)"):
        trace("digits", twin=3, out=tmp_path / "study")
    assert not (tmp_path / "study").exists()
    study = small(task, tmp_path)
    assert study.result.verdict_kind == "undecided"
    assert study.result.steps_needed > 4


def test_the_costs_are_parts_of_the_time_it_took(task_file, tmp_path):
    began = time.perf_counter()
    study = trace(f"{task_file}:calm", twins=2, tangent=True, out=tmp_path / "s", quiet=True)
    took = time.perf_counter() - began
    result = json.loads((study.path / "result.json").read_text("utf-8"))
    cost = result["members"][0]["cost"]
    # Each is rounded to a thousandth of a second.
    assert 0 < cost["all"] <= took + 1e-3
    assert {"training", "divergence", "sketches", "probe", "tangent"} <= cost.keys()
    assert all(0 <= part <= cost["all"] for part in cost.values())
    assert cost["tangent"] > 0
    assert cost["divergence"] > 0
    assert sum(run["seconds"] for run in result["runs"]) == pytest.approx(cost["all"])
