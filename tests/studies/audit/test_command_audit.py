"""What the audit of a command shows beside its metric: controls, weights by their sketches, links, what digits hide."""

import re
import shlex
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import torch
from in_this_process import InThisProcess

import lastbit as lb
from lastbit.cli.app import main
from lastbit.core.errors import LastbitError
from lastbit.dynamics.sketch import CountSketch, Sketch
from lastbit.launch.arrays import read_states
from lastbit.report.formatting import percent
from lastbit.report.html import render_html
from lastbit.store import StudyFolder
from lastbit.studies.audit.sketched import Weights, relative_l2

QUIET = {"quiet": True, "metric": ["loss"], "better": ["lower"]}


@pytest.fixture
def program(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a #1?").mkdir()
    stand_in = InThisProcess(lambda loss: f"loss: {loss:.12f}\nrounded: {loss:.1f} 0.250\n")
    monkeypatch.setattr("lastbit.studies.frame.launched.run_command", stand_in)
    return stand_in


@pytest.fixture
def study(program):
    words = ["sh", "train.sh", "{seed}"]
    return lb.audit(words, **QUIET, seeds=3, perturbations=2, perturb="rounding", out="a #1?/s")


def test_controls_and_weights_are_shown(study):
    result = study.result
    told = result.recorded
    assert told.checksums == told.checksums_equal > 0
    assert (told.tensors, told.weights) == (2, 6 * 8 + 8)
    assert told.changed.min == told.changed.max == 1
    text = " ".join(study.summary().split())
    assert "Exit codes: 0 in 9 of 9 runs" in text
    assert f"{told.checksums} of {told.checksums} checksums equal" in text
    assert "Tensors changed after the last step: 100% of 2 tensors (56 weights)" in text
    assert "a #1?/s/output/RUN/stdout.txt and stderr.txt" in text
    assert "churn, last bit not measured" in text
    within, between = result.weight_distance_last_bit, result.weight_distance_seed
    assert 1e-8 < within.estimate < 1e-3 < 0.1 < between.estimate < 2
    assert within.low < within.estimate < within.high
    assert "relative L2, by sketches: the true one is 0.78 to 1.28 times as large" in within.note
    assert lb.open_study(study.path).result == result


def test_what_each_run_printed_is_linked_from_wherever_the_report_lies(study, tmp_path):
    for report in (
        study.report(),
        study.report(tmp_path / "elsewhere.html"),
        study.report(tmp_path / "a #1?" / "r.html"),
    ):
        links = re.findall(r'<a href="([^"]+)">', report.read_text())
        assert len(links) == 2 * 9
        for link in links:
            assert re.fullmatch(r"[\w./%-]+", link)
            assert (report.parent / unquote(link)).is_file()
    (study.path / "output" / "seed000-p000" / "stderr.txt").unlink()
    assert len(re.findall("<a href", render_html(lb.open_study(study.path).page))) == 2 * 9 - 1


def _at_one_step(sketch):
    return Sketch(sketch.values[None], sketch.residuals[None], sketch.fingerprints[None], sketch.key)


def test_a_distance_by_sketches_is_that_of_the_weights(program):
    generator = torch.Generator().manual_seed(0)
    one = {"a": torch.randn(40, 30, generator=generator), "b": torch.randn(500, generator=generator)}
    plan = CountSketch(one)
    for size in (1e-7, 1e-2, 1.0):
        two = {name: tensor + size * torch.randn(tensor.shape, generator=generator) for name, tensor in one.items()}
        flat = [torch.cat([tensor.reshape(-1) for tensor in each.values()]).double() for each in (one, two)]
        exact = 2 * (flat[0] - flat[1]).norm() / (flat[0].norm() + flat[1].norm())
        mine, yours = (Weights({(0, 0): (np.array([5]), _at_one_step(plan(each)))}) for each in (one, two))
        # Both tensors together have twice the buckets of one, so that its interval is wide enough.
        assert relative_l2(mine, yours) == pytest.approx(float(exact), rel=0.2)
        assert relative_l2(mine, mine) == 0


def test_runs_of_other_networks_have_no_distance(study):
    with StudyFolder.read(study.path) as folder:
        states = {place: (one.steps, one.sketch) for place, one in read_states(folder.arrays("seed000-p000")).items()}
    with pytest.raises(LastbitError, match="did not record the same tensors"):
        relative_l2(Weights(states), Weights({(1, 0): next(iter(states.values()))}))
    with pytest.raises(LastbitError, match="did not record the same tensors"):
        relative_l2(Weights(states), Weights({(0, 0): (np.array([77]), next(iter(states.values()))[1])}))


def test_digits_that_hide_the_last_bit_are_counted_as_printed(program):
    study = lb.audit(
        ["sh", "x.sh"], metric=["rounded", "loss"], perturbations=3, perturb="rounding", quiet=True, out="s"
    )
    result = study.result
    assert result.perturbation.landed_fraction == 1
    assert result.sigma_last_bit.estimate == 0
    assert result.verdict_kind == "not_measured"
    said = r"The command prints rounded with (\d) digits?, which hides? any smaller change: the weights moved"
    digits = re.search(said, study.verdict)
    assert digits is not None
    assert int(digits[1]) <= 2
    # The metrics stand in one table, in the order in which they were given.
    assert [one.name for one in result.metrics] == ["rounded", "loss"]
    assert result.metrics[1].sigma_last_bit.estimate > 0
    for name in ("sigma_seed", "last_bit_variance_share", "churn_last_bit", "weight_distance_seed"):
        assert getattr(result, name).estimate is None
    assert "{seed}" in result.advice
    assert "--reseed" in result.advice


@pytest.mark.parametrize(
    ("shown", "kind", "said"),
    [
        (
            "{:.4f}",
            "hardly_last_bit",
            "of it is the last bit: changing it moved loss in none of 6 runs by the 0.0001",
        ),
        (
            "{:.0f}",
            "not_measured",
            "is not measured: changing it moved loss in none of 6 runs. The command prints loss",
        ),
        ("2.5", "not_measured", "6 runs printed the same loss. The command prints loss with 2 digits, which hide any"),
    ],
)
def test_digits_hide_the_last_bit_and_not_the_seeds_beside_it(program, shown, kind, said):
    program.said = lambda loss: f"loss: {shown.format(loss)}\n"
    study = lb.audit(["sh", "x.sh", "{seed}"], **QUIET, seeds=3, perturbations=2, perturb="rounding", out="s")
    result = study.result
    assert result.sigma_last_bit.estimate == 0
    assert (result.verdict_kind, study.to_json()["verdict_kind"]) == (kind, kind)
    assert said in study.verdict
    assert said in " ".join(study.summary().split())
    assert said in " ".join(render_html(study.page).split())
    if kind == "hardly_last_bit":
        values = np.array([run.metrics["loss"] for run in result.runs if run.role != "repeat"])
        # Two runs that print the same differ by less than 0.0001.
        share = (0.0001**2 / 2) / result.sigma_total.estimate**2
        assert values.std() > 0.0001
        assert share < 0.1
        assert f"at most {percent(share)} of the variance" in study.verdict
        assert result.printed.hidden_below == 0.0001
        assert result.sigma_last_bit.note.startswith("the command shows no change below 0.0001")


def test_nothing_is_hidden_of_a_float32_that_is_printed_with_13_digits(program):
    program.said = lambda loss: "".join(f"loss: {float(np.float32(one)):.13g}\n" for one in (loss, loss / 3))
    result = lb.audit(["sh", "x.sh"], **QUIET, perturbations=2, perturb="rounding", out="s").result
    assert result.printed is None
    assert "digits" not in result.verdict


@pytest.mark.parametrize("numerics", [["--as-is", "--timeout", "60"], ["--deterministic", "--reseed", "--seeds", "2"]])
def test_the_command_that_repeats_the_study_does(program, numerics, capsys):
    flags = ["--metric", "rounded", "--metric", "/loss: (.*)/", "--better", "lower", "--perturbations", "2", *numerics]
    assert main(["audit", *flags, "--quiet", "--", "sh", "a b.sh"]) == 0
    first, second = (Path("lastbit-studies", f"audit-sh-{number}") for number in ("001", "002"))
    said = lb.open_study(first).result
    assert set(numerics) <= set(said.command.split())
    assert main([*shlex.split(said.command)[1:]]) == 0
    again = lb.open_study(second).result
    assert (again.command, again.spec) == (said.command, said.spec)
    assert again.sigma_last_bit == said.sigma_last_bit
