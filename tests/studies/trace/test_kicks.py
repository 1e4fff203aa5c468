"""Twins kicked by every size: a network whose growth is smooth, one whose units switch, and what cannot be kicked."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import lastbit as lb
from lastbit.core.errors import LastbitError
from lastbit.dynamics.mechanism import SIZES
from lastbit.tasks import Task
from lastbit.tasks.metric import MSE


def chaotic(steps=60, lr=0.95):
    """`(v w - 1)²` by gradient descent from `v = w`: the map `w -> (1 + 2 lr) w - 2 lr w³`, chaotic at this rate."""
    one = torch.ones(1, 1)

    def product():
        model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
        with torch.no_grad():
            for weight in model.parameters():
                weight.fill_(0.4)
        return model

    return Task(
        name="product",
        model=product,
        train=(one, one),
        test=(one, one),
        loss=nn.functional.mse_loss,
        metric=MSE,
        batch_size=1,
        epochs=steps,
        optimizer=lambda params: torch.optim.SGD(params, lr=lr),
    )


def kicked(task, out, **settings):
    given = {"mechanism": True, "dtype": "float64", "quiet": True, "workers": 1, **settings}
    return lb.trace(task, out=out, **given)


@pytest.fixture(scope="module")
def smooth(tmp_path_factory):
    return kicked(chaotic(), tmp_path_factory.mktemp("kicks") / "smooth")


def test_a_linear_network_beyond_its_limit_grows_linearly(smooth):
    found = smooth.result.mechanism
    assert (found.kind, found.seeds) == ("linear", 3), found
    assert found.control
    assert found.linear_share.estimate > 0.9


def test_kicks_are_of_their_size_and_what_is_not_kicked_stays_equal(smooth):
    data = smooth.to_xarray()
    assert dict(data["kick_relative"].sizes) == {"kick_seed": 3, "kick_size": 12, "kick_step": data.sizes["kick_step"]}
    first = data["kick_relative"].isel(kick_step=0).values
    np.testing.assert_allclose(first, np.broadcast_to(SIZES, (3, 12)), rtol=0.02)
    assert data["kick_seed"].values.tolist() == [0, 1, 2]
    with smooth._folder() as folder:
        assert not folder.arrays(smooth.result.name)["kick_repeat"].any()


def test_the_growth_of_a_kick_is_the_product_of_the_jacobians(smooth):
    """Oracle: `J = I - 2 lr [[w², 2vw - 1], [2vw - 1, v²]]` along the base, on the direction that was kicked."""
    data, steps, lr = smooth.to_xarray(), 12, 0.95
    gains = (data["kick_relative"].isel(kick_step=steps) / data["kick_size"]).values[:, 3:6]
    lengths = data["kick_l2"].isel(kick_size=4, kick_step=0).values
    v = w = start = float(np.float32(0.4))  # drawn in float32, as every network is
    product = np.eye(2)
    for _ in range(steps):
        off = 2 * v * w - 1
        product = (np.eye(2) - 2 * lr * np.array([[w * w, off], [off, v * v]])) @ product
        v, w = v - 2 * lr * (v * w - 1) * w, w - 2 * lr * (v * w - 1) * v
    for gain, (along_v, along_w) in zip(gains, lengths, strict=True):
        grown = [np.linalg.norm(product @ [along_v, sign * along_w]) / np.hypot(along_v, along_w) for sign in (1, -1)]
        expected = np.array(grown) * np.hypot(start, start) / np.hypot(v, w)
        assert min(abs(np.log(gain[1] / expected))) < 1e-3
        np.testing.assert_allclose(gain, gain[1], rtol=1e-2)


def test_the_page_says_why_with_its_picture(smooth, tmp_path):
    told = smooth.summary()
    assert "Mechanism: linear: growth does not depend on the size of a kick" in told
    assert "kicks" in smooth.figures
    assert "Why it grows" in smooth.report(tmp_path / "page.html").read_text("utf-8")


def test_without_the_word_nothing_is_kicked(tmp_path):
    found = lb.trace(chaotic(steps=5), quiet=True, out=tmp_path / "s", workers=1).result
    assert found.mechanism is None


def test_a_function_cannot_be_kicked(tmp_path):
    with pytest.raises(LastbitError, match="--mechanism belongs to tasks"):
        lb.trace(lambda seed: {"a": 1.0}, mechanism=True, quiet=True, out=tmp_path / "s")


def test_a_tangent_grows_as_the_smallest_kicks_do_and_the_rate_stands_beside_its_limit(tmp_path):
    """Oracles: the tangent, which no kick is; `lr λ / 2` of the larger eigenvalue of the Hessian on the orbit."""
    study = kicked(chaotic(), tmp_path / "s", tangent=True)
    found, data = study.result.mechanism, study.to_xarray()
    assert found.rate.estimate == pytest.approx(found.tangent_rate.estimate, abs=0.05)
    grown = np.log(data["kick_relative"].isel(kick_size=2) / SIZES[2])
    # Other directions at the start, so that the two differ by a constant of order one.
    np.testing.assert_allclose(grown[:, 5:20], data["kick_tangent"][:, 5:20], atol=2.0)
    weight, ratios = float(np.float32(0.4)), {}
    for step in range(1, 26):  # beyond, the orbit has forgotten in which order its products were rounded
        weight = (1 + 2 * 0.95) * weight - 2 * 0.95 * weight**3
        ratios[step] = 0.95 * max(6 * weight**2 - 2, 2 - 2 * weight**2) / 2
    looks = [step for step in data["kick_ratio_step"].values.tolist() if step in ratios]
    assert len(looks) > 2
    for seed in range(3):
        seen = data["kick_ratio"].sel(kick_ratio_step=looks)[seed]
        np.testing.assert_allclose(seen, [ratios[step] for step in looks], rtol=0.06)
    assert 0 < found.above_limit < 1
    assert "Of a tangent along the same runs" in study.summary()


def test_without_a_limit_to_stand_beside_the_ratio_is_not_measured(tmp_path):
    """A step of its own that lowers another loss than it returns has no curvature that would be its limit."""

    def doubled(state, batch):
        inputs, targets = batch
        loss = 2 * nn.functional.mse_loss(state.model(inputs), targets)
        state.optimizer.zero_grad()
        loss.backward()
        state.optimizer.step()
        return loss

    found = kicked(replace(chaotic(steps=6, lr=0.1), step=doubled), tmp_path / "s").result.mechanism
    assert found.above_limit is None
    assert "curvature has no meaning" in found.ratio.note


@pytest.mark.slow
@pytest.mark.thorough
def test_units_switch_with_relu_and_growth_is_linear_with_swish(tmp_path):
    settings = {"twins": 3, "threads": 1, "epochs": 6}
    relu = kicked("digits", tmp_path / "relu", **settings).result.mechanism
    alone = {**settings, "twins": 1}
    swish = kicked("digits", tmp_path / "swish", activation="swish", **alone).result.mechanism
    assert relu.linear_share.high < 0.5, relu
    assert relu.switched == 3
    assert relu.above_limit == 0, "the step is far from its limit: it is not that which amplifies"
    assert relu.threshold.estimate < 1e-4
    assert all(one.last for one in relu.switches)
    assert swish.switched == 0, swish
