"""The batches of a training, each a function of (seed, epoch, step): any of them can be made alone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from saddlepoint.data import (
    ImageData,
    LabelledBatch,
    batches,
    epoch_order,
    mix,
    one_after_the_other,
)
from saddlepoint.defences import Recipe, TrainingBatch
from saddlepoint.streams import derive, generator
from saddlepoint.training.randomness import seed_layers


@dataclass(frozen=True, eq=False)
class Feed:
    """The images of a training in their order, batch by batch.

    Args:
        data: what is trained on.
        recipe: its batch size, augmentation, mixing and precision.
        seed: of the order, the augmentation, the mixing, the layers and the attacks.
        device: of the model.
        workers: processes that decode images which do not fit in memory.
        chosen: (n,) the indices of the images that are trained on; None is all.
        soft: (N, k) a teacher's probabilities for all images of the data; None without one.

    >>> from saddlepoint.data import load_data
    >>> data = load_data("digits", split="train", limit=64)
    >>> feed = Feed(data, Recipe(batch_size=24), seed=0, device=torch.device("cpu"))
    >>> feed.steps, feed.first().shape, [len(images) for images in feed.images(epoch=1)]
    (3, torch.Size([24, 1, 8, 8]), [24, 24, 16])
    """

    data: ImageData
    recipe: Recipe
    seed: int
    device: torch.device
    workers: int = 0
    chosen: Int64[Tensor, " n"] | None = None
    soft: Float[Tensor, "N k"] | None = None

    def __len__(self) -> int:
        return len(self.data) if self.chosen is None else len(self.chosen)

    @property
    def steps(self) -> int:
        """The batches of an epoch."""
        return math.ceil(len(self) / self.recipe.batch_size)

    def first(self) -> Float[Tensor, "n ..."]:
        """Return the first batch, as it is without augmentation: layers and penalties begin by it."""
        size = self.recipe.batch_size
        order = self._order(0)[:size]
        _, images, _ = next(batches(self.data, order, size, device=self.device))
        return images

    def images(self, epoch: int, most: int | None = None) -> Iterator[Float[Tensor, "n ..."]]:
        """Yield the images of an epoch without augmentation, at most so many batches."""
        return (images for _, images, _ in itertools.islice(self._batches(epoch), most))

    def epoch(self, epoch: int, start: int = 0) -> Iterator[TrainingBatch]:
        """Yield the batches of an epoch from step `start` on, augmented and mixed, and seed the
        layers for each; within `forked_random_state`.
        """
        augment = one_after_the_other(self.recipe.augmentation)
        amp = torch.bfloat16 if self.recipe.autocast else None
        seed = derive(self.seed, "attack", epoch)
        for step, (ids, images, labels) in enumerate(self._batches(epoch, start), start):
            seed_layers(self.device, derive(self.seed, "layers", epoch, step))
            stream = generator(self.seed, "augmentation", epoch, step, device=images.device)
            soft = (
                None if self.soft is None else self.soft[ids.to(self.soft.device)].to(images.device)
            )
            batch = TrainingBatch(augment(images, stream), labels, ids, seed, amp, epoch, soft)
            yield self._mixed(batch, derive(self.seed, "mixing", epoch, step))

    def _mixed(self, batch: TrainingBatch, seed: int) -> TrainingBatch:
        """Return the batch with its images, and all that is said of their classes, mixed in pairs."""
        mixup, cutmix = self.recipe.mixup, self.recipe.cutmix
        if mixup is None and cutmix is None:
            return batch
        images, pairs = mix(batch.images, torch.Generator().manual_seed(seed), mixup, cutmix)
        hard = functional.one_hot(batch.labels, len(self.data.classes)).to(images.dtype)
        soft = None if batch.soft is None else pairs.mixed(batch.soft)
        return replace(batch, inputs=images, targets=pairs.mixed(hard), soft=soft)

    def _batches(self, epoch: int, start: int = 0) -> Iterator[LabelledBatch]:
        return batches(
            self.data, self._order(epoch), self.recipe.batch_size,
            device=self.device, start=start, workers=self.workers,
        )  # fmt: skip

    def _order(self, epoch: int) -> Int64[Tensor, " n"]:
        order = epoch_order(len(self), self.seed, epoch)
        return order if self.chosen is None else self.chosen[order]
