"""A TOML file gives the commands that make a study the same settings as their flags, with the same errors."""

import json
import shlex
from pathlib import Path

import pytest

from lastbit.cli import main

SMALL = {
    "audit": "--model mlp --width 4 --train-size 64 --batch-size 32 --epochs 1 --seeds 1 --perturbations 1 --workers 1",
    "trace": "--model mlp --width 4 --train-size 64 --batch-size 32 --epochs 1 --twins 1 --workers 1",
    "eos": "--width 4 --train-size 60 --steps 2 --every 1 --twins 0 --workers 1",
}


def toml(flags):
    """Return what `--name value ...` is in a study file, with underscores and hyphens in turn."""
    lines = []
    for index, pair in enumerate(flags.removeprefix("--").split(" --")):
        name, value = pair.split(" ")
        name = name.replace("-", "_") if index % 2 else name
        lines.append(f"{name} = {value if value.isdigit() else json.dumps(value)}\n")
    return "".join(lines)


def spec(folder):
    return json.loads(Path(folder, "study.json").read_text())["spec"]


@pytest.mark.parametrize("command", SMALL)
def test_a_file_says_what_flags_say_and_flags_win(here, command):
    Path("study.toml").write_text(toml(SMALL[command]) + 'out = "from-file"\nlr = 0.3\n')
    assert main([command, "study.toml", "--lr", "0.2", "--quiet"]) == 0
    assert main([command, *SMALL[command].split(), "--lr", "0.2", "--out", "from-flags", "--quiet"]) == 0
    assert spec("from-file") == spec("from-flags")
    # The file that a study was begun with serves to go on with it.
    assert main([command, "study.toml", "--lr", "0.2", "--resume", "from-file", "--quiet"]) == 0


@pytest.mark.parametrize(("command", "axis"), [("trace", "lr"), ("eos", "weight_decay")])
def test_a_list_makes_a_sweep(here, command, axis):
    Path("study.toml").write_text(toml(SMALL[command]) + f"{axis} = [0.1, 0.05]\n")
    assert main([command, "study.toml", "--out", "study", "--quiet"]) == 0
    result = json.loads(Path("study/result.json").read_text())
    parts = result["members"] if command == "trace" else [cell["axes"] for cell in result["cells"]]
    assert [part[axis] for part in parts] == [0.1, 0.05]
    words = shlex.split(result["command"])
    assert words[words.index("--" + axis.replace("_", "-")) + 1 :][:2] == ["0.1", "0.05"]


MISTAKES = {
    None: "there is no study file study.toml",
    "lr = \n": "study.toml is not a TOML study file",
    b"\xff = 1": "study.toml is not a TOML study file",
    "quiet = true": "unknown setting in study.toml 'quiet'",
    "resume = 'x'": "unknown setting in study.toml 'resume'",
    "lrr = 0.1": "unknown setting in study.toml 'lrr' (did you mean 'lr'?)",
    "[lr]\nfirst = 0.1": "lr = {'first': 0.1} in study.toml: give a value, or several in [brackets]",
    "lr = []": "lr = [] in study.toml: give a value",
    "task = 3": "task = 3 in study.toml: give text",
    "out = true": "out = True in study.toml: give text",
    "lr = -1": "--lr must be above 0, got -1",
    "lr = nan": "--lr",
    "device = 'gpu'": "choose one of auto, cpu, cuda, cuda:N",
    "train-size = 'many'": "--train-size must be a whole number, got 'many'",
}


@pytest.mark.parametrize("text", MISTAKES, ids=lambda text: str(text)[:20].strip())
@pytest.mark.parametrize("command", SMALL)
def test_a_mistake_in_a_file_gets_one_line_and_exit_code_2(here, capsys, command, text):
    if text is not None:
        Path("study.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert main([command, "study.toml", "--quiet"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.strip().splitlines()) == 1
    assert told.err.startswith("error: ")
    assert MISTAKES[text] in told.err
    assert not Path("lastbit-studies").exists()


@pytest.mark.parametrize("value", ["1.5", "true", "'two'"])
def test_workers_are_counted_in_whole_numbers(here, capsys, value):
    Path("study.toml").write_text(f"workers = {value}\n")
    assert main(["audit", "study.toml", "--quiet"]) == 2
    assert ": give a whole number of processes" in capsys.readouterr().err
