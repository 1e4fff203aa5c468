"""Studies on a real Ray cluster of several nodes: the bits of this machine, and nothing lost with a node."""

import shutil
import signal

import pytest
from ray_clusters import started_cluster
from ray_jobs import Losing, bits, counting, jobs, runs

import lastbit as lb
from lastbit.core.errors import LastbitError
from lastbit.studies.frame.asked import Asked
from lastbit.train.executors.on_ray import RayExecutor
from lastbit.train.executors.ray_cluster import joined

SMALL = {"seeds": 2, "perturbations": 2, "epochs": 1, "quiet": True}


@pytest.fixture(scope="module")
def cluster():
    with started_cluster(nodes=2) as one:
        yield one


@pytest.fixture(scope="module")
def inside(cluster):
    with joined(cluster.address, 1):
        yield cluster


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """An audit on this machine's processes."""
    folder = tmp_path_factory.mktemp("here") / "study"
    lb.audit("digits", **SMALL, executor="processes", workers=1, out=folder)
    return folder


@pytest.mark.evidence
def test_an_audit_has_the_bits_of_one_on_this_machine_and_goes_on_there(inside, here, tmp_path):
    study = lb.audit("digits", **SMALL, executor="ray", out=tmp_path / "study")
    assert bits(study.path) == bits(here)
    assert study.result.execution["executor"] == "ray"
    assert study.result.verdict_kind != "not_reproducible"
    # A run of it is lost: whatever executes, the study goes on and ends with the same bits.
    for name, executor in (("back", "processes"), ("again", "ray")):
        copy = tmp_path / name
        shutil.copytree(study.path, copy)
        (copy / "arrays" / "seed001-p001.npz").unlink()
        lb.audit(resume=copy, executor=executor, quiet=True)
        assert bits(copy) == bits(here)


TASK = """
from helper_of_task import WIDTH
from torch import nn, optim
import torch
from lastbit import Metric, Task

def make():
    x = torch.rand(64, 4, generator=torch.Generator().manual_seed(0))
    near = Metric(name="near", per_example=lambda o, y: (o - y).abs().flatten() < 0.1)
    return Task(name="sums", model=lambda: nn.Sequential(nn.Linear(4, WIDTH), nn.Tanh(), nn.Linear(WIDTH, 1)),
                train=(x, x.sum(1, keepdim=True)), test=(x, x.sum(1, keepdim=True)), loss=nn.functional.mse_loss,
                optimizer=lambda params: optim.SGD(params, lr=0.01), epochs=2, batch_size=16, metric=near)
"""


@pytest.mark.evidence
def test_a_task_file_travels_as_text_with_what_it_imports(inside, tmp_path, monkeypatch):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "task.py").write_text(TASK)
    (mine / "helper_of_task.py").write_text("WIDTH = 8\n")
    monkeypatch.chdir(mine)
    monkeypatch.setattr(RayExecutor, "_begin", _hiding(mine, RayExecutor._begin))
    study = lb.audit("task.py:make", seeds=2, perturbations=2, quiet=True, executor="ray", out=tmp_path / "study")
    assert study.result.verdict_kind != "not_reproducible"
    assert len(runs(study.path)) == 6


def _hiding(folder, begin):
    """Take the files away before the first job is begun: a node has what travelled, and nothing else."""

    def hidden(self, *given):
        for path in folder.glob("*.py"):
            path.rename(path.with_suffix(".gone"))
        return begin(self, *given)

    return hidden


@pytest.mark.evidence
def test_a_command_runs_in_its_folder_on_a_node(inside, tmp_path, monkeypatch):
    (tmp_path / "train.py").write_text(
        "import sys, torch\n"
        "torch.manual_seed(int(sys.argv[1]))\n"
        "w = torch.nn.Parameter(torch.rand(3)); o = torch.optim.SGD([w], 0.1)\n"
        "for _ in range(3):\n    o.zero_grad(); (w ** 2).sum().backward(); o.step()\n"
        "print('loss:', float((w ** 2).sum()))\n"
    )
    monkeypatch.chdir(tmp_path)
    given = {"seeds": 2, "perturbations": 2, "metric": ("loss",), "better": ("lower",), "quiet": True}
    words = ("python", "train.py", "{seed}")
    study = make_audit(words, **given, executor="ray", out=tmp_path / "study")
    assert {record.status.value for record in runs(study.path).values()} == {"ok"}
    assert all((study.path / "output" / run / "stdout.txt").read_text().startswith("loss") for run in runs(study.path))


def make_audit(words, **given):
    from lastbit.studies.audit.kind import AUDIT
    from lastbit.studies.frame.make import make

    return make(AUDIT, words, **given)


