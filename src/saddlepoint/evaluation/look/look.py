"""A look into one model: what it has learned, and what it makes of a few images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from saddlepoint.errors import InputError
from saddlepoint.evaluation.look.attended import SwinAttention, ViTAttention, attention_of
from saddlepoint.evaluation.look.features import FeatureMaps, feature_maps
from saddlepoint.evaluation.look.filters import Filters, first_filters, place_similarity
from saddlepoint.model import Guard


@dataclass(frozen=True, eq=False)
class View:
    """What a model makes of images.

    Attributes:
        images: in [0, 1], on the CPU.
        predictions: the class of each.
        features: of the first blocks; None where there are no convolutions.
        attention: of a ViT or a Swin of this package; of others why there is none.
    """

    images: Float[Tensor, "n c h w"]
    predictions: Int64[Tensor, " n"]
    features: FeatureMaps | None
    attention: ViTAttention | SwinAttention | str


@dataclass(frozen=True, eq=False)
class Look:
    """What is seen of a model.

    Attributes:
        filters: of its first convolution; None without one.
        places: cosines of a ViT's table of places; None without one.
        before: what it makes of the images.
        after: of the attacked ones; None without an attack.
    """

    filters: Filters | None
    places: Float[Tensor, "h w h2 w2"] | None
    before: View
    after: View | None = None

    @property
    def moved(self) -> Int64[Tensor, " m"]:
        """Which images the attack changed; an image that was wrong before is left alone."""
        if self.after is None:
            return torch.zeros(0, dtype=torch.int64)
        differs = (self.after.images != self.before.images).flatten(1).any(1)
        return differs.nonzero()[:, 0]


def look_at(
    model: nn.Module,
    images: Float[Tensor, "n c h w"],
    attacked: Float[Tensor, "n c h w"] | None = None,
) -> Look:
    """Return what is seen of a model, of images, and of the same after an attack.

    Raises `InputError` for what are no images.

    >>> from saddlepoint.zoo import build_model
    >>> net = build_model("simple-cnn", classes=10, shape=(1, 8, 8))
    >>> seen = look_at(net, torch.rand(2, 1, 8, 8))
    >>> seen.filters.told, list(seen.before.features.blocks)[0], seen.before.attention[:17]
    ('32 filters of 5×5 in one channel', 'blocks.block1', 'no attention maps')
    """
    if images.ndim != 4:
        raise InputError(
            f"a look is at images (n, c, h, w); these have shape {tuple(images.shape)}"
        )
    after = None if attacked is None else _view(model, attacked)
    return Look(first_filters(model), place_similarity(model), _view(model, images), after)


def _view(model: nn.Module, images: Float[Tensor, "n c h w"]) -> View:
    with Guard(model, len(images)) as guard:
        predictions = guard.logits(images.to(guard.device)).argmax(1).cpu()
    attention: ViTAttention | SwinAttention | str
    try:
        attention = attention_of(model, images)
    except InputError as error:
        attention = str(error)
    return View(images.cpu().float(), predictions, feature_maps(model, images), attention)
