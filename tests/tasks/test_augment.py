"""Crop and flip against a loop over images with slices, and their independence of the batch."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from lastbit.core.errors import LastbitError
from lastbit.tasks.augment import crop, crop_flip, flip
from lastbit.tasks.registry import AUGMENTATIONS


def slow_crop_flip(inputs, draws, pad):
    """One image after another, with slices."""
    out = []
    for image, (u, v, mirrored) in zip(inputs, draws.tolist(), strict=True):
        row, column = int(u * (2 * pad + 1)), int(v * (2 * pad + 1))
        cut = F.pad(image, (pad,) * 4)[:, row : row + image.shape[1], column : column + image.shape[2]]
        out.append(cut.flip(-1) if mirrored < 0.5 else cut)
    return torch.stack(out)


@given(
    b=st.integers(1, 6),
    c=st.integers(1, 3),
    h=st.integers(1, 9),
    w=st.integers(1, 9),
    pad=st.integers(0, 4),
    seed=st.integers(0, 999),
)
@settings(deadline=None, max_examples=60)
def test_the_fast_form_equals_the_slow_one(b, c, h, w, pad, seed):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(b, c, h, w, generator=generator)
    draws = torch.rand(b, 3, generator=generator, dtype=torch.float64)
    assert torch.equal(crop_flip(inputs, draws, pad=pad), slow_crop_flip(inputs, draws, pad))


@pytest.mark.parametrize("name", [name for name in AUGMENTATIONS if name != "none"])
@given(others=st.integers(0, 5), place=st.integers(0, 5), seed=st.integers(0, 999))
@settings(deadline=None, max_examples=25)
def test_an_image_is_augmented_alike_in_any_batch(name, others, place, seed):
    augmentation = AUGMENTATIONS[name]
    augment = augmentation.make(2)
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(others + 1, 2, 5, 5, generator=generator)
    draws = torch.rand(others + 1, augmentation.draws, generator=generator)
    place = min(place, others)
    alone = augment(inputs[place : place + 1], draws[place : place + 1])
    assert torch.equal(augment(inputs, draws)[place], alone[0])


def test_the_middle_draw_shifts_nothing_and_the_ends_shift_by_the_padding():
    image = torch.arange(1.0, 17).view(1, 1, 4, 4)
    assert torch.equal(crop(image, torch.tensor([[0.5, 0.5]]), pad=1), image)
    top_left = crop(image, torch.tensor([[0.0, 0.0]]), pad=1)
    assert torch.equal(top_left[0, 0, 1:, 1:], image[0, 0, :3, :3])
    assert not top_left[0, 0, 0].any()


@pytest.mark.parametrize("pad", [1, 4, 10])
def test_the_largest_draw_below_one_stays_inside(pad):
    image = torch.arange(1.0, 17).view(1, 1, 4, 4)
    largest = torch.nextafter(torch.tensor(1.0), torch.tensor(0.0))
    cut = crop(image, torch.full((1, 2), float(largest), dtype=torch.float32), pad=pad)
    assert torch.equal(cut, slow_crop_flip(image, torch.tensor([[0.999, 0.999, 1.0]]), pad))


def test_every_shift_and_both_sides_come_equally_often():
    draws = torch.rand(30_000, 3, generator=torch.Generator().manual_seed(0))
    inputs = torch.zeros(1, 1, 5, 5)
    inputs[0, 0, 2, 2] = 1
    cut = crop(inputs.expand(30_000, -1, -1, -1), draws[:, :2], pad=1)
    shares = cut.mean((0, 1))[1:4, 1:4]
    # Standard error of a share of 1/9 over 30,000 draws is 0.0018.
    assert torch.allclose(shares, torch.full((3, 3), 1 / 9), atol=5 * 0.0018)
    inputs = torch.tensor([[[[1.0, 0.0]]]]).expand(30_000, -1, -1, -1)
    assert abs(flip(inputs, draws[:, 2:])[:, 0, 0, 0].mean() - 0.5) < 5 * 0.0029


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_type_of_the_images_is_kept(dtype):
    assert crop_flip(torch.ones(2, 1, 4, 4, dtype=dtype), torch.rand(2, 3), pad=1).dtype == dtype


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_images_on_a_device_are_augmented_there():
    inputs, draws = torch.randn(4, 3, 8, 8), torch.rand(4, 3)
    assert torch.equal(crop_flip(inputs.cuda(), draws, pad=2).cpu(), crop_flip(inputs, draws, pad=2))


def test_what_is_not_images_or_not_enough_draws_is_refused():
    with pytest.raises(LastbitError, match=r"work on images \(B, C, H, W\), got inputs \(3, 4\)"):
        crop(torch.zeros(3, 4), torch.rand(3, 2), pad=1)
    with pytest.raises(LastbitError, match=r"needs draws \(3, 2\), got \(3, 1\)"):
        crop(torch.zeros(3, 1, 4, 4), torch.rand(3, 1), pad=1)
