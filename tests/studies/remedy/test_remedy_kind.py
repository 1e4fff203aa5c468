"""Small searches from end to end, where what calms the training is planted."""

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest
import torch
import typer
from maps import map_task, restless, settling

import lastbit as lb
from lastbit.cli.app import app, main
from lastbit.core.errors import LastbitError
from lastbit.core.status import RunStatus
from lastbit.integrations.serve.headline import headline
from lastbit.store import RunFiles, StudyFolder
from lastbit.studies.frame.kind import Cell, Job
from lastbit.studies.remedy.changes.outputs import MeanOutput
from lastbit.studies.remedy.runs import train
from lastbit.tasks import TaskConfig
from lastbit.tasks.build import build_task

ROOT = Path(__file__).parents[3]
SMALL = {"seeds": 4, "perturbations": 2, "workers": 1, "threads": 1, "quiet": True, "perturb": "rounding"}
CHANGES = ("lr/1.1", "gelu", "float64")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A search in which GELU and float64 calm, and a slightly smaller learning rate does not."""
    return lb.remedy(map_task(), change=CHANGES, out=tmp_path_factory.mktemp("studies") / "found", **SMALL)


def runs_of(path):
    with StudyFolder.read(path) as folder:
        return {run.run: run.metrics for run in folder.runs()}


def test_what_calms_is_found_and_confirmed_on_fresh_seeds(found):
    result = found.result
    assert (result.verdict_kind, int(result.exit_code)) == ("remedy", 0)
    assert result.remedy in ("gelu", "float64")
    assert result.remedy == result.contender == result.confirmation.name
    assert "confirmed on 4 fresh seeds" in result.verdict
    assert result.advice.startswith("The spread over fresh seeds")
    ratios = {one.name: one.last_bit.estimate for one in result.changes}
    assert max(ratios["gelu"], ratios["float64"]) < 0.01 < 0.05 < ratios["lr/1.1"]
    assert next(one.name for one in result.changes if one.calms) == result.remedy
    assert result.confirmation.last_bit.high < 1


def test_no_other_change_is_trained_again(found):
    arm = "abcd"[1 + CHANGES.index(found.result.remedy)]
    fresh = {run.partition("-seed")[0] for run in runs_of(found.path) if int(run[6:9]) >= 4}
    assert fresh == {"a", arm}
    assert found.result.finished
    assert found.result.runs_finished == found.result.runs_planned == (4 + 2) * 4 * 3
    assert found.result.control.bitwise_identical
    assert found.result.control.pairs == 24


def test_the_spread_of_fresh_runs_and_the_metric_are_held_against_the_base_too(found):
    gelu = next(one for one in found.result.changes if one.name == "gelu")
    assert gelu.metric_fresh.estimate < 0.1
    assert gelu.difference.estimate < 0
    assert gelu.weight_distance.estimate < 1e-3
    assert gelu.cost.measured
    assert not gelu.churn.measured


def test_it_is_opened_drawn_exported_and_repeated(found, tmp_path):
    again = lb.open_study(found.path)
    assert again.result == found.result
    titles = [section.title for section in again.page.sections]
    assert {"The exploration", "The confirmation", "The spread over fresh seeds", "Controls"} <= {*titles}
    assert "lr/1.1" in again.summary()
    assert again.report(tmp_path / "page.html").stat().st_size > 10_000
    table = again.to_pandas()
    assert len(table) == (4 + 2) * 4 * 2
    assert {*table["change"]} == {"base", *CHANGES}
    assert lb.remedy(map_task(), resume=found.path, **{**SMALL, "quiet": True}).result == found.result


def test_its_json_is_of_the_kept_schema(found):
    schema = json.loads((ROOT / "docs" / "schema" / "remedy-2.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(schema).validate(json.loads(json.dumps(found.to_json(), allow_nan=False)))
    assert set(found.to_json()) == set(schema["properties"])
    assert found.result.remedy in headline("remedy", found.to_json())


def test_without_a_confirmation_it_is_said_that_there_is_none(tmp_path):
    study = lb.remedy(map_task(), change=("gelu",), confirm=False, out=tmp_path / "study", **SMALL)
    assert study.result.verdict_kind == "remedy"
    assert "confirmed on" not in study.result.verdict
    assert "--no-confirm" in study.result.advice
    assert study.result.confirmation is None
    assert study.result.runs_finished == 2 * 4 * 3


def test_with_worth_a_remedy_is_harmless(tmp_path):
    study = lb.remedy(map_task(), change=("gelu",), confirm=False, worth=0.5, out=tmp_path / "study", **SMALL)
    assert study.result.changes[0].harm == "harmless"
    assert "--worth" not in study.result.advice


def test_a_base_without_spread_has_nothing_to_calm_and_the_search_ends_early(tmp_path):
    study = lb.remedy(map_task(of_relu=settling), change=("lr/2",), out=tmp_path / "study", **SMALL)
    assert (study.result.verdict_kind, int(study.result.exit_code)) == ("nothing_to_calm", 0)
    assert study.result.finished
    assert study.result.runs_finished < 2 * 4 * 3


def test_a_change_that_does_nothing_is_no_remedy(tmp_path):
    study = lb.remedy(map_task(), change=("lr/1.1",), out=tmp_path / "study", **SMALL)
    assert study.result.verdict_kind in ("none", "undecided")
    assert study.result.remedy == study.result.contender == ""
    assert study.result.finished


def test_where_a_repeat_differs_nothing_is_said_of_the_last_bit(tmp_path):
    def noise(state):
        with torch.no_grad():
            state.model.w.add_(int.from_bytes(os.urandom(4), "little") / 2**40)

    study = lb.remedy(map_task(hook=noise), change=("gelu",), out=tmp_path / "study", **SMALL)
    assert (study.result.verdict_kind, int(study.result.exit_code)) == ("not_reproducible", 3)
    assert study.result.runs_finished < 2 * 4 * 3


@pytest.mark.parametrize(
    "stop",
    [pytest.param(700, marks=pytest.mark.slow, id="exploration"), pytest.param(40 * 48 + 300, id="confirmation")],
)
def test_a_search_that_was_stopped_goes_on_and_ends_as_if_it_had_not_been(found, tmp_path, stop):
    out, taken = tmp_path / "study", 0

    def interrupt(state):
        nonlocal taken
        taken += (out / "runs.sqlite").exists()
        if taken == stop:
            raise KeyboardInterrupt

    with pytest.raises(LastbitError, match=r"stopped with .* continue with lastbit remedy --resume"):
        lb.remedy(map_task(hook=interrupt), change=CHANGES, out=out, **SMALL)
    there = runs_of(out)
    assert 0 < len(there) < 72
    unfinished = lb.open_study(out).result
    assert not unfinished.finished
    assert unfinished.remedy == ""
    study = lb.remedy(map_task(), resume=out, **SMALL)
    assert runs_of(out) == runs_of(found.path) or study.result.remedy != found.result.remedy
    explored = {run: values for run, values in runs_of(found.path).items() if int(run[6:9]) < 4}
    assert explored.items() <= runs_of(out).items()
    assert there.items() <= runs_of(out).items()
    assert (study.result.verdict_kind, study.result.finished) == ("remedy", True)


def test_a_search_is_not_gone_on_with_under_other_changes(found):
    with pytest.raises(LastbitError, match="was begun with --change"):
        lb.remedy(map_task(), change=("gelu",), resume=found.path, **SMALL)


FILE = """
from maps import map_task, restless, settling

