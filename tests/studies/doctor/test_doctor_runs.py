"""The doctor on programs of their own, in processes of their own."""

import json
import sys
from pathlib import Path

import pytest

import lastbit
from lastbit.cli.app import main

pytestmark = pytest.mark.slow

SCRIPT = """
import sys
import numpy as np
import torch

torch.manual_seed(0)
generator = np.random.default_rng({seed})
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(6):
    noise = torch.tensor(generator.normal(size=(8, 4)), dtype=torch.float32)
    loss = model(noise).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print("loss", loss.item())
"""

HANGS = """
    import os, time
    try:
        if step == 2:
            os.mkdir("first")
            time.sleep(600)
    except FileExistsError:
        pass
"""

FUNCTION = """
import os
import torch

def calm(seed):
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(3):
        optimizer.zero_grad()
        model(torch.randn(8, 4)).square().mean().backward()
        optimizer.step()
    return float(seed)

def restless(seed):
    return calm(seed) + os.getpid()
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    Path("seeded.py").write_text(SCRIPT.format(seed=0))
    Path("unseeded.py").write_text(SCRIPT.format(seed=""))
    Path("functions.py").write_text(FUNCTION)
    return tmp_path


def examined(*words, script=None):
    command = [] if script is None else ["--", sys.executable, script]
    code = main(["doctor", "--progress", "none", "--json", "answer.json", *words, *command])
    return code, json.loads(Path("answer.json").read_text()) if code != 2 else {}


def test_a_program_that_repeats_is_identical_with_steps_tensors_bytes_and_settings(home):
    code, found = examined(script="seeded.py")
    assert (code, found["verdict_kind"], found["steps"], found["tensors"]) == (0, "identical", 6, 2)
    # Each of two comparisons holds 5 parameters and 5 gradients of 4 bytes, six times.
    assert found["bytes"] == 2 * 6 * 10 * 4
    assert found["settings"]["threads"] == "1"
    assert [one["how"] for one in found["outcomes"]] == ["lock step", "one after the other"]


@pytest.mark.thorough
def test_a_defect_is_named_by_line_and_cause_and_its_cure_confirmed(home):
    code, found = examined("--runs", "3", "--junit", "answer.xml", "--markdown", "answer.md", script="unseeded.py")
    finding = found["finding"]
    assert (code, finding["step"], finding["tensor"]) == (3, 1, "gradient of weight")
    assert "default_rng()" in (finding["cause_line"] or finding["line"])["text"]
    assert found["confirmation"]["confirmed"]
    assert (found["confirmation"]["differing_before"], found["confirmation"]["differing_after"]) == (3, 0)
    assert "<failure" in Path("answer.xml").read_text()
    assert "Likely cause" in Path("answer.md").read_text()
    assert lastbit.open_study(next(Path("lastbit-studies").iterdir())).result.exit_code == 3


def test_a_record_is_held_against_a_later_run_of_the_same_program_only(home, capsys):
    assert examined("--record", "seeded.rec", script="seeded.py")[0] == 0
    code, found = examined("--against", "seeded.rec", script="seeded.py")
    assert (code, found["verdict_kind"]) == (0, "identical")
    changed = Path("seeded.py").read_text().replace("lr=0.1", "lr=0.2")
    Path("seeded.py").write_text(changed)
    code, found = examined("--against", "seeded.rec", script="seeded.py")
    assert (code, found["verdict_kind"], found["steps"]) == (3, "differs", 0)
    Path("seeded.py").write_text(changed.replace("Linear(4, 1)", "Linear(4, 2)"))
    assert examined("--against", "seeded.rec", script="seeded.py")[0] == 2
    assert "is of other parameters: weight (1, 4)" in capsys.readouterr().err
    assert examined("--against", "seeded.rec", script="unseeded.py")[0] == 2
    assert "is of another program" in capsys.readouterr().err


CACHED = """
import os
data = torch.full((8, 4), 0.1)
if os.path.exists("kept.pt"):
    data = torch.load("kept.pt").float()  # the line
"""


def test_a_cache_that_only_the_first_run_fills_is_found_though_each_pair_is_equal(home):
    script = SCRIPT.format(seed=0).replace("model = torch", f"{CACHED}model = torch", 1)
    # At its end, which neither of two at once comes to before both have begun.
    Path("cached.py").write_text(script.replace("model(noise)", "model(data)") + "torch.save(data.half(), 'kept.pt')\n")
    code, found = examined(script="cached.py")
    assert (code, found["verdict_kind"], found["finding"]["step"]) == (3, "differs", 1)
    assert [one["how"] for one in found["outcomes"]][-1] == "first runs against later"
    assert found["finding"]["line"]["text"].endswith("# the line")
    assert found["finding"]["cause_said"].startswith("kept.pt, which is read here")


FAILS = """
import os
def met():
    try:
        os.mkdir("met")
    except FileExistsError:
        return True
    return False
"""


def test_a_run_that_fails_alone_is_told_by_how_it_failed(home):
    # Both come to the step at once, and one of them makes the folder.
    fails = "if step == 4 and not met():\n        raise ValueError('bad luck')\n"
    script = SCRIPT.format(seed=0).replace("range(6):\n", f"range(6):\n    {fails}")
    Path("fails.py").write_text(FAILS + script)
    code, found = examined(script="fails.py")
    assert (code, found["verdict_kind"]) == (3, "exits_differ")
    assert "ended with exit code 1 after 4 equal steps: ValueError: bad luck" in found["verdict"]


@pytest.mark.thorough
def test_functions_and_tasks_are_examined_too(home):
    code, found = examined("--task", "functions.py:calm", "--seed", "3")
    assert (code, found["steps"]) == (0, 3)
    code, found = examined("--task", "functions.py:restless")
    assert (code, found["verdict_kind"]) == (3, "returned_differs")
    study = lastbit.doctor("digits", epochs=1, train_size=64, quiet=True)
    assert (study.result.verdict_kind, study.result.steps) == ("identical", 2)


def test_where_one_of_two_hangs_the_time_out_ends_it_with_what_is_known(home):
    # Whoever makes the folder hangs: of two that come at once, one.
    script = SCRIPT.format(seed=0).replace("range(6):\n", f"range(6):\n{HANGS}")
    Path("hangs.py").write_text(script)
    code, found = examined("--timeout", "25", script="hangs.py")
    assert (code, found["verdict_kind"], found["steps"]) == (4, "timed_out", 2)
    assert sorted(found["outcomes"][0]["processes"][0]["waiting"]) == [False, True]
    [slept] = [number for number, line in enumerate(script.splitlines(), 1) if "sleep(600)" in line]
    assert f"hangs.py:{slept} in the " in found["advice"]


def test_a_program_that_asks_for_input_needs_a_terminal(home, capsys):
    Path("asks.py").write_text("import torch\ninput('how many? ')\n")
    assert examined(script="asks.py")[0] == 2
    assert "asks.py needs a terminal" in capsys.readouterr().err


def test_an_audit_whose_repeat_differs_names_the_doctor(home):
    with Path("functions.py").open("a") as file:
        file.write("\ndef unsteady(seed):\n    torch.seed()\n    return calm(seed)\n")
    study = lastbit.audit("functions.py:unsteady", seeds=1, perturbations=2, workers=1, quiet=True)
    assert int(study.result.exit_code) == 3
    task = home / "functions.py:unsteady"
    assert f"To see where and why, run lastbit doctor --task {task} --threads" in study.result.advice
