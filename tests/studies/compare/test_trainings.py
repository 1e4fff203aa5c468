"""Programs that are trained seed by seed: tasks, functions, commands; what stops early, resumes, and is left out."""

import json
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from in_this_process import InThisProcess

import lastbit as lb
from lastbit.cli.app import app
from lastbit.core.errors import LastbitError
from lastbit.store import StudyFolder

STORED = Path(__file__).parents[2] / "data" / "studies-format-1"
QUIET = {"quiet": True}
QUICK = {"workers": 1, **QUIET}


def trains(seed, shift=0.0, steps=3):
    """A training whose result is its seed's, moved by `shift`."""
    weight = torch.nn.Parameter(torch.tensor([float(np.random.default_rng(seed).normal())]))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        weight.square().sum().backward()
        optimizer.step()
    return {"score": weight.item() + shift}


def low(seed):
    return trains(seed)


def high(seed):
    return trains(seed, 50.0)


def near(seed):
    return trains(seed + 100)


def test_tasks_are_trained_with_the_same_seeds_beside_each_other(trained):
    result = trained.result
    assert result.finished
    assert result.verdict_kind == "real"
    assert result.pairs[0].better == "B"
    assert [arm.runs for arm in result.arms] == [6, 6]
    assert result.arms[0].seed_of == result.arms[1].seed_of
    names = [run.run for run in result.runs]
    assert {"a-seed000-p000", "b-seed000-p000", "a-seed000-repeat", "b-seed002-p001"} <= {*names}
    assert result.control.bitwise_identical
    assert result.control.pairs == 2


def test_the_difference_is_that_of_the_seeds_means(trained):
    by_arm = [np.reshape(arm.values, (3, 2)).mean(1) for arm in trained.result.arms]
    assert trained.result.difference.estimate == pytest.approx(by_arm[1].mean() - by_arm[0].mean())
    assert trained.result.difference.n == 3


def test_it_is_opened_drawn_exported_and_repeated(trained, tmp_path):
    again = lb.open_study(trained.path)
    assert again.result == trained.result
    titles = [section.title for section in again.page.sections]
    assert {"The differences", "Every run", "What decided", "What the last bit alone could have done"} <= {*titles}
    table = again.to_xarray()
    assert list(table["arm"].values) == ["A"] * 6 + ["B"] * 6
    assert trained.report(tmp_path / "page.html").stat().st_size > 10_000
    assert trained.result.command.startswith("lastbit compare --a ")
    flags = {word for word in trained.result.command.split() if word.startswith("--")}
    taken = typer.main.get_command(app).get_command(None, "compare").params
    assert flags <= {name for one in taken for name in (*one.opts, *one.secondary_opts)}
    assert lb.compare(resume=trained.path, **QUICK).result == trained.result


def test_functions_are_compared(tmp_path):
    found = lb.compare(low, high, better="higher", seeds=3, out=tmp_path / "study", **QUICK).result
    assert (found.verdict_kind, found.pairs[0].better, found.metric) == ("real", "B", "score")
    assert lb.compare(low, high, better="lower", seeds=3, out=tmp_path / "other", **QUICK).result.pairs[0].better == "A"


def test_of_a_function_it_must_be_said_which_way_is_better():
    with pytest.raises(LastbitError, match="which is better of what it returns of low is not known"):
        lb.compare(low, high, **QUICK)


def lossy(seed):
    return {"loss": trains(seed)["score"]}


def test_functions_that_return_other_numbers_are_refused_after_a_run_of_each(tmp_path):
    with pytest.raises(LastbitError, match="arm A is measured by score and B by loss"):
        lb.compare(low, lossy, better="higher", seeds=3, out=tmp_path / "study", **QUICK)
    assert not (tmp_path / "study").exists()


