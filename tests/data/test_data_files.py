"""Archives and Parquet files: exact pixels back, and every damage named."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
from PIL import Image

from saddlepoint.data import load_data
from saddlepoint.errors import InputError

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (6, 3, 5, 4), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def encoded(images):
    return [png(image.transpose(1, 2, 0) if len(image) == 3 else image[0]) for image in images]


def table(path, images, labels, image="image", label="label"):
    parquet.write_table(arrow.table({image: images, label: labels}), path)
    return str(path)


@pytest.mark.parametrize("keys", [("images", "labels"), ("x", "y")])
@pytest.mark.parametrize("layout", ["first", "last"])
def test_an_archive_of_one_set(tmp_path, keys, layout):
    images = IMAGES if layout == "first" else IMAGES.transpose(0, 2, 3, 1)
    np.savez(tmp_path / "a.npz", **dict(zip(keys, (images, LABELS[:, None]), strict=True)))
    data = load_data(str(tmp_path / "a.npz"), split="train")
    assert (data.name, data.split, data.classes) == ("a.npz", "all", ("0", "1", "2"))
    assert np.array_equal(data.pixels.numpy(), IMAGES)
    assert np.array_equal(data.labels.numpy(), LABELS)


@pytest.mark.parametrize("keys", ["x_{} y_{}", "{}_images {}_labels"])
def test_an_archive_of_two_sets(tmp_path, keys):
    train, test = IMAGES[:4], IMAGES[4:]
    arrays = {}
    for part, images, labels in (("train", train, LABELS[:4]), ("test", test, LABELS[:2])):
        first, second = keys.replace("{}", part).split()
        arrays |= {first: images, second: labels}
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    path = str(tmp_path / "a.npz")
    one, two, both = (load_data(path, split=split) for split in ("train", "test", "all"))
    assert np.array_equal(one.pixels.numpy(), train)
    assert np.array_equal(two.pixels.numpy(), test)
    assert np.array_equal(both.pixels.numpy(), IMAGES)
    # The test images alone would have two classes and other statistics.
    assert two.classes == one.classes == ("0", "1", "2")
    assert two.mean == one.mean == pytest.approx(train.mean((0, 2, 3)) / 255)
    assert two.split == "test"


def test_float_images_and_an_image_size(tmp_path):
    images = RANDOM.random((3, 1, 9, 9))
    np.savez(tmp_path / "a.npz", x=images, y=LABELS[:3])
    data = load_data(str(tmp_path / "a.npz"), limit=2)
    assert np.array_equal(data.pixels.numpy(), images[:2].astype(np.float32))
    small = load_data(str(tmp_path / "a.npz"), image_size=3)
    # Bilinear with an antialiasing triangle of width 6: the centre weighs rows 2 to 6.
    weights = np.array([1, 2, 3, 2, 1]) / 9
    centre = weights @ images[0, 0, 2:7, 2:7] @ weights
    assert small.pixels[0, 0, 1, 1].item() == pytest.approx(centre, abs=1e-5)


class Code:
    """Something that only pickling can hold."""


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": IMAGES}, "holds a; expected images and labels"),
        ({"x": IMAGES, "y": np.eye(6)}, r"labels have shape \(6, 6\)"),
        ({"x": IMAGES, "y": LABELS[:5]}, "6 images but 5 labels"),
        ({"x": IMAGES - 2.0, "y": LABELS}, "span -2 … 253; they must lie in"),
        ({"x": np.array([Code()]), "y": LABELS}, "holds pickled objects, which could run code"),
        ({"x_train": IMAGES, "y_train": LABELS}, "has train images only, none for 'test'"),
    ],
)
def test_archives_that_are_refused(tmp_path, arrays, message):
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)
    with pytest.raises(InputError, match=message) as caught:
        load_data(str(path))
    assert str(caught.value).count(str(path)) == 1


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.9])
def test_a_cut_archive_is_named(tmp_path, keep):
    path = tmp_path / "a.npz"
    np.savez(path, x=IMAGES, y=LABELS)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if keep < 1 else keep])
    with pytest.raises(InputError, match=r"a\.npz is not a whole .npz archive"):
        load_data(str(path))


def test_an_archive_damaged_inside_is_named(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=IMAGES, y=LABELS)
    content = bytearray(path.read_bytes())
    content[100:140] = b"\xff" * 40
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.npz"):
        load_data(str(path))


@pytest.mark.parametrize(
    "columns", [("image", "label"), ("img", "fine_label"), ("image", "labels")]
)
@pytest.mark.parametrize("structured", [False, True])
def test_parquet_gives_the_pixels_back(tmp_path, columns, structured):
    images = encoded(IMAGES)
    if structured:
        images = [{"bytes": content, "path": None} for content in images]
    path = table(tmp_path / "a.parquet", images, LABELS, *columns)
    seen = []
    data = load_data(path, progress=lambda tick: seen.append((tick.done, tick.total)))
    assert np.array_equal(data.pixels.numpy(), IMAGES)
    assert np.array_equal(data.labels.numpy(), LABELS)
    assert (data.name, data.split, data.classes) == ("a.parquet", "all", ("0", "1", "2"))
    assert seen[-1] == (6, 6)


def test_the_limit_changes_neither_classes_nor_statistics(tmp_path):
    path = table(tmp_path / "a.parquet", encoded(IMAGES), LABELS)
    whole, part = load_data(path), load_data(path, limit=2)
    assert len(part) == 2
    assert (part.classes, part.mean, part.std) == (whole.classes, whole.mean, whole.std)


def test_grey_and_colour_in_one_file_are_colour(tmp_path):
    images = [*encoded(IMAGES[:1]), *encoded(IMAGES[1:2, :1])]
    data = load_data(table(tmp_path / "a.parquet", images, [0, 1]))
    assert np.array_equal(data.pixels[0].numpy(), IMAGES[0])
    assert np.array_equal(data.pixels[1].numpy(), IMAGES[1, [0, 0, 0]])


def test_many_rows_keep_their_order(tmp_path):
    values = np.arange(5000) % 251
    images = [png(np.full((2, 2), value, dtype=np.uint8)) for value in values]
    data = load_data(table(tmp_path / "a.parquet", images, values % 10))
    assert np.array_equal(data.pixels[:, 0, 0, 0].numpy(), values)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        ([png(IMAGES[0, 0]), b"nothing"], [0, 1], r"^row 1 of .*a\.parquet is not an image"),
        (
            [png(IMAGES[0, 0]), png(IMAGES[0, 0, :3])],
            [0, 1],
            r"row 1 .* is 3×4 pixels but others ar",
        ),
        ([png(IMAGES[0, 0]), None], [0, 1], r"row 1 of .* has no encoded image \(found NoneType\)"),
        ([png(IMAGES[0, 0])], [None], "row 0 of .* has the label None"),
        ([png(IMAGES[0, 0])], [0.5], "row 0 of .* has the label 0.5"),
        ([png(IMAGES[0, 0])], [-1], "label -1 of image 0 is negative"),
        (["text"], [0], r"no encoded image \(found str\)"),
    ],
)
def test_rows_that_are_refused(tmp_path, images, labels, message):
    path = table(tmp_path / "a.parquet", images, labels)
    with pytest.raises(InputError, match=message):
        load_data(path)


def test_parquet_files_that_are_refused(tmp_path):
    path = table(tmp_path / "a.parquet", encoded(IMAGES), LABELS, "picture", "label")
    with pytest.raises(InputError, match="has the columns picture, label; expected image"):
        load_data(path)
    path = table(tmp_path / "a.parquet", encoded(IMAGES), LABELS)
    whole = (tmp_path / "a.parquet").read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 1):
        (tmp_path / "a.parquet").write_bytes(whole[:size])
        with pytest.raises(InputError, match=r"a\.parquet is not a whole Parquet file"):
            load_data(path)
    empty = arrow.array([], arrow.binary())
    with pytest.raises(InputError, match="holds no images"):
        load_data(table(tmp_path / "a.parquet", empty, arrow.array([], arrow.int64())))
