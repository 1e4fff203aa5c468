"""A follower's part: it is put onto the reference at each step, and what it came to by itself there is written down."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lastbit.launch.forced.comparing import Comparing
from lastbit.launch.forced.double import Double
from lastbit.launch.forced.flat import Flat, joined, near, parts_of, spread
from lastbit.launch.forced.folder import Inbox, Message
from lastbit.launch.forced.jitter import Jitter
from lastbit.launch.forced.measures import same
from lastbit.launch.forced.moment import Evaluation, Here, is_compared, is_sent, step_name
from lastbit.launch.forced.objects import Found, Objects
from lastbit.launch.forced.randomness import Generators
from lastbit.launch.forced.refusal import refusal
from lastbit.launch.forced.rows import TableWriter
from lastbit.launch.forced.standing import Counter, Trained, by_place
from lastbit.launch.forced.table import Role
from lastbit.launch.pair.leaves import names_of

__all__ = ["Follower"]


class Follower:
    """A follower in one process.

    Args:
        folder: of the exchange.
        process: the name of this one.
        told: `role`; `every`; `objects`; `light`, whether only what a forward and backward pass gives is compared;
            `jitter`, its scale and seed, or None; `double`; `keeps`, whether the messages are a record's.
        here: where the process stands.
        rows: the file of its table.
    """

    def __init__(self, folder: Path, process: str, told: Mapping[str, Any], here: Here, rows: Path) -> None:
        self._inbox = Inbox(folder, told["role"], process, keeps=told["keeps"])
        self._refused = folder / f"refused-{told['role']}"
        self._every, self._here, self._light = told["every"], here, told["light"]
        self._objects = Objects(told["objects"])
        self._jitter = None if told["jitter"] is None else Jitter(*told["jitter"])
        self._double = Double() if told["double"] else None
        self._table = TableWriter(rows)
        self._comparing = Comparing(self._table)
        self._message: Message | None = None
        self._held: dict[str, Flat] = {}
        self._names: dict[int, frozenset[str]] = {}
        self._classes: dict[str, list[str]] = {}
        self._sparse: list[str] = []
        self._generators = Generators()
        self._aside: list[tuple[Tensor, Tensor]] = []
        """Gradients that a step is not to see, with their parameters."""
        self._over = False

    def constructed(self, one: Trained, count: int) -> None:
        """Put what an optimizer was given to train where the reference's was."""
        if self._over:
            return
        message = self._inbox.take(f"made-{count:04d}", unless=step_name(self._here.step + 1))
        places = by_place(one.alive())
        if message is None or _shapes(message, "weight") != {name: tuple(near(p).shape) for name, p in places.items()}:
            return
        names: dict[str, str] = {}
        for flat in _parts(message, "weight"):
            into = [places[name] for name in flat.layout.names]
            mine = joined(map(near, into))
            if not self._light and not same(mine, flat.values):
                names |= names or names_of(one.alive())
                self._comparing.initial(0, flat, mine, names)
            self._put_weights(flat, into, equal=same(mine, flat.values))
        self._restore(message)
        self._table.flush()
        self._pass(on=True)

    def begun(self, one: Trained) -> None:
        """Take what the reference says of this step, and compare settings."""
        self._pass(on=False)
        step = self._here.step
        if self._over or not is_compared(step, self._every):
            return
        message = self._inbox.take(step_name(step))
        if message is None:
            self._ends(step, f"ended at step {step - 1}", "went on")
            return
        if message.about["optimizer"] != one.index:
            self._ends(step, *(f"stepped optimizer {index + 1}" for index in (message.about["optimizer"], one.index)))
            return
        parameters = one.parameters()
        mine = {name: tuple(near(param).shape) for name, param in parameters.items()}
        if said := refusal(_shapes(message, f"weight.{one.index}"), mine):
            self._refused.write_text(said, encoding="utf-8")
            self.close()
            return
        self._message = message
        self._names.setdefault(one.index, frozenset(mine))
        self._note_class(one, message)
        if not self._light:
            self._comparing.settings(step, message.about["settings"], one.settings(parameters))
            for flat in _parts(message, "initial"):
                own = joined(near(parameters[name]) for name in flat.layout.names)
                self._comparing.initial(step, flat, own, {})
        for key, flat in message.flats.items():
            if key.startswith("initial/"):
                self._held[f"weight.{one.index}/{key.partition('/')[2]}"] = flat

    def evaluated(self, one: Trained, evaluation: Evaluation) -> float | None:
        """Compare gradients and loss, then put the reference's there; return what a closure must return, if other."""
        message, step = self._message, self._here.step
        if self._over or message is None:
            return None
        place, about = evaluation.place, message.about
        if place >= len(about["losses"]):
            self._comparing.mismatch(
                step, "length", "closure", f"called its closure {len(about['losses'])} times", "more often"
            )
            return None
        self._comparing.loss(step, tuple(about["losses"][place]), evaluation)
        self._compare_gradients(one, message, place)
        if place == len(about["losses"]) - 1:
            if not self._light:
                self._comparing.words(step, "batch", about["batches"], evaluation.batches)
                self._comparing.words(step, "generator", about["drawn"], self._generators.drawn())
            self._compare_objects(message, step)
        if self._light and evaluation.returned is None and one.steps:
            self._spare(one)
        returned: float | None = about["returned"][place]
        return None if returned == evaluation.returned else returned

    def _spare(self, one: Trained) -> None:
        """Have a step do nothing: the reference's weights come after it, and what it makes is not compared."""
        if type(one.alive()).__module__.startswith("torch.optim."):
            self._aside = [(param, param.grad) for param in by_place(one.alive()).values() if param.grad is not None]
            for param, _ in self._aside:
                param.grad = None

    def _compare_gradients(self, one: Trained, message: Message, place: int) -> None:
        parameters = one.parameters()
        gradients = one.gradients(parameters)
        missing = set(gradients)
        self._sparse += [n for n, g in gradients.items() if g.layout is not torch.strided and n not in self._sparse]
        for key in _keys(message, f"gradient.{place}"):
            flat = message.flats[key]
            missing -= set(flat.layout.names)
            mine = _own(flat, gradients)
            label = self._label(one.index)
            equal = self._comparing.flat(self._here.step, key, message, mine, label=label, before=None)
            if not equal:
                for name, value in parts_of(flat.layout, flat.values):
                    one.set_gradient(parameters[name], value)
        for name in sorted(missing):
            if gradients[name].count_nonzero():
                self._comparing.mismatch(self._here.step, "gradient", self._label(one.index) + name, "none", "some")
            one.set_gradient(parameters[name], None)

    def _compare_objects(self, message: Message, step: int, roles: Sequence[Role] = (Role.BUFFER, Role.COPY)) -> None:
        found = self._objects.now(step, self._here.places())
        for role in roles:
            for key in _keys(message, role):
                flat = message.flats[key]
                if all(name in found.tensors[role] for name in flat.layout.names):
                    mine = _own(flat, found.tensors[role])
                    # What is done to copies after a step is seen before the next one.
                    whose = step - 1 if role is Role.COPY else step
                    if whose:
                        equal = self._comparing.flat(whose, key, message, mine, label="", before=self._held.get(key))
                    else:
                        equal = not self._light and self._comparing.initial(0, flat, mine, {})
                    if not equal:
                        spread(flat.layout, flat.values, [found.tensors[role][name] for name in flat.layout.names])
                self._held[key] = flat
        if Role.BUFFER in roles:
            self._compare_counters(message.about["counted"], found.counters, step)

    def _compare_counters(self, there: Mapping[str, float], here: Mapping[str, Counter], step: int) -> None:
        for name in sorted(there.keys() & here.keys()):
            if there[name] != here[name].value:
                if not self._light:
                    self._comparing.mismatch(step, "counter", name, _text(there[name]), _text(here[name].value))
                here[name].put(there[name])

    def stepped(self, one: Trained) -> None:
        """Compare what the step made, and put the reference's in its place."""
        step = self._here.step
        for param, grad in self._aside:
            param.grad = grad
        self._aside = []
        if not self._over and is_sent(step, self._every):
            message, compared = self._message, self._message is not None
            if message is None:
                message = self._inbox.take(step_name(step))
            self._message = None
            if message is not None:
                self._settle(one, message, compared=compared)
                self._restore(message)
        self._table.flush()
        self._pass(on=True)

    def _settle(self, one: Trained, message: Message, *, compared: bool) -> None:
        closures = any(returned is not None for returned in message.about["returned"])
        for each in self._here.trained:
            counters = message.about["counters"].get(str(each.index))
            if counters is None or each.optimizer() is None:
                continue
            parameters = each.parameters()
            mine = compared and each is one and not self._light
            if closures or not self._light:
                tensors, numbers = each.states()
                self._settle_part(each, Role.STATE, tensors, message, compare=mine)
                self._compare_counters(counters, numbers, self._here.step)
            self._settle_part(each, Role.WEIGHT, parameters, message, compare=mine)
        if self._every > 1:
            found = self._objects.now(self._here.step, self._here.places())
            self._put_objects(message, found)

    def _settle_part(
        self, one: Trained, role: Role, mine: Mapping[str, Tensor], message: Message, *, compare: bool
    ) -> None:
        for key in _keys(message, f"{role}.{one.index}"):
            flat = message.flats[key]
            if absent := [name for name in flat.layout.names if name not in mine]:
                if compare:
                    self._comparing.mismatch(self._here.step, "state", ", ".join(absent[:3]), "there", "not there")
                continue
            into = [mine[name] for name in flat.layout.names]
            equal = False
            if compare:
                equal = self._comparing.flat(
                    self._here.step,
                    key,
                    message,
                    _own(flat, mine),
                    label=self._label(one.index),
                    before=self._held.get(key),
                )
            if role is Role.WEIGHT:
                self._put_weights(flat, into, equal=equal)
            elif not equal:
                spread(flat.layout, flat.values, into)
            self._held[key] = flat

    def _put_weights(self, flat: Flat, into: Sequence[Tensor], *, equal: bool) -> None:
        if self._jitter is not None:
            spread(flat.layout, self._jitter.moved(flat.values), into)
        elif not equal:
            spread(flat.layout, flat.values, into)

    def _put_objects(self, message: Message, found: Found) -> None:
        for role in (Role.BUFFER, Role.COPY):
            for key in _keys(message, f"{role}.after"):
                flat = message.flats[key]
                if all(name in found.tensors[role] for name in flat.layout.names):
                    spread(flat.layout, flat.values, [found.tensors[role][name] for name in flat.layout.names])
                self._held[f"{role}/{key.partition('/')[2]}"] = flat

    def _restore(self, message: Message) -> None:
        there = {name: message.tensors[f"generator/{name}"] for name in message.about["generators"]}
        self._generators.restore(there, message.about["generators"])

    def ended(self) -> None:
        """Compare how far the reference came, and the copies after the last step."""
        self._pass(on=False)
        if self._over:
            return
        mine = self._here.step
        following = next(step for step in range(mine + 1, mine + 1 + self._every) if is_compared(step, self._every))
        message = None if self._light else self._inbox.take(step_name(following))
        if message is not None:
            self._ends(mine + 1, "went on", f"ended at step {mine}")
            return
        message = self._inbox.take("end") if not self._light else None
        if message is not None and message.about["steps"] != mine:
            there = message.about["steps"]
            self._ends(min(mine, there) + 1, f"ended at step {there}", f"ended at step {mine}")
            return
        if message is not None and self._every == 1:
            self._compare_objects(message, mine + 1, (Role.COPY,))
        self._stop(early=False)

    def _ends(self, step: int, reference: str, mine: str) -> None:
        if not self._light:
            self._comparing.mismatch(step, "length", "optimizer steps", reference, mine)
        self.close()

    def close(self) -> None:
        """Hear no more, while the process goes on."""
        self._stop(early=True)

    def _stop(self, *, early: bool) -> None:
        self._pass(on=False)
        if self._over:
            return
        self._over, self._message = True, None
        compiled = "torch._inductor.compile_fx" in sys.modules
        self._table.facts(**self._objects.facts(), classes=self._classes, sparse=self._sparse, compiled=compiled)
        if self._double is not None:
            self._table.facts(double=self._double.facts())
        self._table.flush()
        self._inbox.close(early=early)

    def _pass(self, *, on: bool) -> None:
        """Have operations computed in double precision, from after a step to before the next."""
        if self._double is not None:
            self._double.on = on and not self._over

    def _label(self, index: int) -> str:
        """Return what goes before the names of an optimizer's tensors: nothing, unless an earlier one has them too."""
        mine = self._names.get(index, frozenset())
        shared = any(other < index and mine & names for other, names in self._names.items())
        return f"optimizer {index + 1}: " if shared else ""

    def _note_class(self, one: Trained, message: Message) -> None:
        classes = [message.about["class"], type(one.alive()).__name__]
        key = f"optimizer {one.index + 1}"
        if self._classes.get(key) != classes:
            self._classes[key] = classes
            self._table.facts(classes=self._classes)


def _keys(message: Message, name: str) -> list[str]:
    return [key for key in message.flats if key.startswith(f"{name}/")]


def _parts(message: Message, name: str) -> Iterator[Flat]:
    return (message.flats[key] for key in _keys(message, name))


def _shapes(message: Message, name: str) -> dict[str, tuple[int, ...]]:
    parts = _parts(message, name)
    return {one: shape for flat in parts for one, shape in zip(flat.layout.names, flat.layout.shapes, strict=True)}


def _own(flat: Flat, mine: Mapping[str, Tensor]) -> Tensor:
    """Return the follower's in the order of the reference's; what it has not is zero."""
    sizes = zip(flat.layout.names, flat.layout.sizes, strict=True)
    return joined(near(mine[name]) if name in mine else flat.values.new_zeros(size) for name, size in sizes)


def _text(value: float) -> str:
    return repr(int(value)) if float(value).is_integer() else repr(value)
