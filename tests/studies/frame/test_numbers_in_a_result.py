"""The numbers that are taken out of a result's JSON stand there, under their paths."""

import math

from hypothesis import given
from hypothesis import strategies as st

from lastbit.core.plain import plain
from lastbit.studies.frame.condition import numbers_in

NAMES = st.sampled_from(["a", "b", "rate_interval", "low", "c"])
LEAVES = st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=3)
ESTIMATES = st.fixed_dictionaries({name: st.none() | st.floats() for name in ("estimate", "low", "high", "n")})
CONTENT = st.dictionaries(
    NAMES,
    st.recursive(
        LEAVES | ESTIMATES,
        lambda part: st.lists(part, max_size=3) | st.dictionaries(NAMES, part, max_size=3),
        max_leaves=8,
    ),
    max_size=3,
)


def at(content, path):
    for name in path.split("."):
        content = content[int(name)] if isinstance(content, list) else content[name]
    return content["estimate"] if isinstance(content, dict) else content


@given(content=CONTENT, deep=st.integers(1, 4), rows=st.integers(0, 3))
def test_each_is_where_its_path_leads(content, deep, rows):
    content = plain(content)
    found = list(numbers_in(content, deep=deep, rows=rows))
    assert len({path for path, _ in found}) == len(found)
    for path, value in found:
        assert math.isfinite(value)
        assert at(content, path) == value
        assert len(path.split(".")) <= deep + 1


@given(content=CONTENT)
def test_more_depth_and_longer_tables_lose_none(content):
    few, all_of_them = (dict(numbers_in(plain(content), deep=d, rows=r)) for d, r in ((2, 1), (9, 9)))
    assert few.items() <= all_of_them.items()


def test_tables_are_taken_whole_or_not_and_curves_not_at_all():
    content = {"cells": [{"x": 1}, {"x": 2}], "curve": [1.0, 2.0], "slope_interval": [0.5, None], "found": True}
    assert dict(numbers_in(content, deep=3, rows=2)) == {"cells.0.x": 1, "cells.1.x": 2, "slope_interval.0": 0.5}
    assert dict(numbers_in(content, deep=3, rows=1)) == {"slope_interval.0": 0.5}
