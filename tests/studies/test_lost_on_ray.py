"""What a Ray cluster may lose while a study is on it: a raylet, an answer, its head, the user's patience."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from ray_clusters import started_cluster
from ray_jobs import Losing, counting, jobs, processes_of, runs

import lastbit as lb
from lastbit.train.executors.ray_cluster import joined

SMALL = {"seeds": 2, "perturbations": 2, "epochs": 1, "quiet": True}


@pytest.fixture(scope="module")
def inside():
    with started_cluster(nodes=2) as cluster, joined(cluster.address, 1):
        yield cluster


def gone(process, within):
    """Wait until a process is no more; tell whether it is."""
    import psutil

    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.evidence
def test_a_raylet_that_is_killed_leaves_no_orphan_that_trains_on(inside, tmp_path):
    leaving = inside.add_node(num_cpus=1, object_store_memory=80 << 20)
    inside.wait_for_nodes()
    trained = []

    def kill():
        trained.extend(processes_of(leaving))
        leaving.kill_raylet()

    work = jobs(6, most=30)
    executor = counting(tmp_path / "study", None)
    losing = Losing(kill, executor=executor, node=leaving)
    executor.run(work, losing)
    assert losing.check(work)
    assert len(trained) >= 2  # the slot, and the process that trains
    assert all(gone(process, 10) for process in trained)
    inside.remove_node(leaving, allow_graceful=False)


@pytest.mark.evidence
def test_a_node_that_is_frozen_is_noticed_within_fifteen_seconds(inside, tmp_path, record_property):
    leaving = inside.add_node(num_cpus=1, object_store_memory=80 << 20)
    inside.wait_for_nodes()
    frozen, noticed = [], []

    def freeze():
        everything = [*processes_of(leaving), leaving.all_processes["raylet"][0].process]
        for process in everything:
            os.kill(process.pid, signal.SIGSTOP)
        frozen.extend([process.pid for process in everything])
        noticed.append(time.monotonic())

    class Noticing(Losing):
        def __call__(self, event):
            super().__call__(event)
            if len(noticed) == 1 and "lost its slot" in str(getattr(event, "state", "")):
                noticed.append(time.monotonic())

    work = jobs(6, most=30)
    executor = counting(tmp_path / "study", None)
    losing = Noticing(freeze, executor=executor, node=leaving)
    try:
        executor.run(work, losing)
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGKILL)
    assert losing.check(work)
    record_property("measured", f"noticed after {noticed[1] - noticed[0]:.1f} s")
    assert noticed[1] - noticed[0] < 15
    inside.remove_node(leaving, allow_graceful=False)


@pytest.mark.evidence
def test_other_kinds_of_study_have_the_bits_of_this_machine(inside, tmp_path, assert_same_arrays):
    own = {"train_size": 200, "quiet": True}
    for name, make in {
        "compare": lambda **more: lb.compare("digits", "digits --lr 0.05", seeds=2, epochs=1, **own, **more),
        "trace": lambda **more: lb.trace("digits", twins=1, epochs=1, **own, **more),
        "eos": lambda **more: lb.eos("digits", steps=20, **own, **more),
    }.items():
        there = make(executor="ray", out=tmp_path / f"{name}-there")
        here = make(executor="processes", workers=1, out=tmp_path / f"{name}-here")
        assert there.result.execution["executor"] == "ray"
        assert there.result.verdict == here.result.verdict
        assert_same_arrays(there.path, here.path, without=["seconds"])


@contextmanager
def begun(study, address, tmp_path):
    """Begin an audit in a process of its own, until a run of it is in; Ray ends a process that has lost its head."""
    words = ["audit", "--task", "digits", "--seeds", "3", "--perturbations", "3", "--epochs", "10", "--quiet"]
    words += ["--executor", "ray", "--ray-address", address, "--out", str(study)]
    said = tmp_path / "said"
    with said.open("w") as file:
        process = subprocess.Popen([sys.executable, "-m", "lastbit", *words], stderr=file, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while not (study / "runs.sqlite").exists() or not runs(study):
            assert process.poll() is None, said.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.5)
        yield process, said
    finally:
        process.kill()
        process.wait()


@pytest.mark.evidence
def test_a_study_whose_head_is_lost_goes_on_without_the_cluster(tmp_path):
    study = tmp_path / "study"
    with started_cluster(nodes=2) as cluster, begun(study, cluster.address, tmp_path) as (process, said):
        cluster.head_node.kill_gcs_server()
        assert process.wait(90) == 2
        assert "the head of the Ray cluster has not answered" in said.read_text()
    kept = runs(study)
    whole = lb.audit(resume=study, executor="processes", quiet=True)
    assert whole.result.finished
    assert kept.items() <= runs(study).items()


@pytest.mark.evidence
def test_ctrl_c_ends_a_study_on_ray_in_one_line_and_it_goes_on(tmp_path):
    study = tmp_path / "study"
    with begun(study, "local", tmp_path) as (process, said):
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        told = said.read_text().strip().splitlines()
    assert len(told) == 1
    assert "finished and safe" in told[0]
    assert f"--resume {study}" in told[0]
    assert lb.audit(resume=study, executor="ray", quiet=True).result.finished
