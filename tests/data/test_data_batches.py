"""Orders and batches are functions of seed and epoch, wherever one starts and however one reads."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from saddlepoint.data import FolderData, TensorData, batches, epoch_order, load_data
from saddlepoint.errors import InputError


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(0, 2**40), st.integers(0, 1000))
def test_an_order_visits_everything_once(n, seed, epoch):
    order = epoch_order(n, seed, epoch)
    assert order.dtype is torch.int64
    assert torch.equal(order.sort().values, torch.arange(n))
    assert torch.equal(order, epoch_order(n, seed, epoch))


def test_orders_of_other_epochs_and_seeds_differ():
    orders = {
        tuple(epoch_order(50, seed, epoch).tolist()) for seed in range(5) for epoch in range(5)
    }
    assert len(orders) == 25


def test_an_order_leaves_the_global_state_alone():
    before = torch.get_rng_state()
    epoch_order(10, 0, 0)
    assert torch.equal(torch.get_rng_state(), before)


def equal(first, second):
    assert len(first) == len(second)
    for one, two in zip(first, second, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures")
    generator = torch.Generator().manual_seed(0)
    for name in ("ant", "bee"):
        (root / name).mkdir()
        for i in range(7):
            pixels = torch.randint(256, (5, 4, 3), generator=generator, dtype=torch.uint8)
            Image.fromarray(pixels.numpy()).save(root / name / f"{i}.png")
    return FolderData.of(root)


@settings(deadline=None)
@given(start=st.integers(0, 6), size=st.integers(1, 11))
def test_batches_hold_their_part_of_the_order_wherever_one_starts(start, size):
    data = load_data("digits", limit=30)
    order = epoch_order(len(data), seed=1, epoch=0)
    every = list(batches(data, order, size, device="cpu"))
    assert torch.equal(torch.cat([indices for indices, _, _ in every]), order)
    for indices, images, labels in every:
        assert torch.equal(images, data.images(indices))
        assert torch.equal(labels, data.labels[indices])
    equal(list(batches(data, order, size, device="cpu", start=start)), every[start:])


@pytest.mark.parametrize("workers", [0, 2])
def test_from_disk_and_from_memory_the_batches_are_the_same(folder, workers):
    order = epoch_order(len(folder), seed=2, epoch=3)
    before = torch.get_rng_state()
    lazy = list(batches(folder, order, 4, device="cpu", start=1, workers=workers))
    assert torch.equal(torch.get_rng_state(), before)
    equal(lazy, list(batches(folder.resident(), order, 4, device="cpu", start=1)))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_image_is_named_also_by_a_worker(tmp_path, workers):
    (tmp_path / "a").mkdir()
    for i in range(3):
        Image.new("L", (4, 4), i).save(tmp_path / "a" / f"{i}.png")
    data = FolderData.of(tmp_path)
    (tmp_path / "a" / "1.png").write_bytes(b"no image")
    with pytest.raises(InputError) as caught:
        list(batches(data, torch.arange(3), 2, device="cpu", workers=workers))
    assert (
        str(caught.value)
        == f"{tmp_path / 'a' / '1.png'} is not an image that can be read; remove it"
    )


def test_the_end_of_an_order_and_an_empty_one():
    data = load_data("digits", limit=4)
    assert list(batches(data, torch.arange(4), 2, device="cpu", start=2)) == []
    assert list(batches(data, torch.arange(0), 2, device="cpu")) == []


@pytest.mark.parametrize(
    ("order", "size", "options", "message"),
    [
        ([0, 1], 0, {}, "the batch size is 0"),
        ([0, 1], 2, {"start": -1}, "start is -1"),
        ([0, 4], 2, {}, "the order spans 0 … 4, but there are 4 images"),
        ([-1, 0], 2, {}, "the order spans -1 … 0"),
    ],
)
def test_what_is_refused(order, size, options, message):
    data = TensorData.of(torch.rand(4, 2), torch.tensor([0, 1, 0, 1]), name="points")
    with pytest.raises(InputError, match=message):
        batches(data, torch.tensor(order), size, device="cpu", **options)
