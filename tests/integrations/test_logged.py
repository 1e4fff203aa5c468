"""What of a study is logged: every number is the one that stands in the study, under the name that it has there."""

import math
import sqlite3
from contextlib import closing

import pytest

from lastbit.core.status import RunStatus
from lastbit.curvature import StabilityRecord
from lastbit.integrations.logged import logged, numbers_of_record
from lastbit.studies.frame.condition import Condition

NAMES = ("audit", "audit-unfinished", "trace", "eos", "monitor", "sharpness")


@pytest.mark.parametrize("name", NAMES)
def test_each_number_is_that_of_its_path(name, stored):
    study = stored(name)
    told = logged(study)
    assert told.numbers
    for path, value in told.numbers.items():
        assert math.isfinite(value)
        found = study.to_json()
        for part in path.removeprefix("result/").split("."):
            found = found[int(part)] if isinstance(found, list) else found[part]
        found = found["estimate"] if isinstance(found, dict) else found
        assert found == value, path


def test_the_names_are_those_of_conditions(stored):
    study = stored("audit")
    numbers = logged(study).numbers
    assert study.holds(f"sigma_last_bit.low >= {numbers['result/sigma_last_bit.low']!r}")
    for path, value in numbers.items():
        assert Condition.parse(f"{path.removeprefix('result/')} == {value!r}").holds(study.to_json())


@pytest.mark.parametrize("name", NAMES)
def test_an_estimate_has_the_ends_that_are_measured(name, stored):
    study = stored(name)
    numbers, seen = logged(study).numbers, 0
    for field, one in study.to_json().items():
        if isinstance(one, dict) and {"estimate", "low", "high"} <= one.keys():
            seen += one["estimate"] is not None
            for path, end in ((field, "estimate"), (f"{field}.low", "low"), (f"{field}.high", "high")):
                assert (f"result/{path}" in numbers) == (one[end] is not None)
    assert seen or name == "trace"


@pytest.mark.parametrize("name", NAMES)
def test_the_runs_are_those_of_the_database(name, stored):
    study = stored(name)
    told = logged(study)
    with closing(sqlite3.connect(study.path / "runs.sqlite")) as database:
        rows = database.execute("SELECT run, name, step, value FROM metrics").fetchall()
        runs = dict(database.execute("SELECT run, seconds FROM runs"))
    assert {run.name: run.numbers["result/seconds"] for run in told.runs} == runs
    found = {(run.name, name, *point) for run in told.runs for name, points in run.series.items() for point in points}
    assert found == {row for row in rows if row[3] is not None}
    for run in told.runs:
        for name, points in run.series.items():
            assert run.numbers.get(f"result/{name}", points[-1][1]) in [value for _, value in points]


def test_it_says_which_study_and_run_it_is(stored):
    study = stored("audit-unfinished")
    told = logged(study)
    assert (told.name, told.kind, told.finished) == ("audit-unfinished", "audit", False)
    assert (told.verdict, told.advice) == (study.verdict, study.result.advice)
    assert told.settings["lr"] == 0.3
    assert told.settings["perturb"] == "rescale"
    assert len(told.runs) == 5
    twin = next(run for run in told.runs if run.name == "seed000-p001")
    assert (twin.settings["role"], twin.settings["seed"], twin.settings["twin"]) == ("twin", 0, 1)
    assert twin.ok
    values = [len(run.numbers) + sum(map(len, run.series.values())) for run in told.runs]
    assert told.values == len(told.numbers) + sum(values)


def test_of_a_sweep_each_cell_is_logged_and_no_curve(stored):
    numbers = logged(stored("eos")).numbers
    assert {"result/cells.0.ratio_tail", "result/cells.1.limit", "result/ratio_tail"} <= numbers.keys()
    assert not any(path.startswith(("result/steps", "result/ratios", "result/cells.0.loss")) for path in numbers)
    assert len(numbers) < 200


def test_a_record_of_the_monitor_by_its_names():
    record = StabilityRecord(30, RunStatus.OK, sharpness=12.5, converged=True, lrs=(0.1, 0.2), layers={"0": 0.7})
    found = numbers_of_record(record)
    assert found["lastbit/sharpness"] == 12.5
    assert (found["lastbit/lrs/1"], found["lastbit/layers/0"]) == (0.2, 0.7)
    assert (found["lastbit/converged"], found["lastbit/diverged"]) == (1, 0)
    assert "lastbit/ratio" not in found  # NaN
    assert "lastbit/step" not in found


def test_a_record_that_diverged_says_so():
    assert numbers_of_record(StabilityRecord(30, RunStatus.DIVERGED))["lastbit/diverged"] == 1
