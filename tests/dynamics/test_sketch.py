import json
import math
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lastbit.core.errors import LastbitError
from lastbit.core.ulp import step_ulps
from lastbit.dynamics.sketch import CountSketch, Sketch, sketch_differs, sketch_distance, splitmix64
from lastbit.dynamics.sketch_interval import distance_interval

GOLDEN, FIRST, SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def integer_splitmix64(key, count):
    """SplitMix64 in Python integers, from its published description."""
    words, state = [], key
    for _ in range(count):
        state = (state + GOLDEN) % 2**64
        z = state
        z = (z ^ (z >> 30)) * FIRST % 2**64
        z = (z ^ (z >> 27)) * SECOND % 2**64
        words.append(z ^ (z >> 31))
    return words


def signed(number, width):
    """An integer wrapped to `width` bits of two's complement."""
    return (number + 2 ** (width - 1)) % 2**width - 2 ** (width - 1)


def slow_sketch(plan, name, x):
    """The bucket sums and the fingerprint of one tensor in exact arithmetic, element by element."""
    from lastbit.core.seeds import stream_seed

    seed, width, _ = plan.key
    flat = x.reshape(-1) if x.dtype is torch.float64 else x.reshape(-1).float()
    size = 8 * flat.element_size()
    bits = (flat + 0.0).view(torch.int64 if size == 64 else torch.int32).tolist()
    rows = -(-len(flat) // width)
    multipliers = [word | 1 for word in integer_splitmix64(stream_seed(seed, "sketch", name), rows)]
    buckets = [word | 1 for word in integer_splitmix64(stream_seed(seed, "sketch bucket"), width)]
    turns = integer_splitmix64(stream_seed(seed, "sketch rotation", name), rows)
    sums, fingerprint = [Fraction(0)] * width, 0
    for i, value in enumerate(flat.tolist()):
        row, column = divmod(i, width)
        bucket = (column + (((turns[row] >> 32) * width) >> 32)) % width
        word = multipliers[row] * buckets[bucket]
        sums[bucket] += Fraction(value) * (-1 if word >> 31 & 1 else 1)
        own = bits[i] ^ (bits[i] >> 29) if size == 64 else bits[i]
        fingerprint += multipliers[row] * signed(word * own, size)
    return sums, signed(fingerprint, 64)


def weights(seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    shapes = {"conv.weight": (16, 8, 3, 3), "conv.bias": (16,), "head.weight": (10, 130), "one": ()}
    return {name: 0.1 * torch.randn(shape, generator=generator).to(dtype) for name, shape in shapes.items()}


def test_splitmix64_is_the_published_hash():
    # The first outputs of the reference implementation from state 1234567.
    assert integer_splitmix64(1234567, 3) == [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert splitmix64(1234567, 3).tolist() == integer_splitmix64(1234567, 3)
    assert splitmix64(2**64 - 1, 5).tolist() == integer_splitmix64(2**64 - 1, 5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("width", [64, 7])
def test_values_and_residuals_are_the_exact_bucket_sums(dtype, width):
    w = weights(dtype=dtype)
    plan = CountSketch(w, seed=3, width=width)
    sketch = plan(w)
    for row, (name, x) in enumerate(w.items()):
        exact, fingerprint = slow_sketch(plan, name, x)
        pairs = zip(sketch.values[row].tolist(), sketch.residuals[row].tolist(), strict=True)
        assert [Fraction(value) + Fraction(rest) for value, rest in pairs] == exact
        assert int(sketch.fingerprints[row]) == fingerprint


def test_float64_sums_are_within_the_stated_grid():
    w = weights(dtype=torch.float64)
    plan = CountSketch(w, seed=3)
    sketch = plan(w)
    for row, (name, x) in enumerate(w.items()):
        rows = -(-x.numel() // 64)
        allowed = rows * 2.0 ** -(78 - max(1, math.ceil(math.log2(rows))))
        exact, fingerprint = slow_sketch(plan, name, x)
        assert int(sketch.fingerprints[row]) == fingerprint
        pairs = zip(sketch.values[row].tolist(), sketch.residuals[row].tolist(), strict=True)
        errors = [abs(float(Fraction(v) + Fraction(r) - e)) for (v, r), e in zip(pairs, exact, strict=True)]
        assert max(errors) <= allowed


_MILLION = {}


def million(seed):
    if seed not in _MILLION:
        w = 0.05 * torch.randn(1_000_000, generator=torch.Generator().manual_seed(seed))
        plan = CountSketch({"w": w}, seed=seed)
        _MILLION.clear()
        _MILLION[seed] = plan, w, plan({"w": w})
    return _MILLION[seed]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 999_999), st.just(0))
def test_one_ulp_of_one_weight_in_a_million_is_returned_exactly(which, seed):
    plan, w, base = million(seed)
    nudged = w.clone()
    nudged[which] = step_ulps(w[which], 1)
    change = float(nudged[which].double() - w[which].double())
    other = plan({"w": nudged})
    assert sketch_differs(base, other).tolist() == [True]
    if abs(float(w[which])) >= 2.0**-40:
        assert sketch_distance(base, other).tolist() == [change]


def test_a_plain_float64_sum_would_have_lost_that_ulp():
    # What the residuals are for: the same nudge of a small weight, looked at through `values` alone.
    w = 0.05 * torch.randn(1_000_000, generator=torch.Generator().manual_seed(0)) + 1.0
    w[17] = 1e-7
    nudged = w.clone()
    nudged[17] = step_ulps(w[17], 1)
    plan = CountSketch({"w": w})
    a, b = plan({"w": w}), plan({"w": nudged})
    change = float(nudged[17].double() - w[17].double())
    assert float((a.values - b.values).norm()) != change
    assert float(sketch_distance(a, b)) == change > 0


def test_order_threads_and_neighbours_do_not_change_a_bit():
    w = {"big": torch.randn(300_001, generator=torch.Generator().manual_seed(1))}
    plan = CountSketch(w, seed=5)
    first = plan(w)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    second = plan({"big": w["big"].clone()})
    torch.set_num_threads(threads)
    both = CountSketch({"other": torch.ones(70), **w}, seed=5)({"other": torch.ones(70), **w})
    for name in ("values", "residuals", "fingerprints"):
        assert torch.equal(getattr(first, name), getattr(second, name))
        assert torch.equal(getattr(first, name)[0], getattr(both, name)[1])


@pytest.mark.slow
def test_another_process_makes_the_same_sketch():
    code = (
        "import torch, json; from lastbit.dynamics.sketch import CountSketch;"
        "w = {'w': torch.arange(1, 1001).float().sqrt()};"
        "s = CountSketch(w, seed=9)(w);"
        "print(json.dumps([s.values.view(torch.int64).tolist(), s.fingerprints.tolist()]))"
    )
    here = {"w": torch.arange(1, 1001).float().sqrt()}
    sketch = CountSketch(here, seed=9)(here)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == [sketch.values.view(torch.int64).tolist(), sketch.fingerprints.tolist()]


@pytest.mark.parametrize("kind", ["dense", "column", "sparse"])
def test_the_relative_error_is_the_stated_one(kind):
    # 400 seeds of the hash: the mean of the squared estimate and its spread against their closed forms.
    generator = torch.Generator().manual_seed(0)
    difference = torch.zeros(128, 64)
    if kind == "dense":
        difference = torch.randn(128, 64, generator=generator)
    elif kind == "column":
        difference[:, 5] = torch.randn(128, generator=generator)
    else:
        difference[::40, ::30] = 1.0
    exact = float(difference.double().norm())
    zero = {"w": torch.zeros(128, 64)}
    ratio = []
    for seed in range(400):
        plan = CountSketch(zero, seed=seed)
        ratio.append(float(sketch_distance(plan(zero), plan({"w": difference}))) / exact)
    squared = np.square(ratio)
    # Var = 2/width (1 - sum of the fourth powers, and of what shares a block, relative to |x|^4).
    energy = difference.double().square()
    spread = math.sqrt(2 / 64 * float(1 - energy.sum(1).square().sum() / energy.sum().square()))
    assert spread <= math.sqrt(2 / 64)
    assert abs(squared.mean() - 1) < 4 * spread / math.sqrt(400)
    # The spread of a sample variance of near-normal numbers is sqrt(2/399) = 7%; chi-squared tails add a little.
    assert squared.std(ddof=1) == pytest.approx(spread, rel=0.25)
    low, high = distance_interval(64, 0.95)
    covered = np.mean([low * r <= 1 <= high * r for r in ratio])
    assert covered > 0.95 - 4 * math.sqrt(0.05 * 0.95 / 400)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**40), st.floats(-4, 4), st.integers(1, 90))
def test_a_sketch_is_linear_where_numbers_are_exact(seed, scale, width):
    scale = float(torch.tensor(scale).bfloat16())
    x = {"w": torch.arange(-100.0, 100.0)}
    y = {"w": torch.arange(200.0).remainder(7)}
    plan = CountSketch(x, seed=seed, width=width)
    mixed = plan({"w": x["w"] + scale * y["w"]})
    exact = {"w": x["w"].double() + scale * y["w"].double()}
    if torch.equal((x["w"] + scale * y["w"]).double(), exact["w"]):
        a, b = plan(x), plan(y)
        assert torch.allclose(mixed.values, a.values + scale * b.values, rtol=0, atol=1e-9)


def test_two_differences_that_cancel_in_a_bucket_still_show_in_the_fingerprint():
    zero = torch.zeros(64 * 64)
    plan = CountSketch({"w": zero}, width=1)
    up = plan({"w": torch.ones_like(zero)})
    signs = [1 if float(plan({"w": unit(k)}).values) > 0 else -1 for k in range(8)]
    i, j = signs.index(1), signs.index(-1)
    pair = unit(i) + unit(j)
    other = plan({"w": pair})
    assert float(sketch_distance(plan({"w": zero}), other)) == 0
    assert bool(sketch_differs(plan({"w": zero}), other))
    assert bool(sketch_differs(up, other))


def unit(k):
    x = torch.zeros(64 * 64)
    x[k] = 1.0
    return x


def test_equal_weights_have_distance_zero_and_signed_zeros_are_equal():
    w = {"w": torch.tensor([0.0, 1.0, -0.0])}
    same = {"w": torch.tensor([-0.0, 1.0, 0.0])}
    plan = CountSketch(w)
    assert float(sketch_distance(plan(w), plan(same))) == 0
    assert not bool(sketch_differs(plan(w), plan(same)))


def test_non_finite_weights_are_not_hidden():
    w = {"w": torch.ones(100)}
    broken = {"w": torch.ones(100)}
    broken["w"][3] = math.inf
    plan = CountSketch(w)
    assert not math.isfinite(float(sketch_distance(plan(w), plan(broken))))
    assert bool(sketch_differs(plan(w), plan(broken)))


def test_steps_are_a_leading_axis_and_arrays_go_to_disk(tmp_path):
    w, v = weights(0), weights(1)
    plan = CountSketch(w)
    a, b = plan(w), plan(v)
    np.savez(tmp_path / "s.npz", **{name: np.stack([x, b.arrays()[name]]) for name, x in a.arrays().items()})
    with np.load(tmp_path / "s.npz", allow_pickle=False) as file:
        back = Sketch(**{name: torch.from_numpy(file[name]) for name in file.files}, key=a.key)
    distances = sketch_distance(back, a)
    assert distances.shape == (2, 4)
    assert torch.equal(distances[0], torch.zeros(4, dtype=torch.float64))
    assert torch.equal(distances[1], sketch_distance(b, a))
    assert sketch_differs(back, a).tolist() == [[False] * 4, [True] * 4]


def test_mixed_formats_and_the_arguments_are_left_alone():
    w = {"half": torch.ones(5, dtype=torch.bfloat16), "double": torch.full((5,), 1 + 2.0**-50, dtype=torch.float64)}
    before = {name: x.clone() for name, x in w.items()}
    sketch = CountSketch(w)(w)
    assert sketch.values.dtype == torch.float64
    assert all(torch.equal(before[name], w[name]) for name in w)
    assert float((sketch.values[1] + sketch.residuals[1]).abs().max()) == 1 + 2.0**-50


def test_bad_input_is_named():
    w = {"w": torch.ones(5)}
    with pytest.raises(LastbitError, match="nothing to sketch"):
        CountSketch({})
    with pytest.raises(LastbitError, match="width = 0"):
        CountSketch(w, width=0)
    with pytest.raises(LastbitError, match=r"planned for: check \('w', 6\)"):
        CountSketch(w)({"w": torch.ones(6)})
    with pytest.raises(LastbitError, match="their order"):
        CountSketch({"a": torch.ones(1), "b": torch.ones(1)})({"b": torch.ones(1), "a": torch.ones(1)})
    with pytest.raises(LastbitError, match=r"w is torch\.int64"):
        CountSketch({"w": torch.ones(5).long()})
    with pytest.raises(LastbitError, match=r"w is torch\.float64 on cpu, planned for torch\.float32"):
        CountSketch(w)({"w": torch.ones(5).double()})
    with pytest.raises(LastbitError, match="their seed differ"):
        sketch_distance(CountSketch(w, seed=1)(w), CountSketch(w, seed=2)(w))
    with pytest.raises(LastbitError, match="level = 1"):
        distance_interval(64, 1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_gpu_gives_the_same_bits():
    w = {"w": torch.randn(100_000, generator=torch.Generator().manual_seed(0))}
    there = {"w": w["w"].cuda()}
    a, b = CountSketch(w)(w), CountSketch(there)(there)
    for name, array in a.arrays().items():
        assert np.array_equal(array, b.arrays()[name])


@pytest.mark.parametrize("elements", [1, 64, 640])
def test_blocks_of_any_size_give_the_same_bits(elements):
    generator = torch.Generator().manual_seed(3)
    tensors = {
        name: torch.randn(shape, generator=generator) * scale
        for name, shape, scale in [("a", (7, 5), 1.0), ("b", (130, 33), 1e-3), ("c", (1,), 1.0), ("d", (64, 64), 1e3)]
    }
    tensors["b"][3, 4] = -0.0
    tensors |= {"empty": torch.zeros(0, 3), "double": torch.ones(70, dtype=torch.float64) / 3}
    tensors |= {"half": torch.full((70,), 1 / 3, dtype=torch.float16), "turned": torch.arange(6.0).view(2, 3).T}
    at_once, in_blocks = CountSketch(tensors, seed=5)(tensors), CountSketch(tensors, seed=5, elements=elements)(tensors)
    assert in_blocks.key == at_once.key
    for name, array in at_once.arrays().items():
        assert array.tobytes() == in_blocks.arrays()[name].tobytes(), name
    for place, (name, tensor) in enumerate(tensors.items()):
        alone = CountSketch({name: tensor}, seed=5)({name: tensor})
        assert torch.equal(at_once.values[place], alone.values[0])
        assert torch.equal(at_once.fingerprints[place], alone.fingerprints[0])
