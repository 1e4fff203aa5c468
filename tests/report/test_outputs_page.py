"""The queries of docs/outputs.md say of a study what lastbit says of it."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import lastbit as lb
from lastbit.store.database import _TABLES

PAGE = (Path(__file__).parents[2] / "docs" / "outputs.md").read_text("utf-8")
RESULTS, APART, ENDS = re.findall(r"^```sql\n(.*?)^```$", PAGE, re.M | re.S)


@pytest.fixture
def asked(make_study):
    """Ask a query of an audit of 3 seeds of 3 runs, of which one diverged and one crashed."""
    folder = make_study(diverged=[(1, 2)], crashed=[(2, 1)])

    def ask(query):
        with closing(sqlite3.connect(f"{(folder / 'runs.sqlite').as_uri()}?mode=ro", uri=True)) as database:
            cursor = database.execute(query)
            return [name for name, *_ in cursor.description], cursor.fetchall()

    return ask, lb.open_study(folder)


def test_the_results_are_those_of_the_runs(asked):
    ask, study = asked
    names, rows = ask(RESULTS)
    assert names == ["seed", "role", "twin", "accuracy"]
    known = {(run.cell, run.role, run.twin): run.metrics["accuracy"] for run in study.result.runs if run.metrics}
    assert {tuple(row[:3]): row[3] for row in rows} == known
    assert len(rows) == 11
    assert [row[1] for row in rows[:4]] == ["base", "twin", "twin", "repeat"]


def test_the_spread_is_that_of_the_arrays(asked):
    ask, study = asked
    names, rows = ask(APART)
    assert names == ["seed", "step", "runs", "mean", "apart"]
    data = study.to_xarray()
    loss = data["test_loss"].where(data["status"] == "ok")
    wanted = [
        (seed, int(step), int(np.isfinite(at).sum()), float(at.mean()), float(at.max() - at.min()))
        for seed in range(3)
        for step, at in zip(data["step_at_epoch_end"], loss.sel(seed=seed).transpose("epoch", ...), strict=True)
    ]
    np.testing.assert_allclose(rows, wanted, rtol=1e-12, atol=1e-15)
    assert {row[2] for row in rows} == {2, 3}


def test_the_ends_are_those_of_the_runs(asked):
    ask, study = asked
    names, rows = ask(ENDS)
    assert names == ["status", "runs", "seconds", "attempts", "first", "message"]
    assert {row[0]: row[1] for row in rows} == {"ok": 10, "diverged": 1, "crashed": 1}
    assert sum(row[2] for row in rows) == sum(run.seconds for run in study.result.runs)
    assert [row[4] for row in rows if row[0] == "diverged"] == ["seed001-p002"]


def test_the_page_names_every_table_and_column():
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(_TABLES)
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            [row] = re.findall(rf"^\| `{table}` \|.*$", PAGE, re.M)
            columns = [name for _, name, *_ in database.execute(f"PRAGMA table_info({table})")]
            assert [name for name in columns if f"`{name}`" not in row] == []
