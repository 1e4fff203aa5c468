"""`lastbit log`: what it refuses, in one line, and what it says of a study that it has sent."""

import shutil
import sys
from pathlib import Path

import pytest

import lastbit as lb
from lastbit.cli import main
from lastbit.integrations.log import LOGGERS
from lastbit.integrations.mlflow import sink as mlflow_sink
from lastbit.integrations.wandb import sink as wandb_sink

STORED = Path(__file__).parents[1] / "data" / "studies-format-1" / "audit"


@pytest.fixture
def study(here):
    shutil.copytree(STORED, here / "study")
    return here / "study"


@pytest.fixture
def without(monkeypatch):
    """Have no library of any logger."""
    for name in ("torch.utils.tensorboard", "mlflow", "wandb"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.parametrize("to", LOGGERS)
def test_a_library_that_is_not_installed_is_named(to, study, without, refused):
    assert f"pip install 'lastbit[{to}]'" in refused(["log", "study", "--to", to])


def test_the_extras_are_those_of_the_package():
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    assert set(LOGGERS) <= project["optional-dependencies"].keys()


@pytest.mark.parametrize("sink", [mlflow_sink, wandb_sink])
def test_a_sink_names_what_is_not_installed(sink, without):
    with pytest.raises(lb.LastbitError, match="pip install 'lastbit"):
        sink()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["study", "--to", "comet"], "unknown logger 'comet': choose one of tensorboard, mlflow, wandb"),
        (["study", "--to", "wand"], "did you mean 'wandb'?"),
        (["study"], "--to"),
        (["nowhere", "--to", "tensorboard"], "there is no study at nowhere"),
        (["full", "--to", "mlflow"], "full is not a study"),
        (["study", "--to", "tensorboard", "--project", "mine"], "TensorBoard has no projects, got 'mine'"),
        (["study", "--to", "tensorboard", "--at", "s3://bucket/runs"], "go to a folder, got s3://bucket/runs"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(words, said, study, refused):
    assert said in refused(["log", *words])


def test_the_verdict_comes_first_and_where_it_lies_after_it(study, monkeypatch, capsys):
    sent = []

    def send(study, *, project, at, progress):
        sent.append((study.path.name, project, at))
        return "somewhere"

    monkeypatch.setattr("lastbit.integrations.mlflow.send", send)
    assert main(["log", "study", "--to", "mlflow", "--experiment", "mine", "--at", "sqlite:///x.db"]) == 0
    told = capsys.readouterr().out.splitlines()
    verdict = lb.open_study(study).verdict
    assert told == [verdict[:1].upper() + verdict[1:], "logged  somewhere"]
    assert main(["log", "study", "--to", "mlflow", "--project", "mine", "--quiet"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert lb.log(str(study), to="mlflow", at=Path("x")) == "somewhere"
    assert sent == [("study", "mine", "sqlite:///x.db"), ("study", "mine", None), ("study", None, "x")]
