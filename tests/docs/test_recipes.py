"""Every recipe of docs/task.md, copied alone, does what the page's table says: it is audited, traced and measured."""

import pytest
from recipes import recipes, rows

import lastbit
from lastbit import LastbitError

SAID = {int(row[0]): row[1:] for row in rows("Ten recipes")}
SMALL = {
    "audit": {"seeds": 2, "perturbations": 2, "epochs": 2},
    "trace": {"twins": 2, "epochs": 1},
    "tangent": {"twins": 1, "epochs": 1, "tangent": True},
    "eos": {"steps": 2, "every": 1, "twins": 0},
    "sharpness": {"after": 2},
}
COLUMNS = {"audit": 0, "trace": 1, "tangent": 2, "eos": 3, "sharpness": 3}


def study(kind, reference, folder, **more):
    function = getattr(lastbit, "trace" if kind == "tangent" else kind)
    return function(reference, quiet=True, workers=1, out=folder / kind, **SMALL[kind] | more)


def said(kinds, word):
    """The recipes and kinds of study of which the table says that word; those that train longest are slow."""
    found = []
    for number, cells in SAID.items():
        for kind in (kind for kind in kinds if cells[COLUMNS[kind]].partition(":")[0] == word):
            slow = word == "yes" and (kind not in ("audit", "trace") or (kind, number) == ("audit", 10))
            found.append(pytest.param(number, kind, marks=[pytest.mark.slow] * slow, id=f"{number}-{kind}"))
    return found


@pytest.mark.parametrize(("number", "kind"), said(["audit"], "yes"))
def test_an_audit_repeats_exactly_and_is_perturbed(recipe_file, tmp_path, number, kind):
    found = study(kind, recipe_file(number), tmp_path, perturb=recipes()[number].perturb).result
    assert found.control.bitwise_identical
    assert found.perturbation.landed_fraction == 1
    assert found.passed
    assert not found.advice.count("changes no weight")


@pytest.mark.parametrize(("number", "kind"), said(["trace"], "yes"))
def test_a_trace_follows_its_twins(recipe_file, tmp_path, number, kind):
    made = study(kind, recipe_file(number), tmp_path, perturb=recipes()[number].perturb)
    apart = made.to_xarray()["relative_l2"].isel(step=-1).max("tensor")
    assert float(apart.sel(twin="repeat")) == 0
    assert float(apart.sel(twin="twin1")) > 0


@pytest.mark.parametrize(("number", "kind"), said(["tangent", "eos", "sharpness"], "yes"))
def test_curvature_is_measured_where_the_page_says_so(recipe_file, tmp_path, number, kind):
    assert study(kind, recipe_file(number), tmp_path).result.passed


@pytest.mark.parametrize(("number", "kind"), said(["tangent", "eos", "sharpness"], "no"))
def test_what_cannot_be_measured_is_refused_in_one_line(recipe_file, tmp_path, number, kind):
    with pytest.raises(LastbitError) as caught:
        study(kind, recipe_file(number), tmp_path)
    assert "\n" not in str(caught.value)
    reason = SAID[number][COLUMNS[kind]].partition(": ")[2]
    words = {"two optimizers": "optimizer", "a step of its own": "has a step of its own"}
    assert words.get(reason, "LBFGS") in str(caught.value)
    assert not (tmp_path / kind).exists()
