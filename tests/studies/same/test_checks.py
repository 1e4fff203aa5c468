"""A check of sameness around runs made by hand: verdict, page, JSON, exit codes, what is kept and opened again."""

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from tests.support.forced_tables import LAYERS, STEPS, column, planted, table

import lastbit as lb
from lastbit.cli.app import main
from lastbit.core.errors import LastbitError
from lastbit.launch.command import CommandRun
from lastbit.launch.forced.run import ForcedRun
from lastbit.launch.forced.table import Role
from lastbit.report.figures.units import unit_map
from lastbit.report.text import render_text
from lastbit.studies.frame.condition import numbers_of
from lastbit.studies.same import worker

BOTH = ["--reference", "python train.py", "--candidate", "python train.py --compile"]


@pytest.fixture
def forced(tmp_path, monkeypatch):
    """Let a check run nothing, and find what a test plants in the candidate's table."""
    monkeypatch.chdir(tmp_path)
    Path("train.py").write_text("")
    asked = {}

    def became(role, said):
        path = tmp_path / f"{role}.txt"
        path.write_text(said)
        return CommandRun(("python",), 0, 1.0, False, path, path, said, (), "torch", (), path)

    def run(reference, candidate, launch, *, jitters, control, **told):
        asked.update(told, reference=reference, candidate=candidate, jitters=jitters, controlled=control, launch=launch)
        ran = {"reference": became("reference", "acc: 97.5\n"), "candidate": became("candidate", "acc: 97.25\n")}
        return ForcedRun(
            asked.get("table", table(9)),
            asked.get("control", table(equal=True)) if control else None,
            tuple(table(n) for n in range(1, jitters + 1)),
            None,
            None,
            ran | dict.fromkeys([f"jitter-{n + 1}" for n in range(jitters)], ran["reference"]),
            2.0,
            asked.get("timed_out", False),
        )

    monkeypatch.setattr(worker, "run_forced", run)
    monkeypatch.setattr(worker, "run_staircase", lambda *sides, **told: (table(20), table(20)))
    return asked


def _scaled(share):
    place = column("fc1.weight", Role.GRADIENT)
    every = slice(None)
    return planted(table(9), difference=(every, place, share), projection=(every, place, share))


@pytest.mark.parametrize(
    ("found", "code", "kind", "said"),
    [
        (table(equal=True), 0, "bit_for_bit", "Bit for bit the same training: the candidate agrees"),
        (table(9), 0, "same_up_to_rounding", "The same training up to rounding: in 40 steps, none of 15 tensors"),
        (_scaled(1e-4), 5, "different", "Different from step 1 on in fc1.weight: its gradient is 1 + 0.0001 times"),
        (table(9, steps=3), 4, "undecided", "Undecided: only 3 steps were compared"),
    ],
)
def test_the_first_line_is_the_answer_and_the_exit_code_too(forced, capsys, found, code, kind, said):
    forced["table"] = found
    assert main(["same", *BOTH, "--json", "answer.json"]) == code
    assert " ".join(capsys.readouterr().out.split()).startswith(said)
    assert json.loads(Path("answer.json").read_text())["verdict_kind"] == kind


def test_a_reference_that_does_not_repeat_itself_ends_with_three_and_names_the_doctor(forced, capsys):
    forced["control"] = planted(table(equal=True), unequal=(4, column("fc2.weight", Role.WEIGHT), 9))
    assert main(["same", *BOTH]) == 3
    told = " ".join(capsys.readouterr().out.split())
    assert told.startswith("Undecided: the reference does not repeat itself from step 5 on, in fc2.weight")
    assert "lastbit doctor --deterministic --threads 1 -- python train.py" in told


def test_every_number_of_its_result_may_be_asked_for(forced):
    study = lb.same("python train.py", "python train.py --compile", quiet=True)
    numbers = {n for n, v in study.to_json().items() if isinstance(v, int | float) and not isinstance(v, bool)}
    assert 2 < len(numbers) == len(numbers & set(numbers_of(study.result.json_schema())))


def test_json_names_step_tensor_what_and_factor(forced):
    forced["table"] = _scaled(1e-3)
    study = lb.same("python train.py", "python train.py --compile", quiet=True)
    found = study.to_json()
    assert (found["first_step"], found["tensor"], found["what"]) == (1, "fc1.weight", "gradient_scale")
    assert found["factor"] == pytest.approx(1.001)
    assert found["limits"]["median"] == 32
    assert found["command"].startswith("lastbit same --reference 'python train.py' --candidate 'python train.py --comp")
    assert study.holds("factor > 1.0005")
    assert study.to_xarray()["units"].sel(tensor="gradient: fc1.weight").min() > 1000


