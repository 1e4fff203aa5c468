"""A condition on a result, `last_bit_variance_share > 0.5`: read, checked against what the result can hold, and judged.

It is never evaluated as code: it is a path of names, one of six comparisons and a number, or it is refused.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from lastbit.core.errors import LastbitError

__all__ = ["Condition", "numbers_in", "numbers_of"]

_RELATIONS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
_FORM = re.compile(rf"\s*([\w-]+(?:\.[\w-]+)*)\s*({'|'.join(_RELATIONS)})\s*(\S+)\s*")
_ESTIMATE = {"estimate", "low", "high", "n"}
_EXAMPLE = "write a field of the result, a comparison and a number, as in 'last_bit_variance_share > 0.5'"

_DEEP = 6
"""Names in a path that is proposed at most."""


@dataclass(frozen=True)
class Condition:
    """A comparison of a field of a result with a number."""

    text: str
    """As it was written."""
    path: tuple[str, ...]
    """Names from the top of the result's JSON down; a position in a list is a number from 0."""
    relation: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Return what `text` says.

        Raises:
            LastbitError: it is no such comparison.

        Example:
            >>> Condition.parse("cells.0.ratio_tail >= 1").path
            ('cells', '0', 'ratio_tail')
        """
        found = _FORM.fullmatch(text)
        if found is None:
            raise LastbitError(f"{text!r} is no condition: {_EXAMPLE} (one of {', '.join(_RELATIONS)})")
        path, relation, number = found.groups()
        try:
            bound = float(number)
        except ValueError:
            bound = math.nan
        if math.isnan(bound):
            raise LastbitError(f"{text!r}: {number} is no number; {_EXAMPLE}")
        return cls(text.strip(), tuple(path.split(".")), relation, bound)

    def check(self, schema: Mapping[str, Any], of: str) -> None:
        """Refuse a field that no result has, or that holds no number.

        Args:
            schema: JSON schema of the result.
            of: what the result is of, for the message.

        Raises:
            LastbitError: names the fields that are spelled alike.
        """
        nodes = _alternatives(schema, schema)
        for name in self.path:
            if any(_is_estimate(node) for node in nodes) and name == "value":
                name = "estimate"
            nodes = [part for node in nodes for part in _inside(schema, node, name)]
        if not any(map(_holds_number, nodes)):
            path, known = ".".join(self.path), list(numbers_of(schema))
            near = get_close_matches(path, known, n=5, cutoff=0.5)
            near += [name for name in known if name.startswith(f"{path}.") and name not in near][:5]
            first = [name for name in known if "." not in name and name != "schema"]
            hint = f"did you mean {', '.join(near)}?" if near else f"it has {', '.join(first[:12])}, …"
            what = "is no number in" if nodes else "is no field of"
            raise LastbitError(f"{self.text!r}: {path} {what} the result of {of}; {hint}")

    def value(self, content: Mapping[str, Any]) -> float | None:
        """Return the number of the field in a result's JSON, None where it is not measured."""
        found: Any = content
        for name in self.path:
            if isinstance(found, Mapping):
                found = found.get("estimate" if name == "value" and found.keys() >= _ESTIMATE else name)
            elif isinstance(found, Sequence) and not isinstance(found, str) and name.isdecimal():
                found = found[int(name)] if int(name) < len(found) else None
            else:
                return None
        if isinstance(found, Mapping) and found.keys() >= _ESTIMATE:
            found = found["estimate"]
        if found in ("inf", "-inf"):
            return float(found)
        return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None

    def holds(self, content: Mapping[str, Any]) -> bool | None:
        """Return whether it holds of a result's JSON, None where the field is not measured.

        Example:
            >>> share = {"share": {"estimate": 0.7, "low": 0.4, "high": 0.9, "n": 36}, "end": "inf", "churn": None}
            >>> [Condition.parse(text).holds(share) for text in ("share > 0.5", "share.low > 0.5", "end > 1")]
            [True, False, True]
        """
        value = self.value(content)
        return None if value is None else _RELATIONS[self.relation](value, self.bound)


def numbers_of(schema: Mapping[str, Any]) -> Iterator[str]:
    """Return the paths of all numbers that a result can hold, estimates by their bare names."""
    yield from _numbers(schema, schema, ())


def numbers_in(content: Mapping[str, Any], *, deep: int, rows: int) -> Iterator[tuple[str, float]]:
    """Yield the finite numbers of a result's JSON, estimates with the ends of their intervals, each with its path.

    Left out are lists of bare numbers, such as curves, but for intervals, and what lies deeper or in longer tables
    than asked for.

    Args:
        content: the JSON.
        deep: names in a path at most, `low` and `high` not counted.
        rows: of a table at most.

    Example:
        >>> share = {"share": {"estimate": 0.7, "low": 0.4, "high": 0.9, "n": 36}, "steps": [1, 2], "end": "inf"}
        >>> list(numbers_in(share, deep=3, rows=16))
        [('share', 0.7), ('share.low', 0.4), ('share.high', 0.9)]
    """
    yield from _numbers_in(content, (), deep, rows)


def _numbers_in(node: Any, path: tuple[str, ...], deep: int, rows: int) -> Iterator[tuple[str, float]]:
    if len(path) > deep:
        return
    if isinstance(node, Mapping) and node.keys() >= _ESTIMATE:
        ends = (("estimate", path), ("low", (*path, "low")), ("high", (*path, "high")))
        yield from ((".".join(place), float(node[end])) for end, place in ends if _is_number(node[end]))
    elif isinstance(node, Mapping):
        for name, part in node.items():
            yield from _numbers_in(part, (*path, name), deep, rows)
    elif isinstance(node, list) and path[-1].endswith("interval"):
        sides = zip(("0", "1"), node, strict=False)
        yield from ((".".join((*path, side)), float(value)) for side, value in sides if _is_number(value))
    elif isinstance(node, list) and len(node) <= rows:
        for number, part in enumerate(node):
            if isinstance(part, Mapping):
                yield from _numbers_in(part, (*path, str(number)), deep, rows)
    elif _is_number(node):
        yield ".".join(path), float(node)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _numbers(schema: Mapping[str, Any], node: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    for one in _alternatives(schema, node):
        if path and one and _holds_number(one):
            yield ".".join(path)
        if len(path) < _DEEP:
            for name in one.get("properties", {}):
                yield from _numbers(schema, one["properties"][name], (*path, name))
            if "items" in one:
                yield from _numbers(schema, one["items"], (*path, "0"))


def _alternatives(schema: Mapping[str, Any], node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what a part of the schema may be: references followed, unions apart."""
    if "$ref" in node:
        return _alternatives(schema, schema["$defs"][node["$ref"].rpartition("/")[2]])
    if "anyOf" in node:
        return [one for part in node["anyOf"] for one in _alternatives(schema, part)]
    return [node]


def _inside(schema: Mapping[str, Any], node: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Return what stands under a name in a part of the schema; `{}` stands for anything."""
    if not node:
        return [node]
    if name in node.get("properties", {}):
        return _alternatives(schema, node["properties"][name])
    if name.isdecimal() and node.get("type") == "array":
        first = node.get("prefixItems", [])
        return _alternatives(schema, first[int(name)] if int(name) < len(first) else node.get("items", {}))
    more = node.get("additionalProperties", False)
    return [] if more is False else _alternatives(schema, {} if more is True else more)


def _holds_number(node: Mapping[str, Any]) -> bool:
    return not node or node.get("type") in ("number", "integer") or _is_estimate(node)


def _is_estimate(node: Mapping[str, Any]) -> bool:
    return set(node.get("properties", {})) >= _ESTIMATE