@pytest.mark.evidence
def test_a_slot_that_is_killed_costs_a_run_the_time_since_its_checkpoint(inside, tmp_path):
    import psutil

    work = jobs(3)
    executor = counting(tmp_path / "study", 2)

    def kill():
        ours = {slot.actor: slot for slot in executor._slots if slot.job}
        assert ours
        process = next(one for one in psutil.process_iter() if one.name().startswith("ray::Slot.do"))
        process.send_signal(signal.SIGKILL)

    losing = Losing(kill)
    executor.run(work, losing)
    assert len(losing.check(work)) == 1
    assert {path.name for path in (tmp_path / "study" / "arrays").iterdir()} == {job.name for job in work}
    assert not list((tmp_path / "study" / "checkpoints").iterdir())


@pytest.mark.evidence
@pytest.mark.parametrize("graceful", [True, False])
def test_a_node_that_leaves_loses_no_run_and_one_that_joins_is_used(inside, tmp_path, graceful):
    leaving = inside.add_node(num_cpus=1, object_store_memory=80 << 20)
    inside.wait_for_nodes()
    joined_since = []

    def remove():
        inside.remove_node(leaving, allow_graceful=graceful)
        joined_since.append(inside.add_node(num_cpus=1, object_store_memory=80 << 20))

    # Enough of them for the node that joins to have its first process up before they are done.
    work = jobs(30, most=30)
    losing, executor = Losing(remove), counting(tmp_path / "study", None)
    used = []

    def on_event(event):
        used.extend(slot.node.id for slot in executor._slots if slot.job)
        losing(event)

    executor.run(work, on_event)
    assert losing.check(work)
    assert executor.most_at_once >= 3
    assert joined_since[0].node_id in used
    inside.remove_node(joined_since[0], allow_graceful=True)


@pytest.mark.evidence
def test_what_fits_on_no_node_is_said_and_leaves_no_study(inside, tmp_path):
    with pytest.raises(LastbitError, match=r"--per-run-cpus 64: no node of the cluster has more than 1 CPU"):
        lb.audit("digits", **SMALL, executor="ray", per_run_cpus=64, out=tmp_path / "study")
    assert not (tmp_path / "study").exists()


@pytest.mark.evidence
def test_another_version_on_a_node_is_one_clear_error(inside, tmp_path, monkeypatch):
    from lastbit.train.executors import on_ray

    real = on_ray.computes_with
    monkeypatch.setattr(on_ray, "computes_with", lambda device: real(device) | {"torch": "1.0"})
    with pytest.raises(LastbitError, match=r"^node .* has torch '2\..*', and '1\.0' is here: make it as it is here"):
        counting(tmp_path / "a", 2).run(jobs(1), print)
    monkeypatch.setattr(on_ray, "computes_with", lambda device: real(device) | {"processor": "another"})
    said = []
    with pytest.raises(LastbitError, match=r"no node computes as this one does: node .* has processor"):
        counting(tmp_path / "b", 2, said.append).run(jobs(1), print)
    assert said
    assert all("is left out: it has processor" in one for one in said)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"ray_address": "auto"}, r"--ray-address auto belongs to --executor ray"),
        ({"per_run_cpus": 2, "executor": "processes"}, r"--per-run-cpus 2 belongs to --executor ray"),
        ({"per_run_gpus": 0.5}, r"--per-run-gpus 0\.5 belongs to --executor ray"),
        ({"executor": "slurm"}, r"unknown --executor 'slurm': choose one of serial, processes, replicas, ray"),
        ({"executor": "serial", "workers": 2}, r"--executor serial has one process"),
    ],
)
def test_what_does_not_go_together_is_refused(given, said):
    with pytest.raises(LastbitError, match=said):
        Asked(**given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"ray_address": "ray://head:10001"}, r"not through a Ray client"),
        ({"per_run_cpus": 1.5}, r"--per-run-cpus 1\.5: give a whole number, or a part of one such as 0\.25"),
        ({"per_run_gpus": -1}, r"--per-run-gpus -1: give a whole number"),
    ],
)
def test_what_ray_does_not_take_is_refused(given, said):
    pytest.importorskip("ray")
    with pytest.raises(LastbitError, match=said):
        Asked(executor="ray", **given)


def test_a_task_that_cannot_travel_is_refused(tmp_path):
    pytest.importorskip("ray")
    with pytest.raises(LastbitError, match=r"function cannot be sent to other machines: put it in a file and name it"):
        lb.audit(lambda seed: 1.0, seeds=2, perturbations=2, quiet=True, executor="ray", out=tmp_path / "study")
    assert not (tmp_path / "study").exists()
