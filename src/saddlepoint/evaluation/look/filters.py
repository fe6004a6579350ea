"""What a network has learned without regard to any image: its first filters and its table of places."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.zoo import ViT, filter_components, position_similarity
from saddlepoint.zoo.positions import LearnedPositions

COMPONENTS = 28
"""Principal components that are shown, as in Dosovitskiy et al. (2021), figure 7."""


@dataclass(frozen=True, eq=False)
class Filters:
    """The filters of a network's first convolution.

    Attributes:
        layer: its name.
        weights: of each filter, on the CPU.
        components: of a ViT's embedding the first principal components; None of other networks.
        shares: of the variance that each component has.

    >>> import torch
    >>> Filters("conv", torch.zeros(8, 3, 5, 5)).told
    '8 filters of 5×5 in 3 channels'
    """

    layer: str
    weights: Float[Tensor, "d c h w"]
    components: Float[Tensor, "m c h w"] | None = None
    shares: Float[Tensor, " m"] | None = None

    @property
    def told(self) -> str:
        """How many there are, and of which size."""
        count, channels, height, width = self.weights.shape
        grey = "in one channel" if channels == 1 else f"in {channels} channels"
        return f"{count} filters of {height}×{width} {grey}"


def first_filters(model: nn.Module) -> Filters | None:
    """Return the filters of the first two-dimensional convolution by registration; None without one.

    >>> from saddlepoint.zoo import build_model
    >>> found = first_filters(build_model("vit-micro", classes=10, shape=(3, 32, 32)))
    >>> found.layer, found.told, found.components.shape
    ('embed.conv', '96 filters of 4×4 in 3 channels', torch.Size([28, 3, 4, 4]))
    """
    for name, part in model.named_modules():
        if isinstance(part, nn.Conv2d):
            weights = part.weight.detach().float().cpu()
            vit = vit_in(model)
            if vit is None or vit.design.stem != "patch":
                return Filters(name, weights)
            return Filters(name, weights, *filter_components(weights, COMPONENTS))
    return None


def place_similarity(model: nn.Module) -> Float[Tensor, "h w h2 w2"] | None:
    """Return the cosines of the rows of a ViT's learned table of places; None without one.

    >>> from saddlepoint.zoo import build_model
    >>> place_similarity(build_model("vit-micro", classes=10, shape=(1, 8, 8))).shape
    torch.Size([2, 2, 2, 2])
    """
    vit = vit_in(model)
    if vit is None or not isinstance(vit.positions, LearnedPositions):
        return None
    places = vit.positions.places
    table = vit.positions.table.detach().float().cpu()
    return position_similarity(table[int(places.classed) :], places.grid)


def vit_in(model: nn.Module) -> ViT | None:
    """Return the vision transformer of this package inside a model; None without one.

    >>> vit_in(nn.Flatten()) is None
    True
    """
    return next((part for part in model.modules() if isinstance(part, ViT)), None)
