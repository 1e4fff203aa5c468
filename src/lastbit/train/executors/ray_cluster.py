"""A Ray cluster: joined within a bounded time, watched, left as it was found. Ray is imported when it is joined."""

from __future__ import annotations

import math
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from lastbit.core.errors import LastbitError, MissingExtraError
from lastbit.core.words import plural

__all__ = ["Node", "Watch", "check_address", "check_installed", "joined", "nodes_alive"]

_CONNECT = 5.0
"""Seconds in which the head of a cluster answers, or is not there."""

_POLL = 1.0
"""Seconds between two looks at which nodes there are."""

_VARIABLES = {
    "RAY_USAGE_STATS_ENABLED": "0",  # no news of this machine to anybody
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # who takes no GPU sees what a process sees that Ray did not start
    "RAY_worker_niceness": "0",  # on a busy machine the polite train last, and everybody waits for them
}
"""What a Ray of our own is told, unless it is told otherwise."""

_STORE = 200 << 20
"""Bytes of the object store of a Ray of our own: what travels is cut into pieces."""


def check_installed() -> None:
    """Refuse where there is no Ray.

    Raises:
        LastbitError: there is none.
    """
    if find_spec("ray") is None:
        raise MissingExtraError("--executor ray", "Ray", "ray")


def check_address(address: str | None) -> None:
    """Refuse what is no address of a cluster that lastbit can be on.

    Raises:
        LastbitError: says what to write instead.
    """
    if address is None or address in ("local", "auto"):
        return
    if address.startswith("ray://"):
        raise LastbitError(
            f"--ray-address {address}: lastbit runs on a node of the cluster, not through a Ray client: start it there "
            "(ray job submit, or a shell on the node) with --ray-address auto"
        )
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdecimal() and 0 < int(port) < 1 << 16):
        raise LastbitError(f"--ray-address {address}: write local, auto, or HOST:PORT of the head of a cluster")


def _answers(address: str) -> None:
    """Refuse a head that is not there: Ray itself would try for minutes.

    Raises:
        LastbitError: nobody answers.
    """
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise LastbitError(
            f"--ray-address {address}: nobody answers there ({reason}): start the head with ray start --head, or write "
            "--ray-address local for a Ray on this machine alone"
        ) from None


@contextmanager
def joined(address: str | None, cpus: int) -> Iterator[str]:
    """Join a cluster, and leave it at the end; one that this process is in already is used, and not left.

    Args:
        address: `local`, `auto` or `HOST:PORT`; None is what `RAY_ADDRESS` says, or `local`.
        cpus: of a Ray on this machine alone.

    Yields:
        Where its dashboard is, "" for nowhere.

    Raises:
        LastbitError: it cannot be joined.
    """
    check_installed()
    for name, value in _VARIABLES.items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        yield ""
        return
    named = address or os.environ.get("RAY_ADDRESS") or "local"
    check_address(named)
    head = os.environ.get("RAY_ADDRESS") or named if named == "auto" else named
    if head not in ("local", "auto"):
        check_address(head)
        _answers(head)
    own: dict[str, Any] = {}
    if named == "local":
        own = {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": _STORE}
    try:
        context = ray.init(named, log_to_driver=False, logging_level="ERROR", **own)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError, AssertionError, OSError) as error:
        ray.shutdown()
        said = " ".join(str(error).split()).partition(". ")[0]
        raise LastbitError(
            f"--ray-address {named}: no Ray could be joined ({said}): lastbit must run on a node of the cluster, with "
            "its version of Ray and of Python; or write --ray-address local for a Ray on this machine alone"
        ) from None
    try:
        link = context.dashboard_url if named != "local" else ""
        yield f"http://{link}" if link else ""
    finally:
        ray.shutdown()


@dataclass(frozen=True)
class Node:
    """A node of the cluster that is alive."""

    id: str
    name: str
    cpus: float
    gpus: float

    def room(self, cpus: float, gpus: float) -> int:
        """Return how many runs fit on it at once, whatever else runs there."""
        fits = [math.floor(has / needs + 1e-9) for has, needs in ((self.cpus, cpus), (self.gpus, gpus)) if needs]
        return min(fits) if fits else 1


def nodes_alive() -> list[Node]:
    """Return the nodes of the cluster that this process is in."""
    import ray

    found = []
    for node in ray.nodes():
        if node["Alive"]:
            has: Mapping[str, float] = node["Resources"]
            name = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
            found.append(Node(node["NodeID"], name, has.get("CPU", 0.0), has.get("GPU", 0.0)))
    return found


def check_room(nodes: Sequence[Node], cpus: float, gpus: float) -> None:
    """Refuse runs that fit on no node: Ray would wait for one in silence.

    Raises:
        LastbitError: they need more than any node has.
    """
    if any(node.room(cpus, gpus) for node in nodes):
        return
    most_cpus, most_gpus = (max((getattr(n, what) for n in nodes), default=0.0) for what in ("cpus", "gpus"))
    flag, needs, has, what = "--per-run-cpus", cpus, most_cpus, "CPU"
    if gpus > most_gpus:
        flag, needs, has, what = "--per-run-gpus", gpus, most_gpus, "GPU"
    if needs > has:
        raise LastbitError(f"{flag} {needs:g}: no node of the cluster has more than {plural(_whole(has), what)}")
    raise LastbitError(
        f"no node of the cluster has {cpus:g} CPUs and {gpus:g} GPUs for a run: write smaller --per-run-*"
    )


def _whole(number: float) -> int:
    return math.floor(number)


class Watch:
    """Asks for the nodes now and then, in a thread of its own: where the head is gone, nobody answers."""

    def __init__(self) -> None:
        self.nodes = nodes_alive()
        self._answered = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        while not self._over.wait(_POLL):
            with suppress(Exception):  # whatever it is, the silence grows
                self.nodes = nodes_alive()
                self._answered = time.monotonic()

    @property
    def silence(self) -> float:
        """Seconds since the head answered last."""
        return time.monotonic() - self._answered

    def close(self) -> None:
        """Ask no longer."""
        self._over.set()
        self._thread.join(2)
