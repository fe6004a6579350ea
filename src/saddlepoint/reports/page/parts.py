"""What pages are made of: drawings, and galleries of cards that can be filtered."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from saddlepoint.reports.changes import ChangeScale, as_array
from saddlepoint.reports.page.svg import inline_svg, width_of

SEPARATOR = "\u2063"
"""Between several values of one tag: no class is called by it."""
THUMBNAIL = 96
"""Pixels of a thumbnail's longer side, at most."""
_EXACT = 48  # up to this side a thumbnail is exact; above, it is a JPEG


@dataclass(frozen=True)
class Drawing:
    """A figure as a page shows it.

    Attributes:
        name: its place on the page.
        number: in the page's order.
        caption: what it shows.
        svg: the drawing.

    >>> Drawing("curve", 1, "A curve. By budget.", '<svg viewBox="0 0 300 9">').width
    400
    """

    name: str
    number: int
    caption: str
    svg: str

    @classmethod
    def of(cls, figure: Figure, name: str, number: int, caption: str) -> Drawing:
        """Return a figure of matplotlib; its first sentence is read where it is not seen."""
        alternative = f"Figure {number}. {caption.split('. ')[0].rstrip('.')}."
        return cls(name, number, caption, inline_svg(figure, name, alternative))

    @property
    def width(self) -> int:
        """Pixels on a wide page."""
        return width_of(self.svg)


@dataclass(frozen=True)
class Card:
    """An image of a gallery: before, the change, and after.

    Attributes:
        id: of the image in its data.
        before, change, after: addresses that hold the pictures.
        alternatives: what is read in their places.
        lines: what stands below, the first one first.
        tags: what it is filtered by; several values of one are joined by `SEPARATOR`.

    >>> Card(3, "data:,", "data:,", "data:,", ("a", "b", "c"), ("cat",), {"class": "cat"}).id
    3
    """

    id: int
    before: str
    change: str
    after: str
    alternatives: tuple[str, str, str]
    lines: tuple[str, ...]
    tags: Mapping[str, str]

    @classmethod
    def of(
        cls,
        id: int,
        images: tuple[Float[Tensor, "c h w"], Float[Tensor, "c h w"]],
        scale: ChangeScale,
        names: tuple[str, str],
        lines: tuple[str, ...],
        tags: Mapping[str, str],
    ) -> Card:
        """Return the card of an image.

        Args:
            images: before and after.
            scale: of the changes of all cards.
            names: of its class, and of what it is taken for.
            lines, tags: see `Card`.
        """
        before, after = images
        return cls(
            id=id,
            before=thumbnail(as_array(before)),
            change=thumbnail(scale.picture(after - before)),
            after=thumbnail(as_array(after)),
            alternatives=(f"before: {names[0]}", scale.label, f"after: {names[1]}"),
            lines=lines,
            tags={**tags, "class": names[0]},
        )


@dataclass(frozen=True)
class Filter:
    """What the cards of a gallery can be chosen by.

    >>> Filter("class", "class", ("cat", "dog")).values
    ('cat', 'dog')
    """

    name: str
    label: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Gallery:
    """Cards, and what they can be chosen by.

    >>> tags = {"class": f"cat{SEPARATOR}dog"}
    >>> card = Card(3, "data:,", "data:,", "data:,", ("a", "b", "c"), ("cat",), tags)
    >>> Gallery.of([card, card], {"class": "true class"}).filters
    (Filter(name='class', label='true class', values=('cat', 'dog')),)
    """

    cards: tuple[Card, ...]
    filters: tuple[Filter, ...]

    @classmethod
    def of(cls, cards: Sequence[Card], labels: Mapping[str, str]) -> Gallery:
        """Return the gallery of these cards, with a filter for each tag in which they differ."""
        return cls(tuple(cards), filters_of([card.tags for card in cards], labels))


def filters_of(tags: Sequence[Mapping[str, str]], labels: Mapping[str, str]) -> tuple[Filter, ...]:
    """Return a filter for each tag of `labels` in which cards with these tags differ.

    >>> filters_of([{"class": "cat"}, {"class": "dog"}], {"class": "true class", "why": "why"})
    (Filter(name='class', label='true class', values=('cat', 'dog')),)
    """
    filters = []
    for name, label in labels.items():
        values = {v for each in tags for v in each.get(name, "").split(SEPARATOR) if v}
        if len(values) > 1:
            filters.append(Filter(name, label, tuple(sorted(values))))
    return tuple(filters)


@dataclass(frozen=True)
class Picture:
    """A small picture in a row of pictures.

    Attributes:
        source: the address that holds it.
        alternative: what is read in its place.
        caption: what stands below it.

    >>> Picture("data:,", "the filter 1", "1").caption
    '1'
    """

    source: str
    alternative: str
    caption: str = ""


@dataclass(frozen=True)
class Strip:
    """Pictures side by side, under a line.

    Attributes:
        line: above them.
        pictures: in their order.
        wide: whether they are mosaics, which are shown larger.

    >>> Strip("filters", ()).wide
    False
    """

    line: str
    pictures: tuple[Picture, ...]
    wide: bool = False


def thumbnail(array: Float[np.ndarray, "h w c"], *, exact: bool = False) -> str:
    """Return a picture with values in [0, 1], at most 96 pixels wide and high, as an address that
    holds it; where it is `exact`, every value is kept, if it is no larger.

    >>> thumbnail(np.zeros((2, 2, 1)))[:22]
    'data:image/png;base64,'
    >>> thumbnail(np.zeros((200, 300, 3)))[:23]
    'data:image/jpeg;base64,'
    """
    values = np.round(np.clip(array, 0, 1) * 255).astype(np.uint8)
    picture = Image.fromarray(values[:, :, 0] if values.shape[2] == 1 else values)
    kind = "png" if exact or max(picture.size) <= _EXACT else "jpeg"
    if max(picture.size) > THUMBNAIL:
        picture.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    options = {"optimize": True} if kind == "png" else {"quality": 85}
    picture.save(buffer, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
