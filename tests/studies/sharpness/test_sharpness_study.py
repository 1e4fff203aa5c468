"""One measurement: against a dense Hessian, from checkpoints of every form, refused where they do not fit."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import nn

from lastbit import MSE, Task, open_study, sharpness
from lastbit.core.errors import LastbitError
from lastbit.report.formatting import number
from lastbit.studies.sharpness.checkpoint import load_checkpoint
from lastbit.studies.sharpness.result import SharpnessStudy

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(30, 4, generator=GENERATOR)
Y = torch.randint(0, 3, (30,), generator=GENERATOR)


def network():
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))


def toy(**more):
    settings = {
        "name": "toy",
        "model": network,
        "train": (X, Y),
        "test": (X, Y),
        "epochs": 20,
        "batch_size": 30,
        "optimizer": lambda p: torch.optim.SGD(p, lr=0.5),
    }
    return Task(**{**settings, **more})


def dense(model):
    """The Hessian of the loss as a matrix, by a second route: autograd over the flat parameters, row by row."""
    params = {name: p.detach().double() for name, p in model.named_parameters()}
    shapes = {name: p.shape for name, p in params.items()}

    def loss(flat):
        parts = torch.split(flat, [p.numel() for p in params.values()])
        named = {name: part.view(shapes[name]) for name, part in zip(params, parts, strict=True)}
        return nn.functional.cross_entropy(torch.func.functional_call(model, named, (X.double(),)), Y)

    flat = torch.cat([p.reshape(-1) for p in params.values()])
    return torch.autograd.functional.hessian(loss, flat)


@pytest.fixture
def weights():
    torch.manual_seed(7)
    return network()


def test_the_numbers_are_those_of_the_dense_hessian(tmp_path, weights):
    torch.save(weights.state_dict(), tmp_path / "w.pt")
    found = sharpness(toy(), checkpoint=tmp_path / "w.pt", out=tmp_path / "s", dtype="float64")
    matrix = dense(weights)
    values = torch.linalg.eigvalsh(matrix)
    whole = found.result.whole
    assert whole.sharpness == pytest.approx(float(values[-1]), rel=1e-2)
    assert whole.limit == pytest.approx(4.0)
    assert whole.max_lr == pytest.approx(2 / float(values[-1]), rel=1e-2)
    first = torch.linalg.eigvalsh(matrix[:25, :25])
    assert found.result.per_layer[0].sharpness == pytest.approx(float(first[-1]), rel=1e-2)
    estimate = found.result.trace
    assert estimate.low <= float(matrix.trace()) <= estimate.high
    assert found.arrays["spectrum_nodes"].max() == pytest.approx(float(values[-1]), rel=1e-3)


@pytest.mark.parametrize(
    "form", ["plain.pt", "model.pt", "state_dict.pt", "w.safetensors", "wrapped.pt", "lightning.pt"]
)
def test_every_form_of_a_checkpoint_gives_the_same(tmp_path, weights, form):
    state = weights.state_dict()
    path = tmp_path / form
    if form.endswith("safetensors"):
        save_file(state, path)
    else:
        held = {
            "model.pt": {"model": state},
            "state_dict.pt": {"state_dict": state, "epoch": 3},
            "wrapped.pt": {f"_orig_mod.module.{k}": v for k, v in state.items()},
            "lightning.pt": {"state_dict": {f"model.{k}": v for k, v in state.items()}, "epoch": 3},
        }
        torch.save(held.get(form, state), path)
    found = sharpness(toy(), checkpoint=path, out=tmp_path / "s")
    assert found.result.whole.sharpness == pytest.approx(float(torch.linalg.eigvalsh(dense(weights))[-1]), rel=0.01)


def test_adam_is_measured_in_its_own_coordinates_from_the_state_in_the_checkpoint(tmp_path, weights):
    optimizer = torch.optim.Adam(weights.parameters(), lr=0.01)
    for _ in range(5):
        optimizer.zero_grad()
        nn.functional.cross_entropy(weights(X), Y).backward()
        optimizer.step()
    torch.save({"model": weights.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "w.pt")
    task = toy(optimizer=lambda p: torch.optim.Adam(p, lr=0.5))
    with pytest.raises(LastbitError, match="Adam has taken no step yet"):
        sharpness(task, out=tmp_path / "none")
    assert not (tmp_path / "none").exists()
    found = sharpness(task, checkpoint=tmp_path / "w.pt", out=tmp_path / "s")
    second = torch.cat([optimizer.state[p]["exp_avg_sq"].reshape(-1) for p in weights.parameters()]).double()
    scale = ((second / (1 - 0.999**5)).sqrt() + 1e-8) ** -0.5
    values = torch.linalg.eigvalsh(scale[:, None] * dense(weights) * scale)
    assert found.result.whole.sharpness == pytest.approx(float(values[-1]), rel=1e-2)
    assert found.result.whole.lr == pytest.approx(0.01)


def test_steps_before_measuring_are_those_of_the_training(tmp_path):
    from lastbit.perturb.base import Identity
    from lastbit.train.random_streams import streams
    from lastbit.train.training import Training

    found = sharpness(toy(), after=12, out=tmp_path / "s")
    training = Training(toy(), streams(0), Identity(), device=torch.device("cpu"), dtype=torch.float32)
    with training.active():
        for _ in range(12):
            training.step()
    assert found.result.whole.sharpness == pytest.approx(
        float(torch.linalg.eigvalsh(dense(training.model))[-1]), rel=1e-2
    )


def test_the_verdict_says_whether_the_step_is_stable(tmp_path):
    calm = sharpness(toy(), out=tmp_path / "a")
    assert calm.result.verdict_kind == "stable"
    assert calm.verdict.startswith("within the stable step")
    wild = sharpness(toy(optimizer=lambda p: torch.optim.SGD(p, lr=50.0)), out=tmp_path / "b")
    assert wild.result.verdict_kind == "past_limit"
    assert f"the largest stable learning rate is {number(wild.result.whole.max_lr)}" in wild.verdict
    text = wild.summary()
    assert "the whole network" in text
    assert "eigenvalues (bars" in text
    assert isinstance(open_study(tmp_path / "b"), SharpnessStudy)


def broken(tmp_path, what):
    path = tmp_path / "w.pt"
    state = network().state_dict()
    if what == "missing":
        return tmp_path / "nope.pt"
    if what == "garbage":
        path.write_bytes(b"not a checkpoint")
    elif what == "code":
        torch.save({"model": network()}, path)
    elif what == "list":
        torch.save([1, 2], path)
    elif what == "shape":
        torch.save(state | {"0.weight": torch.zeros(9, 4)}, path)
    elif what == "names":
        torch.save({f"other.{k}": v for k, v in state.items()}, path)
    elif what == "optimizer":
        torch.save({"model": state, "optimizer": {"state": {}, "param_groups": []}}, path)
    elif what == "other optimizer":
        adam = torch.optim.Adam(network().parameters())
        torch.save({"model": state, "optimizer": adam.state_dict()}, path)
    elif what == "quantised":
        torch.save({k: v.to(torch.int8) for k, v in state.items()}, path)
    elif what == "cut off":
        torch.save(state, path)
        path.write_bytes(path.read_bytes()[:500])
    elif what == "nan":
        torch.save(state | {"0.weight": torch.full((5, 4), np.nan)}, path)
    return path


SAID = {
    "missing": "there is no checkpoint",
    "garbage": "cannot be read as a checkpoint",
    "code": "holds more than tensors and plain containers, and no code is run",
    "list": "holds a list, not weights by name",
    "shape": "0.weight is (9, 4) there and (5, 4) here",
    "names": "does not fit the network: it lacks '0.weight'",
    "optimizer": "does not fit SGD",
    "other optimizer": "does not fit SGD: it has no 'momentum'",
    "quantised": "0.weight is torch.int8 there",
    "cut off": "cannot be read as a checkpoint (",
    "nan": "holds 20 NaN or infinite weights",
}


@pytest.mark.parametrize("what", SAID)
def test_a_checkpoint_that_does_not_do_gets_one_line(tmp_path, what):
    with pytest.raises(LastbitError) as caught:
        sharpness(toy(), checkpoint=broken(tmp_path, what), out=tmp_path / "s")
    assert SAID[what] in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "s").exists()


class Twins(nn.Module):
    """Tied weights, under names that wrappers use too."""

    def __init__(self):
        super().__init__()
        self.module, self.model = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
        self.model.weight = self.module.weight


def test_tied_weights_need_one_name_and_a_network_may_use_a_wrappers_names(tmp_path):
    saved, model = Twins(), Twins()
    save_model(saved, str(tmp_path / "w.safetensors"))
    load_checkpoint(tmp_path / "w.safetensors", model, torch.optim.SGD(model.parameters(), lr=0.1))
    assert torch.equal(model.model.weight, saved.module.weight)
    assert model.model.weight is model.module.weight


def test_other_mistakes(tmp_path):
    with pytest.raises(LastbitError, match="--by must be 'module', 'tensor' or 'group', got 'layers'"):
        sharpness(toy(), by="layers")
    with pytest.raises(LastbitError, match="--after = 21: the training has 20 steps"):
        sharpness(toy(), after=21, out=tmp_path / "s")
    with pytest.raises(LastbitError, match=r"--lr must be a number, got 0.1 0.2"):
        sharpness("digits", lr=(0.1, 0.2))


def test_weight_decay_leaves_ratio_sharpness_and_limit_one_statement(tmp_path):
    found = sharpness(toy(optimizer=lambda p: torch.optim.SGD(p, lr=0.5, weight_decay=0.8)), out=tmp_path / "s").result
    whole = found.whole
    assert whole.limit == pytest.approx(2 / 0.5 - 0.8)
    assert whole.ratio == pytest.approx((whole.sharpness + 0.8) * 0.5 / 2, rel=1e-6)
    assert whole.ratio == pytest.approx(whole.lr / whole.max_lr, rel=1e-6)
    assert f"the learning rate {number(whole.ratio, 3)} times the largest stable one (limit" in found.verdict


@pytest.mark.parametrize("probe_size", [10, 30])
def test_a_loss_that_sums_is_measured_on_a_batch_of_the_training(tmp_path, probe_size):
    task = toy(
        model=lambda: nn.Linear(4, 1, bias=False),
        train=(X, X[:, :1]),
        test=(X, X[:, :1]),
        loss=nn.MSELoss(reduction="sum"),
        metric=MSE,
        optimizer=lambda p: torch.optim.SGD(p, lr=1e-3),
    )
    found = sharpness(task, probe_size=probe_size, out=tmp_path / "s").result.whole
    assert found.sharpness == pytest.approx(float(torch.linalg.eigvalsh(2 * X.mT @ X)[-1]), rel=1e-3)
