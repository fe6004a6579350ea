"""The contract of a data set: what training and evaluation read, whatever holds the pixels."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float, Int64
from torch import Tensor


@runtime_checkable
class ImageData(Protocol):
    """Labelled images with values in [0, 1], read in batches by their indices.

    The labels are always resident; the pixels may be resident (`TensorData`) or on disk
    (`FolderData`). `mean` and `std` are for the model's normalisation and are always those of the
    training split, also on a test split.

    >>> from saddlepoint.data import load_data
    >>> data = load_data("digits", split="test")
    >>> isinstance(data, ImageData), data.shape, data.classes[:3]
    (True, (1, 8, 8), ('0', '1', '2'))
    """

    @property
    def name(self) -> str:
        """The data set's name, for instance `digits`, or that of the file or folder."""

    @property
    def split(self) -> str:
        """One of `train`, `test`, `all`."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in label order."""

    @property
    def labels(self) -> Int64[Tensor, " n"]:
        """The label of every image, 0 … K-1."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image, (C, H, W), or (D,) for vectors."""

    @property
    def mean(self) -> tuple[float, ...]:
        """The mean of each channel over the training split."""

    @property
    def std(self) -> tuple[float, ...]:
        """The standard deviation of each channel over the training split, never zero."""

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that identify the images and their labels."""

    def __len__(self) -> int: ...

    def images(self, indices: Int64[Tensor, " b"]) -> Float[Tensor, "b ..."]:
        """Return the images at `indices`: float32 in [0, 1], on the data's own device."""


def data_identity(data: ImageData) -> dict[str, Any]:
    """Return what the record of a run says of its images, as JSON values.

    >>> from saddlepoint.data import load_data
    >>> list(data_identity(load_data("digits")))
    ['name', 'split', 'images', 'fingerprint']
    """
    return {
        "name": data.name,
        "split": data.split,
        "images": len(data),
        "fingerprint": data.fingerprint,
    }
