"""What a follower writes down of each thing that it compares with the reference's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from torch import Tensor

from lastbit.launch.forced.flat import Flat, Layout
from lastbit.launch.forced.folder import Message
from lastbit.launch.forced.measures import measured, same
from lastbit.launch.forced.moment import Evaluation
from lastbit.launch.forced.rows import TableWriter
from lastbit.launch.forced.table import ForcedTensor, Mismatch, Role

__all__ = ["Comparing"]


class Comparing:
    """Compares, and writes the rows of one table.

    Args:
        table: takes them.
    """

    def __init__(self, table: TableWriter) -> None:
        self._table = table

    def mismatch(self, step: int, what: str, name: str, reference: str, mine: str) -> None:
        """Note something that differs."""
        self._table.mismatch(Mismatch(step, what, name, reference, mine))

    def words(self, step: int, what: str, reference: Mapping[str, str], mine: Mapping[str, str]) -> None:
        """Compare what both have, each in words."""
        for name in sorted(reference.keys() & mine.keys()):
            if reference[name] != mine[name]:
                self.mismatch(step, what, name, reference[name], mine[name])

    def settings(
        self, step: int, reference: Mapping[str, Mapping[str, list[str]]], mine: Mapping[str, Mapping[str, list[str]]]
    ) -> None:
        """Compare hyper-parameters, parameter by parameter, whatever the groups, as far as float32 holds them."""
        if reference == mine:
            return
        for setting in sorted(reference.keys() & mine.keys()):
            there, here = _by_parameter(reference[setting]), _by_parameter(mine[setting])
            pairs: dict[tuple[str, str], list[str]] = {}
            for name in there.keys() & here.keys():
                if not _alike(there[name], here[name]):
                    pairs.setdefault((there[name], here[name]), []).append(name)
            for words, names in pairs.items():
                whose = "" if len(names) == len(there) else f" of {', '.join(sorted(names))}"
                self.mismatch(step, "hyper-parameter", f"{setting}{whose}", *words)

    def initial(self, step: int, flat: Flat, mine: Tensor, names: Mapping[str, str]) -> bool:
        """Compare what no step has changed, and tell whether every bit agrees; `names` are those to say, if others."""
        if same(mine, flat.values):
            return True
        columns = measured(flat.layout, mine, flat.values, None, None)
        for place in np.flatnonzero(columns["unequal"]):
            self.mismatch(
                step,
                "initial weights",
                names.get(flat.layout.names[place], flat.layout.names[place]),
                f"{flat.layout.sizes[place]} elements",
                f"{int(columns['unequal'][place])} differ, by a norm of {float(columns['difference'][place])!r}",
            )
        return False

    def loss(self, step: int, reference: tuple[float | None, str], evaluation: Evaluation) -> None:
        """Compare the sums of what was backpropagated."""
        (there, dtype), here = reference, evaluation.loss
        if there is None or here is None:
            if there != here:
                words = ["nothing was backpropagated" if one is None else repr(one) for one in (there, here)]
                self.mismatch(step, "loss", "loss", *words)
            return
        values = {
            "difference": abs(here - there),
            "projection": (here - there) * there,
            "size": abs(there),
            "unequal": float(here != there and not (np.isnan(here) and np.isnan(there))),
        }
        tensor = ForcedTensor("loss", Role.LOSS, 1, dtype)
        self._table.row(step, [tensor], {name: np.array([value]) for name, value in values.items()})

    def flat(self, step: int, name: str, message: Message, mine: Tensor, *, label: str, before: Flat | None) -> bool:
        """Compare tensors of one format, and tell whether every bit agrees.

        Args:
            step: to which they belong.
            name: of the reference's in the message, which begins with their role.
            message: the reference's.
            mine: the follower's, in the order of the reference's.
            label: goes before their names.
            before: the reference's before what is compared changed them; None: nothing did.
        """
        flat, role = message.flats[name], Role(name.partition("/")[0].partition(".")[0])
        equal = same(mine, flat.values)
        changed = message.tensors.get(f"change:{name}")
        change = None if changed is None else changed.numpy()
        count = len(flat.layout.names)
        if equal:
            columns = {column: np.zeros(count) for column in ("difference", "projection", "unequal")}
            if change is not None:
                columns |= {"worst": np.zeros(count), "bias": np.where(change > 0, 0.0, np.nan)}
        else:
            held = None if before is None or before.layout != flat.layout else before.values
            if held is None and role is Role.STATE:
                held = flat.values.new_zeros(flat.values.shape)  # it began with nothing
            columns = measured(flat.layout, mine, flat.values, held, change)
        columns["size"] = message.tensors[f"size:{name}"].numpy()
        if change is not None:
            columns["change"] = change
        self._table.row(step, _columns(flat.layout, role, name.rpartition("/")[2], label), columns)
        return equal


@lru_cache(maxsize=256)
def _columns(layout: Layout, role: Role, dtype: str, label: str) -> tuple[ForcedTensor, ...]:
    sizes = zip(layout.names, layout.sizes, strict=True)
    return tuple(ForcedTensor(label + name, role, elements, dtype) for name, elements in sizes)


def _by_parameter(values: Mapping[str, list[str]]) -> dict[str, str]:
    return {name: value for value, names in values.items() for name in names}


def _alike(one: str, other: str) -> bool:
    """Tell whether two values in words are the same, or numbers that a tensor of float32 does not tell apart."""
    if one == other:
        return True
    try:
        return math.isclose(float(one), float(other), rel_tol=2.0**-23, abs_tol=0.0)
    except ValueError:
        return False
