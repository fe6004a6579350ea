"""What is refused as images and labels, and what is put into the common form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from saddlepoint.data import TensorData
from saddlepoint.data.checks import checked_images, checked_labels
from saddlepoint.errors import InputError

LABELS = torch.tensor([0, 1, 2, 1])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.empty(0, 1, 8, 8), r"shape \(0, 1, 8, 8\): there are none"),
        (
            torch.full((4, 1, 2, 2), -2.125),
            r"images span -2.125 … -2.125; .*normalisation inside the model",
        ),
        (torch.full((4, 1, 2, 2), 255.0), r"images span 255 … 255; they must lie in \[0, 1\]"),
        (torch.full((4, 1, 2, 2), 300), r"span 300 … 300 as int64; integers must lie in 0 … 255"),
        (torch.full((4, 1, 2, 2), -1), "integers must lie in 0 … 255"),
        (torch.zeros(4), r"shape \(4,\); give \(N, C, H, W\)"),
        (torch.zeros(4, 1, 2, 2, 2), "give"),
        (torch.zeros(4, 1, 2, 2, dtype=torch.complex64), "complex64; give uint8 or float32"),
        (np.array(["a", "b"]), "images are <U1; give a tensor or array of numbers"),
        (np.array([None, {}]), "images are object; give"),
    ],
)
def test_images_that_are_refused(images, message):
    with pytest.raises(InputError, match=message):
        checked_images(images)


@pytest.mark.parametrize("kind", [np.uint16, np.uint32, np.uint64])
def test_wide_unsigned_integers_are_read_as_others_are(kind):
    images = np.arange(256).reshape(1, 1, 16, 16)
    assert torch.equal(checked_images(images.astype(kind)), checked_images(images))
    images[0, 0, 0, 0] = 256
    with pytest.raises(InputError, match=rf"span 1 … 256 as {kind.__name__}; integers must lie"):
        checked_images(images.astype(kind))
    top = np.full((1, 1, 2, 2), np.iinfo(kind).max, kind)
    with pytest.raises(InputError, match="integers must lie in 0 … 255"):
        checked_images(top)
    assert checked_labels(np.array([0, 2, 1, 1], kind), 4, 3).tolist() == [0, 2, 1, 1]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_the_image_with_nan_or_infinity_is_named(bad):
    images = torch.rand(4, 1, 3, 3)
    images[2, 0, 1, 1] = bad
    with pytest.raises(InputError, match="image 2 holds NaN or an infinity"):
        checked_images(images)


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        (torch.tensor([0.0, 1, 2, 1]), None, "labels are float32; give integers"),
        (torch.tensor([True, False, True, True]), None, "labels are bool"),
        (torch.tensor([0, -1, 2, 1]), None, "label -1 of image 1 is negative"),
        (torch.tensor([1, 2, 3, 1]), 3, r"label 3 of image 2 is outside 0 … 2: there are 3 class"),
        (torch.tensor([0, 1, 2]), None, "4 images but 3 labels"),
        (torch.eye(4), None, r"labels have shape \(4, 4\).*one-hot"),
        (torch.tensor(1), None, r"labels have shape \(\)"),
    ],
)
def test_labels_that_are_refused(labels, classes, message):
    with pytest.raises(InputError, match=message):
        checked_labels(labels, 4, classes)


@pytest.mark.parametrize(
    ("given_shape", "expected"),
    [
        ((5, 8, 6), (5, 1, 8, 6)),
        ((5, 3, 8, 6), (5, 3, 8, 6)),
        ((5, 8, 6, 3), (5, 3, 8, 6)),
        ((5, 8, 6, 1), (5, 1, 8, 6)),
        ((5, 4, 8, 6), (5, 4, 8, 6)),
        ((5, 3, 8, 3), (5, 3, 8, 3)),  # ambiguous: taken as it is documented
        ((5, 3, 1, 1), (5, 3, 1, 1)),
        ((5, 16, 1, 1), (5, 16, 1, 1)),  # features, not a picture one pixel wide
        ((5, 7), (5, 7)),
    ],
)
def test_layouts(given_shape, expected):
    assert checked_images(torch.zeros(given_shape)).shape == expected


@settings(deadline=None)
@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=4, max_dims=4, min_side=2, max_side=6)))
def test_channels_last_keeps_every_pixel(images):
    pictures = np.concatenate([images[..., :1]] * 3, axis=-1)
    pictures = np.repeat(np.repeat(pictures, 4, axis=1), 4, axis=2)
    result = checked_images(pictures)
    assert np.array_equal(result.numpy(), pictures.transpose(0, 3, 1, 2))


@settings(deadline=None)
@given(
    hnp.arrays(
        st.sampled_from([np.float16, np.float32, np.float64]),
        (3, 1, 2, 2),
        elements=st.floats(0, 1, width=16),
    )
)
def test_every_float_type_becomes_float32_of_the_same_value(images):
    result = checked_images(images)
    assert result.dtype is torch.float32
    assert np.array_equal(result.numpy(), images.astype(np.float32))


def test_integers_of_other_widths_become_uint8():
    assert checked_images(torch.tensor([[0, 255]], dtype=torch.int64)).dtype is torch.uint8


def test_big_endian_and_read_only_arrays_are_taken():
    images = np.linspace(0, 1, 8, dtype=">f4").reshape(2, 1, 2, 2)
    images.setflags(write=False)
    assert np.array_equal(checked_images(images).numpy(), images.astype(np.float32))


def test_labels_in_a_column_are_flattened():
    assert checked_labels(np.array([[0], [2]], dtype=np.uint8), 2, 3).tolist() == [0, 2]


def test_mean_and_std_go_together_and_fit_the_channels():
    images = torch.rand(4, 3, 2, 2)
    with pytest.raises(InputError, match="one of mean and std"):
        TensorData.of(images, LABELS, name="a", mean=(0.5, 0.5, 0.5))
    with pytest.raises(InputError, match="1 means and 1 stds for 3 channels"):
        TensorData.of(images, LABELS, name="a", mean=(0.5,), std=(0.5,))
    with pytest.raises(InputError, match="std is 0; give positive"):
        TensorData.of(images, LABELS, name="a", mean=(0.5,) * 3, std=(0.5, 0.0, 0.5))
