"""Tables of stable learning rates survive the arrays, the JSON and the former format, infinities included."""

import json
import re
from dataclasses import replace
from itertools import takewhile
from math import inf

import numpy as np
import pytest
import torch
from torch import nn

from lastbit import Task, eos, open_study, sharpness
from lastbit.curvature import LayerStability, StableLearningRates
from lastbit.store import StudyFolder
from lastbit.studies.eos.cell_result import _stable_rates
from lastbit.studies.eos.result import EosResult, conclude
from lastbit.studies.eos.stable_rows import former_row, former_stable_rows, stable_arrays, stable_rows
from lastbit.tasks.metric import MSE

X = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))


def row(**more):
    settings = {
        "name": "0",
        "size": 9,
        "sharpness": 3.0,
        "smallest": -1.0,
        "limit": 20.0,
        "ratio": 0.15,
        "lr": 0.1,
        "max_lr": 0.6,
        "lr_factor": 6.0,
        "weight_decay": 0.0,
        "decay_interval": (1.0, 17.0),
        "converged": True,
        "products": 12,
    }
    return LayerStability(**{**settings, **more})


ROWS = {
    "bounded": row(),
    "concave": row(sharpness=-1.0, ratio=-0.05, max_lr=inf, lr_factor=inf),
    "no upper decay": row(decay_interval=(0.08, inf), limit=inf, ratio=0.0, lr=0.0, max_lr=0.6, lr_factor=inf),
    "no decay is stable": row(ratio=1.4, decay_interval=(0.0, -inf)),
    "no step is stable": row(limit=-2.0, ratio=inf, max_lr=0.0, lr_factor=0.0, decay_interval=(0.0, -inf)),
    "groups differ": row(lr=None, max_lr=None, weight_decay=None, decay_interval=None, converged=False),
}


def test_tables_survive_arrays():
    tables = {
        3: StableLearningRates(tuple(ROWS.values()), replace(ROWS["concave"], name="(whole)")),
        9: StableLearningRates(tuple(ROWS.values())[::-1], replace(ROWS["bounded"], name="(whole)")),
    }
    named = {
        step: StableLearningRates(tuple(replace(r, name=f"layer{n}") for n, r in enumerate(table.layers)), table.whole)
        for step, table in tables.items()
    }
    assert stable_rows(stable_arrays(named)) == named
    assert stable_rows(stable_arrays({})) == {}


@pytest.mark.parametrize("name", ROWS)
def test_null_of_the_former_format_is_the_infinity_that_it_was(name):
    def null(value):
        return None if value in (inf, -inf) else [null(v) for v in value] if isinstance(value, tuple) else value

    stored = {key: null(value) for key, value in vars(ROWS[name]).items()}
    assert former_row(json.loads(json.dumps(stored))) == ROWS[name]
    tables = former_stable_rows({"6": {"layers": [stored], "whole": stored}})
    assert tables == {6: StableLearningRates((ROWS[name],), ROWS[name])}


def hill(lr):
    """Half the squared error turned over: every direction curves down by 0.08."""
    inputs = 2**0.5 * torch.eye(2)
    return Task(
        name="hill",
        model=lambda: nn.Linear(2, 1, bias=False),
        train=(inputs, torch.zeros(2, 1)),
        test=(inputs, torch.zeros(2, 1)),
        loss=lambda outputs, targets: -0.04 * (outputs - targets).square().mean(),
        optimizer=lambda params: torch.optim.SGD(params, lr=lr),
        metric=MSE,
        epochs=4,
        batch_size=2,
    )


def test_a_concave_loss_bears_any_learning_rate(tmp_path):
    found = sharpness(hill(0.1), out=tmp_path / "s")
    assert found.result.whole.max_lr == inf
    assert "; any learning rate is stable (in use: 0.1)." in found.verdict
    assert json.loads((tmp_path / "s" / "result.json").read_text())["whole"]["max_lr"] == "inf"
    again = open_study(tmp_path / "s")
    assert again.result == found.result
    assert columns(again.summary()) == [("(root)", "any", "0.08 – 20.08"), ("the whole network", "any", "0.08 – 20.08")]


def test_without_a_step_any_weight_decay_from_the_curvature_up_is_stable(tmp_path):
    study = sharpness(hill(0.0), out=tmp_path / "s")
    assert study.result.whole.decay_interval == (pytest.approx(0.08), inf)
    assert study.verdict.startswith("the limit of SGD cannot be exceeded at a learning rate of 0")
    assert {row[-1] for row in columns(study.summary())} == {"any from 0.08 up"}
    assert "any from 0.08 up" in study.report(tmp_path / "r.html").read_text("utf-8")


