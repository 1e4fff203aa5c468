"""What it saves to take the steps of many runs at once: R runs one after another, by graphs, in a stack. One device.

    python bench/gpu.py [--short]

ResNet-20 on images of 32 x 32 pixels and the small CNN on 28 x 28, batches of 128 of random images, half of the runs
perturbed by `rescale`, in float32 and bfloat16; R = 1, 8, 32. For each way: steps of a run per second, all runs
together, as a multiple of one after another; what the device says of its use; memory per run. The aims on an H100 at R
= 32: 15 times on the small CNN, 4 times on ResNet-20. `--short`, and a machine without a GPU, takes the small CNN
alone, R = 1 and 4, few steps.
"""

from __future__ import annotations

import argparse
import gc
import subprocess
import threading
import time
from contextlib import ExitStack

import torch

from lastbit.core.recorder import Recorder
from lastbit.perturb.registry import make_perturbation
from lastbit.tasks import Task
from lastbit.tasks.models import build_model
from lastbit.train.random_streams import streams
from lastbit.train.replicas.graphs import Graphs
from lastbit.train.replicas.refused import Refused
from lastbit.train.replicas.stack import Stack
from lastbit.train.replicas.together import Replica, trainings_of

GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if GPU else "cpu")
AIMS = {"cnn": 15, "resnet20": 4}


class Eager:
    """Trainings one after another, each by its own step."""

    def __init__(self, trainings):
        self.trainings = trainings

    def step(self):
        for training in self.trainings:
            with training.active():
                training.step()


def task(model, side, channels, width):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(1280, channels, side, side, generator=generator)
    labels = torch.randint(10, (1280,), generator=generator)
    return Task(
        name=model,
        model=lambda: build_model(model, (channels, side, side), 10, width=width, norm="batch", activation="relu"),
        train=(images, labels),
        test=(images[:128], labels[:128]),
        optimizer=lambda params: torch.optim.SGD(params, lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4),
        schedule=lambda optimizer, steps: torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, steps),
        epochs=1000,
    )


def waited():
    if GPU:
        torch.cuda.synchronize()


def used(stop, found):
    """Ask the device now and then how much of the time it computes."""
    while GPU and not stop.wait(0.2):
        query = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        try:
            said = subprocess.run(query, capture_output=True, text=True, timeout=5, check=False).stdout.split()
        except OSError:
            return
        found += [float(word) for word in said[:1] if word.replace(".", "").isdigit()]


def measured(way, task, runs, dtype, seconds):
    """Return steps per second of all runs together, use of the device in percent, and MB per run."""
    replicas = [
        Replica(streams=streams(r), perturbation=make_perturbation("rescale", r % 2), recorder=Recorder())
        for r in range(runs)
    ]
    gc.collect()
    before = 0
    if GPU:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    stop, found = threading.Event(), []
    with ExitStack() as scope:
        engine = way(trainings_of(task, replicas, device=DEVICE, dtype=dtype, scope=scope))
        for _ in range(5 if GPU else 1):
            engine.step()
        waited()
        watch = threading.Thread(target=used, args=(stop, found))
        watch.start()
        begun, steps = time.perf_counter(), 0
        while time.perf_counter() - begun < seconds or steps < 3:
            engine.step()
            steps += 1
            if steps % 10 == 0:
                waited()
        waited()
        rate = runs * steps / (time.perf_counter() - begun)
        stop.set()
        watch.join()
    memory = (torch.cuda.max_memory_reserved() - before) / runs / 1e6 if GPU else float("nan")
    return rate, sum(found) / len(found) if found else float("nan"), memory


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true")
    short = parser.parse_args().short or not GPU
    tasks = (
        {"cnn": task("cnn", 28, 1, 8)}
        if short
        else {"cnn": task("cnn", 28, 1, 8), "resnet20": task("resnet20", 32, 3, 16)}
    )
    print(torch.cuda.get_device_name() if GPU else "no GPU: the CPU part only")
    torch.set_num_threads(torch.get_num_threads() if GPU else 1)
    for name, trained in tasks.items():
        for dtype in (torch.float32,) if short else (torch.float32, torch.bfloat16):
            for runs in (1, 4) if short else (1, 8, 32):
                alone = None
                for way in (Eager, Graphs, Stack):
                    told = f"{name} {str(dtype).removeprefix('torch.')} R = {runs} {way.__name__.lower():6}"
                    try:
                        rate, use, memory = measured(way, trained, runs, dtype, 1.0 if short else 1.5)
                    except (Refused, torch.OutOfMemoryError) as reason:
                        print(f"{told} {str(reason)[:100]}", flush=True)
                        continue
                    alone = alone or rate
                    aim = f" (aim {AIMS[name]})" if runs == 32 and way is not Eager else ""
                    print(
                        f"{told} {rate:8.1f} steps/s, {rate / alone:5.2f} x{aim}, use {use:.0f}%, {memory:.0f} MB each",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
