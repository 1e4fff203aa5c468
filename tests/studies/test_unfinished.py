"""A study that is being trained, or was killed, can be looked at: read only, as far as it is, and it says so first."""

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import lastbit as lb
from lastbit import eos, trace
from lastbit.cli import main

TINY = {"train_size": 60, "workers": 1, "quiet": True}


@pytest.fixture(scope="module")
def whole(lively_study, tmp_path_factory):
    """A finished study of each kind, by the word that its runs are counted by."""
    root = tmp_path_factory.mktemp("whole")
    trace("digits", model="mlp", width=4, epochs=2, batch_size=30, twins=1, lr=(0.4, 0.2), out=root / "trace", **TINY)
    eos("digits", width=4, steps=6, twins=1, weight_decay="0,0.1", out=root / "eos", **TINY)
    return {"audit": lively_study.path, "trace": root / "trace", "eos": root / "eos"}


HEADS = {
    ("audit", 4): "unfinished: 4 of 12 runs finished.",
    ("trace", 1): "unfinished: 1 of 2 trainings finished.",
    ("eos", 1): "unfinished: 1 of 2 trainings finished.",
    ("audit", 0): "unfinished: 0 of 12 runs finished.",
    ("trace", 0): "unfinished: 0 of 2 trainings finished.",
    ("eos", 0): "unfinished: 0 of 2 trainings finished.",
}


def shorten(source, target, kind, keep):
    """Copy a study and take its last runs out, as if they had not been trained yet."""
    shutil.copytree(source, target)
    (target / "result.json").unlink()
    (target / "report.html").unlink(missing_ok=True)
    keep *= 3 if kind == "trace" else 1
    with sqlite3.connect(target / "runs.sqlite") as database:
        # In the order in which they were added: of each seed the base and its repeat, then its twins.
        left = [run for (run,) in database.execute("SELECT run FROM runs ORDER BY finished_at, rowid")][keep:]
        for table in ("metrics", "runs"):
            database.executemany(f"DELETE FROM {table} WHERE run = ?", [(run,) for run in left])
    database.close()
    return target


def contents(folder):
    """Return every file with its bytes, but for SQLite's index of its log, in which readers mark where they read."""
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file() and "-shm" not in path.name}


@pytest.mark.parametrize(("kind", "keep"), HEADS, ids=lambda value: str(value))
def test_a_study_under_way_is_drawn_and_left_alone(whole, tmp_path, capsys, kind, keep, monkeypatch):
    from lastbit.store import StudyFolder

    monkeypatch.chdir(tmp_path)
    study, head = shorten(whole[kind], tmp_path / "study", kind, keep), HEADS[kind, keep]
    with StudyFolder.resume(study):
        before = contents(study)
        assert main(["report", "study", "--json", "out.json"]) == 0
        told = capsys.readouterr().out
        assert " ".join(told.split())[: len(head)] == head[:1].upper() + head[1:]
        assert f"report  {tmp_path / 'study-report.html'}" in told
        page = Path("study-report.html").read_text("utf-8")
        assert "Unfinished" in page
        assert head[1:] in page
        assert lb.open_study(study).report("mine.html").exists()
        assert contents(study) == before
    result = json.loads(Path("out.json").read_text())
    assert result["finished"] is False
    assert f"lastbit {kind} --resume study " in result["advice"]


@pytest.mark.parametrize("kind", ["audit", "trace", "eos"])
def test_a_killed_study_says_so_and_finishes_later(whole, tmp_path, capsys, kind):
    study = shorten(whole[kind], tmp_path / "study", kind, 1)
    assert main(["report", str(study), "--quiet"]) == 0
    assert capsys.readouterr().out.startswith("Unfinished: 1 of ")
    assert (study / "report.html").exists()
    assert not (study / "result.json").exists()  # nothing is concluded that the next run would change
    assert main([kind, "--resume", str(study), "--quiet"]) == 0
    assert not capsys.readouterr().out.startswith("Unfinished")
    assert lb.open_study(study).to_json()["finished"] is True