def test_a_sweep_keeps_what_is_unbounded(tmp_path):
    study = eos(hill(0.1), out=tmp_path / "s", every=1, twins=0, quiet=True)
    assert study.result.per_layer[0].max_lr == inf
    with StudyFolder.read(study.path) as folder:
        assert conclude(folder) == EosResult.from_json(json.loads((study.path / "result.json").read_text()))
    assert [row[1:] for row in columns(study.summary())] == [("any", "0.08 – 20.08")] * 2


def columns(summary):
    """Return name, stable learning rate and stable weight decay of the rows of the table by layer."""
    lines = summary.splitlines()
    first = next(n for n, line in enumerate(lines) if "layer, moved alone" in line) + 2
    rows = [re.split(r"\s{2,}", line.strip()) for line in takewhile(bool, lines[first:])]
    return [(row[0], row[-2], row[-1]) for row in rows]


@pytest.mark.parametrize(("lr", "limit", "shown"), [(0.1, 20.0, "20"), (0.0, inf, "∞")])
def test_a_training_that_nothing_bounds_says_so_everywhere(tmp_path, lr, limit, shown):
    study = eos(hill(lr), out=tmp_path / "s", every=1, twins=0, quiet=True)
    stored = json.loads((study.path / "result.json").read_text())["cells"][0]
    (cell,) = study.result.cells
    assert cell.limit == limit
    assert float(stored["limit"]) == limit
    assert stored["converged_fraction"] == 1.0
    page, text = study.report(tmp_path / "r.html").read_text("utf-8"), study.summary()
    cells = next(line.split() for line in text.splitlines() if line.startswith("base "))
    assert cells[1] == shown
    assert f">{shown}<" in page
    if lr:
        assert stored["stable_lr"] == dict.fromkeys(("first", "lowest", "tail"), "inf")
        assert stored["stable_lrs"] == ["inf"] * 4
        assert stored["stable_learning_rates"]["1"]["whole"]["max_lr"] == "inf"
        assert cells[-2:] == ["any", "any"]
        assert re.search(r"base.*>any<.*>any<.*\(root\)", page, re.S)
    else:
        assert stored["limits"] == ["inf"] * 4
    assert not re.search(r"[:,\[](-?Infinity|NaN)\b", page)


def test_the_tail_of_the_stable_rates_is_infinite_only_where_no_step_bounds_them():
    steps, lr = np.arange(1, 10), np.full(9, 0.1)
    for late, tail in (([-0.1, -0.1, -0.1], inf), ([0.5, -0.1, 0.125], 0.4), ([np.nan] * 3, None)):
        arrays = {"step": steps, "lr": lr, "ratio": np.array([-0.2, 0.0, *[1.0] * 4, *late])}
        course = _stable_rates(arrays, diverged=False)["stable_lr"]
        assert course.first == inf
        assert course.lowest == pytest.approx(0.1)
        assert course.tail == (tail if tail is None else pytest.approx(tail))


HILLS = """
import torch
from lastbit import MSE, Task


def make(lr, width=1):
    inputs, targets = 2**0.5 * torch.eye(2), torch.zeros(2, width)
    return Task(
        name="hill", model=lambda: torch.nn.Linear(2, width, bias=False), train=(inputs, targets), metric=MSE,
        test=(inputs, targets), loss=lambda outputs, targets: -0.04 * (outputs - targets).square().mean(),
        optimizer=lambda params: torch.optim.SGD(params, lr=lr), epochs=4, batch_size=2,
    )
"""


def test_unbounded_rates_of_a_sweep_are_gaps_in_its_figures_and_numbers_nowhere(tmp_path):
    (tmp_path / "hills.py").write_text(HILLS)
    sweep = {"lr": (0.1, 0.2), "width": (1, 2)}
    study = eos(f"{tmp_path}/hills.py:make", **sweep, out=tmp_path / "s", every=1, twins=0, quiet=True, workers=1)
    assert [cell.stable_lr.first for cell in study.result.cells] == [inf] * 4
    assert {trend.direction for trend in study.result.trends} == {"not measured"}
    page = study.report(tmp_path / "r.html").read_text("utf-8")
    assert page.count(">any<") >= 8
    assert not re.search(r"[:,\[](-?Infinity|NaN)\b", page)
    assert study.summary().count("  any  ") >= 4


def test_a_measurement_shows_an_infinite_limit_on_its_page(tmp_path):
    rates = sharpness(hill(0.1), out=tmp_path / "a").report(tmp_path / "a.html").read_text("utf-8")
    assert ">any<" in rates
    assert "any learning rate is stable" in rates
    study = sharpness(hill(0.0), out=tmp_path / "b")
    stored = json.loads((study.path / "result.json").read_text())["whole"]
    assert stored["limit"] == "inf"
    assert stored["decay_interval"][1] == "inf"
    assert "∞" in study.summary()
    assert ">∞<" in study.report(tmp_path / "b.html").read_text("utf-8")
