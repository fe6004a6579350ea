"""The batches of a training on texts, each a function of (seed, epoch, step)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from saddlepoint.data import epoch_order
from saddlepoint.defences import Recipe, TrainingBatch
from saddlepoint.errors import InputError
from saddlepoint.streams import derive
from saddlepoint.text import FramedText, Tokens
from saddlepoint.text.tokens import IGNORED
from saddlepoint.training.randomness import seed_layers


@dataclass(frozen=True, eq=False)
class TextFeed:
    """The sequences of a training in their order, batch by batch.

    With `Recipe.batch_tokens` sequences of like length share a batch, which holds of each side at most
    so many tokens, padding among them. Where the batches end follows from the lengths alone, so that
    every epoch has as many steps; which of the sequences of a length share one, and the order of the
    batches, are drawn anew in each. Else a batch is the next `batch_size` of a random order.

    Args:
        data: what is trained on.
        recipe: its batch size and precision.
        seed: of the order, the layers and the masks.
        device: of the model.

    Raises `InputError` for a sequence that is longer than a batch may be.

    >>> from saddlepoint.defences import load_recipe
    >>> from saddlepoint.objectives import Translate
    >>> from saddlepoint.text import Framing, Translations, WordTokeniser, load_text
    >>> framing = Framing(WordTokeniser(list("abcdefghijklmnopqrstuvwxyz")))
    >>> data = Translations(load_text("rules:copy", split="train", limit=100), framing)
    >>> feed = TextFeed(data, Recipe(Translate(), batch_tokens=200), 0, torch.device("cpu"))
    >>> sizes = [batch.tokens.ids.numel() for batch in feed.epoch(0)]
    >>> len(sizes) == feed.steps, max(sizes) <= 200
    (True, True)
    """

    data: FramedText
    recipe: Recipe
    seed: int
    device: torch.device

    def __len__(self) -> int:
        return len(self.data)

    @property
    def steps(self) -> int:
        """The batches of an epoch."""
        if self.recipe.batch_tokens is None:
            return math.ceil(len(self) / self.recipe.batch_size)
        return len(self._sizes)

    def first(self) -> None:
        """Return None: nothing of a training on texts begins by its first batch."""

    def images(self, epoch: int, most: int | None = None) -> Iterator[Float[Tensor, "n ..."]]:
        """Yield nothing: no network for texts has statistics of batches."""
        return iter(())

    def epoch(self, epoch: int, start: int = 0) -> Iterator[TrainingBatch]:
        """Yield the batches of an epoch from step `start` on, and seed the layers for each; within
        `forked_random_state`.
        """
        amp = torch.bfloat16 if self.recipe.autocast else None
        seed = derive(self.seed, "attack", epoch)
        for step, ids in enumerate(self.order(epoch)[start:], start):
            seed_layers(self.device, derive(self.seed, "layers", epoch, step))
            tokens, said = self.data.batch(ids)
            there = ids.to(self.device)
            if isinstance(said, Tokens):
                labels, written = torch.full_like(there, IGNORED), said.to(self.device)
            else:
                labels, written = said.to(self.device), None
            yield TrainingBatch(
                tokens.to(self.device), labels, there, seed, amp, epoch, written=written
            )

    def order(self, epoch: int) -> list[Int64[Tensor, " b"]]:
        """Return the indices of the sequences of each batch of an epoch."""
        order = epoch_order(len(self), self.seed, epoch)
        if self.recipe.batch_tokens is None:
            return list(torch.split(order, self.recipe.batch_size))
        lengths = self.data.lengths[order]
        parts = torch.split(order[lengths.argsort(stable=True)], self._sizes)
        mixed = epoch_order(len(parts), derive(self.seed, "batches"), epoch)
        return [parts[i] for i in mixed.tolist()]

    @cached_property
    def _sizes(self) -> list[int]:
        """The sequences of each batch, from the shortest on."""
        most = self.recipe.batch_tokens
        assert most is not None
        sizes, count = [], 0
        for length in self.data.lengths.sort().values.tolist():
            if length > most:
                raise InputError(
                    f"a sequence of {self.data.name} has {length} tokens, and a batch {most}; give a"
                    " larger batch_tokens, or cut it (--longest, --truncate)"
                )
            if (count + 1) * length > most:
                sizes.append(count)
                count = 0
            count += 1
        return [*sizes, count]