def base():
    return map_task()

def calm():
    return map_task(of_relu=settling)

def elsewhere():
    import torch
    x = torch.ones(6, 1)
    return map_task(test=(x, x))
"""


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A file of tasks, which are held to be the same in other processes."""
    monkeypatch.setattr("lastbit.studies.frame.make.check_processes", lambda *_: None)
    (tmp_path / "programs.py").write_text(FILE)
    return tmp_path / "programs.py"


def test_variants_are_held_against_a_base(programs, tmp_path):
    given = {"base": f"{programs}:base", "variant": (f"calm={programs}:calm",)}
    study = lb.remedy(**given, confirm=False, out=tmp_path / "study", **SMALL)
    assert (study.result.verdict_kind, study.result.remedy) == ("remedy", "calm")
    assert study.result.command.startswith(f"lastbit remedy --base {programs}:base --variant ")
    flags = {word for word in study.result.command.split() if word.startswith("--")}
    taken = typer.main.get_command(app).get_command(None, "remedy").params
    assert flags <= {name for one in taken for name in (*one.opts, *one.secondary_opts)}
    assert lb.remedy(resume=study.path, quiet=True).result == study.result


def test_a_variant_with_another_test_set_is_refused(programs, tmp_path):
    with pytest.raises(LastbitError, match="base has a test set of 5 examples and other one of 6"):
        lb.remedy(base=f"{programs}:base", variant=(f"other={programs}:elsewhere",), out=tmp_path / "study", **SMALL)
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--change", "foo"], "unknown change 'foo': write one such as gelu, silu, decay/10"),
        (["--change", "gelu", "gelu"], "--change gelu stands there twice"),
        (["--change", "gelu", "--activation", "tanh"], "--change gelu: the model has no nn.ReLU"),
        (["--try", "decay/10", "--weight-decay", "0"], "--change decay/10: the optimizer has no weight decay"),
        (["--change", "gelu", "--worth", "-1"], "--worth must be above 0"),
        (["--change", "gelu", "--seeds", "2"], "--seeds must be at least 3"),
        (["--change", "gelu", "--perturbations", "1"], "--perturbations must be at least 2"),
        (["--change", "gelu", "--executor", "replicas"], "leave it out"),
        (["--base", "python train.py"], "--base and --variant go together"),
        (["--variant", "a=python train.py"], "--base and --variant go together"),
        (["--base", "python train.py", "--variant", "python train.py"], "write NAME=PROGRAM"),
        (["--base", "python a.py", "--variant", "x=python a.py"], "stands there already"),
        (["--base", "python a.py", "--variant", "x=python b.py", "--variant", "x=python c.py"], "x stands there twice"),
        (["--base", "python a.py", "--variant", "x=python b.py", "--change", "gelu"], "--change and --base"),
        (["--base", "python a.py", "--variant", "x=python b.py"], "write {seed} where it takes one"),
        (["--base", "python a.py {seed}", "--variant", "x=python b.py {seed}"], "Give --metric NAME"),
        (["--", "python", "train.py"], "which nobody can change from outside: give --base"),
    ],
)
def test_bad_input_ends_with_2_and_one_line(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["remedy", *words]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
    assert not any(tmp_path.iterdir())


def test_maps_are_what_they_are_said_to_be():
    w = torch.tensor([0.3])
    one, two = w, w + 2**-24
    for _ in range(40):
        one, two = restless(one), restless(two)
    assert abs(float(one - two)) > 1e-3


@pytest.mark.slow
def test_digits_from_the_command_line(tmp_path, capsys):
    words = ["--change", "gelu,lr/2", "--seeds", "3", "--perturbations", "2", "--epochs", "3", "--train-size", "200"]
    code = main(
        ["remedy", "digits", *words, "--workers", "1", "--out", str(tmp_path / "study"), "--json", "-", "--quiet"]
    )
    assert code in (0, 4)
    result = lb.open_study(tmp_path / "study").result
    assert {one.name for one in result.changes} == {"gelu", "lr/2"}
    assert result.control.bitwise_identical
    assert f'"{result.verdict_kind}"' in capsys.readouterr().out


MEANS = {**SMALL, "perturbations": 4, "seeds": 3, "perturb": "rescale"}
RESTLESS = {"train_size": 200, "epochs": 8, "schedule": "constant", "lr": 0.5}


@pytest.fixture(scope="module")
def averaged(tmp_path_factory):
    """A search whose only change is the mean of two networks' outputs."""
    out = tmp_path_factory.mktemp("studies") / "averaged"
    return lb.remedy("digits", change=("mean=2",), out=out, **RESTLESS, **MEANS)


def test_a_mean_is_that_of_what_its_members_returned_and_none_is_trained(averaged):
    with StudyFolder.read(averaged.path) as folder:
        runs = {run.run: run for run in folder.runs()}
        outputs = {name: torch.from_numpy(folder.arrays(name)["outputs"]) for name in runs if "repeat" not in name}
        predicted = {name: torch.from_numpy(folder.arrays(name)["predictions"]).long() for name in outputs}
        assert folder.arrays("a-seed000-repeat")["outputs"].tobytes() == outputs["a-seed000-p000"].numpy().tobytes()
    targets = build_task(TaskConfig(**RESTLESS)).test.tensors[1]
    means = [name for name in runs if name.startswith("b-")]
    assert sorted(means)[:4] == ["b-seed000-p000", "b-seed000-p001", "b-seed001-p000", "b-seed001-p001"]
    for name in means:
        members = [f"a{name[1:10]}p{2 * int(name[-3:]) + one:03d}" for one in range(2)]
        mean = sum(outputs[member].double() for member in members) / 2
        assert torch.equal(outputs[name], mean.float())
        loss = torch.nn.functional.cross_entropy(mean, targets)
        right = (mean.argmax(1) == targets).double().mean() * 100
        assert runs[name].final["test_loss"] == pytest.approx(float(loss), rel=1e-6)
        assert runs[name].final["accuracy"] == pytest.approx(float(right))
        assert torch.equal(predicted[name], outputs[name].argmax(1))
        assert runs[name].seconds == pytest.approx(sum(runs[member].seconds for member in members))


def test_what_is_made_of_other_runs_is_counted_and_held_against_them(averaged):
    result = averaged.result
    (change,) = result.changes
    assert result.finished
    # Repeats and landing are those of the base; four runs and a repeat of each seed, and two means of them.
    assert result.control.pairs == len({run for run in runs_of(averaged.path) if run.endswith("repeat")})
    assert result.perturbation.twins == result.control.pairs * 3
    fresh = 3 * (5 + 2) if change.eligible else 0
    assert result.runs_finished == result.runs_planned == 3 * (5 + 2) + fresh
    assert (change.name, change.seeds) == ("mean=2", 3)
    # Of independent runs the mean of two has 1/sqrt(2) of their SD.
    assert 0.3 < change.loss_last_bit.estimate < 1.3
    assert change.churn.measured
    assert not change.weight_distance.measured
    assert change.cost.estimate == pytest.approx(2)


def test_a_search_with_a_mean_goes_on_where_it_was_stopped(averaged, tmp_path):
    kept = tmp_path / "study"
    shutil.copytree(averaged.path, kept)
    for path in kept.glob("**/b-seed001*"):
        path.unlink()
    again = lb.remedy(resume=kept, quiet=True)
    assert runs_of(kept) == runs_of(averaged.path)
    assert again.result.changes[0].loss_last_bit == averaged.result.changes[0].loss_last_bit


@pytest.mark.parametrize(
    ("outputs", "status"), [(None, RunStatus.CRASHED), (np.array([[0.5, np.nan]], np.float32), RunStatus.DIVERGED)]
)
def test_a_mean_of_a_run_that_was_lost_is_lost_with_it(averaged, tmp_path, outputs, status):
    def files(run):
        return RunFiles(tmp_path, run)

    (tmp_path / "arrays").mkdir()
    files("a-seed000-p000").arrays({"outputs": np.array([[0.5, 0.25]], np.float32)})
    if outputs is not None:
        files("a-seed000-p001").arrays({"outputs": outputs})
    change = MeanOutput(2)
    cell = Cell(number=3, name="b-seed000")
    job = Job(cell=cell, run="b-seed000-p000", made_from=("a-seed000-p000", "a-seed000-p001"))
    program = SimpleNamespace(change=change)
    work = SimpleNamespace(job=job, program=program, programs=(program,), files=files, settings=None, task=None)
    (record,) = train(work).records
    assert (record.status, record.message) == (status, f"a run that it is made of {status}")
    assert files("b-seed000-p000").load_arrays()["outputs"].size == 0


def test_a_mean_needs_two_of_each_seed():
    with pytest.raises(LastbitError, match=r"--change mean=3: .* it has 5 runs: give --perturbations 6 or more"):
        lb.remedy("digits", change=("mean=3",), **{**SMALL, "perturbations": 5})


def test_a_task_in_a_file_is_changed_and_searched(tmp_path):
    """Its arms are what the file makes, changed: only the first can be made of the file alone."""
    path = tmp_path / "mine.py"
    path.write_text(MINE, "utf-8")
    study = lb.remedy(f"{path}:make", change=("gelu", "lr/2"), confirm=False, out=tmp_path / "study", **SMALL)
    assert {one.name for one in study.result.changes} == {"gelu", "lr/2"}
    assert study.result.finished


MINE = """
import torch
from torch import nn
from lastbit import Task

def make():
    x = torch.randn(60, 8, generator=torch.Generator().manual_seed(0))
    y = (x[:, :3] + x[:, 3:6] ** 2).argmax(1)
    return Task(
        name="mine",
        model=lambda: nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)),
        train=(x[:40], y[:40]),
        test=(x[40:], y[40:]),
        optimizer=lambda params: torch.optim.SGD(params, lr=3.0, momentum=0.9),
        epochs=30,
        batch_size=10,
    )
"""
