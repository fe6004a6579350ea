"""Ten crops: a prediction from the corners and the centre of an image, and from their mirror images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

from saddlepoint.counts import check_count
from saddlepoint.errors import InputError
from saddlepoint.model.randomness import log_mean_probability
from saddlepoint.option_values import Natural, check_value


def ten_crop(model: nn.Module, padding: int = 4, size: int | None = None) -> TenCrop:
    """Return the model with a prediction from ten crops in evaluation: the logarithm of the mean
    softmax, so that an attack goes through all of them.

    He et al. 2016, arXiv:1512.03385, after Krizhevsky et al. 2012: on ImageNet, images of 256 are cut to
    224. The mean is that of the probabilities; what is returned is its logarithm, which is no
    probability, since models return logits. In training a call is one pass of the whole image.

    Args:
        model: from images in [0, 1] to logits. It is the result's `net`, and shares its weights.
        padding: black pixels added on every side first.
        size: the side of a crop; None is the image's own, before the padding.

    Raises `InputError` for settings by which all crops are the whole image, and for a model that
    looks at ten crops already.

    >>> net = nn.Flatten()
    >>> images = torch.rand(2, 1, 4, 4)
    >>> model = ten_crop(net, padding=1).eval()
    >>> float(model(images).exp().sum(1)[0].round(decimals=4))
    1.0
    >>> torch.allclose(model(images), model(images.flip(3)))
    True
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"the model is a {type(model).__name__}; give a torch.nn.Module")
    if any(isinstance(module, TenCrop) for module in model.modules()):
        raise InputError("the model looks at ten crops already; leave ten-crop out")
    return TenCrop(model, padding, size).train(model.training)


class TenCrop(nn.Module):
    """A network `net` that looks at ten crops; `ten_crop` makes it. Its passes count tenfold.

    >>> list(TenCrop(nn.Linear(2, 2), 4, None).state_dict())
    ['net.weight', 'net.bias']
    """

    averaged_passes = 10

    def __init__(self, net: nn.Module, padding: int, size: int | None) -> None:
        super().__init__()
        check_value("padding", padding, Natural)
        if size is not None:
            check_count("size", size)
        if padding == 0 and size is None:
            raise InputError("without padding ten crops of an image are all of it; give a size too")
        self.net, self.padding, self.size = net, padding, size

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Return log((1/10)·Σ softmax(net(crop))), in training net(images)."""
        if self.training:
            logits: Tensor = self.net(images)
            return logits
        # One after another: layers inside may know the images of a batch by their places.
        return log_mean_probability(torch.stack([self.net(crop) for crop in self.crops(images)]))

    def crops(self, images: Float[Tensor, "n c h w"]) -> Iterator[Float[Tensor, "n c s t"]]:
        """Yield the four corners and the centre, each followed by its mirror image.

        >>> x = torch.arange(9.0).reshape(1, 1, 3, 3)
        >>> corner, mirrored, *_ = TenCrop(nn.Flatten(), 0, 2).crops(x)
        >>> corner.flatten().tolist(), mirrored.flatten().tolist()
        ([0.0, 1.0, 3.0, 4.0], [1.0, 0.0, 4.0, 3.0])
        """
        if images.ndim != 4:
            raise InputError(
                f"images have shape {tuple(images.shape)}; ten crops are of (n, c, height, width)"
            )
        height, width = images.shape[2:]
        high, wide = (height, width) if self.size is None else (self.size, self.size)
        padded = pad(images, (self.padding,) * 4)
        down, right = padded.shape[2] - high, padded.shape[3] - wide
        if min(down, right) < 0:
            raise InputError(
                f"crops of {self.size} do not fit images of {height}×{width} with {self.padding}"
                " pixels around; give a smaller size or more padding"
            )
        if not down and not right:
            raise InputError(
                f"crops of {self.size} are all of images of {height}×{width}; give a smaller size, or"
                " padding"
            )
        corners = [(0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)]
        for top, left in corners:
            crop = padded[:, :, top : top + high, left : left + wide]
            yield crop
            yield crop.flip(3)

    def json(self) -> dict[str, Any]:
        """Return the settings for a record."""
        return {"padding": self.padding, "size": self.size}

    def extra_repr(self) -> str:
        """Name the settings where the model is printed."""
        return f"padding={self.padding}, size={self.size}"
