import fcntl
import json
import math
import os
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lastbit.core.errors import LastbitError
from lastbit.core.status import Role, RunStatus
from lastbit.store import SCHEMA, RunRecord, StudyFolder

FACTS = {"kind": "audit", "spec": {"lr": 0.1}}
ODD = [math.nan, math.inf, -math.inf, -0.0, 0.0, 5e-324, 1.7976931348623157e308, 0.1, 3.0, -7.0]


def record(run="seed000-p000", **given):
    defaults = {"cell": 0, "role": Role.BASE, "label": "unperturbed", "status": RunStatus.OK}
    return RunRecord(run=run, **{**defaults, **given})


def bits(values):
    return [struct.pack("<d", value) for value in values]


@pytest.fixture
def study(tmp_path):
    with StudyFolder.create(tmp_path / "study", FACTS) as made:
        yield made


def refusal(action, *args):
    with pytest.raises(LastbitError) as caught:
        action(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_study_is_created_resumed_and_read(tmp_path):
    path = tmp_path / "deep" / "study"
    with StudyFolder.create(path, FACTS) as made:
        made.add(record())
        made.event("begun", "2 workers")
        made.update_facts(execution={"workers": 2})
        made.save_result({"verdict": "noise"})
    for opened in (StudyFolder.resume, StudyFolder.read):
        with opened(path) as study:
            assert study.facts == {"schema": SCHEMA, **FACTS, "execution": {"workers": 2}}
            assert [run.run for run in study.runs()] == ["seed000-p000"]
            assert [event[1:] for event in study.events()] == [(None, "begun", "2 workers")]
            assert study.result() == {"verdict": "noise"}
    with StudyFolder.resume(path) as study:
        study.add(record("seed001-p000", cell=1))
        assert len(study.runs()) == 2


def test_a_new_study_has_no_result_and_no_runs(study):
    assert study.result() is None
    assert study.runs() == []
    assert study.events() == []


def test_a_study_reads_without_lastbit(study):
    study.add(record(steps=(4,), metrics={"loss": [0.5]}))
    study.files("seed000-p000").arrays({"w": np.arange(3)})
    assert json.loads((study.path / "study.json").read_text())["spec"] == {"lr": 0.1}
    rows = sqlite3.connect(study.path / "runs.sqlite").execute("SELECT run, step, name, value FROM metrics").fetchall()
    assert rows == [("seed000-p000", 4, "loss", 0.5)]
    assert np.load(study.path / "arrays" / "seed000-p000.npz")["w"].tolist() == [0, 1, 2]


def test_an_existing_empty_folder_does(tmp_path):
    StudyFolder.create(tmp_path, FACTS).close()
    assert StudyFolder.read(tmp_path).facts["kind"] == "audit"


def test_what_is_not_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "a").write_text("mine")
    assert "is a file" in refusal(StudyFolder.create, tmp_path / "a", FACTS)
    assert "not empty (it is not a study)" in refusal(StudyFolder.create, tmp_path, FACTS)
    assert (tmp_path / "a").read_text() == "mine"
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a"]
    StudyFolder.create(tmp_path / "b", FACTS).close()
    assert f"continue it with --resume {tmp_path / 'b'}" in refusal(StudyFolder.create, tmp_path / "b", FACTS)
    assert "cannot write to" in refusal(StudyFolder.create, tmp_path / "a" / "inside", FACTS)


@pytest.mark.parametrize("open_", [StudyFolder.resume, StudyFolder.read], ids=["resume", "read"])
def test_what_is_not_a_study_is_refused(open_, tmp_path):
    assert "there is no study at" in refusal(open_, tmp_path / "none")
    assert refusal(open_, tmp_path).endswith("has no study.json")
    (tmp_path / "studies" / "one").mkdir(parents=True)
    (tmp_path / "studies" / "one" / "study.json").write_text("{}")
    assert refusal(open_, tmp_path / "studies").endswith(f"; the studies in it are {tmp_path / 'studies' / 'one'}")
    path = tmp_path / "study"
    StudyFolder.create(path, FACTS).close()
    (path / "study.json").write_text('{"schema": 99}')
    message = refusal(open_, path)
    assert "study format 99" in message
    assert f"reads format {SCHEMA}" in message
    (path / "study.json").write_text("{}")
    assert "study format None" in refusal(open_, path)
    for text in ("{", "[1]", '"x"'):
        (path / "study.json").write_text(text)
        assert "not lastbit's" in refusal(open_, path)
    (path / "study.json").write_bytes(b"\xff\xfe")
    assert "not lastbit's" in refusal(open_, path)
    (path / "study.json").write_text(json.dumps({"schema": SCHEMA}))
    (path / "runs.sqlite").write_bytes(b"this is no database, whatever its name says" * 40)
    assert "damaged" in refusal(open_, path)
    (path / "runs.sqlite").unlink()
    assert "no runs.sqlite" in refusal(open_, path)


