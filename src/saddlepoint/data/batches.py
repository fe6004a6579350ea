"""Batches in an order that is a function of the seed and the epoch alone, so that runs resume."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.utils.data import DataLoader

from saddlepoint.checks import as_pixels
from saddlepoint.data.base import ImageData
from saddlepoint.data.folder import FolderData
from saddlepoint.errors import InputError
from saddlepoint.streams import generator

LabelledBatch = tuple[Int64[Tensor, " b"], Float[Tensor, "b ..."], Int64[Tensor, " b"]]


def epoch_order(n: int, seed: int, epoch: int) -> Int64[Tensor, " n"]:
    """Return the order in which an epoch visits `n` images: a function of seed and epoch alone.

    >>> epoch_order(5, seed=0, epoch=3).sort().values
    tensor([0, 1, 2, 3, 4])
    >>> torch.equal(epoch_order(50, seed=0, epoch=3), epoch_order(50, seed=0, epoch=3))
    True
    """
    # Derived, since seed + epoch would give seed 1 the orders of seed 0, one epoch later.
    return torch.randperm(n, generator=generator(seed, "order", epoch))


def batches(
    data: ImageData,
    order: Int64[Tensor, " m"],
    batch_size: int,
    *,
    device: torch.device | str,
    start: int = 0,
    workers: int = 0,
) -> Iterator[LabelledBatch]:
    """Yield (indices, images in [0, 1], labels) on `device`, from batch number `start` on.

    LabelledBatch i holds `order[i * batch_size : (i + 1) * batch_size]` whatever `start` is; the
    last may be smaller. Images on disk are decoded by `workers` processes; 0 decodes in this one.
    The global random state is left alone. Raises `InputError` where `order` leaves the data.

    >>> from saddlepoint.data import load_data
    >>> data = load_data("digits", limit=10)
    >>> [len(labels) for _, _, labels in batches(data, torch.arange(10), 4, device="cpu")]
    [4, 4, 2]
    """
    if batch_size < 1:
        raise InputError(f"the batch size is {batch_size}; give 1 or more")
    if start < 0 or workers < 0:
        raise InputError(f"start is {start} and workers is {workers}; give 0 or more")
    if len(order) and not 0 <= int(order.min()) <= int(order.max()) < len(data):
        raise InputError(
            f"the order spans {int(order.min())} … {int(order.max())}, but there are "
            f"{len(data)} images"
        )
    rest = order[start * batch_size :]
    if not len(rest):
        return iter(())
    if isinstance(data, FolderData):
        return _from_disk(data, rest.cpu(), batch_size, torch.device(device), workers)
    return _resident(data, rest.to(data.labels.device), batch_size, torch.device(device))


def _resident(
    data: ImageData, order: Tensor, batch_size: int, device: torch.device
) -> Iterator[LabelledBatch]:
    for indices in torch.split(order, batch_size):
        images, labels = as_pixels(data.images(indices)), data.labels[indices]
        yield indices.to(device), _sent(images, device), _sent(labels, device)


def _sent(values: Tensor, device: torch.device) -> Tensor:
    """Return `values` on `device`; from pinned memory, so that nobody waits for the copy."""
    if device.type == "cuda" and not values.is_cuda:
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


def _from_disk(
    data: FolderData, order: Tensor, batch_size: int, device: torch.device, workers: int
) -> Iterator[LabelledBatch]:
    parts = torch.split(order, batch_size)
    loader = DataLoader(
        data,
        batch_sampler=[part.tolist() for part in parts],
        num_workers=workers,
        pin_memory=device.type == "cuda",
        # The loader draws a seed for its workers; without a generator it draws it globally.
        generator=torch.Generator(),
    )
    try:
        for indices, (pixels, labels) in zip(parts, loader, strict=True):
            images = as_pixels(_sent(pixels, device))
            yield _sent(indices, device), images, _sent(labels, device)
    except InputError as error:
        # From a worker the message comes back inside its whole traceback.
        message = str(error).strip().rpartition(f"{InputError.__name__}: ")[2]
        raise InputError(message) from error
