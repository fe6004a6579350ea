"""Augmentation shows the same pixels whatever the memory layout of the images is."""

import pytest
import torch

from saddlepoint.data import AUGMENTATIONS
from saddlepoint.streams import generator


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
@pytest.mark.parametrize("channels", [1, 3])
def test_channels_last_gives_the_same_images(name, channels):
    images = torch.rand(6, channels, 9, 7)
    last = images.contiguous(memory_format=torch.channels_last)
    augment = AUGMENTATIONS[name]()
    expected = augment(images, generator(0, name))
    assert torch.equal(augment(last, generator(0, name)), expected)
    assert torch.equal(last, images)  # which are left as they are
