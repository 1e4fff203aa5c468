"""The room as a whole on real training: twins of a small CNN on the handwritten digits, in lock step."""

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from lastbit.dynamics.divergence import measure_divergence
from lastbit.dynamics.episodes import growth_episodes
from lastbit.dynamics.localise import first_difference, participation_ratio
from lastbit.dynamics.sketch import CountSketch, sketch_differs, sketch_distance
from lastbit.dynamics.sketch_interval import distance_interval
from lastbit.dynamics.tangent import Tangent, hessian_product, step_tangent
from lastbit.dynamics.verdict import judge


def digits(dtype):
    images, labels = load_digits(return_X_y=True)
    return torch.tensor(images[:1000] / 16, dtype=dtype).view(-1, 1, 8, 8), torch.tensor(labels[:1000])


def network(dtype, norm):
    torch.manual_seed(0)
    layers = []
    for narrow, wide in ((1, 8), (8, 8), (8, 8)):
        layers += [nn.Conv2d(narrow, wide, 3, padding=1), *([nn.BatchNorm2d(wide)] if norm else []), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 10)).to(dtype)


class Rescaled:
    """Nesterov's method written out, its update taken as `(kη)(d/k)`."""

    def __init__(self, model, k, decay):
        self.parameters, self.k, self.decay = list(model.parameters()), k, decay
        self.buffers = [torch.zeros_like(p) for p in self.parameters]

    @torch.no_grad()
    def step(self, gradients, lr):
        for p, buffer, g in zip(self.parameters, self.buffers, gradients, strict=True):
            d = g + self.decay * p
            buffer.mul_(0.9).add_(d)
            p.sub_((self.k * lr) * ((d + 0.9 * buffer) / self.k))


def train_twins(dtype, lr, decay, norm, epochs, ks=(1, 1, 3)):
    """Train base, exact repeat and one k = 3 twin; return the divergences and the sketch's ratios."""
    images, labels = digits(dtype)
    models = [network(dtype, norm) for _ in ks]
    methods = [Rescaled(model, k, decay) for model, k in zip(models, ks, strict=True)]
    states = [dict(model.named_parameters()) for model in models]
    plan, ratios = CountSketch(states[0], seed=1), []
    history = [measure_divergence(states[0], states[1:])]
    order, step = torch.Generator().manual_seed(1), 0
    for _ in range(epochs):
        for batch in torch.randperm(1000, generator=order).split(32)[:31]:
            for model, method in zip(models, methods, strict=True):
                loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
                method.step(torch.autograd.grad(loss, method.parameters), lr * (1 - step / (31 * epochs)))
            step += 1
            found = measure_divergence(states[0], states[1:])
            history.append(found)
            base, repeat, twin = (plan(state) for state in states)
            assert not sketch_differs(base, repeat).any()
            assert torch.equal(sketch_differs(base, twin), found.differing[1] > 0)
            exact = found.l2[1]
            ratios.append(torch.where(exact > 0, sketch_distance(base, twin) / exact, torch.nan).tolist())
    return history, np.array(ratios)


@pytest.mark.slow
def test_a_network_past_its_stable_step_is_restrained_and_its_sketches_agree():
    history, ratios = train_twins(torch.float32, lr=0.3, decay=5e-3, norm=True, epochs=12)
    wholes = [row.whole() for row in history]
    assert not any(row.max_ulp[0].any() for row in wholes)
    steps, distance = np.arange(len(wholes)), [float(row.l2[1]) for row in wholes]
    found = judge(steps, distance, [float(row.norm) for row in wholes])
    assert found.verdict == "restrained"
    assert found.decades > 5
    assert found.growth_rate_interval[0] > 0
    assert float(wholes[-1].mean_relative_l1[1]) > 0.1
    episodes = growth_episodes(steps, distance)
    assert episodes.share > 0.9
    assert episodes.share_of_steps < 0.7
    by_tensor = torch.stack([row.l2[1] for row in history])
    assert first_difference(steps, by_tensor, range(by_tensor.shape[1])).step == 1
    assert 1 <= float(participation_ratio(by_tensor[-1].square())) < 14
    # Sketched against exact distances, tensor by tensor. Steps share one hash, so these are 14 draws, not thousands:
    # the mean ratio of each must lie in a 99.9% interval.
    low, high = distance_interval(64, 0.999)
    mean = np.nanmean(ratios, axis=0)
    assert np.all((mean > 1 / high) & (mean < 1 / low))


@pytest.mark.slow
def test_a_calm_network_is_stable():
    history, _ = train_twins(torch.float32, lr=0.002, decay=5e-4, norm=False, epochs=8)
    wholes = [row.whole() for row in history]
    found = judge(np.arange(len(wholes)), [float(row.l2[1]) for row in wholes], [float(row.norm) for row in wholes])
    assert found.verdict == "stable"
    assert max(int(row.max_ulp[1]) for row in wholes) > 0


@pytest.mark.slow
def test_a_last_bit_twin_grows_as_the_tangent_that_its_difference_is():
    """A k = 3 twin in float64: once the twins are far beyond the rounding that every step adds, both grow alike."""
    images, labels = digits(torch.float64)
    base, twin = network(torch.float64, True), network(torch.float64, True)
    optimizer = torch.optim.SGD(base.parameters(), lr=0.3, momentum=0.9, nesterov=True, weight_decay=5e-3)
    rescaled = Rescaled(twin, 3, 5e-3)
    weights, others = dict(base.named_parameters()), dict(twin.named_parameters())
    tangent, growths, distances = None, [], []
    order = torch.Generator().manual_seed(1)
    while len(growths) < 20:
        batch = torch.randint(1000, (32,), generator=order)
        pair = images[batch], labels[batch]
        optimizer.zero_grad()
        nn.functional.cross_entropy(base(pair[0]), pair[1]).backward()
        if tangent is not None:
            product = hessian_product(base, nn.functional.cross_entropy, pair)
            tangent, growth = step_tangent(tangent, weights, optimizer, product)
            growths.append(growth.log_growth)
        optimizer.step()
        loss = nn.functional.cross_entropy(twin(pair[0]), pair[1])
        rescaled.step(torch.autograd.grad(loss, rescaled.parameters), 0.3)
        whole = measure_divergence(weights, [others]).whole()
        if tangent is None and float(whole.relative_l2) > 1e-13:
            tangent = tangent_of(optimizer, weights, rescaled)
        if tangent is not None:
            distances.append(float(whole.l2))
    twins = np.log(distances[1:]) - math.log(distances[0])
    # A thousandth of the difference is rounding anew in each step, and little of that adds up.
    np.testing.assert_allclose(np.cumsum(growths), twins, atol=0.02)
    assert np.abs(twins).max() > 0.2


@torch.no_grad()
def tangent_of(optimizer, weights, rescaled):
    """The difference of a twin from its base, weights and momentum, as a tangent."""
    apart = [other - own for own, other in zip(weights.values(), rescaled.parameters, strict=True)]
    norm = math.sqrt(sum(float(x.square().sum()) for x in apart))
    buffers = [
        (buffer - optimizer.state[own]["momentum_buffer"]) / norm
        for own, buffer in zip(weights.values(), rescaled.buffers, strict=True)
    ]
    return Tangent(tuple(weights), tuple(x / norm for x in apart), tuple((buffer,) for buffer in buffers))
