"""Resident data: what is read back, its statistics, its identity."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from saddlepoint.data import ImageData, TensorData, joined, statistics
from saddlepoint.data.checks import chunks
from saddlepoint.errors import InputError


def some(n=6, **options):
    pixels = torch.arange(n * 12, dtype=torch.uint8).reshape(n, 3, 2, 2)
    return TensorData.of(pixels, torch.arange(n) % 3, name="some", **options)


def test_it_meets_the_contract():
    assert isinstance(some(), ImageData)


def test_bytes_are_read_as_floats_and_left_alone():
    data = some()
    images = data.images(torch.tensor([5, 0, 5]))
    assert images.dtype is torch.float32
    assert torch.equal(images, data.pixels[[5, 0, 5]] / 255)
    images.zero_()
    assert int(data.pixels[5].sum()) > 0


def test_floats_are_read_as_they_are_and_left_alone():
    data = TensorData.of(torch.rand(4, 1, 2, 2), torch.tensor([0, 1, 0, 1]), name="a")
    images = data.images(torch.tensor([1]))
    before = data.pixels.clone()
    images.zero_()
    assert torch.equal(data.pixels, before)


@settings(deadline=None)
@given(hnp.arrays(np.uint8, (7, 3, 4, 5)))
def test_statistics_of_bytes_are_those_of_numpy(images):
    mean, std = statistics(torch.from_numpy(images))
    scaled = images.astype(np.float64) / 255
    assert np.allclose(mean, scaled.mean((0, 2, 3)), atol=1e-12)
    assert np.allclose(std, np.maximum(scaled.std((0, 2, 3)), 1e-3), atol=1e-12)


def test_statistics_in_several_chunks(monkeypatch):
    images = torch.rand(50, 2, 3, 3)
    whole = statistics(images)
    monkeypatch.setattr("saddlepoint.data.checks._CHUNK", 100)
    assert len(list(chunks(images))) > 5
    assert np.allclose(whole, statistics(images), atol=1e-12)


def test_a_constant_channel_has_a_positive_deviation():
    assert statistics(torch.ones(4, 1, 2, 2)) == ((1.0,), (1e-3,))


def test_vectors_have_one_pair_over_all_features():
    data = TensorData.of(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([0, 1]), name="xor")
    assert (data.mean, data.std, data.shape) == ((0.5,), (0.5,), (2,))


def test_parts_keep_classes_and_statistics():
    data = some()
    part = data.take(torch.tensor([3, 0]))
    assert part.classes == ("0", "1", "2")
    assert part.labels.tolist() == [0, 0]
    assert (part.mean, part.std) == (data.mean, data.std)
    assert torch.equal(part.pixels, data.pixels[[3, 0]])
    assert len(data.first(2)) == 2
    with pytest.raises(InputError, match="the limit is 0 images"):
        data.first(0)


def test_the_fingerprint_tells_pixels_labels_shapes_and_types_apart():
    data = some()
    other_pixel = data.pixels.clone()
    other_pixel[0, 0, 0, 0] += 1
    others = [
        TensorData.of(other_pixel, data.labels, name="some"),
        TensorData.of(data.pixels, data.labels.flip(0), name="some"),
        TensorData.of(data.pixels.reshape(6, 3, 1, 4), data.labels, name="some"),
        TensorData.of(data.pixels / 255, data.labels, name="some"),
        data.first(5),
    ]
    prints = {data.fingerprint, *(other.fingerprint for other in others)}
    assert len(prints) == 6
    assert all(len(each) == 16 and int(each, 16) >= 0 for each in prints)


def test_the_fingerprint_ignores_name_layout_in_memory_and_chunks(monkeypatch):
    data = some()
    moved = TensorData.of(
        data.pixels.to(memory_format=torch.channels_last), data.labels, name="other"
    )
    monkeypatch.setattr("saddlepoint.data.checks._CHUNK", 13)
    assert moved.fingerprint == data.fingerprint


def test_joined_sets_are_both_in_order():
    data = some()
    both = joined([data, data.first(2)])
    assert both.split == "all"
    assert torch.equal(both.pixels, torch.cat([data.pixels, data.pixels[:2]]))
    with pytest.raises(InputError, match="cannot be one data set"):
        joined([data, TensorData.of(torch.rand(2, 1, 2, 2), torch.tensor([0, 1]), name="grey")])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_device_the_data_is_the_same():
    data = some()
    there = data.to("cuda")
    images = there.images(torch.tensor([1, 2]))
    assert images.device.type == "cuda"
    assert there.fingerprint == data.fingerprint
