"""Traces of functions and commands: separate runs, compared by sketches; the same training as a Task is the oracle."""

import json
import math
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn import figure_blocks, unnamed
from torch import nn
from torch.nn import functional as F

import lastbit as lb
from lastbit.cli.app import main
from lastbit.core.errors import LastbitError
from lastbit.launch.function import run_function
from lastbit.perturb.base import Identity
from lastbit.perturb.rescale import Rescale
from lastbit.report.html import render_html
from lastbit.store import StudyFolder
from lastbit.studies.trace.growth import largest_jumps
from lastbit.studies.trace.sketched import sketched
from lastbit.tasks import Task

PROGRAMS = Path(__file__).parents[2] / "launch" / "programs"

DRAWS = torch.Generator().manual_seed(3)
X = torch.randn(96, 6, generator=DRAWS)
Y = torch.randint(0, 3, (96,), generator=DRAWS)

torch.manual_seed(0)
START = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 3)).state_dict()
BATCHES = [list(range(first, first + 32)) for first in range(0, 96, 32)]
EPOCHS, TWINS = 60, 2


def network():
    model = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 3))
    model.load_state_dict(START)
    return model


def sgd(params):
    return torch.optim.SGD(params, lr=1.5, momentum=0.9)


def train(seed):
    model = network()
    optimizer = sgd(model.parameters())
    for index in BATCHES * EPOCHS:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(X[index]), Y[index])
        loss.backward()
        optimizer.step()
    return {"loss": loss.detach()}


def two(seed):
    """Two networks, of which the second steps once in three steps of the first; it returns nothing."""
    one, other = nn.Linear(6, 3), nn.Linear(6, 3)
    first, second = torch.optim.SGD(one.parameters(), lr=0.1), torch.optim.Adam(other.parameters())
    for step in range(30):
        for optimizer in (first, second) if step % 3 == 0 else (first,):
            optimizer.zero_grad()
            F.cross_entropy(one(X) + other(X), Y).backward()
            optimizer.step()


CALLS = iter(range(10**6))


def restless(seed):
    weight = nn.Parameter(torch.ones(40) + next(CALLS))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    weight.square().sum().backward()
    optimizer.step()
    return 0.0


def traced(what, path, **settings):
    return lb.trace(what, **{"twins": TWINS, "workers": 1, "quiet": True, "out": path, **settings})


@pytest.fixture(scope="module")
def function(tmp_path_factory):
    return traced(train, tmp_path_factory.mktemp("traces") / "function")


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    """The same weights, batches and steps as a Task, whose twins are trained in lock step."""
    one = Task(
        name="same",
        model=network,
        train=(X, Y),
        test=(X[:8], Y[:8]),
        optimizer=sgd,
        sampler=lambda generator: BATCHES,
        epochs=EPOCHS,
        batch_size=32,
    )
    return traced(one, tmp_path_factory.mktemp("traces") / "task")


def test_distances_are_those_of_lock_step_within_their_interval(function, task):
    estimated, exact = function.to_xarray(), task.to_xarray()
    assert estimated["step"].values[:129].tolist() == list(range(129))
    assert estimated["step"].values[-1] == exact["step"].values[-1] == 3 * EPOCHS
    exact = exact.sel(step=estimated["step"])
    assert estimated["twin"].values.tolist() == exact["twin"].values.tolist()
    assert estimated["size"].values.tolist() == exact["size"].values.tolist()
    # Six standard deviations of 1 / sqrt(2 x 64): a hash that is what it claims never passes.
    later = {"step": slice(1, None)}
    for name in ("l2", "all_l2", "norm", "all_norm"):
        np.testing.assert_allclose(estimated[name].isel(later), exact[name].isel(later), rtol=6 / math.sqrt(128))
    low, high = estimated.attrs["distance_interval"]
    inside = (low * estimated["all_l2"] <= exact["all_l2"]) & (exact["all_l2"] <= high * estimated["all_l2"])
    assert inside.mean() > 0.8  # 95% of hashes, and neighbouring steps share theirs
    np.testing.assert_array_equal(estimated["differs"].values, exact["share_differing"].values > 0)
    np.testing.assert_array_equal(estimated["first_step"].values, exact["first_step"].values)


