"""The named data sets: digits, Parquet below a root, torchvision's layout, and nothing at all."""

from __future__ import annotations

import io
import struct
import sys
from pathlib import Path

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
import torch
from PIL import Image

from saddlepoint.data import DATASETS, load_data
from saddlepoint.errors import InputError

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data"
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the shared data sets are not beside this checkout"
)


def stored(path, values, size=32):
    path.parent.mkdir(parents=True, exist_ok=True)
    images = []
    for value in values:
        file = io.BytesIO()
        Image.new("RGB", (size, size), (int(value),) * 3).save(file, "PNG")
        images.append(file.getvalue())
    parquet.write_table(arrow.table({"image": images, "label": np.asarray(values) % 10}), path)


def test_digits_are_complete_disjoint_and_stratified():
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    train, test = load_data("digits", split="train"), load_data("digits", split="test")
    assert len(train) == DATASETS["digits"].train
    assert len(test) == DATASETS["digits"].test
    rows = np.concatenate([data.pixels.numpy().reshape(-1, 64) * 16 for data in (train, test)])
    order, expected = np.lexsort(rows.T), np.lexsort(images.T)
    assert np.array_equal(rows[order], images[expected])  # each once: none lost, none in both
    for label in range(10):
        share = float((test.labels == label).sum()) / (labels == label).sum()
        assert 0.18 < share <= 0.2
    assert test.mean == train.mean == pytest.approx((train.pixels.double().mean().item(),))
    assert test.std == train.std


def test_digits_are_the_same_everywhere():
    assert load_data("digits", split="train").fingerprint == "6d033e5426ca4367"
    assert load_data("digits", split="test").fingerprint == "c43b85c6f1c83bbf"
    assert len(load_data("digits", split="all")) == 1797


def test_digits_can_be_limited_and_resized():
    data = load_data("digits", limit=5, image_size=16)
    assert (len(data), data.shape) == (5, (1, 16, 16))
    assert data.mean == load_data("digits").mean
    assert 0 <= float(data.pixels.min()) <= float(data.pixels.max()) <= 1


def test_a_whole_file_stands_alone_and_parts_are_joined(tmp_path):
    stored(tmp_path / "cifar10" / "test-00000-of-00002.parquet", [1, 2])
    stored(tmp_path / "cifar10" / "test-00001-of-00002.parquet", [3])
    data = load_data("cifar10", data_root=tmp_path)
    assert data.pixels[:, 0, 0, 0].tolist() == [1, 2, 3]
    assert data.classes[3] == "cat"
    assert data.mean == (0.4914, 0.4822, 0.4465)
    assert load_data("cifar10", data_root=tmp_path, limit=2).labels.tolist() == [1, 2]
    stored(tmp_path / "cifar10" / "test.parquet", [7])
    assert load_data("cifar10", data_root=tmp_path).labels.tolist() == [7]
    stored(tmp_path / "cifar10" / "train.parquet", [8, 9])
    both = load_data("cifar10", data_root=tmp_path, split="all")
    assert both.labels.tolist() == [8, 9, 7]


def test_the_root_is_the_variable_where_none_is_given(tmp_path, monkeypatch):
    stored(tmp_path / "cifar10-jpeg" / "test.parquet", [4])
    monkeypatch.setenv("SADDLEPOINT_DATA", str(tmp_path))
    assert load_data("cifar10-jpeg").name == "cifar10-jpeg"


def test_labels_beyond_the_classes_name_the_file(tmp_path):
    stored(tmp_path / "cifar10" / "test.parquet", [1, 2])
    path = tmp_path / "cifar10" / "test.parquet"
    columns = parquet.read_table(path).set_column(1, "label", [[1, 10]])
    parquet.write_table(columns, path)
    with pytest.raises(InputError, match=r"test\.parquet: label 10 of image 1 is outside 0 … 9"):
        load_data("cifar10", data_root=tmp_path)


def idx(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")]
)
def test_the_layout_of_torchvision_is_read(tmp_path, name, folder):
    pytest.importorskip("torchvision")
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28))
    for prefix, count in (("train", 5), ("t10k", 2)):
        idx(tmp_path / folder / "raw" / f"{prefix}-images-idx3-ubyte", images[:count])
        idx(tmp_path / folder / "raw" / f"{prefix}-labels-idx1-ubyte", np.arange(count))
    data = load_data(name, split="train", data_root=tmp_path)
    assert np.array_equal(data.pixels[:, 0].numpy(), images)
    assert data.labels.tolist() == [0, 1, 2, 3, 4]
    assert data.mean == DATASETS[name].mean
    assert len(load_data(name, data_root=tmp_path)) == 2
    assert len(load_data(name, data_root=tmp_path, split="all")) == 7


