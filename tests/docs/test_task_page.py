"""docs/task.md names every field, with its default; what it says of the recipes stands in one table."""

from dataclasses import MISSING, fields

import pytest
from recipes import names, recipes, rows

from lastbit import Metric, State, Task

PUBLIC_OF_STATE = {f.name for f in fields(State) if f.name[0] != "_"} | {
    name for name, value in vars(State).items() if isinstance(value, property)
}


@pytest.mark.parametrize(
    ("heading", "there"),
    [
        ("The fields", {f.name for f in fields(Task)}),
        ("A step of your own", PUBLIC_OF_STATE),
        ("Metrics", {f.name for f in fields(Metric)}),
    ],
)
def test_every_field_is_on_the_page_once(heading, there):
    listed = names(heading)
    assert sorted(listed) == sorted(there)


@pytest.mark.parametrize(("heading", "made"), [("The fields", Task), ("Metrics", Metric)])
def test_plain_defaults_are_those_of_the_code(heading, made):
    said = {row[0].strip("`"): row[2].strip("`") for row in rows(heading)}
    shown = {}
    for one in fields(made):
        if isinstance(one.default, str):
            shown[one.name] = f'"{one.default}"' if one.default else "none"
        elif isinstance(one.default, int):
            shown[one.name] = str(one.default)
    assert {name: said[name] for name in shown} == shown
    assert {"epochs", "select"} <= shown.keys() or made is Metric


def test_needed_fields_have_no_default():
    needed = {f.name for f in fields(Task) if f.default is MISSING and f.default_factory is MISSING}
    assert {row[0].strip("`") for row in rows("The fields") if not row[2]} == needed | {"metrics"}


def test_there_are_ten_recipes_and_a_row_for_each():
    assert list(recipes()) == list(range(1, 11))
    assert names("Ten recipes") == [str(number) for number in recipes()]
    assert {cell.partition(":")[0] for row in rows("Ten recipes") for cell in row[1:]} == {"yes", "no"}
