"""Studies that lastbit 0.1 stored are opened, told, drawn and exported, with the numbers that it told.

`tests/data/studies-format-1/` holds a small one of each kind, and beside each what that lastbit said of it.
"""

import hashlib
import html
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from renamed_fields import differences, same_numbers

import lastbit as lb

STORED = Path(__file__).parents[1] / "data" / "studies-format-1"
NAMES = ("audit", "audit-unfinished", "trace", "eos", "monitor", "sharpness")
KINDS = {"audit-unfinished": "audit", "monitor": "eos"}
WITH_RUNS = [name for name in NAMES if name != "sharpness"]


@pytest.fixture
def study(request, tmp_path):
    """A copy, opened: SQLite may write beside what it reads."""
    shutil.copytree(STORED / request.param, tmp_path / request.param)
    return lb.open_study(tmp_path / request.param)


@pytest.fixture
def said(request):
    """What lastbit 0.1 said of the study."""
    return json.loads((STORED / f"{request.node.callspec.params['study']}.json").read_text("utf-8"))


def result_before(name, said):
    stored = STORED / name / "result.json"
    return json.loads(stored.read_text("utf-8")) if stored.exists() else said["result"]


def result_now(study):
    return study.result if isinstance(study.result, dict) else study.result.to_json()


def each(names):
    return pytest.mark.parametrize("study", names, indirect=True)


@each(NAMES)
def test_has_the_numbers_it_had(study, said, request):
    name = request.node.callspec.params["study"]
    before = result_before(name, said)
    # Results are concluded anew from the runs, by the arithmetic of this machine; a measurement has no runs.
    rel = 0.0 if name == "sharpness" else 1e-9
    without = frozenset({"advice"}) if name == "audit-unfinished" else frozenset()  # names the folder
    assert differences(KINDS.get(name, name), before, result_now(study), rel=rel, without=without) == []
    assert study.passed is said["passed"]


@each(NAMES)
def test_prints_a_summary_with_its_verdict(study, said):
    # Of two seeds it said "below 53 points", and now says that they are too few to tell.
    before = re.sub(r" below \d+ points", "", said["verdict"])
    assert same_numbers(before, re.sub(r" may be \d+ times as large", "", study.verdict))
    summary = " ".join(study.summary().split())
    assert study.verdict[1:] in summary
    assert len(study.summary().splitlines()) > 5


@each(NAMES)
def test_draws_its_report(study, tmp_path):
    text = study.report(tmp_path / "report.html").read_text("utf-8")
    assert study.verdict[1:] in html.unescape(text)
    assert "<svg" in text or "plotly" in text


@each(WITH_RUNS)
def test_gives_the_same_arrays(study, said):
    data = study.to_xarray()
    assert dict(data.sizes) == said["sizes"]
    for name, before in said["variables"].items():
        values = data.variables[name]
        assert list(values.dims) == before["dims"], name
        if values.dtype.kind in "US":
            assert values.values.tolist() == before["content"], name
        else:
            assert digest(values.values) == before["content"], name


@each(WITH_RUNS)
def test_exports_the_same_table(study, tmp_path, request):
    now = pd.read_csv(study.export(tmp_path / "runs.csv"))
    before = pd.read_csv(STORED / f"{request.node.callspec.params['study']}.csv")
    pd.testing.assert_frame_equal(now[before.columns], before, check_exact=True)


@each(["trace"])
def test_sketches_of_a_trace_are_compared(study, said):
    distance = lb.compare_sketches(study.path, study.path, second_run="twin1")["all_distance"].values
    assert distance[-1] > 0
    assert digest(distance) == said["sketched distance"]


@each(["sharpness"])
def test_a_measurement_has_no_runs_to_export(study, tmp_path):
    with pytest.raises(lb.LastbitError, match="no runs to export"):
        study.export(tmp_path / "runs.csv")


def digest(values):
    return hashlib.blake2b(np.ascontiguousarray(values).tobytes(), digest_size=8).hexdigest()
