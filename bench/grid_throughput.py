"""What a grid costs: against the naive way, and what its records add. Ratios within one run.

    python bench/grid_throughput.py [--rounds 5] [--only ResNet-8]

The naive way is that of research scripts: R networks, stepped one after another in one process with torch's default
threads. The grid's way is one process per core with one thread each, with networks as their task makes them, and in the
memory format that a few timed steps choose. All train at 28x28 with batches of 128 and evaluate on 10,000 images. The
wider the network, the better a second thread serves a single step and the less there is to gain.
"""

import argparse
import os
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F

from lastbit.core.recorder import Recorder
from lastbit.core.status import Role
from lastbit.core.threads import threads
from lastbit.perturb.base import Identity
from lastbit.store import RunFiles, RunRecord, StudyFolder
from lastbit.studies.audit.kind import AUDIT
from lastbit.studies.frame.fingerprint import fingerprint
from lastbit.studies.frame.planning import plan_of
from lastbit.studies.frame.runner import JobWorkerFactory
from lastbit.tasks import TaskConfig
from lastbit.tasks.build import build_task
from lastbit.train.executors.choose import default_workers
from lastbit.train.executors.processes import ProcessExecutor
from lastbit.train.jobs import Job
from lastbit.train.memory_format import MEMORY_FORMATS, faster_format, in_format
from lastbit.train.random_streams import streams
from lastbit.train.run import run_training
from lastbit.train.training import Training

NETWORKS = 4
TASKS = {
    "CNN of width 8": {"width": 8, "train_size": 20_000},
    "CNN of width 16": {"width": 16, "train_size": 20_000},
    "ResNet-8": {"model": "resnet8", "train_size": 8_000},
}
"""Settings of Fashion-MNIST; the first is its default."""
CPU = torch.device("cpu")


def naive(task):
    """Step R networks one after another, as a script does; return steps per second."""
    networks = [task.model() for _ in range(NETWORKS)]
    optimizers = [task.optimizer(network.parameters()) for network in networks]
    inputs, targets = task.train.tensors
    test_inputs, test_targets = task.test.tensors
    begun = time.perf_counter()
    order = torch.randperm(len(inputs))
    for index in order.split(task.batch_size):
        x, y = inputs[index], targets[index]
        for network, optimizer in zip(networks, optimizers, strict=True):
            optimizer.zero_grad()
            F.cross_entropy(network(x), y).backward()
            optimizer.step()
    for network in networks:
        network.eval()
        with torch.no_grad():
            correct = [
                (network(x).argmax(1) == y).sum()
                for x, y in zip(test_inputs.split(512), test_targets.split(512), strict=True)
            ]
        assert int(sum(correct)) > 0
    return NETWORKS * len(order.split(task.batch_size)) / (time.perf_counter() - begun)


def grid(factory, workers, steps):
    """Train R networks on processes that are already there, as all but a grid's first runs find them; steps/s."""
    executor = ProcessExecutor(factory, workers=workers)
    executor.steps_per_second()
    jobs = [Job(name=job.run, payload=job) for job in AUDIT.jobs(factory.plan) if job.role == Role.BASE]
    begun = time.perf_counter()
    executor.run(jobs, lambda event: None)
    return NETWORKS * steps / (time.perf_counter() - begun)


def recording(task, folder):
    """Return the time of what an epoch and a run leave behind, as a share of the training itself."""
    whole, bare = [], []
    for repeat in range(3):
        for recorder, times in ((RunFiles(folder.path, f"bench{repeat}"), whole), (Recorder(), bare)):
            begun = time.perf_counter()
            outcome = run_training(task, streams(0), Identity(), device=CPU, recorder=recorder, checkpoint_seconds=1e9)
            if recorder.__class__ is RunFiles:
                folder.add(
                    RunRecord(
                        run=f"bench{repeat}",
                        cell=0,
                        role=Role.BASE,
                        label="",
                        status=outcome.status,
                        steps=outcome.steps,
                        metrics=outcome.metrics,
                    )
                )
            times.append(time.perf_counter() - begun)
    return statistics.median(whole) / statistics.median(bare) - 1