def test_files_for_ci_say_yes_no_or_that_there_is_no_answer(forced):
    found = {}
    for name, table_found in (("passed", table(9)), ("failure", _scaled(1e-3))):
        forced["table"] = table_found
        assert main(["same", *BOTH, "--junit", f"{name}.xml", "--markdown", f"{name}.md"]) == 5 * (name == "failure")
        [[found[name]]] = ElementTree.parse(f"{name}.xml").getroot()
        assert Path(f"{name}.md").read_text("utf-8").startswith("# ")
    unequal = (4, column("fc2.weight", Role.WEIGHT), 9)
    forced["table"], forced["control"] = table(9), planted(table(equal=True), unequal=unequal)
    assert main(["same", *BOTH, "--junit", "error.xml"]) == 3
    [[found["error"]]] = ElementTree.parse("error.xml").getroot()
    kinds = {"passed": None, "failure": "different", "error": "not_reproducible"}
    for name, case in found.items():
        assert case.get("classname") == "lastbit same"
        assert "train.py" in case.get("name")
        assert (case[0].tag, case[0].get("type")) == ("system-out" if name == "passed" else name, kinds[name])


def test_a_stored_check_is_judged_and_drawn_again_without_a_run(forced, monkeypatch):
    forced["table"] = _scaled(1e-3)
    path = lb.same("python train.py", "python train.py --compile", quiet=True).path
    monkeypatch.setattr(worker, "run_forced", None)
    (path / "result.json").unlink()
    again = lb.open_study(path)
    assert again.result.findings[0].tensor == "fc1.weight"
    page = again.page
    titles = [section.title for section in page.sections]
    assert titles[0] == "What differs, in the order in which it came about"
    assert {"Units of rounding, tensor by step", "What was not compared", "What was compared"} <= {*titles}
    assert max(map(len, render_text(page).splitlines())) <= 110
    assert "gradient: fc1.weight" in again.report().read_text("utf-8")


def test_a_changed_metric_is_told_beside_the_answer(forced):
    study = lb.same("python train.py", "python train.py --compile", metric="acc", quiet=True)
    assert study.result.verdict_kind == "same_up_to_rounding"
    (metric,) = study.result.ran.metrics
    assert (metric.reference, metric.candidate) == (97.5, 97.25)
    assert "97.25" in study.summary()


def test_quick_runs_three_and_the_environment_is_the_candidates_alone(forced):
    study = lb.same("python train.py", candidate_env={"OMP_NUM_THREADS": 2}, quick=True, quiet=True)
    assert (forced["jitters"], forced["controlled"], forced["double"]) == (1, False, False)
    assert forced["candidate"].env == {"OMP_NUM_THREADS": "2"}
    assert forced["reference"].env == {}
    assert study.result.ran.candidate == "python train.py with OMP_NUM_THREADS=2"
    assert len(study.result.ran.runs) == 3
    assert study.result.command.endswith("--quick --candidate-env OMP_NUM_THREADS=2")


def test_a_reference_alone_is_recorded_and_is_its_own_candidate(forced, capsys):
    forced["table"] = table(equal=True)
    assert main(["same", "--reference", "python train.py", "--record", "old.ref"]) == 0
    assert "Recorded: 40 steps of the reference" in capsys.readouterr().out
    assert (forced["record"], forced["controlled"]) == (Path("old.ref"), False)


def test_a_candidate_that_runs_out_of_time_is_undecided(forced, capsys):
    forced["timed_out"] = True
    assert main(["same", *BOTH, "--timeout", "5"]) == 4
    assert "the candidate was ended when the time of --timeout ran out after 40 steps" in " ".join(
        capsys.readouterr().out.split()
    )


def plain_training(seed):
    """Train nothing: the runs of these tests are made by hand."""


def rewritten_training(seed):
    """Train nothing either."""


def test_functions_are_held_against_each_other(forced):
    study = lb.same(plain_training, rewritten_training, quiet=True)
    assert (study.result.ran.reference, study.result.ran.candidate) == ("plain_training", "rewritten_training")
    assert forced["candidate"].program.name == "rewritten_training"
    assert study.result.command.startswith("lb.same(<'plain_training'>, <'rewritten_training'>, ")


def test_a_check_is_gone_on_with_where_it_was_left(forced, monkeypatch):
    path = lb.same("python train.py", candidate_env={"A": "b"}, objects="train.py:ema", quiet=True).path
    monkeypatch.setattr(worker, "run_forced", None)  # nothing is left to run
    assert lb.same(resume=path, quiet=True).result.verdict_kind == "same_up_to_rounding"
    with pytest.raises(LastbitError, match="was begun with --every 1, not 2"):
        lb.same(resume=path, every=2, quiet=True)


