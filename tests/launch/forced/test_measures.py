"""The columns of a comparison against their definitions, element by element."""

import numpy as np
import pytest
import torch

from lastbit.core.ulp import ulp
from lastbit.launch.forced.flat import gathered, spread
from lastbit.launch.forced.measures import measured, norms, same


def tensors(seed, dtype):
    generator = torch.Generator().manual_seed(seed)
    shapes = {"a": (3, 5), "b": (), "empty": (0, 2), "c": (7,)}
    return {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in shapes.items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_columns_are_what_they_are_defined_as(dtype):
    reference, before, found = tensors(1, dtype), tensors(2, dtype), tensors(1, dtype)
    found["a"].view(-1)[3:6] *= 1.05
    found["c"][2] = -found["c"][2]
    (name,) = gathered(reference)
    flats = [gathered(one)[name] for one in (reference, before, found)]
    layout = flats[0].layout
    change = norms(layout, flats[0].values, flats[1].values).numpy()
    columns = measured(layout, flats[2].values, flats[0].values, flats[1].values, change)
    for place, key in enumerate(reference):
        r, b, f = (one[key].double().numpy().reshape(-1) for one in (reference, before, found))
        d, moved = f - r, r - b
        unit = ulp(reference[key]).double().numpy().reshape(-1) + torch.finfo(dtype).eps * np.abs(moved)
        want = {
            "difference": np.linalg.norm(d),
            "projection": d @ r,
            "worst": np.max(np.abs(d) / unit, initial=0.0),
            "unequal": np.sum(f != r),
        }
        if moved.any():
            want["bias"] = d @ moved / (moved @ moved)
        for column, value in want.items():
            np.testing.assert_allclose(columns[column][place], value, rtol=1e-12, atol=0, err_msg=f"{key} {column}")
    assert np.isnan(columns["bias"][list(reference).index("empty")])
    assert not same(flats[2].values, flats[0].values)
    spread(layout, flats[0].values, list(found.values()))
    assert same(gathered(found)[name].values, flats[0].values)


def test_signs_of_zero_and_nan_are_told_by_their_bits():
    zero, nan = torch.zeros(1), torch.full((1,), torch.nan)
    layout = gathered({"a": zero})["float32"].layout
    assert measured(layout, -zero, zero, None, None)["unequal"].tolist() == [1]
    assert measured(layout, nan, nan, None, None)["unequal"].tolist() == [0]
    assert np.isnan(measured(layout, nan, zero, None, None)["difference"])


def test_another_format_is_compared_by_value():
    x = torch.tensor([1.0, 2.0, 1 / 3])
    layout = gathered({"a": x})["float32"].layout
    columns = measured(layout, x.bfloat16(), x, None, None)
    assert columns["unequal"].tolist() == [1]
    np.testing.assert_allclose(columns["difference"], abs(float(x[2].bfloat16()) - float(x[2])))
