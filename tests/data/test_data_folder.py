"""Folders of class folders: what is found, decoded, resized and refused."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from saddlepoint.data import FolderData, ImageData, TensorData, load_data
from saddlepoint.errors import InputError


def picture(path, size=(6, 5), mode="RGB", value=None, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], 3)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    if value is not None:
        pixels[...] = value
    Image.fromarray(pixels).save(path)
    return pixels


def test_pixels_labels_and_names_are_those_on_disk(tmp_path):
    cat = picture(tmp_path / "cat" / "b.png", seed=1)
    deep = picture(tmp_path / "cat" / "more" / "c.bmp", seed=2)
    dog = picture(tmp_path / "dog" / "a.webp", seed=3)
    dog = np.asarray(Image.open(tmp_path / "dog" / "a.webp").convert("RGB"))
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    picture(tmp_path / ".hidden" / "x.png")
    picture(tmp_path / "cat" / "._b.png")

    data = FolderData.of(tmp_path)
    assert isinstance(data, ImageData)
    assert data.classes == ("cat", "dog")
    assert data.labels.tolist() == [0, 0, 1]
    assert (data.shape, data.split, data.name) == ((3, 5, 6), "all", tmp_path.name)
    for i, pixels in enumerate((cat, deep, dog)):
        image, label = data[i]
        assert np.array_equal(image.numpy(), pixels.transpose(2, 0, 1))
        assert label == data.labels[i]
    assert torch.equal(data.images(torch.tensor([2, 0]))[1], data[0][0] / 255)
    assert data.images(torch.tensor([], dtype=torch.int64)).shape == (0, 3, 5, 6)


def test_grey_stays_grey_only_where_all_are(tmp_path):
    grey = picture(tmp_path / "a" / "1.png", mode="L", seed=1)
    data = FolderData.of(tmp_path)
    assert data.shape == (1, 5, 6)
    assert np.array_equal(data[0][0][0].numpy(), grey)
    picture(tmp_path / "b" / "1.png", mode="RGB")
    data = FolderData.of(tmp_path)
    assert data.shape == (3, 5, 6)
    assert np.array_equal(data[0][0].numpy(), np.stack([grey] * 3))


def test_splits_share_classes_and_the_training_statistics(tmp_path):
    picture(tmp_path / "train" / "a" / "1.png", value=51)
    picture(tmp_path / "train" / "b" / "1.png", value=102)
    picture(tmp_path / "val" / "b" / "1.png", value=255)
    train, test = (load_data(str(tmp_path), split=split) for split in ("train", "test"))
    assert (len(train), len(test), test.split) == (2, 1, "test")
    assert test.classes == ("a", "b")
    assert test.labels.tolist() == [1]
    assert test.mean == train.mean == pytest.approx((0.3,) * 3)
    assert test.std == train.std == pytest.approx((0.1,) * 3)
    assert len(load_data(str(tmp_path), split="all")) == 3


def test_a_class_called_train_is_a_class(tmp_path):
    picture(tmp_path / "train" / "1.png")
    picture(tmp_path / "plane" / "1.png")
    assert FolderData.of(tmp_path).classes == ("plane", "train")


def test_a_missing_split_is_named(tmp_path):
    picture(tmp_path / "train" / "a" / "1.png")
    with pytest.raises(InputError, match="has a train folder but none for 'test'"):
        load_data(str(tmp_path), split="test")


def test_two_sizes_need_an_image_size(tmp_path):
    picture(tmp_path / "a" / "1.png", size=(6, 5))
    picture(tmp_path / "a" / "2.png", size=(8, 8))
    with pytest.raises(InputError, match=r"2.png is 8×8 pixels but others are 5×6; pass --image-s"):
        FolderData.of(tmp_path)
    data = load_data(str(tmp_path), image_size=4)
    assert data.shape == (3, 4, 4)


def test_resizing_keeps_the_centre_and_plain_areas(tmp_path):
    pixels = np.zeros((10, 30, 3), dtype=np.uint8)
    pixels[:, 10:20] = 200
    (tmp_path / "a").mkdir()
    Image.fromarray(pixels).save(tmp_path / "a" / "1.png")
    data = FolderData.of(tmp_path, image_size=10)
    assert bool((data[0][0] == 200).all())


def test_memory_decides_where_the_pixels_are_but_not_what_they_are(tmp_path):
    for i in range(5):
        picture(tmp_path / "ab"[i % 2] / f"{i}.png", seed=i)
    resident = load_data(str(tmp_path), image_size=4)
    lazy = load_data(str(tmp_path), image_size=4, resident_bytes=5 * 48 - 1)
    assert isinstance(resident, TensorData)
    assert isinstance(lazy, FolderData)
    assert lazy.nbytes == 5 * 48 == resident.pixels.nbytes
    every = torch.arange(5)
    assert torch.equal(lazy.images(every), resident.images(every))
    assert (lazy.mean, lazy.std, lazy.classes) == (resident.mean, resident.std, resident.classes)
    assert len(load_data(str(tmp_path), limit=2, resident_bytes=0)) == 2


def test_the_fingerprint_follows_files_labels_and_size(tmp_path):
    picture(tmp_path / "a" / "1.png")
    picture(tmp_path / "b" / "1.png")
    first = FolderData.of(tmp_path)
    assert first.fingerprint == FolderData.of(tmp_path).fingerprint
    prints = {first.fingerprint, FolderData.of(tmp_path, image_size=4).fingerprint}
    prints.add(first.first(1).fingerprint)
    picture(tmp_path / "b" / "1.png", value=0)
    prints.add(FolderData.of(tmp_path).fingerprint)
    assert len(prints) == 4


def test_it_can_be_sent_to_another_process(tmp_path):
    picture(tmp_path / "a" / "1.png")
    data = FolderData.of(tmp_path)
    copy = pickle.loads(pickle.dumps(data))
    assert torch.equal(copy[0][0], data[0][0])


def test_folders_that_are_refused(tmp_path):
    with pytest.raises(InputError, match="has no class folders"):
        FolderData.of(tmp_path)
    (tmp_path / "a").mkdir()
    with pytest.raises(InputError, match="holds no images in its class folders"):
        FolderData.of(tmp_path)
    with pytest.raises(InputError, match="the image size is 0"):
        load_data(str(tmp_path), image_size=0)


def test_damaged_and_deep_images_are_named(tmp_path):
    picture(tmp_path / "a" / "1.png", size=(64, 64))
    whole = (tmp_path / "a" / "1.png").read_bytes()
    (tmp_path / "a" / "1.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cannot read the image .*1\.png"):
        load_data(str(tmp_path))
    (tmp_path / "a" / "1.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"1\.png is not an image that can be read"):
        load_data(str(tmp_path))
    Image.fromarray(np.full((4, 4), 40_000, dtype=np.uint16)).save(tmp_path / "a" / "1.png")
    with pytest.raises(InputError, match=r"1\.png has more than 8 bits per channel \(mode I;16\)"):
        load_data(str(tmp_path))
