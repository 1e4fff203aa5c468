"""MLflow's stores, made here as MLflow makes them, and the one way to all readers."""

import math
import os
import sqlite3
import subprocess
import sys
import time

import pytest

from lastbit.core.errors import LastbitError
from lastbit.launch.metrics import MetricSpec, read_metric
from lastbit.launch.metrics.mlflow import read_key

NOW = 1_790_000_000.0


def database(path, *rows):
    """A store with the table of mlflow/store/tracking/dbmodels/models.py; rows are its columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS metrics (key VARCHAR(250) NOT NULL, value FLOAT NOT NULL, timestamp BIGINT "
            "NOT NULL, run_uuid VARCHAR(32) NOT NULL, step BIGINT DEFAULT '0' NOT NULL, is_nan BOOLEAN DEFAULT '0' NOT "
            "NULL, CONSTRAINT metric_pk PRIMARY KEY (key, timestamp, step, run_uuid, value, is_nan))"
        )
        connection.executemany(
            "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES (?, ?, ?, ?, ?, ?)",
            [(key, value, int(NOW * 1000 + at), run, step, nan) for key, value, at, run, step, nan in rows],
        )
    connection.close()


def file_store(folder, key, lines, run="r1"):
    path = folder / "mlruns" / "0" / run / "metrics" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{int(NOW * 1000 + at)} {rest}\n" for at, rest in lines))
    os.utime(path, (0, NOW + 100))
    return path


def test_the_database(tmp_path):
    database(
        tmp_path / "mlflow.db",
        ("acc", 0.9, 30, "new", 2, False),
        ("acc", 0.1, 20, "new", 1, False),
        ("acc", 0.0, 40, "new", 3, True),
        ("acc", -sys.float_info.max, 50, "new", 4, False),
        ("loss", 5.0, 20, "new", 1, False),
        ("acc", 0.7, 10, "other", 9, False),
        ("acc", 0.6, 60, "other", 10, False),
        ("acc", 0.5, -500, "old", 1, False),
    )
    series = read_key("acc", tmp_path, NOW)
    assert str(series.values) == str((0.1, 0.9, math.nan, -math.inf))
    assert series.steps == (1, 2, 3, 4)
    assert series.where == "MLflow, acc in mlflow.db, run new"
    assert read_key("acc", tmp_path, NOW - 1).values == series.values
    with pytest.raises(LastbitError, match="logged nothing under this key: choose one of acc, loss"):
        read_key("auc", tmp_path, NOW)
    with pytest.raises(LastbitError, match="nothing was logged since the run began"):
        read_key("acc", tmp_path, NOW + 10)


def test_the_database_is_not_written(tmp_path):
    database(tmp_path / "a b?#" / "mlflow.db", ("acc", 0.5, 10, "r", 0, False))
    path = tmp_path / "a b?#" / "mlflow.db"
    before = (path.read_bytes(), path.stat().st_mtime_ns, sorted(path.parent.iterdir()))
    assert read_key("acc", tmp_path, NOW).values == (0.5,)
    assert before == (path.read_bytes(), path.stat().st_mtime_ns, sorted(path.parent.iterdir()))


def test_a_database_that_is_none(tmp_path):
    (tmp_path / "mlflow.db").write_bytes(b"SQLite format 3\0" + bytes(2000))
    with pytest.raises(LastbitError, match="is no store of MLflow that can be read"):
        read_key("acc", tmp_path, NOW)
    (tmp_path / "mlflow.db").unlink()
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        connection.execute("CREATE TABLE other (x)")
    connection.close()
    with pytest.raises(LastbitError, match="no such table: metrics"):
        read_key("acc", tmp_path, NOW)


def test_a_query_without_end_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr("lastbit.launch.metrics.mlflow._SECONDS", 0.2)
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        connection.execute(
            "CREATE VIEW metrics AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT 'k' AS key, "
            "x AS value, x AS timestamp, 'r' AS run_uuid, 0 AS step, 0 AS is_nan FROM n WHERE x < 0"
        )
    connection.close()
    start = time.monotonic()
    with pytest.raises(LastbitError, match="interrupted"):
        read_key("acc", tmp_path, NOW)
    assert time.monotonic() - start < 10


def test_the_file_store(tmp_path):
    file_store(tmp_path, "val/acc", [(20, "0.9 2"), (10, "0.10 1"), (30, "nan 3"), (-5000, "0.3 0")])
    file_store(tmp_path, "val/acc", [(5, "0.7 1")], run="r0")
    file_store(tmp_path, "old", [(5, "0.7")])
    series = read_key("val/acc", tmp_path, NOW)
    assert str(series.values) == str((0.1, 0.9, math.nan))
    assert (series.steps, series.printed, series.digits) == ((1, 2, 3), ("0.10", "0.9", "nan"), (2, 1, 0))
    assert read_key("old", tmp_path, NOW).steps == (0,)
    with pytest.raises(LastbitError, match="choose one of old, val/acc"):
        read_key("../../r1/metrics/old", tmp_path, NOW)


def test_a_file_store_that_is_damaged_or_linked(tmp_path):
    file_store(tmp_path / "outside", "acc", [(1, "0.5 0")])
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "mlruns").symlink_to(tmp_path / "outside" / "mlruns")
    with pytest.raises(LastbitError, match=r"no mlflow.db and no mlruns below .*: let the program log there"):
        read_key("acc", tmp_path / "inside", NOW)
    file_store(tmp_path / "other", "acc", [(1, "0.5 0"), (2, "half 0")])
    with pytest.raises(LastbitError, match="is no metric of MLflow"):
        read_key("acc", tmp_path / "other", NOW)


def test_the_run_that_began_last_counts_whatever_its_store(tmp_path):
    database(tmp_path / "mlflow.db", ("acc", 0.5, 10, "r", 0, False))
    file_store(tmp_path, "acc", [(20, "0.75 0")])
    assert read_key("acc", tmp_path, NOW).values == (0.75,)


def test_one_way_to_every_reader(tmp_path):
    database(tmp_path / "mlflow.db", ("acc", 0.5, 10, "r", 0, False))
    (tmp_path / "out.json").write_text('{"acc": 0.25}')
    found = {
        reader: read_metric(
            MetricSpec(name="acc", reader=reader, argument=argument, unit=unit),
            stdout="acc 75%\n",
            folder=tmp_path,
            since=time.time() - 3600 if reader == "file" else NOW,
        )
        for reader, argument, unit in [
            ("name", "acc", ""),
            ("pattern", r"acc (\d+)", "points"),
            ("file", "out.json:acc", ""),
            ("mlflow", "acc", ""),
        ]
    }
    assert {reader: series.values for reader, series in found.items()} == {
        "name": (75.0,),
        "pattern": (75.0,),
        "file": (0.25,),
        "mlflow": (0.5,),
    }
    assert [series.unit for series in found.values()] == ["%", "points", "", ""]
    with pytest.raises(LastbitError, match="unknown reader of a metric 'nmae'"):
        MetricSpec(name="acc", reader="nmae", argument="acc")


def test_reading_needs_no_torch():
    code = "import sys, lastbit.launch.metrics; sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
