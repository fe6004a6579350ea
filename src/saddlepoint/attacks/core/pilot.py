"""Pilot: what a look at a few images says of the model, frozen, for attacks that adapt to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Pilot:
    """What the first images of an evaluation told of the model.

    It is a value: results depend on it and on nothing else of the other images, so that they do not
    depend on batches, and a record that holds it can be repeated.

    Attributes:
        triggers: the checks that found the gradient wanting; none for a model that hides nothing.
        images: how many images were looked at.
        data: the fingerprint of the data that they are of; "" is not told.

    >>> Pilot(("zero-gradient",), 64).masked
    True
    """

    triggers: tuple[str, ...] = ()
    images: int = 0
    data: str = ""

    @property
    def masked(self) -> bool:
        """Whether gradients alone are not to be trusted."""
        return bool(self.triggers)

    def json(self) -> dict[str, Any]:
        """Return it as JSON values.

        >>> Pilot(("zero-gradient",), 64).json()
        {'triggers': ['zero-gradient'], 'images': 64, 'data': ''}
        """
        return {"triggers": list(self.triggers), "images": self.images, "data": self.data}

    @classmethod
    def of_json(cls, values: Mapping[str, Any]) -> Self:
        """Return what `json` described; raises `KeyError` or `ValueError` for none."""
        triggers = tuple(str(name) for name in values["triggers"])
        return cls(triggers, int(values["images"]), str(values["data"]))
