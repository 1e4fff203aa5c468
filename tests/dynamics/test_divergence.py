import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lastbit.core.errors import LastbitError
from lastbit.core.ulp import step_ulps
from lastbit.dynamics.divergence import measure_divergence


def slow_measures(a, b):
    """One tensor, element by element in Python floats."""
    a, b = a.double().reshape(-1).tolist(), b.double().reshape(-1).tolist()
    relative = [0.0 if x == y else 2 * abs(x - y) / (abs(x) + abs(y)) for x, y in zip(a, b, strict=True)]
    gap = [y - x for x, y in zip(a, b, strict=True)]
    l2, norm = math.sqrt(math.fsum(g * g for g in gap)), math.sqrt(math.fsum(x * x for x in a))
    dot = math.fsum(g * x for g, x in zip(gap, a, strict=True))
    return {
        "mean_relative_l1": math.fsum(relative) / len(a),
        "l2": l2,
        "relative_l2": 0.0 if l2 == 0 else l2 / norm,
        "share_differing": sum(g != 0 for g in gap) / len(a),
        "cosine": 0.0 if l2 == 0 else dot / (l2 * norm),
    }


def weights(seed, noise=0.0, formats=(torch.float32, torch.float64, torch.bfloat16)):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(4, 3, 3, 3), (4,), (5, 36), (), (7,)]
    found = {}
    for number, shape in enumerate(shapes):
        x = torch.randn(shape, generator=generator)
        x = x + noise * torch.randn(shape, generator=torch.Generator().manual_seed(seed + 1 + number))
        found[f"layer{number}"] = x.to(formats[number % len(formats)])
    return found


@pytest.mark.parametrize("noise", [1e-6, 0.3])
def test_every_measure_against_the_slow_twin(noise):
    base, twins = weights(0), [weights(0), weights(0, noise), weights(0, 2 * noise)]
    found = measure_divergence(base, twins)
    assert found.sizes == tuple(x.numel() for x in base.values())
    for k, twin in enumerate(twins):
        for t, name in enumerate(base):
            for measure, value in slow_measures(base[name], twin[name]).items():
                # Both sums are float64; only their order differs.
                assert float(getattr(found, measure)[k, t]) == pytest.approx(value, rel=1e-12, abs=1e-15), measure
    merged = [torch.cat([x[name].double().reshape(-1) for name in base]) for x in (base, twins[1])]
    for measure, value in slow_measures(*merged).items():
        assert float(getattr(found.whole(), measure)[1, 0]) == pytest.approx(value, rel=1e-12, abs=1e-15), measure


def test_the_exact_repeat_gives_exact_zeros_even_of_a_diverged_run():
    base = weights(0)
    base["layer0"][0, 0, 0] = torch.tensor([math.nan, math.inf, -math.inf])
    base["layer1"].zero_()
    repeat = {name: x.clone() for name, x in base.items()}
    repeat["layer1"].neg_()
    found = measure_divergence(base, [repeat])
    for measure in ("mean_relative_l1", "l2", "relative_l2", "max_ulp", "share_differing", "cosine"):
        assert torch.equal(getattr(found, measure), torch.zeros_like(getattr(found, measure))), measure
        assert float(getattr(found.whole(), measure)) == 0 or measure == "cosine"


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 35), st.integers(1, 1000), st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
def test_ulps_of_one_weight_are_counted(element, ulps, kind):
    base = {"a": torch.ones(3, dtype=kind), "w": torch.randn(36, generator=torch.Generator().manual_seed(4)).to(kind)}
    nudge = torch.zeros(36, dtype=torch.int64)
    nudge[element] = ulps
    twin = {"a": base["a"], "w": step_ulps(base["w"], nudge)}
    found = measure_divergence(base, [twin])
    assert found.max_ulp.tolist() == [[0, ulps]]
    assert found.share_differing.tolist() == [[0.0, 1 / 36]]
    assert float(found.l2[0, 1]) == abs(float(twin["w"][element].double() - base["w"][element].double()))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 100), st.floats(1e-7, 1.0))
def test_relative_l1_is_symmetric_and_at_most_two(seed, noise):
    a, b = weights(seed), weights(seed, noise)
    there, back = measure_divergence(a, [b]), measure_divergence(b, [a])
    assert torch.equal(there.mean_relative_l1, back.mean_relative_l1)
    assert torch.equal(there.l2, back.l2)
    assert float(there.mean_relative_l1.max()) <= 2
    assert float(there.cosine.abs().max()) <= 1 + 1e-12


def test_infinities_and_nans_are_not_hidden():
    base = {"w": torch.tensor([1.0, 2.0]), "v": torch.ones(2)}
    found = measure_divergence(base, [{"w": torch.tensor([math.inf, 2.0]), "v": torch.tensor([math.nan, 1.0])}])
    assert found.mean_relative_l1[0].tolist()[0] == 1.0
    assert math.isnan(float(found.mean_relative_l1[0, 1]))
    assert float(found.l2[0, 0]) == math.inf
    assert found.share_differing.tolist() == [[0.5, 0.5]]


def test_empty_tensors_and_zero_bases():
    found = measure_divergence(
        {"none": torch.zeros(0), "z": torch.zeros(2)}, [{"none": torch.zeros(0), "z": torch.ones(2)}]
    )
    assert found.mean_relative_l1.tolist() == [[0.0, 2.0]]
    assert found.relative_l2.tolist() == [[0.0, math.inf]]
    assert found.cosine.tolist() == [[0.0, 0.0]]


def test_groups_bound_the_memory_without_changing_a_number(monkeypatch):
    base, twins = weights(0), [weights(0, 0.1), weights(0, 0.2)]
    whole = measure_divergence(base, twins)
    monkeypatch.setattr("lastbit.dynamics.divergence.GROUP_ELEMENTS", 50)
    parts = measure_divergence(base, twins)
    for measure in ("mean_relative_l1", "l2", "norm", "dot", "max_ulp", "differing"):
        assert torch.equal(getattr(whole, measure), getattr(parts, measure))


def test_bad_input_is_named():
    base = {"w": torch.ones(3)}
    with pytest.raises(LastbitError, match="no twin"):
        measure_divergence(base, [])
    with pytest.raises(LastbitError, match="no tensors"):
        measure_divergence({}, [{}])
    with pytest.raises(LastbitError, match=r"w is torch\.int64"):
        measure_divergence({"w": torch.ones(3).long()}, [base])
    with pytest.raises(LastbitError, match="twin 1 and the base do not hold the same tensors: check v"):
        measure_divergence(base, [base, {"v": torch.ones(3)}])
    with pytest.raises(LastbitError, match=r"twin 0: w is \(3,\) torch\.float64, the base has \(3,\) torch\.float32"):
        measure_divergence(base, [{"w": torch.ones(3).double()}])
