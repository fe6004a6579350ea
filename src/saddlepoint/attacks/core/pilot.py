"""Pilot: what a look at a few images says of the model, frozen, for attacks that adapt to it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pilot:
    """What the first images of an evaluation told of the model.

    It is a value: results depend on it and on nothing else of the other images, so that they do not
    depend on batches, and a record that holds it can be repeated.

    Attributes:
        triggers: the checks that found the gradient wanting; none for a model that hides nothing.
        images: how many images were looked at.

    >>> Pilot(("zero-gradient",), 64).masked
    True
    """

    triggers: tuple[str, ...] = ()
    images: int = 0

    @property
    def masked(self) -> bool:
        """Whether gradients alone are not to be trusted."""
        return bool(self.triggers)
