"""Jobs on the nodes of a Ray cluster.

One actor (`Slot`) for each run that there is room for, one streaming call for each job, which tells the progress, the
checkpoints and at last the files and the result. This process alone keeps them: a slot or a node that is lost costs a
job the time since the last checkpoint that arrived here, and the job goes on in another slot.
"""

from __future__ import annotations

import pickle
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.core.threads import threads as torch_threads
from lastbit.core.words import plural
from lastbit.train.executors.away import Home, Luggage, computes_with
from lastbit.train.executors.channel import unpacked
from lastbit.train.executors.choose import default_workers
from lastbit.train.executors.ray_cluster import Node, Watch, check_room, joined, nodes_alive
from lastbit.train.executors.ray_slot import Message, Slot
from lastbit.train.jobs import Crashed, Event, Finished, Job, Progressed, Started, tell_crashed

__all__ = ["RayExecutor", "RayRoom"]

_LOOK = 0.5
"""Seconds after which a wait for news begins anew."""

_LOSSES = 5
"""Times a job may lose its slot: one that takes its node down would go round for ever."""

_REST = 3.0
"""Seconds for which a node that lost a slot gets no other: Ray calls it alive for a while after it is gone."""

_SILENCE = 20.0
"""Seconds without an answer from the head after which the study stops: Ray itself would end this process, unasked, a
minute after the head is gone."""

_ALL_THERE = 20.0
"""Seconds for which the first slots wait for the others, so that all are compared before anything is trained."""

VERSIONS = ("lastbit", "lastbit's text", "python", "torch", "numpy", "threads")
"""In which no slot may differ from this process: somebody must mend it."""

HARDWARE = ("processor", "vector instructions", "gpu", "cuda", "cudnn", "mkl", "training step")
"""A node that differs in these computes other bits: it is left out."""


@dataclass(frozen=True, kw_only=True)
class RayRoom:
    """Where runs go, and what each takes there.

    Attributes:
        address: of the cluster, as `joined` takes it.
        cpus: of a run; None is its threads.
        gpus: of a run.
        most: runs at once; None is as many as there is room for.
    """

    address: str | None = None
    cpus: float | None = None
    gpus: float = 0.0
    most: int | None = None


@dataclass(eq=False)
class _Held:
    """A slot as this process knows it."""

    node: Node
    actor: Any
    stream: Any = None
    greeted: bool = False
    job: Job | None = None
    attempt: int = 0
    parts: dict[str, list[bytes]] = field(default_factory=dict)


