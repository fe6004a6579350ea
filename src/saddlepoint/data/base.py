"""The contract of a data set: what training and evaluation read, whatever holds it."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float, Int64
from torch import Tensor


@runtime_checkable
class Data(Protocol):
    """Examples of any kind, read in batches by their indices.

    >>> from saddlepoint.data import load_data
    >>> import torch
    >>> inputs, targets = load_data("digits", limit=3).batch(torch.tensor([0, 2]))
    >>> inputs.shape, targets.shape
    (torch.Size([2, 1, 8, 8]), torch.Size([2]))
    """

    @property
    def name(self) -> str:
        """The data set's name, for instance `digits`, or that of the file or folder."""

    @property
    def split(self) -> str:
        """One of `train`, `validation`, `test`, `all`."""

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that identify the examples and what is to be said of them."""

    def __len__(self) -> int: ...

    def batch(self, indices: Int64[Tensor, " b"]) -> tuple[Any, Any]:
        """Return the examples at `indices`, and what is to be said of them."""


@runtime_checkable
class ImageData(Data, Protocol):
    """Labelled images with values in [0, 1]; a batch is (images, labels).

    The labels are always resident; the pixels may be resident (`TensorData`) or on disk
    (`FolderData`). `mean` and `std` are for the model's normalisation and are always those of the
    training split, also on a test split.

    >>> from saddlepoint.data import load_data
    >>> data = load_data("digits", split="test")
    >>> isinstance(data, ImageData), data.shape, data.classes[:3]
    (True, (1, 8, 8), ('0', '1', '2'))
    """

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

    def images(self, indices: Int64[Tensor, " b"]) -> Float[Tensor, "b ..."]:
        """Return the images at `indices`: float32 in [0, 1], on the data's own device."""


class ImageBatches:
    """What makes the batches of any data set of images.

    >>> from saddlepoint.data import load_data
    >>> isinstance(load_data("digits", limit=1), ImageBatches)
    True
    """

    def batch(
        self: ImageData, indices: Int64[Tensor, " b"]
    ) -> tuple[Float[Tensor, "b ..."], Int64[Tensor, " b"]]:
        """Return the images at `indices` and their labels."""
        return self.images(indices), self.labels[indices.to(self.labels.device)]


def data_identity(data: Data) -> dict[str, Any]:
    """Return what the record of a run says of its examples, as JSON values.

    >>> from saddlepoint.data import load_data
    >>> list(data_identity(load_data("digits")))
    ['name', 'split', 'images', 'fingerprint']
    """
    return {
        "name": data.name,
        "split": data.split,
        "images" if isinstance(data, ImageData) else "texts": len(data),
        "fingerprint": data.fingerprint,
    }
