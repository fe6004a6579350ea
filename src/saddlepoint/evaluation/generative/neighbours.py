"""The nearest training images of samples: does a generator recite?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from saddlepoint.data import ImageData
from saddlepoint.errors import InputError

_ROWS, _IMAGES = 512, 4096  # of a block of distances: 8 MiB


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest image of each query, in L2 over the pixels.

    Attributes:
        ids: of the nearest in the data.
        distances: to it.

    >>> Neighbours(torch.tensor([3, 5]), torch.tensor([1.0, 2.0])).median
    1.5
    """

    ids: Int64[Tensor, " q"]
    distances: Float[Tensor, " q"]

    @property
    def median(self) -> float:
        """The median distance."""
        return float(self.distances.double().quantile(0.5))


def nearest(queries: Float[Tensor, "q ..."], data: ImageData) -> Neighbours:
    """Return the nearest image of `data` to each query; its images are read block by block.

    The search is by ‖a‖² + ‖b‖² − 2ab in float32; the distance to what it finds is exact. Raises
    `InputError` for no images, or other shapes.

    >>> from saddlepoint.data import load_data
    >>> data = load_data("digits", split="train", limit=50)
    >>> nearest(data.images(torch.tensor([7, 21])), data).ids.tolist()
    [7, 21]
    """
    if not len(data) or tuple(queries.shape[1:]) != tuple(data.shape):
        raise InputError(
            f"the queries have shape {tuple(queries.shape[1:])}, the {len(data)} images of {data.name}"
            f" {tuple(data.shape)}; give images of one shape"
        )
    flat = queries.flatten(1).float().cpu()
    least = torch.full((len(flat),), math.inf)
    ids = torch.zeros(len(flat), dtype=torch.int64)
    for start in range(0, len(data), _IMAGES):
        which = torch.arange(start, min(start + _IMAGES, len(data)))
        images = data.images(which).flatten(1).float().cpu()
        lengths = images.square().sum(1)
        for i in range(0, len(flat), _ROWS):
            block = flat[i : i + _ROWS]
            # Without ‖query‖², which is the same for all images.
            value, place = (lengths - 2 * block @ images.T).min(1)
            closer = value < least[i : i + _ROWS]
            least[i : i + _ROWS] = torch.where(closer, value, least[i : i + _ROWS])
            ids[i : i + _ROWS] = torch.where(closer, place + start, ids[i : i + _ROWS])
    distances = torch.cat(
        [
            (flat[i : i + _ROWS].double() - data.images(ids[i : i + _ROWS]).flatten(1).cpu())
            .norm(dim=1)
            .float()
            for i in range(0, len(flat), _ROWS)
        ]
    )
    return Neighbours(ids, distances)
