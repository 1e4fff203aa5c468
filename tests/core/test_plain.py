"""What was computed survives JSON: every number, infinities included, and every field."""

import json
import math
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from lastbit.core.plain import plain


class Word(StrEnum):
    STABLE = "stable"


@dataclass(frozen=True)
class Part:
    value: float | None
    span: tuple[float, float]


@dataclass(frozen=True)
class Whole:
    word: Word
    count: int
    sure: bool
    text: str
    path: Path
    parts: tuple[Part, ...]
    series: dict[str, list[float | None]]


number = st.floats(allow_nan=False)
part = st.builds(Part, st.none() | number, st.tuples(number, number))
whole = st.builds(
    Whole,
    st.just(Word.STABLE),
    st.integers(),
    st.booleans(),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.just(Path("a") / "b"),
    st.lists(part, max_size=3).map(tuple),
    st.dictionaries(st.sampled_from("ab"), st.lists(st.none() | number, max_size=3)),
)


@given(whole)
def test_a_result_comes_back_from_json_as_it_was(before):
    text = json.dumps(plain(before), allow_nan=False)
    assert TypeAdapter(Whole).validate_python(json.loads(text)) == before


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.inf, "inf"),
        (np.float32(-np.inf), "-inf"),
        (math.nan, None),
        (np.float64(0.1), 0.1),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.array([[1.0, np.nan], [np.inf, 2.0]]), [[1.0, None], ["inf", 2.0]]),
        ((1, [np.array(2)]), [1, [2]]),
        ({3: Word.STABLE}, {"3": "stable"}),
        (None, None),
    ],
)
def test_values_become_plain(value, expected):
    found = plain(value)
    assert found == expected
    assert type(found) is type(expected)
    json.dumps(found, allow_nan=False)
