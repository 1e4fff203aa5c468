"""A script of each kind that people have is audited as it stands: `lastbit audit -- python SCRIPT`.

Each is run by hand, and audited with one perturbation and the exact repeat; k = 4 is run besides, as a control.
"""

import json
import sys

import pytest
from stand_ins import plain, program, shown

from lastbit.cli.app import main
from lastbit.launch.command import run_command
from lastbit.launch.records import read_processes
from lastbit.launch.settings import Launch, LaunchSettings
from lastbit.perturb.rescale import Rescale

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
RANKS = [*TORCHRUN, *program("ranks.py")[1:]]

STAND_INS = {
    "argparse": (program("plain.py", "--optimizer", "AdamW"), "loss", {"AdamW": [20]}, "rescale"),
    "two additions": (program("plain.py", "--optimizer", "NAdam", "--steps", "40"), "loss", {"NAdam": [40]}, None),
    "CNN and checkpoint": (program("digits.py"), "Average loss", {"Adadelta": [32]}, None),
    "GAN": (program("gan.py"), "loss", {"Adam": [10, 10]}, "rescale"),
    "VAE": (program("vae.py"), "loss", {"Adam": [240]}, "rescale"),
    "GPT": (program("gpt.py"), "loss", {"AdamW": [30]}, "rescale"),
    "LBFGS": (program("closure.py"), "loss", {"LBFGS": [6]}, None),
    "RNN": (program("rnn.py"), "loss", {"RMSprop": [60]}, "rescale"),
    "reinforcement": (program("reinforce.py"), "loss", {"Adam": [40]}, "rescale"),
    "own optimizer, EMA": (program("own_optimizer.py"), "loss", {"Signs": [60]}, "rounding"),
    "in the backward pass": (program("in_backward.py"), "loss", {"AdamW": [60] * 4}, "rescale"),
    "compiled": (program("compiled.py"), "sum", {"Adam": [5]}, "rescale"),
    "forked child alone": (program("forks.py"), "sum", {"Adam": [12]}, "rescale"),
    "spawned in turn": (program("hogwild.py", "spawn"), "sum", {"SGD": [5, 5]}, "rescale"),
    "forked in turn": (program("hogwild.py", "fork"), "sum", {"SGD": [5, 5]}, "rescale"),
    "by a fork server": (program("hogwild.py", "forkserver"), "sum", {"SGD": [5, 5]}, "rescale"),
    "Hogwild, one worker": (program("racing.py", "1"), "loss", {"SGD": [128]}, "rescale"),
    "two ranks": (RANKS, "sum", {"SGD": [6, 6]}, "rescale"),
}
"""The command, its metric, the steps of every optimizer by class, and how they are perturbed where that is for good."""

RARER = {
    "two additions",
    "CNN and checkpoint",
    "VAE",
    "GPT",
    "RNN",
    "reinforcement",
    "by a fork server",
    "Hogwild, one worker",
}
"""Those whose way of being run another one has too: five runs of a program each are more than CI has time for."""

WHOLE = {"argparse", "compiled"}
"""Those that have torch as users have it; the others differ from them in what they do with it."""


def audited(words, metric, folder):
    options = ["--metric", metric, "--perturbations", "2", "--out", str(folder), "--quiet"]
    return main(["audit", *options, "--json", str(folder) + ".json", "--", *words])


def cases():
    for name, case in STAND_INS.items():
        yield pytest.param(*case, id=name, marks=pytest.mark.evidence if name in RARER else pytest.mark.slow)


@pytest.mark.parametrize(("words", "metric", "steps", "how"), list(cases()))
@pytest.mark.thorough
def test_a_stand_in_repeats_and_is_perturbed(words, metric, steps, how, tmp_path, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    if request.node.callspec.id in WHOLE:
        request.getfixturevalue("whole_torch")
    bare = plain(words)
    assert audited(words, metric, tmp_path / "study") == 0
    result = json.loads((tmp_path / "study.json").read_text())
    assert result["control"]["bitwise_identical"]
    assert result["perturbation"]["landed_fraction"] == 1
    base, three = (tmp_path / "study" / "output" / f"seed000-p00{twin}" for twin in (0, 1))
    assert (base / "stdout.txt").read_bytes() == bare.stdout
    assert shown((base / "stderr.txt").read_bytes()) == shown(bare.stderr)
    processes = read_processes(base / "records")
    optimizers = [optimizer for process in processes for optimizer in process.optimizers]
    assert all(process.ended for process in processes)
    assert {one.name: [other.steps for other in optimizers] for one in optimizers} == steps
    perturbed = {one.perturbed for process in read_processes(three / "records") for one in process.optimizers}
    assert perturbed == {how} if how else perturbed <= {"rescale", "rounding"}
    if words is RANKS:
        for run in (base, three):
            first, second = read_processes(run / "records")
            assert (first.rank, second.rank) == (0, 1)
            assert first.optimizers[0].records[-1].checksum == second.optimizers[0].records[-1].checksum
    four = run_command(words, Launch(settings=LaunchSettings(perturbation=Rescale(k=4)), folder=tmp_path / "four"))
    assert four.stdout.read_bytes() == bare.stdout
    assert four.processes
    assert [one.records[-1].checksum for one in four.optimizers] == [one.records[-1].checksum for one in optimizers]


@pytest.mark.slow
def test_workers_that_race_do_not_repeat_which_ends_the_study(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert audited(program("racing.py", "2"), "loss", tmp_path / "study") == 3
    assert "Not reproducible here" in capsys.readouterr().out
