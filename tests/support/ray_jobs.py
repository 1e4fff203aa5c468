"""Jobs that count on a Ray cluster, one that hears what becomes of them, and what is on a node."""

import pickle
from collections import Counter
from pathlib import Path

import executor_workers

from lastbit.store import StudyFolder
from lastbit.studies.frame.travel import home_of
from lastbit.train.executors.away import Home, Luggage
from lastbit.train.executors.on_ray import RayExecutor, RayRoom
from lastbit.train.jobs import Crashed, Finished, Job, Progressed, Started

HELPERS = str(Path(executor_workers.__file__).parent)


def bits(folder):
    """The arrays of every run, as bytes."""
    return {path.name: path.read_bytes() for path in sorted((Path(folder) / "arrays").glob("*.npz"))}


def runs(folder):
    with StudyFolder.read(Path(folder)) as one:
        return {record.run: record for record in one.runs()}


def counting(folder, most, say=lambda said: None):
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "arrays").mkdir()
    home = home_of(folder)

    def names(payload):
        return (f"checkpoints/{payload[0]}",)

    def brings(payload):
        return {name: (folder / name).read_bytes() for name in names(payload) if (folder / name).exists()}

    own = Home(folder=folder, brings=brings, replaced=names, keep=home.keep, drop=home.drop)
    packed = pickle.dumps(executor_workers.CounterFactory())
    luggage = Luggage(factory=packed, threads=1, modules=(HELPERS,), home=str(folder))
    return RayExecutor(luggage, RayRoom(address="auto", most=most), home=own, say=say)


class Losing:
    """Hears events, and once a job has counted far enough, on a node where one is named, does something to it."""

    def __init__(self, what, at=15, *, executor=None, node=None):
        self.events, self.what, self.at, self.done = [], what, at, False
        self.executor, self.node = executor, node

    def is_there(self, job):
        """Whether a job is on the node."""
        return self.node is None or any(
            slot.job is job and slot.node.id == self.node.node_id for slot in self.executor._slots
        )

    def __call__(self, event):
        self.events.append(event)
        far = isinstance(event, Progressed) and isinstance(event.state, int) and event.state >= self.at
        if far and not self.done and self.is_there(event.job):
            self.done = True
            self.what()

    def check(self, jobs):
        """Every job has one result, no crash is blamed on it, and who lost its slot went on from a checkpoint."""
        finished = Counter(event.job.name for event in self.events if isinstance(event, Finished))
        assert finished == Counter(job.name for job in jobs)
        assert not [event for event in self.events if isinstance(event, Crashed)]
        lost = {e.job.name for e in self.events if isinstance(e, Progressed) and "lost its slot" in str(e.state)}
        begun = {event.job.name: event.result[0] for event in self.events if isinstance(event, Finished)}
        starts = Counter(event.job.name for event in self.events if isinstance(event, Started))
        assert lost
        for job in jobs:
            assert starts[job.name] == 1 + (job.name in lost)
            assert begun[job.name] > 0 if job.name in lost else begun[job.name] == 0
        return lost


def jobs(count, most=25):
    return [Job(name=f"job{n}", payload=(f"job{n}", most)) for n in range(count)]


def processes_of(node):
    """The slots of a node with the processes that train in them."""
    import psutil

    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    slots = [one for one in raylet.children() if one.name().startswith("ray::Slot")]
    return [process for slot in slots for process in (slot, *slot.children(recursive=True))]