def test_the_verdict_is_that_of_lock_step(function, task):
    mine, other = function.result, task.result
    assert mine.verdict_kind == other.verdict_kind == "restrained"
    assert mine.decades == pytest.approx(other.decades, abs=0.2)
    assert mine.growth_rate_per_step == pytest.approx(other.growth_rate_per_step, rel=0.15)
    assert mine.first_difference.step == other.first_difference.step
    assert mine.saturation_step == pytest.approx(other.saturation_step, abs=6)
    assert mine.control.bitwise_identical
    assert mine.perturbation.landed_fraction == 1
    assert mine.optimizers == {"SGD": "rescale"}


def test_what_a_sketch_does_not_give_is_not_measured(function):
    result, text = function.result, function.summary()
    assert {"max_ulp", "churn", "loss_gap", "filters", "tangent"} <= result.not_measured.keys()
    final, row = result.final, result.tensors[0]
    assert final.relative_l2 > 0
    assert {final.max_ulp, final.churn, final.loss_gap, final.share_differing, row.max_ulp, row.cosine} == {None}
    assert "ulp" not in text
    assert "What each run measured" in text or "loss" in text
    assert type(result).from_json(json.loads(json.dumps(result.to_json()))) == result
    names = [block.name for block in figure_blocks(function.page)]
    assert names == ["difference", "map", "origin"]
    assert not unnamed(function.page)
    assert "95% interval" in render_html(function.page)


def test_every_optimizer_has_a_map_of_its_own(tmp_path):
    study = traced(two, tmp_path / "s", twins=1)
    first, second = study.result.members
    assert [(m.name, m.optimizer, m.steps, m.reached) for m in (first, second)] == [
        ("opt0", "SGD", 30, 30),
        ("opt1", "Adam", 10, 10),
    ]
    assert [row.tensor for row in second.tensors] == ["opt1.0.0", "opt1.0.1"]
    assert [b.name for b in figure_blocks(study.page) if b.name.startswith("map")] == ["map", "map-2"]
    assert study.to_xarray("opt1")["step"].values.tolist() == list(range(11))
    assert "optimizers traced" in study.verdict or study.verdict.startswith("2 ")
    with pytest.raises(LastbitError, match="opt1"):
        study.to_xarray("opt2")


def test_a_trace_that_was_stopped_goes_on(tmp_path):
    """Without a metric, nothing in the database says how long a run was."""
    study = traced(two, tmp_path / "s", twins=1)
    with StudyFolder.resume(study.path) as folder, folder._database as database:
        database.execute("DELETE FROM runs WHERE run IN ('seed000-repeat', 'seed000-twin1')")
    again = traced(two, None, twins=1, resume=study.path)
    assert again.result.finished
    assert again.result.members == study.result.members


def test_a_power_of_two_differs_nowhere_and_a_stray_repeat_stops_everything(tmp_path):
    base, repeat, still, moved = (
        run_function(train, 0, one, name="train", every=1).arrays
        for one in (Identity(), Identity(), Rescale(k=4), Rescale(k=3))
    )
    (found,) = sketched(base, {"repeat": repeat, "twin1": still, "twin2": moved})
    assert not found.arrays["differs"][:2].any()
    assert not found.arrays["l2"][:2].any()
    assert found.arrays["differs"][2].any()
    assert found.arrays["first_step"][1].tolist() == [-1] * 4
    study = traced(restless, tmp_path / "s")
    assert study.result.verdict_kind == "not_reproducible"
    assert study.result.exit_code == 3
    assert len(study.result.runs) == 2
    assert "first differs at step 1" in study.verdict
    render_html(study.page)