@pytest.mark.parametrize(
    ("mismatches", "layers", "said"),
    [
        ([], ["Dropout"], "fallback_random"),
        ([(step, "batch", "x", "a", "b") for step in range(1, STEPS + 1)], ["Dropout"], "the mask of another"),
        ([], ["BatchNorm2d"], "gradient accumulation"),
    ],
)
def test_what_is_other_by_nature_is_said_before_it_is_called_a_defect(forced, mismatches, layers, said):
    draw = np.random.default_rng(0)
    found = table(9, mismatches=mismatches, layers=layers)
    forced["table"] = planted(
        found, difference=(slice(None), slice(0, 1 + len(LAYERS)), draw.uniform(0.3, 0.6, (STEPS, 5)))
    )
    if layers == ["BatchNorm2d"]:  # whose statistics show first that they are of other parts of a batch
        buffer = column("bn.running_var", Role.BUFFER)
        forced["table"] = planted(forced["table"], difference=(slice(None), buffer, 0.1))
    result = lb.same("python train.py", "python train.py --compile", quiet=True).result
    assert result.verdict_kind == "different"
    assert result.advice.startswith("Before it is called a defect")
    assert said in f"{result.by_nature[0].what} {result.by_nature[0].cure}"


def test_objects_that_there_are_none_of_are_named(forced, capsys):
    forced["table"] = replace(table(9), facts={"objects not found": ["emma"]})
    assert main(["same", *BOTH, "--objects", "train.py:model,emma"]) == 2
    assert "emma is no variable of the candidate when its optimizer steps" in capsys.readouterr().err
    assert not list(Path().glob("lastbit-studies/*/study.json"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "against what? Give --reference 'python train.py', or --against FILE"),
        (["--candidate", "python b.py"], "against what?"),
        (["--reference", "python train.py"], "what is to be held against the reference? Give --candidate"),
        (["--against", "x.ref"], "what is to be held against the reference? Give --candidate"),
        ([*BOTH, "--against", "x.ref"], "--reference and --against both name the reference"),
        (["--against", "x.ref", *BOTH[2:], "--every", "2"], "--every is of the reference, which --against x.ref has"),
        (["--against", "none.ref", *BOTH[2:]], "none.ref"),
        ([*BOTH[:2], "--candidate", "python train.py"], "are the same program: whether it repeats itself"),
        ([*BOTH, "--candidate-env", "THREADS"], "'THREADS' is no NAME=VALUE: write it as OMP_NUM_THREADS=2"),
        ([*BOTH, "--objects", "train.py:"], "'train.py:' names no objects: write FILE:NAME,NAME"),
        ([*BOTH, "--every", "0"], "--every must be at least 1, got 0"),
        ([*BOTH, "--seed", "3"], "nothing sets the seed of train"),
        ([*BOTH, "--steps", "9"], "--steps is for functions that build a step: train decides itself how long"),
        ([*BOTH, "--dtype", "float64"], "--dtype belongs to tasks"),
        (["--reference", "train.py", *BOTH[2:]], "train.py is a script: write 'python train.py'"),
        (["--reference", "nothing at all", *BOTH[2:]], "nothing: command not found"),
        (["--", "python", "train.py"], "this compares two programs: write each in quotes"),
        ([*BOTH[:2], "--candidate", "python new.py"], "there is no new.py in"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").touch()
    assert main(["same", *words]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
    assert not Path("lastbit-studies").exists()


def test_a_single_step_that_is_far_off_is_drawn_however_many_steps_there_are():
    units = np.full((5000, 2), 0.5)
    units[3211, 1] = 1e6
    drawn = unit_map(np.arange(1, 5001), units, ["a", "b"], 32.0).data[0]
    z = np.asarray(drawn.z)
    assert z.shape[1] <= 480
    assert z[1].max() == 5
    assert z[0].max() < 0


@pytest.mark.parametrize("threads", [1, 2])
def test_an_environment_that_the_reference_has_already_changes_nothing(forced, capsys, threads):
    words = ["same", "--reference", "python train.py", "--threads", str(threads)]
    assert main([*words, "--candidate-env", f"OMP_NUM_THREADS={threads}"]) == 2
    said = capsys.readouterr().err
    assert f"--candidate-env OMP_NUM_THREADS={threads} changes nothing: the reference has it already" in said
    assert "write another number" in said
    assert main([*words, "--candidate-env", f"OMP_NUM_THREADS={3 - threads}"]) == 0
