"""What a trace says of dynamics that are known: quadratic losses, the one-layer CNN flow, renormalised twins."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from lastbit import trace
from lastbit.core.errors import LastbitError
from lastbit.dynamics.rounding import unit_roundoff
from lastbit.studies.trace.growth import largest_jumps
from lastbit.studies.trace.renormalise import FRESH, THRESHOLD, relative_distance, renormalise
from lastbit.tasks import Task
from lastbit.tasks.file_task import load_file_task
from lastbit.tasks.metric import MSE
from lastbit.train.twins import TwinPlan, lock_step

CURVATURES = (2.0, 1.0, 0.7, 0.5)


def quadratic(relative, steps, optimizer=torch.optim.SGD, **options):
    """A linear model with a quadratic loss of known Hessian, full batch, at a multiple of its stable step `2/λ`."""
    generator = torch.Generator().manual_seed(0)
    basis, _ = torch.linalg.qr(torch.randn(8, 4, generator=generator, dtype=torch.float64))
    # The mean squared error over 8 rows has the Hessian 2/8 XᵀX.
    x = basis * (4 * torch.tensor(CURVATURES, dtype=torch.float64)).sqrt()
    y = torch.randn(8, 1, generator=generator, dtype=torch.float64)
    lr = relative * 2 / CURVATURES[0]
    return Task(
        name="quadratic",
        model=lambda: nn.Linear(4, 1, bias=False),
        train=(x.float(), y.float()),
        test=(x.float(), y.float()),
        loss=nn.functional.mse_loss,
        metric=MSE,
        batch_size=8,
        epochs=steps,
        optimizer=lambda params: optimizer(params, lr=lr, **options),
    )


def run(task, tmp_path, **options):
    return trace(task, **{"twins": 1, "quiet": True, "dtype": "float64", "out": tmp_path / "study", **options}).result


@pytest.mark.parametrize("relative", [0.3, 0.9, 1.0, 1.1])
def test_tangent_grows_as_one_minus_eta_lambda(tmp_path, relative):
    result = run(quadratic(relative, 200), tmp_path, tangent=True, every=5)
    lr = relative * 2 / CURVATURES[0]
    expected = max(abs(1 - lr * curvature) for curvature in CURVATURES)
    assert math.exp(result.tangent.rate_second_half) == pytest.approx(expected, rel=0.01)
    assert result.verdict_kind == ("diverging" if relative > 1 else "stable")


def test_twins_grow_as_one_minus_eta_lambda_above_the_stable_step(tmp_path):
    # Rounding is fed in at every step, in proportion to weights that grow alike: d ~ sqrt(t) a^t, whose rate exceeds
    # ln a by 1/(2t). That is below 1% of ln 1.5 from t = 125 on.
    result = run(quadratic(1.25, 300), tmp_path, every=10)
    assert result.verdict_kind == "diverging"
    assert result.growth_rate_per_step == pytest.approx(math.log(1.5), rel=0.01)
    assert result.e_folding_steps == pytest.approx(1 / math.log(1.5), rel=0.01)


@pytest.mark.parametrize(
    ("optimizer", "options"),
    [(torch.optim.SGD, {"momentum": 0.5, "nesterov": True}), (torch.optim.SGD, {"weight_decay": 0.1})],
)
def test_tangent_follows_momentum_and_decay(tmp_path, optimizer, options):
    # At this rate the slowest mode has two real roots: a complex pair would swing about its rate.
    task = quadratic(0.2, 120, optimizer, **options)
    lr, beta, decay = 0.2, options.get("momentum", 0.0), options.get("weight_decay", 0.0)
    radii = []
    for curvature in CURVATURES:
        h = curvature + decay
        # (δw, δb) of Nesterov's step: b' = βb + hδ, δ' = δ - η(hδ + βb'), plain descent for β = 0.
        step = np.array([[1 - lr * h * (1 + beta), -lr * beta * beta], [h, beta]]) if beta else np.array([[1 - lr * h]])
        radii.append(np.abs(np.linalg.eigvals(step)).max())
    result = run(task, tmp_path, tangent=True, every=20)
    assert math.exp(result.tangent.rate_second_half) == pytest.approx(max(radii), rel=0.01)


class OneLayer(nn.Module):
    """The one-layer CNN of the theory: swish, mean pooling, one kernel."""

    def __init__(self):
        super().__init__()
        kernel = np.random.RandomState(7).randn(32, 32)
        self.kernel = nn.Parameter(torch.from_numpy(kernel).view(1, 1, 32, 32))

    def forward(self, image):
        return nn.functional.silu(nn.functional.conv2d(image, self.kernel)).mean(dim=(1, 2, 3))


@pytest.mark.parametrize(
    ("lr", "verdict"), [pytest.param(0.03, "stable", marks=pytest.mark.slow), (0.07, "restrained")]
)
def test_the_one_layer_cnn_flow_is_judged_as_its_theory_says(tmp_path, lr, verdict):
    image = torch.ones(39, 39)
    image[::2, 1::2] = image[1::2, ::2] = -1
    task = Task(
        name="flow",
        model=OneLayer,
        train=(image.view(1, 1, 39, 39), torch.ones(1)),
        metric=MSE,
        batch_size=1,
        epochs=240,
        test=(image.view(1, 1, 39, 39), torch.ones(1)),
        loss=nn.functional.binary_cross_entropy_with_logits,
        optimizer=lambda params: torch.optim.SGD(params, lr=lr, weight_decay=20.0),
    )
    result = run(task, tmp_path, every=2)
    assert result.verdict_kind == verdict
    if verdict == "restrained":
        assert result.decades > 10
        assert 0.01 < result.saturation_level < 10
        assert result.saturation_step < 200
        assert result.episodes[0].start < 50
        # Half of all growth takes a small part of the run: that is what restrained in time means.
        assert result.half_of_growth_in_share_of_steps < 0.25


def test_renormalised_twins_keep_their_direction_and_buffers(task_file):
    task = load_file_task(f"{task_file}:lively")
    with lock_step(task, TwinPlan(twins=1), device=torch.device("cpu"), dtype=torch.float64) as twins:
        twins.advance(5)
        base, _, twin = twins.trainings
        assert renormalise(base, twin) == 0  # still close: left alone
        with torch.no_grad():
            for p in twin.model.parameters():
                p.add_(0.01 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1), dtype=p.dtype))
                twin.optimizer.state[p]["momentum_buffer"].add_(0.02)
        distance = relative_distance(base, twin)
        pairs = list(zip(base.model.parameters(), twin.model.parameters(), strict=True))
        before = [(q - p).detach().clone() for p, q in pairs]
        taken = renormalise(base, twin)
        assert distance > THRESHOLD
        fresh = FRESH * unit_roundoff(torch.float64)
        assert relative_distance(base, twin) == pytest.approx(fresh, rel=1e-2)
        assert taken == pytest.approx(math.log(distance / fresh), rel=1e-12)
        for (p, q), old in zip(pairs, before, strict=True):
            new = (q - p).detach()
            assert float((new * old).sum() / (new.norm() * old.norm())) > 1 - 1e-4
            one, two = (t.optimizer.state[w]["momentum_buffer"] for t, w in ((base, p), (twin, q)))
            assert float((two - one).mean()) == pytest.approx(0.02 * math.exp(-taken), rel=1e-2)


def test_renormalised_twins_measure_the_rate_without_ever_saturating(tmp_path):
    # The base starts in the minimum and stays there exactly; a twin one ulp off leaves it by a factor 1.5 a step.
    def at_minimum():
        model = nn.Linear(4, 1, bias=False)
        nn.init.ones_(model.weight)
        return model

    x, y = 2 * torch.eye(4), torch.full((4, 1), 2.0)
    task = Task(
        name="saddle",
        model=at_minimum,
        train=(x, y),
        test=(x, y),
        loss=nn.functional.mse_loss,
        metric=MSE,
        optimizer=lambda params: torch.optim.SGD(params, lr=1.25),
        batch_size=4,
        epochs=150,
    )
    result = run(task, tmp_path, dtype="float32", renormalise=True, perturb="ulp")
    assert result.verdict_kind == "undecided"
    assert result.renormalised
    assert "--renormalise" in result.reason
    assert result.growth_rate_per_step == pytest.approx(math.log(1.5), rel=0.01)
    assert result.decades > 20


def test_bfloat16_is_too_coarse_to_renormalise(tmp_path):
    with pytest.raises(LastbitError, match="--renormalise with --dtype bfloat16"):
        trace("digits", renormalise=True, dtype="bfloat16", out=tmp_path / "study")


def test_a_jump_is_found_with_the_tensors_that_took_part():
    steps, names = np.arange(8), np.array(["conv", "middle", "head"])
    l2 = np.tile(1e-6 * 1.1 ** steps[:, None], (2, 1, 3))
    l2[1, 5:, :2] *= 500
    l2[:, 0] = 0
    arrays = {
        "step": 3 * steps,
        "tensor": names,
        "l2": l2,
        "all_l2": np.linalg.norm(l2, axis=-1),
        "log_removed": np.zeros((2, 8)),
        "single_rounding": np.array([1e-9]),
    }
    (jump,) = largest_jumps(arrays)
    assert (jump.start, jump.end, jump.tensors, jump.last) == (12, 15, ("conv", "middle"), "middle")
    assert jump.factor == pytest.approx(550 * math.sqrt(2 / 3), rel=1e-3)
    # The same growth, had it only brought the twins up to the rounding of one step, is no jump.
    assert largest_jumps(arrays | {"single_rounding": np.array([1.0])}) == ()


@pytest.mark.slow
def test_twins_and_tangent_grow_alike_while_twins_are_small_on_the_small_cnn(tmp_path):
    # A smooth activation: at the kinks of ReLU twins part by jumps that no derivative sees.
    settings = {"activation": "swish", "lr": 0.6, "weight_decay": 2e-2, "schedule": "constant", "epochs": 8}
    study = trace(
        "digits", dtype="float64", tangent=True, twins=1, every=2, quiet=True, out=tmp_path / "cnn", **settings
    )
    small = study.result.tangent.while_small
    assert small.end - small.start > 100
    assert small.twin_rate > 0.05
    assert small.tangent_rate == pytest.approx(small.twin_rate, rel=0.1)