def test_growth_between_records_that_lie_far_apart_is_no_jump():
    l2 = np.array([[0, 0, 0, 0, 0], [0, 1e-6, 1e-6, 1e-3, 1e-1]])
    arrays = {"step": np.array([0, 1, 2, 64, 65]), "all_l2": l2, "l2": l2[..., None], "tensor": np.array(["opt0.0.0"])}
    arrays |= {"log_removed": 0 * l2, "single_rounding": np.array([1e-7]), "interval": np.array([0.85, 1.21])}
    arrays["twin"] = np.array(["repeat", "twin3"])
    (jump,) = largest_jumps(arrays)
    assert (jump.twin, jump.start, jump.end) == ("twin3", 64, 65)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"from_step": 5}, "--from-step belongs to tasks, not to train: no run of it can be branched off"),
        ({"renormalise": True}, "--renormalise belongs to tasks"),
        ({"tangent": True}, "--tangent belongs to tasks"),
        ({"layer": "0"}, "--layer belongs to tasks"),
        ({"dtype": "float64"}, "--dtype belongs to tasks"),
        ({"perturb": "reorder"}, "--perturb reorder needs a task"),
        ({"every": 3}, "write 1, 2, 4, 8"),
        ({"epochs": 2}, "epochs belongs to built-in tasks"),
    ],
)
def test_what_needs_a_task_is_refused(settings, match, tmp_path):
    with pytest.raises(LastbitError, match=match):
        traced(train, tmp_path / "s", **settings)
    assert not (tmp_path / "s").exists()


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    path = tmp_path_factory.mktemp("audits") / "audit"
    return lb.audit(train, seeds=2, perturbations=TWINS + 1, workers=1, quiet=True, out=path)


