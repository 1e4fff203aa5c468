"""A command that fails in the first run is the study's error and leaves no study; in a later run it is a status."""

import dataclasses
import json
import sys

import pytest
from in_this_process import InThisProcess

import lastbit as lb
from lastbit.cli.app import main
from lastbit.core.errors import LastbitError
from lastbit.core.exit_codes import ExitCode
from lastbit.core.status import RunStatus

FEW = ["audit", "--metric", "loss", "--perturbations", "2", "--quiet"]


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def program(desk, monkeypatch):
    stand_in = InThisProcess(lambda loss: f"loss: {loss:.12f}\n")
    monkeypatch.setattr("lastbit.studies.frame.launched.run_command", stand_in)
    (desk / "train.sh").write_text("python part/train.py\npython -m part.more")
    (desk / "part").mkdir()
    (desk / "part" / "train.py").write_text("import helper, torch\nfrom part import more")
    (desk / "part" / "helper.py").write_text("x = 1")
    (desk / "part" / "more.py").write_text("y = 1")
    return stand_in


def said(capsys):
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("error: ")
    assert "Traceback" not in "".join(lines)
    return lines[-1]


@pytest.mark.parametrize(
    ("script", "flags", "match", "kept"),
    [
        ("echo one; echo no data >&2; exit 3", [], "sh ended with exit code 3: no data", "stderr.txt"),
        ("echo last words; exit 1", [], "sh ended with exit code 1: last words", "stdout.txt"),
        ("echo bye; kill -11 $$", [], "sh ended with signal 11: bye", "stdout.txt"),
        ("echo wait; sleep 60", ["--timeout", "1"], "sh ran longer than --timeout 1: wait", "stdout.txt"),
        ("echo loss: 1", [], "sh -c 'echo loss: 1' made no optimizer step: no Python was reached", None),
    ],
)
def test_a_first_run_that_fails_ends_the_study_and_leaves_what_it_printed(script, flags, match, kept, desk, capsys):
    for out in ([], [], ["--out", "mine"]):  # the folder is free again
        assert main([*FEW, *out, *flags, "--", "sh", "-c", script]) == 2
        line = said(capsys)
        folder = desk / (out[-1] if out else "lastbit-studies/audit-sh-001")
        assert match in line
        assert [path.name for path in folder.iterdir()] == ["output"]
        assert kept is None or f"(all of it: {folder / 'output' / 'seed000-p000' / kept})" in line
    assert [path.name for path in (desk / "lastbit-studies").iterdir()] == ["audit-sh-001"]


def test_a_folder_of_the_users_own_is_not_taken_for_what_a_run_printed(desk, capsys):
    (desk / "mine" / "output" / "run").mkdir(parents=True)
    (desk / "mine" / "output" / "run" / "model.pt").write_text("weights")
    assert main([*FEW, "--out", "mine", "--", "sh", "-c", "exit 1"]) == 2
    assert "mine is not empty (it is not a study)" in said(capsys)
    assert (desk / "mine" / "output" / "run" / "model.pt").exists()


def failing(program, monkeypatch, **failed):
    """Have every run of seed 1 end in another way."""

    def run(words, launch):
        ran = program(words, launch)
        return dataclasses.replace(ran, **failed) if launch.settings.seed == 1 else ran

    monkeypatch.setattr("lastbit.studies.frame.launched.run_command", run)


@pytest.mark.parametrize(
    ("failed", "message"),
    [
        ({"exit_code": 1, "last_lines": "one\nno luck"}, "train ended with exit code 1: no luck"),
        ({"exit_code": -9}, "train ended with signal 9: a warning"),
        ({"timed_out": True, "exit_code": -15}, "train ran longer than --timeout 60: a warning"),
        ({"processes": ()}, "train made no optimizer step, though the first run did: a warning"),
    ],
)
def test_a_later_run_that_fails_is_a_status_with_its_last_line(failed, message, program, monkeypatch):
    failing(program, monkeypatch, **failed)
    study = lb.audit(
        ["sh", "part/train.py", "{seed}"], metric=["loss"], seeds=2, perturbations=2, timeout=60.0, quiet=True
    )
    ended = {run.run: (run.status, run.message) for run in study.result.runs}
    assert {name: status for name, (status, _) in ended.items() if "seed000" in name} == dict.fromkeys(
        ("seed000-p000", "seed000-p001", "seed000-repeat"), RunStatus.OK
    )
    assert {status for name, (status, _) in ended.items() if "seed001" in name} == {RunStatus.CRASHED}
    assert all(message == text for name, (_, text) in ended.items() if "seed001" in name)
    assert message in " ".join(study.summary().split())


