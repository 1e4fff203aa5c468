"""`lastbit audit -- COMMAND`: from a script that nobody changed to the answer."""

import json
import sys

import pytest

import lastbit as lb
from lastbit.cli.app import main
from lastbit.report.html import render_html

SCRIPT = """
import argparse, torch

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--digits", type=int, default=12)
chosen = parser.parse_args()
torch.manual_seed(chosen.seed)
model = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
inputs = torch.randn(32, 6)
targets = inputs.sin().sum(1, keepdim=True)
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
for step in range(80):
    optimizer.zero_grad()
    loss = (model(inputs) - targets).square().mean()
    loss.backward()
    optimizer.step()
    print(f"step {step} loss: {loss.item():.{chosen.digits}f}")
"""


@pytest.fixture
def script(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(SCRIPT)
    return [sys.executable, "train.py"]


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["--"], "there is no command after --"),
        (["--", "no-such-program"], "no-such-program"),
        (["--seeds", "3", "--metric", "a", "--", "python", "x.py"], "nothing varies the seed of x: write {seed}"),
        (["--reseed", "--metric", "a", "--", "python", "x.py", "{seed}"], "two ways to vary the seed"),
        (["--epochs", "3", "--", "python", "x.py"], "--epochs belongs to tasks"),
        (["--vary", "init", "--", "python", "x.py"], "--vary belongs to tasks"),
        (["--perturb", "reorder", "--", "python", "x.py"], "--perturb reorder needs a task"),
        (["--task", "digits", "--", "python", "x.py"], "digits and a command after --: give one of them"),
        (["digits", "--metric", "a"], "--metric belongs to a command: write it as lastbit audit --metric"),
        (["--metric", "/(/", "--", "python", "x.py"], "--metric"),
        (["--metric", "a", "--metric", "a", "--", "python", "x.py"], "given 2 times"),
        (["--metric", "a", "--metric-of", "best", "--", "python", "x.py"], "--better higher or --better lower"),
        (["--metric-file", "out.json", "--", "python", "x.py"], "names no key"),
        (["--metric-tag", "a", "--workers", "2", "--", "python", "x.py"], "read from the folder that all runs share"),
        (["--timeout", "0", "--", "python", "x.py"], "timeout"),
        (
            ["--workers", "0", "--metric", "a", "--", "python", "x.py"],
            "--workers = 0: give a whole number",
        ),
        (["--metric", "a", "--metric-of", "mean:0", "--", "python", "x.py"], "mean:N with N from 1"),
        (["--seeds", "2", "--metric", "a", "--", "python", "x.py", "{Seed}"], "write {seed} where it takes one"),
        (["--as-is", "--threads", "2", "--", "python", "x.py"], "--as-is touches nothing of a command"),
    ],
)
def test_a_mistake_gets_one_line_before_anything_runs(words, match, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["audit", "--out", "s", *words]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("error: ")
    assert match in said


def test_other_kinds_of_study_take_no_command(capsys):
    for kind in ("eos", "sharpness"):
        assert main([kind, "--", "python", "x.py"]) == 2
        assert f"{kind} takes no command after --" in capsys.readouterr().err


@pytest.mark.slow
def test_without_a_metric_the_numbers_are_listed_with_their_flags(script, capsys):
    assert main(["audit", "--out", "s", "--", *script]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "which number is the result?" in said
    assert "such as --metric loss, and --better" in said


@pytest.mark.slow
def test_a_script_is_audited_as_it_stands(script, capsys):
    flags = [
        "--metric",
        "loss",
        "--better",
        "lower",
        "--seeds",
        "2",
        "--perturbations",
        "2",
        "--out",
        "s",
        "--json",
        "-",
    ]
    assert main(["audit", *flags, "--quiet", "--", *script, "--seed", "{seed}"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["control"]["bitwise_identical"]
    assert result["perturbation"]["landed_fraction"] == 1
    assert result["perturbation"]["kind"] == "auto"
    assert result["metric"]["name"] == "loss"
    assert 0 < result["sigma_last_bit"]["estimate"] < 1e-3 < result["sigma_seed"]["estimate"]
    assert result["sigma_total"]["n"] == 4
    assert result["churn_last_bit"]["estimate"] is None
    study = lb.open_study("s")
    assert study.result.command.endswith(f"-- {script[0]} train.py --seed {{seed}}")
    assert study.report().exists()
    again = lb.audit(resume="s", quiet=True)
    assert again.result.sigma_last_bit == study.result.sigma_last_bit


@pytest.mark.slow
@pytest.mark.parametrize(("flag", "kept"), [("--as-is", "7 random None"), ("--deterministic", "1 0 :4096:8")])
def test_what_is_touched_of_the_environment(flag, kept, script, tmp_path, monkeypatch):
    settings = {"OMP_NUM_THREADS": "7", "PYTHONHASHSEED": "random", "CUBLAS_WORKSPACE_CONFIG": None}
    for name, value in settings.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name, raising=False)
    shown = f"import os\nprint(*map(os.environ.get, {list(settings)}))\n"
    (tmp_path / "train.py").write_text(shown + SCRIPT)
    options = ["--metric", "loss", "--perturbations", "1", "--out", "s", "--quiet"]
    main(["audit", *options, flag, "--", *script])
    printed = (tmp_path / "s" / "output" / "seed000-p000" / "stdout.txt").read_text()
    assert printed.splitlines()[0] == kept


@pytest.mark.slow
def test_printed_digits_that_hide_the_last_bit_are_said(script, tmp_path):
    study = lb.audit([*script, "--digits", "2"], metric=["loss"], perturbations=2, quiet=True, out=tmp_path / "s")
    assert study.result.perturbation.landed_fraction == 1
    assert study.result.sigma_last_bit.estimate == 0
    assert "The command prints loss with" in study.verdict
    assert "which hide any smaller change" in study.verdict
    assert study.result.verdict_kind == "not_measured"
    assert "Training curves" not in render_html(study.page)
    assert "--reseed" in study.result.advice


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("import torch\nprint('loss: 1')", "made no optimizer step"),
        ("print('loss: 1')", "made no optimizer step"),
        ("import sys\nsys.exit('out of luck')", "ended with exit code 1: out of luck"),
        (SCRIPT.replace("loss:", "cost:"), "loss"),
    ],
)
def test_a_command_that_gives_no_answer_is_one_line(script, text, match, tmp_path, capsys):
    (tmp_path / "train.py").write_text(text)
    assert main(["audit", "--metric", "loss", "--perturbations", "2", "--out", "s", "--quiet", "--", *script]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert match in said[-1]


@pytest.mark.slow
def test_a_changed_script_is_not_resumed(script, tmp_path, capsys):
    flags = ["audit", "--metric", "loss", "--perturbations", "1", "--out", "s", "--quiet"]
    assert main([*flags, "--", *script]) == 0
    (tmp_path / "train.py").write_text(SCRIPT.replace("range(80)", "range(81)"))
    assert main(["audit", "--resume", "s"]) == 2
    assert "train.py, of the command of s, is not what it was" in capsys.readouterr().err
