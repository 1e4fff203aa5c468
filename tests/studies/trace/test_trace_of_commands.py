"""The trace of a command whose runs fail, or are gone on with under another Python."""

import dataclasses
import json

import pytest
from in_this_process import InThisProcess

import lastbit as lb
from lastbit.cli.app import main
from lastbit.core.status import RunStatus
from lastbit.store import StudyFolder


@pytest.fixture
def program(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stand_in = InThisProcess(lambda loss: f"loss: {loss:.12f}\n")
    monkeypatch.setattr("lastbit.studies.frame.launched.run_command", stand_in)
    return stand_in


def other_where(program, monkeypatch, change):
    """Have the runs be other than they were, from now on."""
    monkeypatch.setattr(
        "lastbit.studies.frame.launched.run_command", lambda words, launch: change(program(words, launch))
    )


def test_another_pytorch_does_not_go_on_with_a_trace(program, tmp_path, monkeypatch, capsys):
    lb.trace(["sh", "train.sh"], twins=1, quiet=True, out="s")
    (cell,) = json.loads((tmp_path / "s" / "study.json").read_text())["cells"]
    assert {"python", "torch", "numpy"} == cell["versions"].keys()
    (twin,) = (tmp_path / "s" / "arrays").glob("*-twin1.npz")
    twin.unlink()  # to be run again

    def elsewhere(ran):
        others = (dataclasses.replace(one, versions=one.versions | {"torch": "9.9"}) for one in ran.processes)
        return dataclasses.replace(ran, processes=tuple(others))

    other_where(program, monkeypatch, elsewhere)
    assert main(["trace", "--resume", "s", "--quiet"]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"s was begun with torch {cell['versions']['torch']}, and {twin.stem} had torch 9.9" in said


def test_a_later_run_without_its_metric_is_a_status(program, monkeypatch):
    said = program.said
    program.said = lambda loss: said(loss) if len(program.ran) < 3 else "it went wrong\n"
    study = lb.trace(["sh", "train.sh"], twins=2, metric=["loss"], quiet=True)
    with StudyFolder.read(study.path) as folder:
        crashed = [record for record in folder.runs() if record.status == RunStatus.CRASHED]
    assert len(crashed) == 2
    assert all(record.message.startswith("the output has no number behind the name 'loss'") for record in crashed)
