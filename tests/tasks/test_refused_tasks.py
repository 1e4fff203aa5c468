"""What no training could be made of is refused in one line, and never called a defect."""

import pytest
import torch
from torch import nn

import lastbit
from lastbit import Metric, Task
from lastbit.cli.app import main
from lastbit.core.errors import LastbitError

X = torch.rand(24, 6, generator=torch.Generator().manual_seed(0))
Y = (X.sum(1) > 3).long()


def made(**settings):
    default = {"name": "toy", "model": lambda: nn.Linear(6, 2), "train": (X, Y), "test": (X, Y), "epochs": 1}
    optimizer = lambda parameters: torch.optim.SGD(parameters, lr=0.1)  # noqa: E731
    return Task(**{**default, "optimizer": optimizer, "batch_size": 8, **settings})


def on_meta():
    with torch.device("meta"):
        return nn.Linear(6, 2)


class Holds(nn.Module):
    """Holds something beside its layer."""

    def __init__(self, parameter=None, buffer=None, part=None):
        super().__init__()
        self.layer, self.part = nn.Linear(6, 2), part
        self.parameter = None if parameter is None else nn.Parameter(parameter)
        self.register_buffer("buffer", buffer)

    def forward(self, x):
        return self.layer(x)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda: nn.LazyLinear(2), "the model has a lazy parameter"),
        (lambda: Holds(part=nn.LazyBatchNorm1d()), "the model has a lazy parameter"),
        (on_meta, "the model has a parameter on the meta device"),
        (lambda: Holds(buffer=torch.zeros(3, device="meta")), "the model has a buffer on the meta device"),
        (lambda: Holds(parameter=torch.eye(3).to_sparse()), "the model has a parameter of layout torch.sparse_coo"),
        (lambda: Holds(parameter=torch.zeros(3, dtype=torch.complex64)), "a parameter of type torch.complex64"),
    ],
)
@pytest.mark.parametrize("kind", ["audit", "sharpness"])
def test_models_that_hold_no_dense_real_numbers_are_refused(tmp_path, kind, model, words):
    with pytest.raises(LastbitError, match=words) as caught:
        getattr(lastbit, kind)(made(model=model), out=tmp_path / "study", quiet=True)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"name": "a" * 201}, "a task's name has 201 characters"),
        ({"name": "a\ud800"}, "a lone surrogate"),
        ({"metric": Metric(name="m\ud800", per_example=lambda outputs, targets: outputs.mean(1))}, "a lone surrogate"),
        ({"settings": {"note": "\ud800"}}, "settings must be plain values"),
        ({"train": (X.to_sparse(), Y)}, "train: a tensor of layout torch.sparse_coo"),
        ({"test": (X.to("meta"), Y)}, "test: a tensor on the meta device"),
        ({"epochs": 10**30}, "epochs must be at most 1000000000"),
    ],
)
def test_names_sizes_and_data_that_nothing_could_hold_are_refused(settings, words):
    with pytest.raises(LastbitError, match=words) as caught:
        made(**settings)
    str(caught.value).encode()


def test_the_longest_name_makes_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = lastbit.sharpness(made(name="语" * 200), quiet=True)
    assert study.path.is_dir()


@pytest.mark.parametrize("name", ["epochs", "batch-size", "seeds", "perturbations", "lr", "width"])
def test_true_is_no_number_in_a_study_file(tmp_path, capsys, name):
    (tmp_path / "study.toml").write_text(f"{name} = true\n")
    assert main(["audit", str(tmp_path / "study.toml"), "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert f"--{name} must be a " in told
    assert "number, got True" in told


@pytest.mark.parametrize(
    "flags", [("--width", f"{10**18}"), ("--depth", f"{10**9}"), ("--epochs", f"{10**30}"), ("--batch-size", "9" * 30)]
)
def test_absurd_sizes_are_refused(tmp_path, capsys, flags):
    assert main(["audit", "--model", "mlp", *flags, "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
