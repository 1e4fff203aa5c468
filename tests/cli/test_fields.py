"""A command made from the fields of settings classes."""

import ast
import inspect
from pathlib import Path
from typing import Annotated, Literal

import pytest
import typer
from pydantic import ConfigDict
from typer.testing import CliRunner

from lastbit.cli.fields import SeveralValues, command_from
from lastbit.core.config import Config
from lastbit.core.keywords import keywords, setting, takes


class Net(Config):
    model_config = ConfigDict(title="net", json_schema_extra={"panel": "The net"})

    lr: float = setting("learning rate", 0.1, gt=0)
    width: int = setting("units", 8, ge=1, le=64)
    sizes: tuple[int, ...] = setting("sizes", (1, 2))
    span: tuple[float, float] = setting("first and last", (0.5, 2.0), panel="A panel")
    norm: Literal["batch", "none"] = setting("norm", "none")
    nesterov: bool = setting("Nesterov's form", False)
    check: bool = setting("check it", False, flags=["--check"])
    file: Path | None = setting("a file", None)


class Line(Config):
    model_config = ConfigDict(title="line", json_schema_extra={"panel": "The line"})

    lr: float = setting("learning rate", 0.5, gt=0)
    width: int = setting("how wide", 8, ge=1, le=64)
    dx: float = setting("spacing")
    norm: Literal["group", "none"] = setting("norm", "none")


def command(*configs):
    def train(
        task: Annotated[str, typer.Argument()] = "digits",
        *,
        quiet: Annotated[bool, typer.Option("--quiet")] = False,
        **settings,
    ):
        """Train it."""
        print(repr((task, quiet, {name: str(v) if isinstance(v, Path) else v for name, v in settings.items()})))

    app = typer.Typer()
    app.command("train", cls=SeveralValues)(command_from(train, keywords(*configs)))
    return app


def run(*words, configs=(Net,)):
    shown = CliRunner().invoke(command(*configs), list(map(str, words)))
    assert shown.exit_code == 0, shown.output
    return ast.literal_eval(shown.output)


def test_only_what_was_given_is_passed_on():
    assert run() == ("digits", False, {})
    assert run("mnist", "--quiet", "--lr", 0.2) == ("mnist", True, {"lr": 0.2})
    given = {"width": 4, "norm": "batch", "nesterov": True, "check": True, "file": "a"}
    words = ["--width", 4, "--norm", "batch", "--nesterov", "--check", "--file", "a"]
    assert run(*words) == ("digits", False, given)
    assert run("--no-nesterov")[2] == {"nesterov": False}


@pytest.mark.parametrize("words", ["--sizes 1 2 4", "--sizes 1,2,4", "--sizes 1,2 4", "--sizes 1 --sizes 2 --sizes 4"])
def test_several_values_come_with_commas_or_without(words):
    assert run(*words.split(), "--quiet") == ("digits", True, {"sizes": ("1", "2", "4")})
    assert Net(**run(*words.split())[2]).sizes == (1, 2, 4)


def test_several_values_may_be_none_or_negative():
    assert run("--sizes", "none")[2] == {"sizes": ()}
    assert Net(**run("--span", "-1", "2.5")[2]).span == (-1.0, 2.5)


def test_what_is_no_number_is_refused_by_the_parser():
    shown = CliRunner().invoke(command(Net), ["--width", "wide"])
    assert shown.exit_code == 2
    assert "--width" in shown.output


def test_a_setting_without_default_must_be_given():
    shown = CliRunner().invoke(command(Line), [])
    assert shown.exit_code == 2
    assert "--dx" in shown.output
    assert run(configs=(Net, Line))[2] == {}


def test_help_says_default_range_choices_and_panel():
    told = {one.name: (one.help, one.panel) for one in keywords(Net)}
    assert told["lr"] == ("Learning rate (0.1; above 0).", "The net")
    assert told["width"] == ("Units (8; 1 to 64).", "The net")
    assert told["sizes"] == ("Sizes (1 2).", "The net")
    assert told["span"] == ("First and last (0.5 2).", "A panel")
    assert told["norm"] == ("Norm: batch, none (default).", "The net")
    assert told["nesterov"] == ("Nesterov's form (off).", "The net")


def test_classes_that_differ_are_told_apart():
    told = {one.name: one for one in keywords(Net, Line)}
    assert told["lr"].help == "Learning rate (net 0.1, line 0.5; above 0)."
    assert told["lr"].default is None
    assert told["lr"].annotation == float | None
    assert told["width"].help == "net: units (8; 1 to 64); line: how wide (8; 1 to 64)."
    assert told["width"].default == 8
    assert told["norm"].help == "Norm: batch, none (default), group."
    assert (told["dx"].panel, told["sizes"].panel, told["span"].panel) == ("The line", "The net", "A panel")
    assert told["lr"].panel == ""


def test_the_same_keywords_stand_in_the_signature_and_the_docstring():
    @takes(keywords(Net, Line))
    def train(task="digits", *, progress=None, **settings):
        """Train it.

        Args:
            task: what.
            **settings: fields.
            progress: told.
        """
        return settings

    names = [one.name for one in keywords(Net, Line)]
    assert list(inspect.signature(train).parameters) == ["task", *names, "progress"]
    assert "    task: what.\n    lr: Learning rate (net 0.1, line 0.5; above 0).\n" in train.__doc__
    assert train.__doc__.endswith("    progress: told.")
    assert train(lr=1) == {"lr": 1}
