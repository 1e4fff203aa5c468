"""Runs of a study in step with each other: the control holds, the engine is part of the study, refusals say why."""

import json

import pytest
from torch import nn

import lastbit as lb
from lastbit.core.errors import LastbitError
from lastbit.studies.audit.kind import AUDIT
from lastbit.studies.frame.asked import Asked


def execution(folder):
    return json.loads((folder / "study.json").read_text())["execution"]


@pytest.fixture(scope="module")
def study(task_file, tmp_path_factory):
    out = tmp_path_factory.mktemp("in-step") / "whole"
    options = {"seeds": 2, "perturbations": 2, "executor": "replicas", "replicas": 4, "quiet": True}
    return lb.audit(f"{task_file}:calm", out=out, **options)


def test_repeats_match_bit_for_bit_and_the_perturbation_lands(study):
    result = study.result
    assert result.control.bitwise_identical
    assert result.control.pairs == 2
    assert result.perturbation.landed_fraction == 1
    assert execution(study.path) == {
        "workers": 1,
        "threads": 1,
        "reason": "4 runs in step, by stack",
        "executor": "replicas",
        "together": {"engine": "stack", "size": 4},
    }


def test_a_study_that_was_stopped_goes_on_in_stacks_of_its_size(
    study, task_file, tmp_path, monkeypatch, assert_same_arrays
):
    out, whole, calls = tmp_path / "stopped", AUDIT.in_step.train, []

    def stops(works, how):
        calls.append(len(works))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return whole(works, how)

    monkeypatch.setattr("lastbit.studies.frame.runner.JobWorker.run_together", _through(stops))
    options = {"seeds": 2, "perturbations": 2, "quiet": True}
    with pytest.raises(LastbitError, match="stopped with 4 of 6 runs finished and safe"):
        lb.audit(f"{task_file}:calm", out=out, executor="replicas", replicas=4, **options)
    for given, message in (
        ({"executor": "serial"}, "was begun with --executor replicas, which decides the last bits"),
        ({"executor": "replicas", "replicas": 3}, "was begun with --replicas 4, not 3"),
    ):
        with pytest.raises(LastbitError, match=message):
            lb.audit(resume=out, quiet=True, **given)
    monkeypatch.undo()
    resumed = lb.audit(resume=out, quiet=True)
    assert resumed.result.control.bitwise_identical
    assert_same_arrays(study.path, out)


def _through(train):
    def run_together(worker, jobs, progress, how):
        return train([worker._work(job, told) for job, told in zip(jobs, progress, strict=True)], how)

    return run_together


def test_a_study_that_was_begun_otherwise_is_not_gone_on_with_in_stacks(task_file, tmp_path, monkeypatch):
    out = tmp_path / "alone"

    def stops(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("lastbit.studies.audit.worker.run_training", stops)
    with pytest.raises(LastbitError, match="stopped with 0 of 2"):
        lb.audit(f"{task_file}:calm", seeds=1, perturbations=1, workers=1, out=out, quiet=True)
    with pytest.raises(LastbitError, match="was begun without --executor replicas"):
        lb.audit(resume=out, executor="replicas", quiet=True)


class Reads(nn.Linear):
    def forward(self, x):
        return super().forward(x) * float(x.sum() > -9)


def test_what_cannot_be_stacked_goes_one_after_another_with_a_word(toy_task, tmp_path, capsys):
    out = tmp_path / "reads"
    options = {"seeds": 2, "perturbations": 1, "executor": "replicas", "progress": "plain"}
    found = lb.audit(toy_task(model=lambda: Reads(3, 2)), out=out, **options)
    reason = "its network reads a value that it computes (.item())"
    assert f"runs go one after another: {reason}" in capsys.readouterr().err
    assert execution(out)["reason"] == f"one after another: {reason}"
    assert "together" not in execution(out)
    assert found.result.control.bitwise_identical


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"replicas": 4}, "--replicas 4 belongs to --executor replicas: write both"),
        ({"executor": "replicas", "replicas": 0}, "--replicas = 0: give a whole number of replicas, 1 to 4096"),
        ({"executor": "replicas", "workers": 2}, "--workers 2: --executor replicas has one process"),
        ({"executor": "stacked"}, "unknown --executor 'stacked'.*: choose one of"),
    ],
)
def test_what_does_not_go_together_is_refused(given, message):
    names = {"checkpoint_seconds": 20.0, "workers": None, "threads": None, **given}
    with pytest.raises(LastbitError, match=message):
        Asked(**names)


def test_only_tasks_and_audits_are_taken_in_step(tmp_path):
    with pytest.raises(LastbitError, match=r"needs a Task, whose steps .* and train is a training function"):
        lb.audit(train, executor="replicas", out=tmp_path / "function", quiet=True)
    with pytest.raises(LastbitError, match="takes the runs of an audit in step, not those of trace"):
        lb.trace("digits", executor="replicas", out=tmp_path / "trace", quiet=True)
    assert not list(tmp_path.iterdir())


def train(seed):
    return 0.5