def test_programs_of_several_kinds_are_compared(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("""
import torch

def train(seed):
    weight = torch.nn.Parameter(torch.tensor([float(seed)]))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    weight.square().sum().backward()
    optimizer.step()
    return {"score": 1000 + weight.item()}
""")
    stands_in(monkeypatch, lambda loss: f"score {-loss:.6f}\n")
    (tmp_path / "train.py").touch()
    arms = low, "python train.py {seed}", "mine.py:train"
    result = lb.compare(*arms, metric="score", better="higher", seeds=3, **QUICK).result
    assert [arm.runs for arm in result.arms] == [3, 3, 3]
    assert [(pair.b, pair.verdict) for pair in result.pairs] == [("B", "undecided"), ("C", "real")]
    assert result.arms[2].name == "mine.py:train"


def test_a_large_difference_ends_the_adding_of_runs(tmp_path):
    out = tmp_path / "study"
    study = lb.compare(low, high, better="higher", sequential=True, most=20, out=out, **QUICK)
    result = study.result
    assert result.verdict_kind == "real"
    assert result.finished
    assert result.runs_finished == result.runs_planned < 40
    assert f"{result.arms[0].seeds} seeds each of at most 20" in result.verdict
    assert "overstated" in result.advice
    before = result.runs_finished
    assert lb.compare(low, high, resume=out, **QUICK).result.runs_finished == before


def test_no_difference_is_looked_for_until_the_last_run(tmp_path):
    study = lb.compare(low, near, better="higher", sequential=True, most=5, out=tmp_path / "study", **QUICK)
    assert study.result.verdict_kind == "undecided"
    assert study.result.finished
    assert study.result.runs_finished == 10
    assert "no decision after 5 seeds of each arm" in study.result.advice.lower()


def test_the_open_test_ends_early_too(tmp_path):
    out = tmp_path / "study"
    found = lb.compare(low, high, better="higher", sequential=True, open=True, out=out, **QUICK).result
    assert found.verdict_kind == "real"
    assert found.runs_finished < 100


def test_what_was_stopped_goes_on_to_the_same_answer(tmp_path, monkeypatch):
    whole = lb.compare(low, near, better="higher", sequential=True, most=5, out=tmp_path / "whole", **QUICK).result
    add, left = StudyFolder.add, iter(range(4))

    def stops(self, *arguments):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return add(self, *arguments)

    out = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        patch.setattr(StudyFolder, "add", stops)
        with pytest.raises(LastbitError):
            lb.compare(low, near, better="higher", sequential=True, most=5, out=out, **QUICK)
    early = lb.open_study(out).result
    assert not early.finished
    assert early.verdict.startswith("unfinished: 4 of 10 runs finished")
    result = lb.compare(low, near, resume=out, **QUICK).result
    assert result.finished
    assert [arm.values for arm in result.arms] == [arm.values for arm in whole.arms]
    assert result.difference == whole.difference


def test_looks_wait_for_whole_pairs(tmp_path, monkeypatch):
    """A seed that one arm has and the other has not yet counts in neither."""
    out = tmp_path / "study"
    add, left = StudyFolder.add, iter(range(5))

    def stops(self, *arguments):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return add(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(StudyFolder, "add", stops)
        with pytest.raises(LastbitError):
            lb.compare(low, near, better="higher", sequential=True, most=5, out=out, **QUICK)
    assert [arm.seeds for arm in lb.open_study(out).result.arms] == [2, 2]


def stands_in(monkeypatch, said):
    stand_in = InThisProcess(said)
    for name in "ab":
        Path(f"{name}.py").touch()
    monkeypatch.setattr("lastbit.studies.frame.launched.run_command", stand_in)
    return stand_in


def test_a_command_that_takes_no_seed_is_one_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = stands_in(monkeypatch, lambda loss: "loss 0.5\n")
    with pytest.raises(LastbitError, match=r"3 runs of python a.py gave the same loss, .* write \{seed\}"):
        lb.compare("python a.py", "python b.py", metric="loss", better="lower", seeds=4, **QUICK)
    assert len(ran.ran) == 5
    assert not any((tmp_path / "lastbit-studies").iterdir())


def test_two_equal_trainings_of_a_command_that_takes_no_seed_suffice(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = stands_in(monkeypatch, lambda loss: "loss 0.5\n")
    monkeypatch.setattr("lastbit.studies.compare.runs.digest_of", lambda arrays, value: f"{sorted(arrays)} {value}")
    with pytest.raises(LastbitError, match=r"2 runs of python a.py gave the same loss, .* write \{seed\}"):
        lb.compare("python a.py", "python b.py", metric="loss", better="lower", seeds=4, **QUICK)
    assert len(ran.ran) == 3


def test_commands_are_compared_by_what_they_print(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = stands_in(monkeypatch, lambda loss: f"loss {loss:.6f}\n")
    arms = "python a.py --lr 1 {seed}", "python a.py --lr 2 {seed}"
    result = lb.compare(*arms, metric="loss", better="lower", seeds=3, out="study", **QUICK).result
    assert [words[-1] for words in ran.ran] == ["0", "0", "1", "1", "2", "2"]
    assert result.metric == "loss"
    assert not result.higher_is_better
    assert "B (--lr 2) is better than A (--lr 1)" in result.verdict
    assert json.loads((tmp_path / "study" / "study.json").read_text())["spec"]["arms"][1]["command"]


def test_an_arm_that_prints_another_metric_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = stands_in(monkeypatch, lambda loss: f"{'score' if 'b.py' in ran.ran[-1] else 'loss'} {loss:.6f}\n")
    with pytest.raises(LastbitError, match="b: the output has no number behind the name 'loss'"):
        lb.compare("python a.py {seed}", "python b.py {seed}", metric="loss", better="lower", seeds=3, **QUICK)


def test_one_metric_of_audited_commands_is_compared(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stands_in(monkeypatch, lambda loss: f"loss {loss:.6f}\nminus {-loss:.6f}\n")
    asked = {"metric": ("loss", "minus"), "better": ("lower", "higher"), "seeds": 2, "perturbations": 1, "threads": 1}
    audits = [lb.audit(["python", f"{one}.py", "{seed}"], **asked, out=one, **QUICK) for one in "ab"]
    for one in audits:
        assert one.result.finished
    (tmp_path / "other.csv").write_text("1\n2\n3\n")
    result = lb.compare(audits[0], "other.csv", metric="minus", quiet=True).result
    assert (result.metric, result.higher_is_better) == ("minus", True)
    assert all(value < 0 for value in result.arms[0].values)
    with pytest.raises(LastbitError, match=r"'acc'.*choose one of loss, minus"):
        lb.compare(*audits, metric="acc", quiet=True)


def test_an_audit_is_an_arm_with_its_own_metric_and_last_bit(audited, desk):
    """An audit against a table: each exact repeat is left out, and runs of one seed tell of the last bit."""
    (desk / "other.csv").write_text("seed,value\n0,1\n1,2\n2,3\n")
    result = lb.compare(audited, "other.csv", **QUIET).result
    assert (result.metric, result.unit, result.higher_is_better) == ("accuracy", "%", True)
    assert [arm.seeds for arm in result.arms] == [3, 3]
    assert result.arms[0].runs == 6
    assert result.last_bit.sigma_last_bit.estimate == pytest.approx(audited.result.sigma_last_bit.estimate)
    assert (result.verdict_kind, result.pairs[0].better) == ("real", "A")


def test_an_unfinished_audit_is_said_to_be_one(audited, desk):
    copy = desk / "part"
    shutil.copytree(audited.path, copy)
    with sqlite3.connect(copy / "runs.sqlite") as database:
        database.execute("DELETE FROM runs WHERE run = 'seed002-p001'")
    (copy / "result.json").unlink()
    (desk / "other.csv").write_text("1\n2\n3\n")
    result = lb.compare(copy, "other.csv", **QUIET).result
    assert "A: unfinished: 8 of 9 runs are in" in result.remarks


def test_two_audits_of_before_are_arms_and_an_unfinished_one_is_said_to_be(tmp_path):
    audits = [STORED / name for name in ("audit", "audit-unfinished")]
    result = lb.compare(*audits, out=tmp_path / "study", **QUIET).result
    assert [arm.name for arm in result.arms] == ["audit", "audit-unfinished"]
    assert result.examples.both + result.examples.neither + result.examples.only_a + result.examples.only_b > 0
    assert any(one.startswith("B: unfinished: ") for one in result.remarks)


def test_an_audit_whose_control_failed_is_said_to_be_one(audited, task_file, desk):
    lb.audit(f"{task_file}:unseeded", seeds=3, perturbations=2, workers=1, out=desk / "unseeded", **QUIET)
    result = lb.compare(audited, "unseeded", **QUIET).result
    assert any(one.startswith("B: ") and "an exact repeat differed" in one for one in result.remarks)
    assert result.last_bit.can_flip is None


def test_a_change_that_altered_nothing_is_said_to(task_file, audited, desk):
    again = lb.audit(
        f"{task_file}:calm", seeds=2, perturbations=2, perturb="rounding", workers=1, out=desk / "b", **QUIET
    )
    result = lb.compare(audited, again, **QUIET).result
    assert result.verdict_kind == "undecided"
    assert any(one.startswith("B gave the very value of A with every seed") for one in result.remarks)


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize(
    ("other", "kinds"),
    [("--lr 0.303", {"undecided", "no_difference"}), ("--norm none --lr 0.05 --weight-decay 5e-4", {"real"})],
)
def test_on_the_digits_one_percent_is_not_seen_and_the_calm_setting_is(other, kinds, tmp_path):
    result = lb.compare("digits", f"digits {other}", seeds=5, worth=1, out=tmp_path / "study", **QUICK).result
    assert result.verdict_kind in kinds
    assert all(arm.seeds == 5 for arm in result.arms)