def test_the_trace_of_an_audit_is_that_of_the_same_runs(audited, function, tmp_path, capsys):
    again = lb.trace(from_audit=audited.path)
    assert [m.name for m in again.result.members] == ["seed000", "seed001"]
    assert again.result.finished
    fresh, read = function.to_xarray(), again.to_xarray("seed000")
    shared = np.intersect1d(fresh["step"], read["step"])
    assert {0, 1, 2, 4, 8, 16, 32, 64, 128, 3 * EPOCHS} <= set(shared.tolist())
    for name in ("l2", "differs", "norm"):
        np.testing.assert_array_equal(read[name].sel(step=shared).values, fresh[name].sel(step=shared).values)
    assert main(["trace", "--from", str(audited.path), "--json", "-", "--quiet"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["kind"] == "trace"
    assert told["command"] == f"lastbit trace --from {audited.path}"
    assert json.loads((audited.path / "trace.json").read_text()) == told
    assert "Trace of train" in (audited.path / "trace.html").read_text()
    assert lb.open_study(audited.path).verdict == audited.verdict
    rows = again.export(tmp_path / "t.csv").read_text().splitlines()
    assert len(rows) == 1 + read.sizes["twin"] * read.sizes["step"]
    assert "all_l2" in rows[0]


def test_an_audit_that_is_unfinished_or_left_no_sketches_is_said_to(audited, task, tmp_path, capsys):
    for folder, match in ((task.path, "is a study of kind 'trace'"), (tmp_path, "is not a study")):
        with pytest.raises(LastbitError, match=match):
            lb.trace(from_audit=folder)
    with pytest.raises(LastbitError, match="leave --twins out"):
        lb.trace(from_audit=audited.path, twins=2)
    with pytest.raises(LastbitError, match="eos is made of runs of its own"):
        lb.eos(from_audit=audited.path)
    of_task = lb.audit("digits", epochs=1, seeds=1, perturbations=1, workers=1, quiet=True, out=tmp_path / "task")
    with pytest.raises(LastbitError, match="whose runs keep no sketches: lastbit trace traces a Task in lock step"):
        lb.trace(from_audit=of_task.path)
    alone = lb.audit(train, seeds=1, perturbations=1, workers=1, quiet=True, out=tmp_path / "alone")
    with pytest.raises(LastbitError, match="no perturbed runs to trace: audit with --perturbations 2"):
        lb.trace(from_audit=alone.path)
    with StudyFolder.resume(audited.path) as folder:
        runs = folder.runs()
        with folder._database as database:
            for table in ("metrics", "runs"):
                database.execute(f"DELETE FROM {table} WHERE run IN ('seed001-repeat', 'seed000-p002')")
    early = shutil.copytree(audited.path, tmp_path / "early")
    with StudyFolder.resume(early) as folder, folder._database as database:
        for table in ("metrics", "runs"):
            database.execute(f"DELETE FROM {table}")
    (early / "result.json").unlink(missing_ok=True)
    assert main(["trace", "--from", str(early)]) == 2
    said = capsys.readouterr()
    assert re.fullmatch(
        rf"error: {early} has no finished pair .* \(0 of 8 runs finished\): lastbit audit --resume .*\n", said.err
    )
    assert not said.out
    study = lb.trace(from_audit=audited.path)
    assert study.result.runs_finished == len(runs) - 2
    assert study.verdict.startswith("unfinished: 6 of 8 runs finished.")
    assert f"lastbit audit --resume {audited.path}" in study.result.advice
    assert [(m.name, m.perturbation.twins) for m in study.result.members] == [("seed000", 1)]


@pytest.mark.slow
def test_a_command_is_traced_as_the_function_is(tmp_path, monkeypatch, capsys):
    """The script has no test of its own here: an audit of the same command, read again, must agree bit for bit."""
    monkeypatch.chdir(tmp_path)
    command = [sys.executable, str(PROGRAMS / "plain.py"), "--steps", "100", "--seed", "{seed}"]
    flags = ["--twins", "1", "--metric", "loss", "--out", "t"]
    assert main(["trace", *flags, "--", *command]) == 0
    assert "What each run measured" not in capsys.readouterr().err
    study = lb.open_study("t")
    assert study.result.control.bitwise_identical
    assert study.result.command.endswith("plain.py --steps 100 --seed {seed}")
    assert {name for run in study.result.runs for name in run.metrics} == {"loss"}
    lb.audit(command, metric=["loss"], seeds=1, perturbations=2, quiet=True, out="a")
    fresh, read = study.to_xarray(), lb.trace(from_audit="a").to_xarray()
    shared = np.intersect1d(fresh["step"], read["step"])
    assert {0, 1, 2, 4, 64, 100} <= set(shared.tolist())
    np.testing.assert_array_equal(read["l2"].sel(step=shared).values, fresh["l2"].sel(step=shared).values)
    assert lb.trace(resume="t", quiet=True).result == study.result


@pytest.mark.slow
def test_a_gan_has_two_maps(tmp_path):
    study = traced([sys.executable, str(PROGRAMS / "gan.py")], tmp_path / "s", twins=1)
    assert [m.name for m in study.result.members] == ["opt0", "opt1"]
    assert [m.optimizer for m in study.result.members] == ["Adam", "Adam"]
    assert len([b for b in figure_blocks(study.page) if b.name.startswith("map")]) == 2


@pytest.mark.slow
def test_ranks_of_one_job_are_traced_as_one(tmp_path):
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, "-m", *torchrun, str(PROGRAMS / "ranks.py")]
    study = traced(command, tmp_path / "s", twins=1)
    assert [(m.name, m.optimizer) for m in study.result.members] == [("seed000", "SGD of ranks 0 and 1")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["--tangent", "--", "python", "x.py"], "--tangent belongs to tasks"),
        (["--lr", "0.1", "--", "python", "x.py"], "--lr belongs to tasks"),
        (["--seed", "3", "--", "python", "x.py"], "nothing sets the seed of x: write {seed}"),
        (["--", "no-such-program"], "no-such-program"),
        (["--from", "nowhere"], "there is no study at nowhere"),
        (["--from", "a", "--", "python", "x.py"], "leave a task or command out"),
    ],
)
def test_a_mistake_gets_one_line(words, match, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["trace", *words]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("error: ")
    assert match in said