def test_no_spread_is_reported_where_every_perturbed_run_failed(program, monkeypatch):
    def run(words, launch):
        ran = program(words, launch)
        return dataclasses.replace(ran, exit_code=1) if launch.settings.perturbation.kind == "auto" else ran

    monkeypatch.setattr("lastbit.studies.frame.launched.run_command", run)
    study = lb.audit(["sh", "train.sh"], metric=["loss"], perturbations=3, quiet=True)
    assert [run.status for run in study.result.runs].count(RunStatus.CRASHED) == 2
    assert study.verdict == "no spread can be reported: every perturbed run crashed."
    assert study.result.advice.startswith("See how each run ended below.")
    assert study.result.exit_code is ExitCode.NOT_REPRODUCIBLE


def test_a_command_that_prints_nothing_is_told_so(program, monkeypatch, capsys):
    def silent(words, launch):
        ran = program(words, launch)
        for stream in (ran.stdout, ran.stderr):
            stream.write_text("")
        return ran

    monkeypatch.setattr("lastbit.studies.frame.launched.run_command", silent)
    assert main(["audit", "--perturbations", "2", "--quiet", "--", "sh", "train.sh"]) == 2
    assert "The command printed nothing: let it print its result, as in 'val_acc: 0.91', or write" in said(capsys)
    program.said = lambda loss: "done\n"
    monkeypatch.setattr("lastbit.studies.frame.launched.run_command", program)
    assert main(["audit", "--perturbations", "2", "--quiet", "--out", "new", "--", "sh", "train.sh"]) == 2
    assert "shows none that could be: write --metric-file PATH:key.path" in said(capsys)


@pytest.mark.parametrize("changed", ["train.sh", "part/train.py", "part/helper.py", "part/more.py"])
def test_a_study_is_not_resumed_where_what_its_command_runs_is_other(changed, program, desk, capsys):
    assert main([*FEW, "--out", "s", "--", "sh", "train.sh"]) == 0
    text = (desk / changed).read_text()
    (desk / changed).write_text(f"{text}\n# changed")
    assert main(["audit", "--resume", "s", "--quiet"]) == 2
    assert f"{changed}, of the command of s, is not what it was when the study was begun" in said(capsys)
    (desk / changed).write_text(text)
    assert main(["audit", "--resume", "s", "--quiet"]) == 0


def test_another_command_does_not_resume_a_study(program, capsys):
    assert main([*FEW, "--out", "s", "--", "sh", "train.sh"]) == 0
    assert main(["audit", "--resume", "s", "--", "sh", "train.sh", "--lr 1"]) == 2
    assert "s was begun with the command sh train.sh, not sh train.sh '--lr 1': leave it out to resume" in said(capsys)


def test_another_pytorch_does_not_go_on_with_a_study(program, desk, monkeypatch, capsys):
    assert main([*FEW, "--out", "s", "--", "sh", "train.sh"]) == 0
    facts = json.loads((desk / "s" / "study.json").read_text())
    python = ".".join(map(str, sys.version_info[:3]))
    assert facts["cells"][0]["versions"]["python"] == python

    def run(words, launch):
        ran = program(words, launch)
        others = [dataclasses.replace(one, versions=one.versions | {"torch": "9.9"}) for one in ran.processes]
        return dataclasses.replace(ran, processes=tuple(others))

    (desk / "s" / "arrays" / "seed000-p001.npz").unlink()  # to be run again
    monkeypatch.setattr("lastbit.studies.frame.launched.run_command", run)
    assert main(["audit", "--resume", "s", "--quiet"]) == 2
    assert "and seed000-p001 had torch 9.9, where the bits would differ" in said(capsys)


def test_threads_and_as_is_exclude_each_other(desk):
    with pytest.raises(LastbitError, match="--threads 2: --as-is touches nothing"):
        lb.audit(["sh", "x"], metric=["loss"], threads=2, deterministic=False)
