"""What a study of a large network takes on disk, and in memory while it is concluded and its report is drawn.

    python bench/study_size.py [--millions 25] [--runs 14 28 42] [--former]

The runs are made up: weights are drawn, written and counted as runs of an audit leave them, seven to a seed (the
unperturbed one, five perturbed ones, the exact repeat); nothing is trained. Each study is concluded and drawn in a
process of its own, whose peak memory over that of `import lastbit` and what it draws with is shown. `--former`
writes the weights among the arrays, as a former lastbit did.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from lastbit.core.status import Role, RunStatus
from lastbit.store import RunRecord, StudyFolder
from lastbit.studies.frame.kind import Cell, Job
from lastbit.studies.frame.landed import count_landed
from lastbit.studies.frame.weighing import Weigher
from lastbit.train.weighed import of_weights

TENSORS, STEPS, EXAMPLES, TWINS = 100, 2000, 10_000, 5

CONCLUDE = r"""
import re, sys, time
from pathlib import Path
import lastbit
from lastbit.report import html
from lastbit.studies.audit.kind import AUDIT
from lastbit.studies.audit.study import AuditStudy
# What getrusage says of a process begins with what its parent held.
peak = lambda: int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024
before, began = peak(), time.perf_counter()
study = AuditStudy(Path(sys.argv[1]), AUDIT)
assert study.result.control.bitwise_identical and study.result.perturbation.landed_fraction == 1
concluded = peak()
study.report(Path(sys.argv[1]) / "out.html")
print(f"{concluded:.0f} {peak():.0f} {before:.0f} {time.perf_counter() - began:.1f}")
"""


def drawn(seed: int, twin: int, weights: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    found = {f"layer{t}": torch.randn(weights // TENSORS, generator=generator) for t in range(TENSORS)}
    if twin:
        generator.manual_seed(1000 * seed + twin)
        for x in found.values():
            x += 1e-3 * torch.randn(len(x), generator=generator)
    return found


def make(path: Path, seeds: int, weights: int, former: bool) -> tuple[float, float]:
    """Write a study; return the most that it took on disk under way, in MB, and the seconds that counting took."""
    settings = {"seeds": seeds, "perturbations": TWINS + 1, "perturb": "rescale", "dtype": "float32"}
    metric = {"name": "accuracy", "unit": "%"}
    task = {"name": "made up", "settings": {}, "metric": metric, "train_size": 1, "test_size": EXAMPLES}
    facts = {"kind": "audit", "spec": {"settings": settings}, "command": "-", "environment": {}, "execution": {}}
    facts["task"] = {**task, "steps": STEPS, "steps_per_epoch": STEPS}
    most = counting = 0.0
    with StudyFolder.create(path, facts) as folder:
        finished: list[str] = []
        for seed in range(seeds):
            cell = Cell(number=seed, name=f"seed{seed:03d}")
            jobs = [
                Job(cell=cell, run=f"{cell.name}-p{p:03d}", role=Role.TWIN if p else Role.BASE, twin=p)
                for p in range(TWINS + 1)
            ]
            jobs.append(Job(cell=cell, run=f"{cell.name}-repeat", role=Role.REPEAT))
            for job in jobs:
                rng = np.random.default_rng([seed, job.twin])
                files, first, final = (
                    folder.files(job.run),
                    drawn(seed, job.twin, weights),
                    drawn(seed + 500, job.twin, weights),
                )
                arrays = {"losses": rng.random(STEPS), "per_example": np.packbits(rng.random(EXAMPLES) < 0.9)}
                if former:
                    arrays |= {
                        f"weights_{n}": torch.cat(list(w.values())).numpy()
                        for n, w in (("first", first), ("final", final))
                    }
                else:
                    arrays |= of_weights(first, final, Weigher(files, job.role, None, lends=True))
                files.arrays(arrays)
                values = {"accuracy": [90 + rng.random()], "test_loss": [rng.random()]}
                folder.add(
                    RunRecord(
                        run=job.run,
                        cell=seed,
                        role=job.role,
                        twin=job.twin,
                        label=job.run,
                        status=RunStatus.OK,
                        steps=(STEPS,),
                        metrics=values,
                    )
                )
                finished.append(job.run)
                most = max(most, on_disk(path))
                began = time.perf_counter()
                count_landed(folder, jobs, finished)
                counting += time.perf_counter() - began
    return most, counting


def on_disk(path: Path) -> float:
    return sum(one.stat().st_size for one in path.rglob("*") if one.is_file()) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millions", type=float, default=25)
    parser.add_argument("--runs", type=int, nargs="+", default=[14, 28, 42])
    parser.add_argument("--former", action="store_true")
    asked = parser.parse_args()
    print(
        "runs  on disk  most under way  peak concluding  peak drawing  before either  counting  concluding and drawing"
    )
    for runs in asked.runs:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "study")
            most, counting = make(path, runs // (TWINS + 2), int(asked.millions * 1e6), asked.former)
            size = on_disk(path)
            ran = subprocess.run(
                [sys.executable, "-c", CONCLUDE, str(path)], capture_output=True, text=True, check=False
            )
            if ran.returncode:
                sys.exit(ran.stderr)
            concluded, drawing, before, took = map(float, ran.stdout.split())
            print(
                f"{runs:4}  {size:.1f} MB  {most:.0f} MB  {concluded:.0f} MiB  {drawing:.0f} MiB  {before:.0f} MiB  "
                f"{counting:.1f} s  {took:.1f} s",
                flush=True,
            )
    print(f"this process at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