def test_a_database_damaged_in_the_middle_is_said_in_one_line(study):
    for seed in range(40):
        study.add(record(f"seed{seed:03d}", cell=seed, label="x" * 400))
    study.close()
    path = study.path / "runs.sqlite"
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xff" * (len(content) - 8192)
    path.write_bytes(content)

    def read():
        with StudyFolder.read(study.path) as damaged:
            damaged.runs()

    assert "damaged" in refusal(read)


def test_a_refused_folder_can_be_opened_at_once_by_others(tmp_path):
    """A failure gives the lock back, also while its traceback is alive."""
    path = tmp_path / "study"
    with pytest.raises(ValueError, match="JSON") as caught:
        StudyFolder.create(path, {"spec": math.nan})
    assert caught.tb is not None
    assert not path.exists()
    StudyFolder.create(path, FACTS).close()
    (path / "runs.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(LastbitError, match="damaged") as caught:
        StudyFolder.resume(path)
    (path / "runs.sqlite").write_bytes(b"")
    StudyFolder.resume(path).close()
    assert caught.tb is not None


def test_a_run_is_visible_only_once_it_is_added(study):
    files = study.files("seed000-p000")
    files.save_checkpoint({"w": torch.ones(2)}, {"position": 3})
    files.arrays({"w": np.ones(2)})
    with StudyFolder.read(study.path) as reader:
        assert reader.runs() == []
        study.add(record())
        assert [run.run for run in reader.runs()] == ["seed000-p000"]  # a reader sees it while the writer goes on
        assert reader.arrays("seed000-p000")["w"].tolist() == [1.0, 1.0]
    assert files.load_checkpoint() is None
    assert list((study.path / "checkpoints").iterdir()) == []


def test_a_run_that_cannot_be_stored_leaves_the_old_one(study):
    study.add(record(steps=(1, 2), metrics={"loss": [3.0, 2.0]}))
    with pytest.raises(ValueError, match="zip"):
        study.add(record(steps=(1, 2), metrics={"loss": [9.0]}))
    with pytest.raises(sqlite3.IntegrityError):
        study.add(record(steps=(1, 1), metrics={"loss": [9.0, 8.0]}))
    assert study.runs() == [record(steps=(1, 2), metrics={"loss": [3.0, 2.0]})]


def test_adding_again_replaces(study):
    study.add(record(status=RunStatus.CRASHED, attempts=2, message="RuntimeError: no"))
    study.add(record(steps=(5,), metrics={"loss": [1.0]}, seconds=2.5, attempts=1))
    assert study.runs() == [record(steps=(5,), metrics={"loss": [1.0]}, seconds=2.5)]


def test_runs_come_by_cell_with_the_repeat_last(study):
    base, repeat, twin = Role.BASE, Role.REPEAT, Role.TWIN
    for cell, role, number in [(1, repeat, 0), (0, twin, 2), (1, twin, 1), (0, repeat, 0), (0, base, 0), (1, base, 0)]:
        study.add(record(f"{cell}-{number}-{role}", cell=cell, role=role, twin=number))
    found = [(run.cell, run.role, run.twin) for run in study.runs()]
    assert found == [(0, base, 0), (0, twin, 2), (0, repeat, 0), (1, base, 0), (1, twin, 1), (1, repeat, 0)]


@given(st.lists(st.floats(allow_nan=True, width=64), min_size=1, max_size=6))
@settings(deadline=None, max_examples=25)
def test_metrics_come_back_bit_for_bit(values):
    with tempfile.TemporaryDirectory() as folder, StudyFolder.create(Path(folder) / "study", FACTS) as study:
        values = [math.nan if math.isnan(value) else value for value in values] + ODD
        steps = tuple(range(3, 3 + len(values)))
        study.add(record(steps=steps, metrics={"loss": values, "accuracy": values[::-1]}))
        found = study.runs()[0]
        assert found.steps == steps
        assert bits(found.metrics["loss"]) == bits(values)
        assert bits(found.metrics["accuracy"]) == bits(values[::-1])
        assert all(type(value) is float for value in found.metrics["loss"])


def test_metrics_of_numpy_are_numbers_too(study):
    study.add(record(steps=(1, 2, 3), metrics={"loss": [np.float32(0.1), np.float64(0.1), 2]}))
    assert study.runs()[0].metrics["loss"] == [float(np.float32(0.1)), 0.1, 2.0]


def test_every_field_of_a_run_comes_back(study):
    run = record(
        "seed003-repeat",
        cell=2**62,
        role=Role.TWIN,
        twin=7,
        label="σ „x“ \x00 end",
        status=RunStatus.DIVERGED,
        attempts=2,
        message="the training loss is not finite from step 3 on",
        seconds=1e-3,
        steps=(1, 10),
        metrics={"train_loss": [1.0, math.inf]},
    )
    study.add(run)
    assert study.runs() == [run]


def test_strict_json_only_and_the_old_result_stays(study):
    study.save_result({"a": 1})
    for bad in ({"a": math.nan}, {"a": math.inf}):
        with pytest.raises(ValueError, match="JSON compliant"):
            study.save_result(bad)
    with pytest.raises(TypeError):
        study.save_result({"a": np.zeros(2)})
    assert study.result() == {"a": 1}
    with pytest.raises(ValueError, match="JSON compliant"):
        study.update_facts(x=math.nan)
    assert "x" not in study.facts
    study.save_result({"σ": [1, None, "ü"]})
    assert json.loads((study.path / "result.json").read_text("utf-8"), parse_constant=pytest.fail) == study.result()


HOLDER = """
import sys, time
from pathlib import Path
from lastbit.store import StudyFolder, RunRecord
study = StudyFolder.resume(Path(sys.argv[1]))
study.add(RunRecord(run="theirs", cell=0, role="base", label="", status="ok"))
print("held", flush=True)
time.sleep(60)
"""


def test_a_second_writer_is_refused_until_the_first_is_gone(tmp_path):
    path = tmp_path / "study"
    StudyFolder.create(path, FACTS).close()
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout.readline() == "held\n"
            message = refusal(StudyFolder.resume, path)
            assert f"process {holder.pid}" in message
            assert "working on" in message
            refusal(StudyFolder.create, path, FACTS)
            with StudyFolder.read(path) as reader:
                assert [run.run for run in reader.runs()] == ["theirs"]
        finally:
            os.kill(holder.pid, signal.SIGKILL)
    with StudyFolder.resume(path) as mine:
        # The killed process closed nothing: its last run is in the write-ahead log.
        assert [run.run for run in mine.runs()] == ["theirs"]
        mine.add(record("mine", cell=1))
        message = refusal(StudyFolder.resume, path)
        assert f"process {os.getpid()}" in message
    StudyFolder.resume(path).close()


def test_a_reader_knows_whether_a_writer_is_at_work_and_does_not_hinder_one(study):
    with StudyFolder.read(study.path) as reader:
        assert reader.held
        study.close()
        assert not reader.held
        (study.path / "lock").unlink()  # a copy of a study may have none
        assert not reader.held
        # Who asks has the file for a moment: a writer that comes then waits for that moment.
        StudyFolder.resume(study.path).close()
        with (study.path / "lock").open("rb") as asking:
            fcntl.flock(asking, fcntl.LOCK_SH)
            threading.Timer(0.03, asking.close).start()
            StudyFolder.resume(study.path).close()


def test_a_new_run_withdraws_what_was_concluded_without_it(study):
    study.save_result({"verdict": "noise"})
    study.add(record())
    assert study.result() is None


def test_resuming_clears_what_killed_writers_left(study):
    study.close()
    ours = [study.path / "arrays" / ".lastbit-seed-x.npz", study.path / ".lastbit-study-x.json"]
    theirs = study.path / ".gitlab-ci.yml"
    for path in (*ours, theirs):
        path.write_text("part")
    StudyFolder.resume(study.path).close()
    assert not any(path.exists() for path in ours)
    assert theirs.exists()


READER = """
import os, sys
from pathlib import Path
import lastbit.store as store
"x".encode("cp437")  # loaded by zipfile when it is needed, from where the other user may not look
os.setgroups([]); os.setgid(65534); os.setuid(65534)
for path in map(Path, sys.argv[1:]):
    study = store.StudyFolder.read(path)
    print([run.run for run in study.runs()], study.arrays("a")["w"].tolist(), study.result())
    try:
        store.StudyFolder.resume(path)
    except store.StorageError as error:
        print(error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to read as a user who may not write")
def test_a_copy_reads_where_nobody_may_write(study):
    study.files("a").arrays({"w": np.ones(1)})
    study.add(record("a"))
    study.save_result({"x": 1})
    with tempfile.TemporaryDirectory() as folder:
        killed, closed = Path(folder) / "killed", Path(folder) / "closed"
        shutil.copytree(study.path, killed, ignore=shutil.ignore_patterns("*-shm"))
        assert (killed / "runs.sqlite-wal").exists()
        study.close()
        shutil.copytree(study.path, closed)
        assert not (closed / "runs.sqlite-wal").exists()
        Path(folder).chmod(0o755)
        copies = [killed, closed]
        before = [sorted(copy.iterdir()) for copy in copies]
        run = subprocess.run([sys.executable, "-c", READER, *map(str, copies)], capture_output=True, text=True)
        assert before == [sorted(copy.iterdir()) for copy in copies]
    assert run.returncode == 0, run.stderr
    instead = "make it writable, or go on with a copy in another folder"
    refused = [f"cannot write to {copy} (Permission denied): {instead}" for copy in copies]
    assert run.stdout.splitlines() == ["['a'] [1.0] {'x': 1}", refused[0], "['a'] [1.0] {'x': 1}", refused[1]]


def test_a_copy_with_only_its_log_reads_through_memory(study, monkeypatch):
    """The path taken where SQLite cannot make its index, without needing another user."""
    from lastbit.store.database import in_memory, read_runs

    study.add(record("a", steps=(1,), metrics={"loss": [-0.0]}))
    path = study.path / "runs.sqlite"
    files = sorted(item.name for item in study.path.iterdir())
    database = in_memory(path)
    assert [run.run for run in read_runs(database)] == ["a"]
    database.close()
    assert sorted(item.name for item in study.path.iterdir()) == files
