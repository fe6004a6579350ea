"""Images that are resident in memory, on the CPU or on a device."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from saddlepoint.checks import as_pixels
from saddlepoint.data.base import ImageBatches
from saddlepoint.data.checks import Array, checked_images, checked_labels, chunks
from saddlepoint.errors import InputError
from saddlepoint.files import fingerprint

_LEAST_STD = 1e-3  # a constant channel must not make normalisation divide by zero


@dataclass(frozen=True, eq=False)
class TensorData(ImageBatches):
    """Resident images: uint8 or float32, (N, C, H, W), or (N, D) vectors. Build it with `of`.

    >>> data = TensorData.of(torch.rand(10, 3, 8, 8), torch.arange(10) % 2, name="noise")
    >>> len(data), data.shape, data.classes, data.images(torch.tensor([3, 1])).shape
    (10, (3, 8, 8), ('0', '1'), torch.Size([2, 3, 8, 8]))
    """

    pixels: Tensor
    labels: Int64[Tensor, " n"]
    name: str
    split: str
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(
        cls,
        images: Array,
        labels: Array,
        *,
        name: str,
        split: str = "all",
        classes: Sequence[str] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> TensorData:
        """Check images and labels and return them as a data set; the memory is shared, not copied.

        Without `classes` there are max(label) + 1, named by their numbers. Without `mean` and
        `std` both are computed: per channel, or one pair over all features of vectors.
        Raises `InputError` for anything that is not images in [0, 1] with labels 0 … K-1.

        >>> TensorData.of(torch.rand(4, 8, 8), torch.tensor([0, 1, 2, 1]), name="a").classes
        ('0', '1', '2')
        """
        pixels = checked_images(images)
        known = None if classes is None else len(classes)
        targets = checked_labels(labels, len(pixels), known).to(pixels.device)
        if (mean is None) != (std is None):
            raise InputError("one of mean and std is given without the other; give both or none")
        if mean is None or std is None:
            mean, std = statistics(pixels)
        elif not (len(mean) == len(std) == _channels(pixels)):
            raise InputError(
                f"{len(mean)} means and {len(std)} stds for {_channels(pixels)} channels; "
                "give one of each per channel"
            )
        elif min(std) <= 0:
            raise InputError(f"std is {min(std):g}; give positive numbers")
        names = classes or [str(label) for label in range(int(targets.max()) + 1)]
        return cls(pixels, targets, name, split, tuple(names), tuple(mean), tuple(std))

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image, (C, H, W), or (D,).

        >>> TensorData.of(torch.rand(4, 2), torch.tensor([0, 1, 0, 1]), name="points").shape
        (2,)
        """
        return tuple(self.pixels.shape[1:])

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of pixels and labels: the same on every device.

        >>> data = TensorData.of(torch.zeros(2, 1, 4, 4), torch.tensor([0, 1]), name="black")
        >>> data.fingerprint == data.first(2).fingerprint != data.first(1).fingerprint
        True
        """
        digest = hashlib.sha256()
        for part in chunks(self.pixels):
            digest.update(part.contiguous().cpu().numpy().data)
        return fingerprint(
            {
                "shape": list(self.pixels.shape),
                "type": str(self.pixels.dtype),
                "pixels": digest.hexdigest(),
                "labels": hashlib.sha256(self.labels.cpu().numpy().data).hexdigest(),
            }
        )

    def images(self, indices: Int64[Tensor, " b"]) -> Float[Tensor, "b ..."]:
        """Return the images at `indices`: float32 in [0, 1], on the data's own device.

        >>> white = torch.full((2, 1, 2, 2), 255, dtype=torch.uint8)
        >>> data = TensorData.of(white, torch.tensor([0, 1]), name="white")
        >>> data.images(torch.tensor([1])).flatten()
        tensor([1., 1., 1., 1.])
        """
        return as_pixels(self.pixels[indices.to(self.pixels.device)])

    def to(self, device: torch.device | str) -> TensorData:
        """Return the same data on `device`.

        >>> data = TensorData.of(torch.rand(4, 2), torch.tensor([0, 1, 0, 1]), name="points")
        >>> data.to("cpu").fingerprint == data.fingerprint
        True
        """
        return replace(self, pixels=self.pixels.to(device), labels=self.labels.to(device))

    def take(self, indices: Int64[Tensor, " b"]) -> TensorData:
        """Return the images at `indices` as a data set with the same classes and statistics.

        >>> data = TensorData.of(torch.rand(4, 2), torch.tensor([0, 1, 2, 1]), name="points")
        >>> part = data.take(torch.tensor([3, 0]))
        >>> part.labels, part.classes, part.mean == data.mean
        (tensor([1, 0]), ('0', '1', '2'), True)
        """
        where = indices.to(self.pixels.device)
        return replace(self, pixels=self.pixels[where], labels=self.labels[where])

    def first(self, count: int) -> TensorData:
        """Return the first `count` images, or all where there are fewer.

        >>> data = TensorData.of(torch.rand(4, 2), torch.tensor([0, 1, 0, 1]), name="points")
        >>> len(data.first(3)), len(data.first(9))
        (3, 4)
        """
        if count < 1:
            raise InputError(f"the limit is {count} images; give 1 or more")
        return replace(self, pixels=self.pixels[:count], labels=self.labels[:count])


def statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation per channel, on the scale [0, 1]; vectors have one pair.

    The standard deviation is at least 0.001, so that a constant channel can be normalised.

    >>> statistics(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    ((0.5,), (0.5,))
    """
    channels = _channels(images)
    mean, spread = torch.zeros(2, channels, dtype=torch.float64)
    count = images.numel() / channels
    # Two passes: the mean of squares less the square of the mean cancels for bright images.
    for part in chunks(images):
        mean += _by_channel(part).sum(1).cpu() / count
    for part in chunks(images):
        values = _by_channel(part)
        spread += (values - mean.to(values.device)[:, None]).square().sum(1).cpu() / count
    scale = 255.0 if images.dtype is torch.uint8 else 1.0
    std = (spread.sqrt() / scale).clamp_min(_LEAST_STD)
    return tuple((mean / scale).tolist()), tuple(std.tolist())


def joined(parts: Sequence[TensorData]) -> TensorData:
    """Return several data sets as one, split `all`, with the statistics of the first.

    >>> data = TensorData.of(torch.rand(4, 2), torch.tensor([0, 1, 0, 1]), name="points")
    >>> len(joined([data, data.first(1)]))
    5
    """
    shapes = sorted({part.shape for part in parts})
    if len(shapes) > 1:
        raise InputError(f"images of {shapes[0]} and of {shapes[1]} cannot be one data set")
    same = len({part.pixels.dtype for part in parts}) == 1
    pixels = [
        part.pixels if same else part.images(torch.arange(len(part.labels))) for part in parts
    ]
    labels = torch.cat([part.labels for part in parts])
    return replace(parts[0], pixels=torch.cat(pixels), labels=labels, split="all")


def _channels(images: Tensor) -> int:
    return images.shape[1] if images.ndim == 4 else 1


def _by_channel(images: Tensor) -> Float[Tensor, "c m"]:
    values = images.to(torch.float64)
    return values.transpose(0, 1).flatten(1) if images.ndim == 4 else values.reshape(1, -1)
