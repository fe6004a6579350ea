"""NumPy archives: one set of images and labels, or a training and a test set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from saddlepoint.data.checks import checked_images, checked_labels
from saddlepoint.data.decode import resized
from saddlepoint.data.tensor_data import TensorData, joined, statistics
from saddlepoint.errors import InputError
from saddlepoint.reading import shown
from saddlepoint.reading.arrays import archive_names, read_archive

_ONE = (("images", "labels"), ("x", "y"))
_TWO = (("x_{}", "y_{}"), ("{}_images", "{}_labels"))


def read_npz(path: Path, *, split: str, image_size: int | None = None) -> TensorData:
    """Return the images of a `.npz`: `images`/`labels`, `x`/`y`, `x_train`/`y_train` … .

    An archive of one set is split `all`, whatever is asked for; one with `x_train` and `x_test`,
    or `train_images` and `test_images`, has the statistics of its training images in both.
    Pickled objects are never loaded. Raises `InputError` for other keys and for damaged files.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "noise.npz"
    ...     np.savez(path, x=np.zeros((4, 8, 8), np.uint8), y=np.array([0, 1, 2, 1]))
    ...     read_npz(path, split="test").shape
    (1, 8, 8)
    """
    if not path.exists():
        raise InputError(f"no file {shown(path)}")
    try:
        return _read(path, split, image_size)
    except InputError as error:
        message = str(error)
        named = shown(path) in message
        raise InputError(message if named else f"{shown(path)}: {message}") from error


def _read(path: Path, split: str, image_size: int | None) -> TensorData:
    keys = archive_names(path)
    for images, labels in _ONE:
        if {images, labels} <= keys:
            arrays = read_archive(path, [images, labels])
            return _data(path, "all", arrays[images], arrays[labels], image_size)
    for images, labels in _TWO:
        names = {part: (images.format(part), labels.format(part)) for part in ("train", "test")}
        there = [part for part, pair in names.items() if keys.issuperset(pair)]
        if there:
            if split not in (*there, "all"):
                raise InputError(f"{shown(path)} has {there[0]} images only, none for '{split}'")
            arrays = read_archive(path, [name for part in there for name in names[part]])
            parts = {part: (arrays[names[part][0]], arrays[names[part][1]]) for part in there}
            return _split(path, split, parts, image_size)
    found = shown(", ".join(sorted(keys))) or "nothing"
    raise InputError(
        f"{shown(path)} holds {found}; expected images and labels, x and y, or x_train, y_train, "
        "x_test and y_test"
    )


def _split(
    path: Path,
    split: str,
    arrays: dict[str, tuple[NDArray[np.generic], NDArray[np.generic]]],
    image_size: int | None,
) -> TensorData:
    parts = {
        part: _data(path, part, images, labels, image_size)
        for part, (images, labels) in arrays.items()
    }
    # Both splits share the classes of both and the statistics of the first, the training images.
    first = next(iter(parts.values()))
    classes = max((part.classes for part in parts.values()), key=len)
    shared = [
        TensorData.of(
            data.pixels,
            data.labels,
            name=data.name,
            split=part,
            classes=classes,
            mean=first.mean,
            std=first.std,
        )
        for part, data in parts.items()
        if split in (part, "all")
    ]
    return shared[0] if split != "all" else joined(shared)


def _data(
    path: Path,
    split: str,
    images: NDArray[np.generic],
    labels: NDArray[np.generic],
    image_size: int | None,
) -> TensorData:
    pixels = checked_images(images)
    targets = checked_labels(labels, len(pixels), None)
    if image_size is not None:
        pixels = checked_images(resized(pixels.numpy(), image_size))
    mean, std = statistics(pixels)
    return TensorData.of(pixels, targets, name=shown(path.name), split=split, mean=mean, std=std)
