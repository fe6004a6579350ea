"""A data set under a corruption: its images are corrupted when they are first asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from saddlepoint.checks import as_pixels
from saddlepoint.counts import check_seed
from saddlepoint.data.base import ImageBatches, ImageData
from saddlepoint.data.corruptions.constants import VERSION, Form, check_form, form_for
from saddlepoint.data.corruptions.corruption import Corruption, check_severity, check_shape
from saddlepoint.data.corruptions.registry import corruption_named
from saddlepoint.files import fingerprint

_KEPT_BYTES = 1 << 30  # images of larger data sets are corrupted anew whenever they are asked for


@dataclass(frozen=True, eq=False)
class CorruptedData(ImageBatches):
    """Labelled images under a corruption. Build it with `corrupted`.

    Attributes:
        source: the images before; an image's index in it is its id.
        corruption, severity, seed, form: what is done to them, see `Corruption`.

    >>> from saddlepoint.data import load_data
    >>> data = corrupted(load_data("digits", limit=4), "gaussian-noise", 5)
    >>> alone, batch = data.images(torch.tensor([2])), data.images(torch.arange(4))
    >>> torch.equal(alone[0], batch[2])
    True
    """

    source: ImageData
    corruption: Corruption
    severity: int
    seed: int
    form: Form

    @property
    def name(self) -> str:
        """The name of the images and of what was done to them, such as `digits, fog 3`."""
        return f"{self.source.name}, {self.corruption.name} {self.severity}"

    @property
    def split(self) -> str:
        """One of `train`, `test`, `all`."""
        return self.source.split

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in label order."""
        return self.source.classes

    @property
    def labels(self) -> Int64[Tensor, " n"]:
        """The label of every image, 0 … K-1."""
        return self.source.labels

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image, (C, H, W)."""
        return self.source.shape

    @property
    def mean(self) -> tuple[float, ...]:
        """The mean of each channel of the training images, which are not corrupted."""
        return self.source.mean

    @property
    def std(self) -> tuple[float, ...]:
        """The standard deviation of each channel of the training images, which are not corrupted."""
        return self.source.std

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that identify the images before and what was done to them."""
        return fingerprint(
            {
                "images": self.source.fingerprint,
                "corruption": self.corruption.name,
                "severity": self.severity,
                "seed": self.seed,
                "constants": self.form,
                "version": VERSION,
            }
        )

    def __len__(self) -> int:
        return len(self.source)

    def images(self, indices: Int64[Tensor, " b"]) -> Float[Tensor, "b c h w"]:
        """Return the corrupted images at `indices`: float32 in [0, 1], on the data's own device.

        >>> from saddlepoint.data import load_data
        >>> corrupted(load_data("digits"), "fog", 3).images(torch.tensor([7, 1])).shape
        torch.Size([2, 1, 8, 8])
        """
        device, rows = self.labels.device, indices.cpu()
        store = self._store
        if store is None:
            return as_pixels(self._computed(rows).to(device))
        kept, known = store
        missing = torch.unique(rows[~known[rows]])
        if len(missing):
            kept[missing] = self._computed(missing)
            known[missing] = True
        return as_pixels(kept[rows].to(device))

    @cached_property
    def _store(self) -> tuple[Tensor, Tensor] | None:
        """Room for all corrupted images, and which are there; None where there is too little.

        An evaluation asks for an image once per attack, and one of 224 pixels takes a tenth of a
        second.
        """
        size = torch.Size((len(self), *self.shape))
        if size.numel() > _KEPT_BYTES:
            return None
        return torch.empty(size, dtype=torch.uint8), torch.zeros(len(self), dtype=torch.bool)

    def _computed(self, rows: Int64[Tensor, " b"]) -> Tensor:
        found = torch.empty((len(rows), *self.shape), dtype=torch.uint8)
        images = self.source.images(rows).cpu()
        for place, (image, number) in enumerate(zip(images, rows.tolist(), strict=True)):
            found[place] = self.corruption(
                image, self.severity, seed=self.seed, image_id=number, form=self.form
            )
        return found


def corrupted(
    data: ImageData,
    name: str | Corruption,
    severity: int,
    seed: int = 0,
    *,
    form: Form | None = None,
) -> CorruptedData:
    """Return the same images under a common corruption, computed when they are asked for.

    The random numbers of an image are a function of (seed, index, corruption, severity), so that it
    is the same in every batch and order. Names, classes, mean and standard deviation stay those of the
    data.

    Args:
        data: images of 1 or 3 channels with sides of at least 8.
        name: of `CORRUPTIONS`, or one of them.
        severity: 1 … 5.
        seed: of every random draw.
        form: whose constants, "cifar-10-c" or "imagenet-c"; None is the former where both sides have
            at most 64 pixels, else the latter.

    Raises `InputError` for what cannot be corrupted so.

    Reference: Hendrycks and Dietterich 2019, arXiv:1903.12261.

    >>> from saddlepoint.data import load_data
    >>> corrupted(load_data("digits"), "fog", 3).name
    'digits, fog 3'
    """
    corruption = corruption_named(name) if isinstance(name, str) else name
    check_severity(severity)
    check_seed(seed)
    check_shape(data.shape)
    chosen = form_for(data.shape) if form is None else check_form(form)
    return CorruptedData(data, corruption, severity, seed, chosen)