@pytest.mark.parametrize("content", [b"", b"\0\0", b"\0\0\x08\x01\0\0\0\x05ab"])
def test_damaged_files_of_torchvision_are_an_input_error(tmp_path, content):
    pytest.importorskip("torchvision")
    for part in ("train", "t10k"):
        for kind in ("images-idx3", "labels-idx1"):
            path = tmp_path / "MNIST" / "raw" / f"{part}-{kind}-ubyte"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    with pytest.raises(InputError, match="mnist below"):
        load_data("mnist", data_root=tmp_path)


def test_cifar_as_torchvision_gives_it(tmp_path, monkeypatch):
    datasets = pytest.importorskip("torchvision.datasets")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    asked = []

    class Fake:
        data, targets = pixels, [9, 0, 99]

        def __init__(self, root, *, train, download):
            asked.append((root, train, download))

    monkeypatch.setattr(datasets, "CIFAR100", Fake)
    data = load_data("cifar100", data_root=tmp_path, download=True)
    assert asked == [(tmp_path, False, True)]
    assert np.array_equal(data.pixels.numpy(), pixels.transpose(0, 3, 1, 2))
    assert data.classes[99] == "worm"


def test_a_download_that_fails_is_an_input_error(tmp_path, monkeypatch):
    datasets = pytest.importorskip("torchvision.datasets")

    def offline(root, *, train, download):
        raise OSError("no route to host")

    monkeypatch.setattr(datasets, "MNIST", offline)
    with pytest.raises(InputError, match=r"cannot download mnist below .*: no route to host"):
        load_data("mnist", data_root=tmp_path, download=True)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10", "cifar100", "cifar10-jpeg"])
def test_nothing_there_says_where_and_what_to_do(tmp_path, name):
    if name != "cifar10-jpeg":
        pytest.importorskip("torchvision")
    with pytest.raises(InputError) as caught:
        load_data(name, data_root=tmp_path)
    message = str(caught.value)
    assert str(tmp_path) in message
    assert f"{name}/test*.parquet" in message
    assert "SADDLEPOINT_DATA" in message
    assert "digits" in message
    assert ("--download" in message) == (name != "cifar10-jpeg")


def test_without_torchvision_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(InputError, match=r"pip install 'saddlepoint\[zoo\]'"):
        load_data("mnist", data_root=tmp_path)


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("cifar-10", {}, "unknown data set 'cifar-10'; did you mean 'cifar10'"),
        ("missing.npz", {}, "no file missing.npz"),
        ("missing.parquet", {}, "no file missing.parquet"),
        ("no/such", {}, "no file or folder no/such; or name one of digits"),
        (__file__, {}, "names nothing in the file; write"),
        ("digits", {"split": "tests"}, "unknown split 'tests'; did you mean 'test'"),
        ("digits", {"limit": 0}, "the limit is 0; give 1 or more"),
    ],
)
def test_what_is_refused(spec, options, message):
    with pytest.raises(InputError, match=message):
        load_data(spec, **options)


def test_the_table_is_complete_and_cannot_be_changed():
    assert list(DATASETS) == [
        "digits",
        "mnist",
        "fashion-mnist",
        "cifar10",
        "cifar100",
        "cifar10-jpeg",
    ]
    assert [len(info.classes) for info in DATASETS.values()] == [10, 10, 10, 10, 100, 10]
    assert len(set(DATASETS["cifar100"].classes)) == 100
    with pytest.raises(TypeError):
        DATASETS["mine"] = DATASETS["mnist"]


@needs_shared
def test_the_first_test_images_of_cifar10():
    data = load_data("cifar10", data_root=SHARED)
    assert (len(data), data.shape) == (1017, (3, 32, 32))
    # The labels of the official order: cat, ship, ship, airplane, frog, frog, automobile, frog …
    assert data.labels[:8].tolist() == [3, 8, 8, 0, 6, 6, 1, 6]
    assert data.pixels[0, :, 0, 0].tolist() == [158, 112, 49]


@needs_shared
def test_mnist_has_its_customary_statistics():
    data = load_data("mnist", data_root=SHARED)
    assert (len(data), data.labels[0].item()) == (10_000, 7)
    values = data.images(torch.arange(10_000))
    assert float(values.mean()) == pytest.approx(0.1325, abs=1e-3)
