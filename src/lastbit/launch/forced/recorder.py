"""The reference's part: it says at every step what it had, so that others can be put onto it.

A step's message holds, as flat vectors by format, `initial` (weights before an optimizer's first step), `gradient.K`
(of the K-th evaluation), `buffer`, `copy`, then `weight.I` and `state.I` of optimizer I after the step, with their
norms (`size:`) and those of what the step changed (`change:`), and the generators after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lastbit.launch.forced.flat import Flat, gathered
from lastbit.launch.forced.folder import Outbox
from lastbit.launch.forced.kept import Keeper
from lastbit.launch.forced.measures import norms
from lastbit.launch.forced.moment import Evaluation, Here, is_compared, is_sent, step_name
from lastbit.launch.forced.objects import Found, Objects
from lastbit.launch.forced.randomness import Generators
from lastbit.launch.forced.standing import Trained, by_place
from lastbit.launch.forced.table import Role

__all__ = ["Recorder"]


class Recorder:
    """The reference in one process.

    Args:
        folder: of the exchange.
        process: the name of this one.
        told: `followers` (their roles), `every`, `objects`, `record` (a folder or None).
        here: where the process stands.
    """

    def __init__(self, folder: Path, process: str, told: Mapping[str, Any], here: Here) -> None:
        self._outbox = Outbox(folder, told["followers"], process)
        self._every, self._here = told["every"], here
        self._objects = Objects(told["objects"])
        self._keeper = None if told["record"] is None else Keeper(Path(told["record"]) / process, self._every)
        self._thins = self._every > 1 or self._keeper is not None
        """Whether some steps may not be forced, after which all that stands must be put back."""
        self._before: dict[str, Flat] = {}
        self._generators = Generators()
        self._begin()

    def _begin(self) -> None:
        self._flats: dict[str, Flat] = {}
        self._about: dict[str, Any] = {"losses": [], "returned": []}
        self._tensors: dict[str, Tensor] = {}

    def _say(self, name: str) -> None:
        path = self._outbox.put(name, self._about, self._flats, self._tensors)
        if path is not None and self._keeper is not None:
            self._keeper.keep(name, path)
        elif path is not None:
            path.unlink()
        self._begin()

    def constructed(self, one: Trained, count: int) -> None:
        """Say what an optimizer was given to train."""
        self._add("weight", gathered(by_place(one.alive())))
        self._add_generators()
        self._say(f"made-{count:04d}")

    def begun(self, one: Trained) -> None:
        """Note what stands before a step."""
        if is_compared(self._here.step, self._every):
            parameters = one.parameters()
            self._about["settings"] = one.settings(parameters)
            if not one.steps:
                self._add("initial", gathered(parameters))
                self._before |= _renamed(self._flats, "initial", f"weight.{one.index}")

    def evaluated(self, one: Trained, evaluation: Evaluation) -> None:
        """Note gradients and what led to them."""
        if not is_compared(self._here.step, self._every):
            return
        flats = gathered(one.gradients(one.parameters()))
        self._add(f"gradient.{evaluation.place}", flats, sized=True)
        self._about["losses"].append([evaluation.loss, evaluation.dtype])
        self._about["returned"].append(evaluation.returned)
        self._about["batches"] = self._about.get("batches", {}) | dict(evaluation.batches)
        self._about["drawn"] = self._generators.drawn()
        self._add_objects()

    def _add_objects(self) -> None:
        found = self._objects.now(self._here.step, self._here.places())
        for role in (Role.BUFFER, Role.COPY):
            flats = gathered(found.tensors[role])
            self._add(role, flats, sized=True)
            if role is Role.COPY:
                self._change(role, flats)
        self._about["counted"] = _values(found)

    def stepped(self, one: Trained) -> None:
        """Say where the optimizer stands after its step."""
        step = self._here.step
        if not is_sent(step, self._every):
            return
        compared = is_compared(step, self._every)
        self._about |= {"step": step, "optimizer": one.index, "class": type(one.alive()).__name__, "compared": compared}
        self._about["counters"] = {}
        for each in self._here.trained if self._thins else [one]:
            if each.optimizer() is not None:
                parameters = each.parameters()
                tensors, counters = each.states()
                for name, values in (("weight", parameters), ("state", tensors)):
                    flats = gathered(values)
                    self._add(f"{name}.{each.index}", flats, sized=True)
                    self._change(f"{name}.{each.index}", flats)
                self._about["counters"][str(each.index)] = {name: one.value for name, one in counters.items()}
        if self._thins:
            found = self._objects.now(step, self._here.places())
            for role in (Role.BUFFER, Role.COPY):
                self._add(f"{role}.after", gathered(found.tensors[role]))
        self._add_generators()
        self._say(step_name(step))

    def _change(self, name: str, flats: Mapping[str, Flat]) -> None:
        """Note by how much a step changed something, and keep it for the next one."""
        for dtype, flat in flats.items():
            key = f"{name}/{dtype}"
            before = self._before.get(key)
            if before is not None and before.layout == flat.layout:
                moved = norms(flat.layout, flat.values, before.values)
            elif name.startswith(Role.STATE):  # it began with nothing
                moved = self._tensors[f"size:{key}"]
            else:
                moved = torch.full((len(flat.layout.names),), torch.nan, dtype=torch.float64)
            self._tensors[f"change:{key}"] = moved
            self._before[key] = flat

    def _add(self, name: str, flats: Mapping[str, Flat], *, sized: bool = False) -> None:
        for dtype, flat in flats.items():
            self._flats[f"{name}/{dtype}"] = flat
            if sized:
                self._tensors[f"size:{name}/{dtype}"] = norms(flat.layout, flat.values)

    def _add_generators(self) -> None:
        tensors, self._about["generators"] = self._generators.said()
        self._tensors |= {f"generator/{name}": held for name, held in tensors.items()}

    def ended(self) -> None:
        """Say that there is no further step."""
        self._begin()
        self._add_objects()
        self._about |= {"steps": self._here.step}
        self._say("end")

    def close(self) -> None:
        """Say no more."""


def _values(found: Found) -> dict[str, float]:
    return {name: counter.value for name, counter in found.counters.items()}


def _renamed(flats: Mapping[str, Flat], name: str, into: str) -> dict[str, Flat]:
    return {f"{into}/{key.partition('/')[2]}": flat for key, flat in flats.items() if key.startswith(f"{name}/")}
