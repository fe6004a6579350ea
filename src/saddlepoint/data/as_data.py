"""A data set of ours from what a user has: a Dataset, a DataLoader, arrays."""

from __future__ import annotations

import contextlib
import itertools
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from saddlepoint.checks import tensor_of
from saddlepoint.data.base import ImageData
from saddlepoint.data.collected import Collected
from saddlepoint.data.tensor_data import TensorData
from saddlepoint.errors import InputError
from saddlepoint.reading import shown

DataLike = ImageData | Dataset[Any] | DataLoader[Any] | tuple[Any, Any] | Sequence[tuple[Any, Any]]
"""What `as_data` takes."""

_NAME = "arrays"  # whichever way they come: the same images are the same data
_LOOKED_AT = 64  # images of the second reading
_FORMS = "give a Dataset or DataLoader of (image, label), or a pair (images, labels)"


def as_data(
    given: DataLike, *, classes: Sequence[str] | None = None, name: str | None = None
) -> ImageData:
    """Return labelled images, from whatever holds them, as a data set.

    Args:
        given: a data set of ours, which is returned as it is; a pair (images, labels) of tensors,
            arrays or lists, whose memory is shared; a map-style `Dataset`, or a list, of
            (image, label), each image a tensor, an array or a PIL image; or a `DataLoader` over
            one. Floats lie in [0, 1]; 8-bit images stay so in memory.
        classes: the names of the classes; their numbers where they are not given.
        name: of the data; by default that of the data set's class.

    Images are read into memory once, and the first 64 once more: where the second reading differs,
    in another order than the first, the images' identities are their places in the first and a
    warning says so. Raises `InputError` for what cannot be read twice, for images that are not the
    same when they are (random augmentation), and for anything that is not images in [0, 1] with
    labels 0 … K-1.

    >>> data = as_data((np.zeros((3, 1, 2, 2), np.uint8), [0, 1, 0]))
    >>> data.shape, data.classes, data.images(torch.tensor([1])).dtype
    ((1, 2, 2), ('0', '1'), torch.float32)
    """
    if isinstance(given, ImageData):
        if classes is not None:
            raise InputError(f"{given.name} has classes of its own; leave classes out")
        return given
    whole: Any = given
    if isinstance(given, TensorDataset) and len(given.tensors) == 2:
        whole = given.tensors
    if _is_pair(whole):
        images, labels = whole
        return _data(_stacked(images), tensor_of(labels, "labels"), classes, name or _NAME)
    if isinstance(given, Tensor | np.ndarray):
        raise InputError(f"the data are images without labels; {_FORMS}")
    if isinstance(given, Iterator):
        raise InputError(
            f"a {type(given).__name__} can be read only once, and the images are looked at again;"
            f" {_FORMS}"
        )
    images, labels = _read(given)
    return _data(images, labels, classes, name or _NAME)


def _data(images: Any, labels: Tensor, classes: Sequence[str] | None, name: str) -> TensorData:
    shape = tuple(getattr(images, "shape", ()))
    data = TensorData.of(images, labels, name=name, classes=classes)
    if len(shape) == 4 and data.shape != shape[1:]:
        warnings.warn(
            f"images of shape {shape} were taken for (n, height, width, channels); they are"
            f" {(len(data), *data.shape)} now",
            stacklevel=3,
        )
    return data


def _is_pair(given: object) -> bool:
    """Return whether this is (images, labels), and no list of two samples."""
    if not isinstance(given, tuple | list) or len(given) != 2:
        return False
    return isinstance(given, tuple) or not _is_sample(given[0])


def _is_sample(item: object) -> bool:
    return isinstance(item, tuple | list) and len(item) == 2 and np.ndim(item[1]) == 0


def _stacked(images: Any) -> Any:
    """Return a list of images as one tensor."""
    if not isinstance(images, list | tuple) or not images:
        return images
    if not isinstance(images[0], Tensor | np.ndarray | Image):
        return images
    found = Collected(len(images))
    for image in images:
        found.add(image, 0)
    return found.images()


def _read(given: Any) -> tuple[Tensor, Tensor]:
    """Return images and labels of what is read sample by sample, or batch by batch."""
    if isinstance(given, str | Path):
        raise InputError(f"the data are the name {shown(given)}; read them with load_data")
    if not isinstance(given, Iterable | Dataset):
        raise InputError(f"the data are a {type(given).__name__}; {_FORMS}")
    if isinstance(given, Mapping):
        keys = ", ".join(map(str, itertools.islice(given, 8)))
        raise InputError(f"the data are a {type(given).__name__} of {keys}; {_FORMS}")
    first = Collected(_length(given))
    with torch.random.fork_rng(devices=[]):  # a loader draws its order from the global state
        for image, label in _samples(given):
            first.add(image, label)
        images, labels = first.images(), first.labels()
        again = Collected(None)
        for image, label in itertools.islice(_samples(given), min(_LOOKED_AT, len(labels))):
            again.add(image, label)
    if not len(again):
        raise InputError(
            f"the {type(given).__name__} is empty when it is read again; give one that can be read"
            " twice, as a list or a map-style Dataset can"
        )
    moved = first.differs(again)
    if moved == "images":
        raise InputError(
            f"the {type(given).__name__} gives other images when it is read again (random"
            " augmentation, or draws with replacement?); give fixed ones: a training has"
            " augmentation in its recipe"
        )
    if moved == "order":
        warnings.warn(
            f"the {type(given).__name__} shuffles: an image's id is its place in the first pass."
            " With shuffle=False the next call finds them in the same order",
            stacklevel=4,
        )
    known = _length(given)
    if known is not None and len(labels) < known:
        warnings.warn(
            f"the {type(given).__name__} gives {len(labels):,} of the {known:,} images of its data set"
            " (drop_last, or a sampler?)",
            stacklevel=4,
        )
    return images, labels


def _length(given: Any) -> int | None:
    """Return how many samples there are, where that is known before they are read."""
    source: Any = given.dataset if isinstance(given, DataLoader) else given
    if isinstance(source, IterableDataset):
        return None
    with contextlib.suppress(TypeError):
        return len(source)
    return None


def _samples(given: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (image, label) one by one."""
    if isinstance(given, DataLoader) and given.batch_size is None and given.batch_sampler is None:
        yield from (_pair(item) for item in given)  # it does not batch
    elif isinstance(given, DataLoader):
        for batch in given:
            images, labels = _pair(batch)
            labels = tensor_of(labels, "labels")
            if labels.ndim == 0 or len(images) != len(labels):
                raise InputError(
                    f"a batch has {len(images)} images and labels of shape {tuple(labels.shape)};"
                    " give one label per image"
                )
            yield from zip(images, labels, strict=True)
    elif hasattr(given, "__getitem__") and hasattr(given, "__len__"):
        for i in range(len(given)):
            yield _pair(given[i])
    else:
        yield from (_pair(item) for item in given)


def _pair(item: Any) -> tuple[Any, Any]:
    if isinstance(item, tuple | list) and len(item) == 2:
        return item[0], item[1]
    kind = type(item).__name__
    if isinstance(item, Mapping):
        kind += f" of {', '.join(map(str, itertools.islice(item, 8)))}"
    elif isinstance(item, tuple | list):
        kind += f" of {len(item)} values"
    raise InputError(f"a sample of the data is a {kind}; give (image, label)")
