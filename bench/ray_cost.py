"""What a run costs beside its training on a Ray of this machine, and that of 200 short runs none is lost or run twice.

Needs `pip install 'lastbit[ray]'`. The time of a slot per run, less the time that the run sleeps.
"""

from __future__ import annotations

import pickle
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lastbit.train.executors.away import Luggage
from lastbit.train.executors.on_ray import RayExecutor, RayRoom
from lastbit.train.executors.ray_cluster import joined
from lastbit.train.jobs import Finished, Job, Started

RUNS, SECONDS = 200, 0.02


@dataclass(frozen=True)
class Sleeper:
    """Makes itself, and sleeps for a run."""

    seconds: float

    def __call__(self) -> Sleeper:
        return self

    def run(self, payload: int, progress: Any) -> int:
        time.sleep(self.seconds)
        return payload

    def step_seconds(self) -> float:
        return self.seconds


def main() -> None:
    from ray_cost import Sleeper as Importable  # by the name under which a node can import it

    with joined("local", 4):
        for slots in (1, 2, 4):
            started, finished, ends = Counter[str](), Counter[str](), [0.0, 0.0]

            def on_event(event: Any, started: Any = started, finished: Any = finished, ends: Any = ends) -> None:
                if isinstance(event, Started):
                    ends[0] = ends[0] or time.perf_counter()
                    started[event.job.name] += 1
                elif isinstance(event, Finished):
                    ends[1] = time.perf_counter()
                    finished[event.job.name] += 1

            luggage = Luggage(
                factory=pickle.dumps(Importable(SECONDS)), threads=1, modules=(str(Path(__file__).parent),)
            )
            jobs = [Job(name=str(number), payload=number) for number in range(RUNS)]
            # A quarter of a CPU each: what waits needs none.
            RayExecutor(luggage, RayRoom(address="auto", cpus=0.25, most=slots)).run(jobs, on_event)
            assert started == finished == Counter(job.name for job in jobs), "a run was lost, or run twice"
            each = (ends[1] - ends[0]) * slots / RUNS - SECONDS
            print(f"{slots} slots: {1000 * each:.1f} ms of a slot for each of {RUNS} runs beside its own time")


if __name__ == "__main__":
    main()
