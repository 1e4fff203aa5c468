"""A study that somebody else packed: its code runs only if its reader says so, and its names are only text."""

import json
import os
import platform

import pytest
import torch
from torch import nn

import lastbit as lb
from lastbit.cli import main
from lastbit.core.errors import LastbitError
from lastbit.store import RunRecord, StudyFolder
from lastbit.store.layout import DamagedFileError
from lastbit.studies.frame import folders
from lastbit.tasks.metric import ACCURACY, Metric

HOSTILE = "\x1b[31mred\x1b[0m\x1b]0;title\x07 [bold]b[/bold] [/] [link=x]"
NAME = HOSTILE.replace("/", "|")
"""The same, where no file may have a slash."""


SEEN = """
def seen():
    from dataclasses import replace
    from pathlib import Path
    task = calm()
    def model():
        Path({ran!r}).touch()
        return task.model()
    return replace(task, model=model)
"""


def rewritten(path, **facts):
    stored = json.loads((path / "study.json").read_text("utf-8"))
    (path / "study.json").write_text(json.dumps({**stored, **facts}), "utf-8")


@pytest.fixture
def study(task_file, tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text(f"{task_file.read_text()}{SEEN.format(ran=str(tmp_path / 'ran'))}")
    return lb.audit(f"{mine}:seen", seeds=1, perturbations=2, workers=1, quiet=True, out=tmp_path / "study")


def test_who_began_a_study_stands_in_it_and_in_no_result(study):
    owner = json.loads((study.path / "study.json").read_text())["owner"]
    assert set(owner) == {"user", "host"}
    assert "owner" not in study.to_json()
    assert lb.audit(resume=study.path, quiet=True).verdict == study.verdict


@pytest.mark.parametrize(
    ("owner", "by"),
    [
        ({"user": "mallory", "host": "elsewhere"}, "mallory on elsewhere"),
        ({}, "an unknown user on an unknown computer"),
        (None, "an unknown user"),
        ("odd", "an unknown user"),
    ],
)
def test_the_task_file_of_a_study_from_elsewhere_runs_only_if_it_is_trusted(study, tmp_path, owner, by, capsys):
    ran = tmp_path / "ran"
    ran.unlink()
    rewritten(study.path, owner=owner)
    with pytest.raises(LastbitError, match=rf"was begun by {by}, not by .* it runs {tmp_path / 'mine.py'}: .* --trust"):
        lb.audit(resume=study.path, quiet=True)
    assert main(["audit", "--resume", str(study.path), "--quiet"]) == 2
    assert not ran.exists()
    assert main(["report", str(study.path), "--quiet"]) == 0
    assert not ran.exists()
    assert lb.audit(resume=study.path, quiet=True, trust=True).verdict == study.verdict
    assert main(["audit", "--resume", str(study.path), "--quiet", "--trust"]) == 0
    assert ran.exists()
    # Who names the file means that file.
    assert lb.audit(f"{tmp_path / 'mine.py'}:seen", resume=study.path, quiet=True).verdict == study.verdict
    assert "Traceback" not in capsys.readouterr().err


def test_a_built_in_task_needs_no_trust(tmp_path):
    made = lb.sharpness("digits", train_size=40, out=tmp_path / "study", quiet=True)
    rewritten(made.path, owner={"user": "mallory", "host": "elsewhere"})
    assert lb.sharpness(resume=made.path, quiet=True).verdict == made.verdict


def test_names_reach_the_terminal_as_text(tmp_path, capsys):
    x, y = torch.randn(24, 3), torch.arange(24) % 2
    task = lb.Task(
        name=HOSTILE,
        model=lambda: nn.Linear(3, 2),
        train=(x, y),
        test=(x, y),
        loss=nn.functional.cross_entropy,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1),
        metric=Metric(name=HOSTILE, unit=HOSTILE, per_example=ACCURACY.per_example),
        epochs=1,
        batch_size=8,
    )
    study = lb.audit(task, seeds=2, perturbations=2, workers=1, out=tmp_path / NAME)
    with StudyFolder.resume(study.path) as folder:
        folder.event(HOSTILE, HOSTILE)
        folder.add(RunRecord(run=NAME, cell=0, role="twin", twin=7, label=HOSTILE, status="crashed", message=HOSTILE))
        with pytest.raises(DamagedFileError, match="is no name of a run"):
            folder.files(HOSTILE)
    for words in (["report", str(study.path)], ["report", str(study.path), "--quiet"]):
        main(words)
    main(["report", str(study.path), "--json", str(tmp_path / f"no-{HOSTILE[:9]}" / "x.json")])
    said = "".join(capsys.readouterr())
    assert "\x1b" not in said
    assert "\x07" not in said
    assert r"\x1b[31mred\x1b[0m" in said
    assert "[bold]b[/bold] [/] [link=x]" in said
    assert "\x1b" not in repr(lb.open_study(study.path))


def test_a_user_without_name_and_number_is_no_error(monkeypatch):
    def nobody():
        raise ImportError("no module named 'pwd'")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert folders._owner()["user"] == str(os.getuid())
    monkeypatch.delattr(os, "getuid")
    assert folders._owner() == {"user": "", "host": platform.node()}