def evaluation(task):
    """Return the time of one evaluation on the test set, as a share of an epoch of training."""
    training = Training(task, streams(0), Identity(), device=CPU, dtype=torch.float32)
    with training.active():
        for _ in range(5):
            training.step()
        begun = time.perf_counter()
        for _ in range(20):
            training.step()
        step = (time.perf_counter() - begun) / 20
        begun = time.perf_counter()
        training.evaluate()
        return (time.perf_counter() - begun) / (step * 60_000 // task.batch_size)


def throughput(name, rounds, place):
    """Print the ratios of the grid's steps per second to the naive way's, round by round."""
    settings = {**TASKS[name], "epochs": 1, "seeds": NETWORKS, "perturbations": 1, "device": "cpu"}
    plan = plan_of(AUDIT, "fashion-mnist", settings)
    task, workers = plan.task(plan.cells[0]), default_workers()
    with threads(1):
        chosen, told = faster_format(task, device=CPU, dtype=torch.float32)
    print(f"{name}: {told}", flush=True)
    factory = JobWorkerFactory(
        kind=AUDIT,
        plan=plan,
        sample=plan.cells[0],
        folder=place,
        checkpoint_seconds=1e9,
        fingerprints={cell.sets: fingerprint(task) for cell in plan.cells},
        home=os.getpid(),
    )
    ratios = {one: [] for one in dict.fromkeys((MEMORY_FORMATS[0], chosen))}
    for _ in range(rounds):
        rate = naive(task)
        for one, found in ratios.items():
            several = grid(replace(factory, memory_format=one), workers, task.total_steps)
            found.append(several / rate)
            print(
                f"  naive {rate:6.1f} steps/s, grid {several:6.1f} steps/s ({one}), ratio {found[-1]:.2f}", flush=True
            )
    for one, found in ratios.items():
        print(f"grid / naive, {name}, {workers} processes, {one}: median {statistics.median(found):.2f}", flush=True)
    where_it_goes(name, factory, chosen, rounds)


def where_it_goes(name, factory, memory_format, rounds):
    """Print how the ratio comes about, each part over the one before: threads, format, own loop, a second process."""
    plan = factory.plan
    task, workers = plan.task(plan.cells[0]), default_workers()
    laid_out, factory = in_format(task, memory_format), replace(factory, memory_format=memory_format)
    found = []
    for _ in range(rounds):
        several = naive(task)
        with threads(1):
            one, formatted = naive(task), naive(laid_out)
        single = grid(factory, 1, task.total_steps)
        found.append(
            (several / one, formatted / one, single / formatted, grid(factory, workers, task.total_steps) / single)
        )
    medians = [statistics.median(column) for column in zip(*found, strict=True)]
    for what, ratio in zip(
        (
            "naive: default threads over one",
            f"naive, one thread: {memory_format} over as it is",
            "one process of the grid over that: its loop, evaluation and records",
            f"{workers} processes over one",
        ),
        medians,
        strict=True,
    ):
        print(f"  {name}, {what}: median {ratio:.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=TASKS, help="one of the networks")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = StudyFolder.create(Path(place) / "study", {"kind": "bench"})
        for name in [asked.only] if asked.only else TASKS:
            throughput(name, asked.rounds, folder.path)
        torch.set_num_threads(1)
        task = build_task(TaskConfig(task="fashion-mnist", train_size=20_000, epochs=1))
        print(f"recording a run of {task.total_steps} steps: {recording(task, folder):+.1%} of its time")
        print(f"evaluating 10,000 test images once per epoch of 60,000: {evaluation(task):.1%} of the epoch")
        folder.close()


if __name__ == "__main__":
    main()
