"""Augmentation against a plain loop over images."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import pad

from saddlepoint.data import AUGMENTATIONS, crop, crop_flip
from saddlepoint.errors import InputError


def naive(images, seed, padding, flips):
    """Crop and flip each image by itself, drawing the same numbers in the same order."""
    generator = torch.Generator().manual_seed(seed)
    n, _, height, width = images.shape
    by_height, by_width = min(padding, height - 1), min(padding, width - 1)
    down = torch.randint(2 * by_height + 1, (n,), generator=generator)
    right = torch.randint(2 * by_width + 1, (n,), generator=generator)
    mirrored = torch.randint(2, (n,), generator=generator) if flips else torch.zeros(n)
    result = []
    for image, y, x, mirror in zip(images, down, right, mirrored, strict=True):
        wide = pad(image[None], (by_width, by_width, by_height, by_height), mode="reflect")[0]
        part = wide[:, y : y + height, x : x + width]
        result.append(part.flip(2) if mirror else part)
    return torch.stack(result)


@settings(deadline=None)
@given(
    seed=st.integers(0, 1000),
    n=st.integers(1, 6),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    padding=st.integers(0, 5),
)
def test_it_equals_the_loop(seed, n, height, width, padding):
    images = torch.rand(n, 2, height, width, generator=torch.Generator().manual_seed(seed))
    for function, flips in ((crop, False), (crop_flip, True)):
        drawn = function(images, torch.Generator().manual_seed(seed), padding)
        assert torch.equal(drawn, naive(images, seed, padding, flips))


def test_every_shift_and_both_sides_occur():
    image = torch.arange(36.0).reshape(1, 1, 6, 6).expand(4000, 1, 6, 6)
    results = crop_flip(image, torch.Generator().manual_seed(0), padding=2)
    assert len({tuple(each.flatten().tolist()) for each in results}) == 5 * 5 * 2


def test_the_global_state_is_left_alone_and_the_generator_decides():
    images = torch.rand(8, 1, 6, 6)
    before = torch.get_rng_state()
    first = crop_flip(images, torch.Generator().manual_seed(3))
    again = crop_flip(images, torch.Generator().manual_seed(3))
    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), before)


def test_gradients_pass_through():
    images = torch.rand(3, 1, 5, 5, requires_grad=True)
    crop_flip(images, torch.Generator(), padding=0).sum().backward()
    assert torch.equal(images.grad, torch.ones_like(images))


def test_the_table_of_augmentations():
    assert list(AUGMENTATIONS)[:3] == ["none", "crop", "crop-flip"]
    with pytest.raises(TypeError):
        AUGMENTATIONS["mine"] = crop
    with pytest.raises(InputError, match="padding is -1"):
        crop(torch.rand(1, 1, 2, 2), torch.Generator(), padding=-1)
