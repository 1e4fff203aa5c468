"""The memory format of a study's networks: asked for, measured, kept, and refused where it cannot be."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import lastbit as lb
from lastbit.core.errors import LastbitError
from lastbit.studies.audit.kind import AUDIT

OPTIONS = {"seeds": 2, "perturbations": 2, "epochs": 1, "train_size": 200, "workers": 1, "quiet": True}


def execution(folder):
    return json.loads((folder / "study.json").read_text())["execution"]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    out = tmp_path_factory.mktemp("layout") / "s"
    return lb.audit("digits", out=out, memory_format="channels_last", threads=1, **OPTIONS)


def test_the_control_passes_and_the_perturbation_lands(study, tmp_path):
    result = study.result
    assert result.control.bitwise_identical
    assert result.perturbation.landed_fraction == 1
    kept = execution(study.path)
    assert (kept["memory_format"], kept["memory_format_reason"]) == ("channels_last", "as asked")
    assert "channels_last (as asked)" in study.report(tmp_path / "r.html").read_text()


def test_other_bits_than_those_of_the_task_and_about_the_same_training(study, tmp_path):
    plain = lb.audit("digits", out=tmp_path / "plain", threads=1, **OPTIONS)
    assert "memory_format" not in execution(plain.path)
    losses = [one.to_xarray()["train_loss"].values for one in (study, plain)]
    assert not np.array_equal(*losses)
    np.testing.assert_allclose(losses[0][..., :1], losses[1][..., :1], rtol=0.05)


def test_a_study_goes_on_in_the_format_in_which_it_was_begun(study, tmp_path, monkeypatch, assert_same_arrays):
    out, train, calls = tmp_path / "stopped", AUDIT.train, []

    def stops(work):
        calls.append(work)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return train(work)

    monkeypatch.setattr(
        "lastbit.studies.frame.runner.JobWorker.run", lambda worker, job, told: stops(worker._work(job, told))
    )
    with pytest.raises(LastbitError, match="stopped with 2 of"):
        lb.audit("digits", out=out, memory_format="channels_last", threads=1, **OPTIONS)
    monkeypatch.undo()
    with pytest.raises(LastbitError, match="was begun with --memory-format channels_last, not contiguous"):
        lb.audit(resume=out, memory_format="contiguous", quiet=True)
    resumed = lb.audit(resume=out, quiet=True)
    assert execution(resumed.path)["memory_format"] == "channels_last"
    assert_same_arrays(resumed.path, study.path)


@pytest.mark.parametrize("chosen", ["contiguous", "channels_last"])
def test_a_network_with_larger_convolutions_is_measured(chosen, tmp_path, monkeypatch):
    told = "a step is 1.2 times as fast in channels_last as in contiguous"
    monkeypatch.setattr("lastbit.studies.frame.memory.faster_format", lambda *_, **__: (chosen, told))
    monkeypatch.setattr("lastbit.studies.frame.memory._WORTH_TIMING", 1000)
    study = lb.audit("digits", out=tmp_path / "s", **OPTIONS)
    kept = execution(study.path)
    assert kept.get("memory_format", "contiguous") == chosen
    assert kept.get("memory_format_reason", f"measured: {told}") == f"measured: {told}"
    fixed = lb.audit("digits", out=tmp_path / "fixed", threads=1, **OPTIONS)
    assert "memory_format" not in execution(fixed.path)


def drops():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Dropout(0.5), nn.Linear(32, 3))


def test_what_cannot_be_laid_out_says_so(tmp_path):
    x, y = torch.randn(20, 1, 6, 6), torch.randint(3, (20,))
    task = lb.Task(
        name="drops",
        model=drops,
        train=(x, y),
        test=(x, y),
        optimizer=lambda params: torch.optim.SGD(params, lr=0.1),
        batch_size=10,
        epochs=1,
    )
    told = {"memory_format": "channels_last", "seeds": 2, "perturbations": 2, "quiet": True}
    with pytest.raises(LastbitError, match=r"--memory-format channels_last: it draws random numbers .*\(drops\)"):
        lb.audit(task, out=tmp_path / "a", **told)
    with pytest.raises(LastbitError, match="--executor replicas takes networks as the task makes them"):
        lb.audit("digits", out=tmp_path / "b", executor="replicas", **told)
    with pytest.raises(LastbitError, match="--memory-format is for audit, remedy and compare, not for trace"):
        lb.trace("digits", out=tmp_path / "c", memory_format="channels_last", quiet=True)
    with pytest.raises(LastbitError, match="--memory-format belongs to tasks"):
        lb.audit(["python", "-c", "pass", "{seed}"], out=tmp_path / "d", **told)
    assert not list(tmp_path.glob("*/study.json"))