class RayExecutor:
    """Runs jobs on a Ray cluster, a run to each slot.

    Args:
        luggage: what every node is given.
        room: where, and how much of it for a run.
        home: takes the files of jobs; None where they have none.
        say: told what a person should know of the cluster.
    """

    def __init__(
        self,
        luggage: Luggage,
        room: RayRoom,
        *,
        home: Home | None = None,
        say: Callable[[str], None] = lambda said: None,
    ) -> None:
        self._luggage, self._room, self._home, self._say = luggage, room, home, say
        self._cpus = float(luggage.threads) if room.cpus is None else room.cpus
        self._slots: list[_Held] = []
        self._waiting: deque[tuple[Job, int]] = deque()
        self._losses: Counter[str] = Counter()
        self._rests: dict[str, float] = {}
        self._left_out: dict[str, str] = {}
        self._open = False
        self._given: Any = None
        self._here: Mapping[str, Any] = {}
        self.most_at_once = 0
        """The slots that there were at once, at most."""

    def run(self, jobs: Sequence[Job], on_event: Callable[[Event], None]) -> None:
        """Run every job; see `Executor.run`.

        Raises:
            LastbitError: the cluster cannot be joined or its head was lost, a run fits on no node, or nodes compute
                with other versions than this process.
        """
        if not jobs:
            return
        own = max(default_workers(), round((self._room.most or 1) * self._cpus))
        with joined(self._room.address, own) as link:
            check_room(nodes_alive(), self._cpus, self._room.gpus)
            if link:
                self._say(f"Ray's dashboard: {link}")
            with torch_threads(self._luggage.threads):
                self._here = computes_with(self._luggage.device)
            watch = Watch()
            try:
                self._run(deque((job, 1) for job in jobs), watch, on_event)
            finally:
                watch.close()
                self.close()

    def _run(self, waiting: deque[tuple[Job, int]], watch: Watch, on_event: Callable[[Event], None]) -> None:
        import ray

        self._waiting, begun, told = waiting, time.monotonic(), False
        self._given = ray.put(self._luggage)
        while self._waiting or any(slot.job for slot in self._slots):
            if watch.silence > _SILENCE:
                raise LastbitError(
                    f"the head of the Ray cluster has not answered for {_SILENCE:.0f} s: what is finished is safe, and "
                    "--resume goes on from it, on another cluster or with --executor processes"
                )
            self._recruit(watch.nodes)
            waited = time.monotonic() - begun
            self._begin(waited, on_event)
            if not told and waited > _ALL_THERE and not any(slot.greeted for slot in self._slots):
                self._say(f"waiting for room on the cluster: {plural(len(self._slots), 'slot')} asked for")
                told = True
            streams = [slot.stream for slot in self._slots if slot.stream is not None]
            if not streams:
                time.sleep(_LOOK)
                continue
            ready, _ = ray.wait(streams, num_returns=1, timeout=_LOOK, fetch_local=False)
            for slot in [slot for slot in self._slots if any(slot.stream is stream for stream in ready)]:
                # The last to be heard goes to the end, so that one that speaks much silences no other.
                self._slots.remove(slot)
                self._slots.append(slot)
                self._hear(slot, on_event)

    def _recruit(self, nodes: Sequence[Node]) -> None:
        """Ask for slots where there is room and work: those that were begun with, and those of nodes that joined."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        wanted = len(self._waiting) + sum(slot.job is not None for slot in self._slots)
        wanted = min(wanted, self._room.most or wanted)
        now, held = time.monotonic(), Counter(slot.node.id for slot in self._slots)
        free = [n for n in nodes if n.id not in self._left_out and now > self._rests.get(n.id, 0.0)]
        while len(self._slots) < wanted:
            free = [node for node in free if held[node.id] < node.room(self._cpus, self._room.gpus)]
            if not free:
                return
            node = min(free, key=lambda node: held[node.id])
            held[node.id] += 1
            where = NodeAffinitySchedulingStrategy(node.id, soft=False)
            needs = {"num_cpus": self._cpus, "num_gpus": self._room.gpus, "scheduling_strategy": where}
            once = {"max_restarts": 0, "max_task_retries": 0, "max_concurrency": 1}
            actor = ray.remote(Slot).options(**needs, **once).remote()
            stream = actor.greet.options(num_returns="streaming").remote(self._given)
            self._slots.append(_Held(node, actor, stream))
            self.most_at_once = max(self.most_at_once, len(self._slots))

    def _begin(self, waited: float, on_event: Callable[[Event], None]) -> None:
        """Give jobs to the slots that have none, once all are compared or have had their time."""
        ready = [slot for slot in self._slots if slot.greeted]
        self._open = self._open or (bool(ready) and (len(ready) == len(self._slots) or waited > _ALL_THERE))
        for slot in ready if self._open else ():
            if slot.job is None and self._waiting:
                slot.job, slot.attempt = self._waiting.popleft()
                slot.parts.clear()
                on_event(Started(slot.job, slot.attempt))
                payload, home = slot.job.payload, self._home
                files, replaced = (home.brings(payload), home.replaced(payload)) if home is not None else ({}, ())
                call = slot.actor.do.options(num_returns="streaming", _generator_backpressure_num_objects=16)
                slot.stream = call.remote(pickle.dumps(payload), files, replaced)

    def _hear(self, slot: _Held, on_event: Callable[[Event], None]) -> None:
        """Take the next that a slot says."""
        import ray
        from ray.exceptions import RayError

        try:
            message: Message = ray.get(next(slot.stream))
        except StopIteration:
            message = ("raised", "its slot said nothing of how it ended")
        except RayError as error:
            self._lose(slot, error, on_event)
            return
        kind, *values = message
        if not slot.greeted:
            slot.stream = None
            self._compare(slot, kind, values[0])
        elif kind == "progress":
            assert slot.job is not None
            on_event(Progressed(slot.job, values[0]))
        elif kind in ("file", "gone"):
            self._keep(slot, kind, *values)
        else:
            self._ended(slot, kind, values[0], on_event)

    def _keep(self, slot: _Held, kind: str, name: str, chunk: bytes = b"", last: bool = True) -> None:
        if self._home is None:
            return
        if kind == "gone":
            self._home.drop(name)
            return
        slot.parts.setdefault(name, []).append(chunk)
        if last:
            self._home.keep(name, b"".join(slot.parts.pop(name)))

    def _ended(self, slot: _Held, kind: str, value: Any, on_event: Callable[[Event], None]) -> None:
        job, attempt = slot.job, slot.attempt
        assert job is not None
        slot.job = slot.stream = None
        if kind == "done":
            on_event(Finished(job, attempt, unpacked(value)))
        elif kind == "stop":
            raise LastbitError(value)
        else:
            self._waiting.extend(tell_crashed(job, attempt, value, on_event))

    def _compare(self, slot: _Held, kind: str, value: Any) -> None:
        """Hold what a slot computes with against what this process does.

        Raises:
            LastbitError: it has other versions, at the beginning of the study; or no node computes as this one does.
        """
        name = slot.node.name
        found = unpacked(value) if kind == "done" else {}
        other = next((one for one in (*VERSIONS, *HARDWARE) if found.get(one) != self._here.get(one)), "")
        if kind == "done" and not other:
            slot.greeted = True
            return
        differs = f"has {other} {found.get(other)!r}, and {self._here.get(other)!r} is here" if found else str(value)
        if not self._open and other not in HARDWARE:
            raise LastbitError(f"node {name} {differs}: make it as it is here, or take the node out of the cluster")
        self._drop(slot)
        if name not in self._left_out.values():
            self._left_out[slot.node.id] = name
            self._say(f"node {name} is left out: it {differs}, where the bits would differ")
        for one in [one for one in self._slots if one.node.id == slot.node.id and not one.greeted]:
            self._drop(one)
        if not self._slots and not self._open:
            raise LastbitError(
                f"no node computes as this one does: node {name} {differs}: start lastbit on a node of the same kind"
            )

    def _lose(self, slot: _Held, error: Exception, on_event: Callable[[Event], None]) -> None:
        """Let a job go on elsewhere whose slot is gone."""
        said, job = " ".join(str(error).split())[:200], slot.job
        self._drop(slot)
        self._rests[slot.node.id] = time.monotonic() + _REST
        if not slot.greeted and not self._open and "ModuleNotFoundError" in said:
            raise LastbitError(f"node {slot.node.name} has no lastbit, or another one: {said}")
        if job is None:
            return
        self._losses[job.name] += 1
        if self._losses[job.name] > _LOSSES:
            reason = f"it lost its slot {plural(self._losses[job.name], 'time')}, at last on {slot.node.name}"
            on_event(Crashed(job, slot.attempt, reason, True))
            return
        on_event(Progressed(job, f"{job.name} lost its slot on {slot.node.name}: it goes on from its last checkpoint"))
        self._waiting.appendleft((job, slot.attempt))

    def _drop(self, slot: _Held) -> None:
        import ray

        self._slots.remove(slot)
        with suppress(Exception):  # it may be gone already
            ray.kill(slot.actor, no_restart=True)

    def close(self) -> None:
        """End the slots, whatever they are doing."""
        if not self._slots:
            return
        import ray

        idle = [slot for slot in self._slots if slot.greeted and slot.job is None]
        with suppress(Exception):  # one that does not end is killed
            ray.wait([slot.actor.end.remote() for slot in idle], num_returns=len(idle), timeout=3)
        for slot in list(self._slots):
            self._drop(slot)
        self._given = None
