"""A function mapped over items on a Ray cluster, for claims whose pieces are functions rather than one study."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from lastbit.core.errors import LastbitError
from lastbit.studies.frame.travel import home_in
from lastbit.train.executors.away import Luggage, told_environment
from lastbit.train.executors.on_ray import RayExecutor, RayRoom
from lastbit.train.jobs import Crashed, Event, Finished, Job

__all__ = ["mapped_on_ray"]

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class _Mapped:
    """Calls a function; one that writes studies has `moved`, by which they lie where its machine keeps files."""

    function: Callable[[Any], Any]

    def __call__(self) -> _Mapped:
        return self

    def moved(self, folder: Path, root: Path | None) -> _Mapped:
        """Return the same for another machine."""
        moved = getattr(self.function, "moved", None)
        return self if moved is None else replace(self, function=moved(folder))

    def run(self, payload: Any, progress: Callable[[Any], None]) -> Any:
        """Call it, with one thread in every library."""
        with threadpool_limits(1):
            return self.function(payload)

    def step_seconds(self) -> float:
        """Measure nothing: a function has no steps."""
        raise NotImplementedError


def mapped_on_ray(function: Callable[[T], U], items: Sequence[T], room: RayRoom, folder: Path, device: str) -> list[U]:
    """Return what a function of lastbit's says of each item, in order; with one thread each.

    Args:
        function: that another process can be given; where it writes studies, an item's has the item's name.
        items: likewise.
        room: on the cluster that this process is in.
        folder: takes the studies.
        device: where is trained.

    Raises:
        LastbitError: it raised twice for an item.
    """
    results: dict[str, U] = {}

    def on_event(event: Event) -> None:
        if isinstance(event, Finished):
            results[event.job.name] = event.result
        elif isinstance(event, Crashed) and event.final:
            raise LastbitError(f"item {event.job.name} failed on a node: {event.message}")

    home = home_in(folder.absolute(), lambda item: str(getattr(item, "name", "")))
    packed = pickle.dumps(_Mapped(function))
    luggage = Luggage(
        factory=packed, threads=1, device=device, home=str(folder.absolute()), environment=told_environment()
    )
    jobs = [Job(name=str(place), payload=item) for place, item in enumerate(items)]
    RayExecutor(luggage, room, home=home).run(jobs, on_event)
    return [results[job.name] for job in jobs]
