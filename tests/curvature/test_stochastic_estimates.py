"""Trace, spectral density and batch sharpness against exact values, and the coverage of their intervals."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lastbit.core.errors import LastbitError
from lastbit.curvature import DenseOperator, HessianOperator, batch_sharpness, spectral_density, trace
from lastbit.curvature.batches import NotFiniteError
from lastbit.curvature.stochastic import sample_until
from lastbit.stats import mean_estimate

FLOAT = torch.float64


def operator_with(spectrum, seed=0):
    generator = torch.Generator().manual_seed(seed)
    basis, _ = torch.linalg.qr(torch.randn(len(spectrum), len(spectrum), dtype=FLOAT, generator=generator))
    matrix = basis @ torch.diag(torch.as_tensor(spectrum, dtype=FLOAT)) @ basis.mT
    return DenseOperator((matrix + matrix.mT) / 2)


def half_width(estimate):
    return (estimate.high - estimate.low) / 2


SPECTRUM = np.concatenate([[40.0, 25.0, 10.0, -4.0], np.random.default_rng(0).normal(0.2, 0.4, 200)])


@pytest.mark.parametrize("sketch", [pytest.param(0, marks=pytest.mark.slow), 8])
def test_the_interval_of_the_trace_covers_it(sketch):
    operator = operator_with(SPECTRUM)
    found = [trace(operator, rtol=0.1, sketch=sketch, seed=seed) for seed in range(50)]
    covered = np.mean([estimate.low <= SPECTRUM.sum() <= estimate.high for estimate in found])
    # 50 intervals of nominal 95%: fewer than 42 that cover has a chance of 2e-3.
    assert covered >= 0.84
    assert all(half_width(e) <= 0.1 * abs(e.estimate) for e in found if not e.note)
    assert any(not e.note for e in found)


def test_the_sketch_takes_the_outliers_out():
    operator = operator_with(SPECTRUM)
    plain = trace(operator, sketch=0, rtol=1e-9, max_samples=24)
    sketched = trace(operator, sketch=8, rtol=1e-9, max_samples=24)
    assert plain.note == "wider than wanted after 24 samples"
    assert half_width(sketched) < 0.7 * half_width(plain)


def test_the_trace_of_a_small_operator_is_exact():
    estimate = trace(operator_with([3.0, -1.0, 4.0]), sketch=5)
    assert estimate.estimate == pytest.approx(6.0)
    assert half_width(estimate) == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_trace_of_a_network_in_half_precision(dtype):
    operator = DenseOperator(torch.diag(torch.arange(1.0, 21.0)).to(dtype))
    # Three digits are what the products and the basis of the sketch hold.
    assert trace(operator, sketch=4).estimate == pytest.approx(210.0, rel=0.05)


def test_moments_of_the_density_are_those_of_the_spectrum():
    operator = operator_with(SPECTRUM)
    found = spectral_density(operator, steps=30, probes=60)
    assert found.products == operator.products == 30 * 60
    np.testing.assert_allclose(found.weights.sum(axis=1), 1, rtol=1e-12)
    for order in (1, 2):
        # The spread over probes of signs is what the mean may miss by, four standard errors here.
        per_probe = (found.weights * found.nodes**order).sum(axis=1)
        error = 4 * per_probe.std(ddof=1) / np.sqrt(60)
        assert abs(per_probe.mean() - np.mean(SPECTRUM**order)) < error
    # The ends of the spectrum are nodes: the quadrature finds the outliers themselves.
    np.testing.assert_allclose(found.nodes.max(axis=1), SPECTRUM.max(), rtol=1e-6)
    np.testing.assert_allclose(found.nodes.min(axis=1), SPECTRUM.min(), rtol=1e-6)


def test_each_probe_integrates_polynomials_exactly():
    operator = operator_with(SPECTRUM)
    found = spectral_density(operator, steps=4, probes=1, seed=3)
    more = spectral_density(operator, steps=60, probes=1, seed=3)
    for order in range(8):
        few, many = ((each.weights * each.nodes**order).sum() for each in (found, more))
        assert few == pytest.approx(many, rel=1e-9)


def test_the_density_is_that_of_the_dense_decomposition():
    operator = operator_with(SPECTRUM)
    found = spectral_density(operator, steps=60, probes=40)
    at, width = np.linspace(SPECTRUM.min() - 4, SPECTRUM.max() + 4, 512), 0.8

    def kernel(eigenvalues):
        return np.exp(-0.5 * ((at[:, None, None] - eigenvalues) / width) ** 2) / (width * np.sqrt(2 * np.pi))

    per_probe = (kernel(found.nodes) * found.weights).sum(axis=2)
    density, error = per_probe.mean(axis=1), 2 * per_probe.std(axis=1, ddof=1) / np.sqrt(40)
    exact = kernel(SPECTRUM[None]).mean(axis=(1, 2))
    assert np.trapezoid(density, at) == pytest.approx(1, abs=2e-3)
    assert np.mean(np.abs(density - exact) <= error + 1e-9) > 0.85
    assert np.abs(density - exact).max() < 0.08 * exact.max()
    assert found.share_below(-2.0) == pytest.approx(1 / len(SPECTRUM), rel=0.6)


@pytest.mark.parametrize("spectrum", [[0.0, 0.0, 0.0], [2.0, 2.0], [5.0]])
def test_an_invariant_subspace_ends_the_run_early(spectrum):
    found = spectral_density(operator_with(spectrum), steps=10, probes=3)
    np.testing.assert_allclose(found.nodes, spectrum[0], atol=1e-12)
    np.testing.assert_allclose(found.weights.sum(axis=1), 1)


def mini_batches(seed, count=None):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(200, 4, dtype=FLOAT, generator=generator)
    targets = torch.randint(0, 3, (200,), generator=generator)
    draws = (torch.randint(0, 200, (16,), generator=generator) for _ in itertools.count())
    pairs = ((inputs[i], targets[i]) for i in draws)
    return pairs if count is None else itertools.islice(pairs, count)


def small_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).to(FLOAT)


def test_batch_sharpness_is_the_rayleigh_quotient_of_each_batch():
    model = small_network()
    found = batch_sharpness(model, F.cross_entropy, mini_batches(1, 6), rtol=1e-9)
    assert (found.n, found.note) == (6, "wider than wanted after 6 samples")
    samples = []
    for batch in mini_batches(1, 6):
        operator = HessianOperator(model, F.cross_entropy, batch)
        gradient = operator.loss_and_gradient()[1]
        expected = gradient @ operator.dense() @ gradient / gradient.dot(gradient)
        samples.append(batch_sharpness(model, F.cross_entropy, [batch]).estimate)
        assert samples[-1] == pytest.approx(float(expected), rel=1e-10)
    assert found.estimate == pytest.approx(np.mean(samples))


def test_batch_sharpness_stops_when_its_interval_is_narrow():
    found = batch_sharpness(small_network(), F.cross_entropy, mini_batches(2), rtol=0.1)
    assert not found.note
    assert found.n >= 10
    assert half_width(found) <= 0.1 * abs(found.estimate)


DRAWS = {
    "normal": (lambda rng: rng.normal(1, 0.3, 4000), 1.0),
    "log-normal": (lambda rng: rng.lognormal(0, 0.5, 4000), np.exp(0.125)),
    "exponential": (lambda rng: rng.exponential(1, 4000), 1.0),
}


@pytest.mark.parametrize("name", DRAWS)
def test_the_stop_rule_keeps_its_coverage(name):
    draw, mean = DRAWS[name]
    rng = np.random.default_rng(4)
    hits = []
    for _ in range(60):
        found = sample_until(draw(rng).tolist(), 0.2)
        hits.append(found.low <= mean <= found.high)
        assert not found.note
    # True coverage is 0.91 or more; fewer than 48 of 60 would then have a chance of 0.4%.
    assert np.sum(hits) >= 48


def test_bad_settings_are_one_clear_line():
    operator = operator_with([1.0, 2.0, 3.0])
    model = small_network()
    cases = [
        (lambda: trace(operator, sketch=-1), "sketch = -1"),
        (lambda: trace(operator, sketch=0, rtol=0.0), "rtol = 0.0"),
        (lambda: trace(operator, sketch=0, confidence=1.0), "confidence = 1.0"),
        (lambda: spectral_density(operator, steps=0), "steps = 0"),
        (lambda: batch_sharpness(model, F.cross_entropy, []), "no sample"),
        (lambda: batch_sharpness(model, lambda z, y: 0 * z.sum(), mini_batches(0)), "gradient of batch 0 is zero"),
        (lambda: sample_until([], 0.1), "no sample"),
        (lambda: sample_until([1.0], 0.1, minimum=1), "minimum = 1"),
    ]
    for call, message in cases:
        with pytest.raises(LastbitError, match=message):
            call()


@pytest.mark.parametrize("confidence", [0.5, 0.95])
def test_the_interval_of_a_mean_is_that_of_independent_runs(confidence):
    samples = [1.0, 2.5, -0.5, 4.0]
    found, of_runs = sample_until(samples, 1e-9, confidence), mean_estimate(samples, level=confidence)
    # The jackknife of a mean is Student's interval, by another order of sums.
    assert (found.estimate, found.low, found.high) == pytest.approx((of_runs.estimate, of_runs.low, of_runs.high))
    assert (found.n, found.note) == (4, "wider than wanted after 4 samples")


def test_drawing_stops_at_the_first_look_that_is_narrow_enough():
    found = sample_until(itertools.repeat(3.0), 0.1, minimum=5)
    assert (found.low, found.high, found.n, found.note) == (3.0, 3.0, 5, "")
    single = sample_until([3.0], 0.1)
    assert single.low is single.high is None
    assert single.note == "1 sample(s) without a finite spread: no interval"


def test_a_spread_beyond_every_number_has_no_interval():
    with np.errstate(over="ignore"):
        found = sample_until([1e200, -1e200, 1e199], 0.1, minimum=2)
    assert (found.low, found.high) == (None, None)
    with pytest.raises(NotFiniteError, match="diverged"), np.errstate(over="ignore"):
        sample_until([1.7e308, 1.7e308], 0.1, minimum=2)