@pytest.mark.parametrize("kind", ["audit", "trace", "eos"])
def test_what_is_advised_before_any_run_is_in_is_to_go_on(whole, tmp_path, kind):
    study = lb.open_study(shorten(whole[kind], tmp_path / "study", kind, 0))
    result = result_of(study)
    assert result["advice"].startswith(f"If it was stopped, lastbit {kind} --resume {study.path} ")
    assert study.too_early


def test_what_is_advised_later_is_what_the_runs_say_and_to_go_on(whole, tmp_path):
    study = lb.open_study(shorten(whole["audit"], tmp_path / "study", "audit", 11))
    advice = result_of(study)["advice"]
    assert advice.startswith("Fixing the seed")
    assert f" If it was stopped, lastbit audit --resume {study.path} " in advice
    assert not study.too_early


@pytest.mark.parametrize(
    ("keep", "said"),
    [
        (2, "but the runs with another last bit or seed are not in yet"),
        (3, "how much of it is the last bit is not measured: the perturbed runs are not in yet"),
        (4, "the runs of other seeds are not in yet"),
    ],
)
def test_what_was_asked_for_and_is_not_there_yet_is_not_called_unvaried(whole, tmp_path, keep, said):
    study = shorten(whole["audit"], tmp_path / "study", "audit", 12 if keep == 4 else keep)
    if keep == 4:  # one seed whole, nothing of the others
        with sqlite3.connect(study / "runs.sqlite") as database:
            database.execute("DELETE FROM metrics WHERE run NOT LIKE 'seed000-%'")
            database.execute("DELETE FROM runs WHERE run NOT LIKE 'seed000-%'")
        database.close()
    result = lb.open_study(study).result
    assert result.verdict.startswith(f"unfinished: {keep} of 12 runs finished. ")
    assert said in result.verdict
    assert "varied" not in result.verdict
    assert "Ask for" not in result.advice


def test_a_study_that_ended_early_because_a_repeat_differs_is_finished(task_file, tmp_path):
    study = lb.audit(f"{task_file}:unseeded", seeds=3, perturbations=3, workers=1, out=tmp_path / "s", quiet=True)
    with_result = result_of(study)
    (tmp_path / "s" / "result.json").unlink()
    for result in (with_result, result_of(lb.open_study(tmp_path / "s"))):
        assert result["runs_finished"] < result["runs_planned"]
        assert result["finished"] is True
        assert result["verdict"].startswith("not reproducible here")
        assert "--resume" not in result["advice"]


def test_a_live_monitor_cannot_be_gone_on_with(tmp_path):
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss, batch = torch.nn.functional.mse_loss, (torch.ones(3, 2), torch.ones(3, 1))
    with lb.StabilityMonitor(model, optimizer, loss, batch, study=tmp_path / "s"):
        result = result_of(lb.open_study(tmp_path / "s"))
    assert result["finished"] is False
    assert result["verdict"].startswith("unfinished: 0 of 1 training finished.")
    assert "--resume" not in result["advice"]


def result_of(study):
    return study.result if isinstance(study.result, dict) else study.result.to_json()


SCRIPT = """
import sys
from lastbit import audit
audit(sys.argv[1], seeds=2, perturbations=3, workers=1, out=sys.argv[2], quiet=True)
"""


@pytest.mark.slow
def test_a_training_that_runs_in_another_process_is_drawn_beside_its_folder(task_file, tmp_path, capsys):
    study = tmp_path / "study"
    with subprocess.Popen([sys.executable, "-c", SCRIPT, f"{task_file}:slow", str(study)]) as training:
        try:
            deadline = time.monotonic() + 60
            while not list((study / "arrays").glob("*.npz")):
                assert training.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.01)
            assert main(["report", str(study), "--quiet"]) == 0
            assert capsys.readouterr().out.startswith("Unfinished: ")
            assert (tmp_path / "study-report.html").exists()
            assert training.poll() is None
        finally:
            training.kill()
