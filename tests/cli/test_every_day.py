"""The small things of every day: the module as a command, its version, completion, defaults in the help."""

import os
import subprocess
import sys

import pytest
import typer.main

from lastbit.cli import main
from lastbit.cli.app import app
from lastbit.core.keywords import default_words
from lastbit.optimizers.registry import OPTIMIZERS
from lastbit.studies.eos.cells import DEFAULT_LR, edge_defaults
from lastbit.studies.eos.settings import EosSettings
from lastbit.studies.frame.settings import study_keywords
from lastbit.studies.kinds import KINDS
from lastbit.tasks import TaskConfig
from lastbit.tasks.build import resolve
from lastbit.tasks.models import MODELS
from lastbit.tasks.registry import TASKS
from lastbit.tasks.shown import shown_defaults


def as_module(*words, **environment):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "lastbit", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert "lastbit.cli" in done.stderr  # the list of imports is there
    assert "| torch\n" not in done.stderr.replace(" ", "").replace("|", "| ")
    return done


def test_the_module_is_the_command(capsys):
    done = as_module("-V")
    assert main(["--version"]) == 0
    assert (done.returncode, done.stdout) == (0, capsys.readouterr().out)
    assert done.stdout.startswith("lastbit 0.")


def completed(line):
    words = line.split(" ")
    environment = {"_LASTBIT_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = as_module(**environment)
    assert done.returncode == 0
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "lastbit ",
            [*(kind for kind in KINDS if kind != "same"), "gate", "same", "report", "log", "serve", "pde", "paper"],
        ),
        ("lastbit audit ", list(TASKS)),
        ("lastbit eos --lr 0.1 0.2 --optimizer ad", ["adam", "adamw"]),
        ("lastbit pde stability wav", ["wave"]),
    ],
)
def test_bash_completes_names_without_torch(line, words):
    assert completed(line) == words


def test_the_script_of_completion_is_shown(capsys, monkeypatch):
    monkeypatch.setattr("typer.completion._get_shell_name", lambda: "bash")
    with pytest.raises(SystemExit, match="0"):
        main(["--show-completion"])
    assert "complete -o default -F _lastbit_completion lastbit" in capsys.readouterr().out


def test_completion_is_installed_where_bash_reads_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("typer._completion_shared._get_shell_name", lambda: "bash")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(SystemExit, match="0"):
        main(["--install-completion"])
    assert "_LASTBIT_COMPLETE=complete_bash" in (tmp_path / ".bash_completions" / "lastbit.sh").read_text()
    assert "bash_completions/lastbit.sh" in (tmp_path / ".bashrc").read_text()


def test_a_shell_that_is_not_known_is_bad_input(capsys, monkeypatch):
    monkeypatch.setattr("typer.completion._get_shell_name", lambda: None)
    assert main(["--show-completion"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: this shell is not known")


NO_DEFAULT = {"resume", "checkpoint", "json", "plot", "quiet", "trust", "check", "gauss_newton"}
"""Options that something is left out without."""

REQUIRED_OR_LEFT_OUT = {"image", "twin", "dt", "lr", "weight_decay"}
"""Settings of `pde` that must be given, or without which something is left out."""

COMMANDS = typer.main.get_command(app).commands


@pytest.mark.parametrize("command", [*(COMMANDS[kind] for kind in KINDS), *COMMANDS["pde"].commands.values()])
def test_every_option_with_a_default_says_it(command):
    said = {one.name: one.help for one in command.params if one.opts[0].startswith("--") and one.name != "help"}
    assert len(said) > 8
    for name in said.keys() - NO_DEFAULT - (set() if command.name in KINDS else REQUIRED_OR_LEFT_OUT):
        inside = said[name].rpartition("(")[2].partition(")")[0]
        # A range alone is no default.
        assert inside, (name, said[name])
        assert not inside.startswith(("at least", "above", "1 to")), (name, said[name])


@pytest.mark.parametrize("task", TASKS)
def test_the_defaults_of_tasks_are_those_that_are_trained(task):
    chosen, words = resolve(TaskConfig(task=task)), shown_defaults()
    for name in words.keys() - {"train_size", "data_root", "depth", "kernel", "loss"}:
        value = default_words(getattr(chosen, name))
        said = words[name].partition(";")[0]
        of_it = [part.rpartition(" for ")[0].split()[-1] for part in said.split(", ") if task in part]
        assert of_it in ([value], []), (name, said)
        assert of_it or said == value, (name, said)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_defaults_of_optimizers_are_those_that_are_trained(optimizer):
    chosen, words = resolve(TaskConfig(task="digits", optimizer=optimizer)), shown_defaults()
    for name in OPTIMIZERS[optimizer].defaults.keys() & {"lr", "weight_decay", "momentum"}:
        assert default_words(getattr(chosen, name)) in words[name].partition(";")[2], name


def test_the_defaults_at_the_edge_are_those_that_are_trained():
    found, shown = edge_defaults({}), EosSettings.shown
    for name in shown.keys() - {"data_root", "batch_size", "kernel", "width", "depth", "lr"}:
        assert shown[name].partition(";")[0] == default_words(found[name]), name
    assert found["batch_size"] == found["train_size"]
    assert shown["batch_size"] == "all"
    for optimizer, rate in DEFAULT_LR.items():
        words = {"heavy ball": "0.2 with momentum", "nesterov": "0.05 with nesterov"}
        assert words.get(optimizer, default_words(rate)) in shown["lr"]
    for model in MODELS:
        given = edge_defaults({"model": model})
        words = dict(part.split(" for ")[::-1] for part in shown["width"].split(", "))
        assert words["mlp and vgg11" if model in ("mlp", "vgg11") else "the others"] == str(given["width"])
        assert "depth" not in given or f"{given['depth']} for {model}" in shown["depth"]
    assert edge_defaults({"nesterov": True})["momentum"] == 0.9
    assert edge_defaults({"optimizer": "adamw"})["weight_decay"] == 0.01
    assert {one.name for one in study_keywords(EosSettings)} >= shown.keys()
