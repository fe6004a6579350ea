"""What a masked autoencoder makes of hidden patches, beside what their neighbours alone tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saddlepoint.data import ImageData
from saddlepoint.errors import InputError
from saddlepoint.zoo import MaskedAutoencoder, masks, unpatchify

_ROWS = 256  # images in one pass
_POWER = 4.0


@dataclass(frozen=True, eq=False)
class Reconstructions:
    """Images with hidden patches, and two guesses at these.

    Attributes:
        images: (n, c, h, w) as they are.
        hidden: (n, 1, h, w) which pixels are hidden.
        predicted: by the autoencoder; visible pixels are the images'.
        interpolated: from visible pixels, by `interpolated`.

    >>> x, hidden = torch.zeros(1, 1, 2, 2), torch.tensor([[[[True, False], [False, False]]]])
    >>> found = Reconstructions(x, hidden, x + hidden, x)
    >>> found.errors, found.interpolation_errors
    (tensor([1.]), tensor([0.]))
    """

    images: Float[Tensor, "n c h w"]
    hidden: Bool[Tensor, "n 1 h w"]
    predicted: Float[Tensor, "n c h w"]
    interpolated: Float[Tensor, "n c h w"]

    @property
    def errors(self) -> Float[Tensor, " n"]:
        """The mean squared error of the prediction of each image, over hidden pixels."""
        return self._errors(self.predicted)

    @property
    def interpolation_errors(self) -> Float[Tensor, " n"]:
        """That of the interpolation."""
        return self._errors(self.interpolated)

    def numbers(self) -> dict[str, Any]:
        """Return the means and the errors of each image, as JSON values."""
        return {
            "images": len(self.images),
            "error": float(self.errors.mean()),
            "interpolation_error": float(self.interpolation_errors.mean()),
            "errors": self.errors.tolist(),
            "interpolation_errors": self.interpolation_errors.tolist(),
        }

    def _errors(self, guess: Tensor) -> Float[Tensor, " n"]:
        wrong = (guess - self.images).square().mean(1, keepdim=True) * self.hidden
        return wrong.flatten(1).sum(1) / self.hidden.flatten(1).sum(1)


def reconstructed(
    mae: MaskedAutoencoder,
    data: ImageData,
    *,
    ratio: float = 0.75,
    masking: str = "random",
    seed: int = 0,
) -> Reconstructions:
    """Return the images of `data` with hidden patches predicted and interpolated.

    Args:
        mae: in evaluation mode, as `load_mae` returns it.
        data: its images, in [0, 1]; an image is masked by its index.
        ratio: of the patches that are hidden.
        masking: "random", "block" or "grid".
        seed: of the masks.

    Raises `InputError` for images of another shape, and a ratio that keeps nothing.

    >>> from saddlepoint.data import load_data
    >>> from saddlepoint.zoo import MAEDecoder, ViT, ViTDesign
    >>> net = ViT(ViTDesign(patch=2), channels=1, size=8)
    >>> found = reconstructed(MaskedAutoencoder(net, MAEDecoder(net)), load_data("digits", limit=3))
    >>> found.hidden.float().mean()
    tensor(0.7500)
    """
    if not len(data):
        raise InputError(f"{data.name} has no images; give at least one")
    patch, grid = mae.encoder.design.patch, mae.decoder.grid
    own = (grid[0] * patch, grid[1] * patch)
    channels = mae.decoder.pixels.out_features // patch**2
    if tuple(data.shape) != (channels, *own):
        raise InputError(
            f"{data.name} has images of {tuple(data.shape)}, and the autoencoder is for"
            f" {(channels, *own)}; give those that it was trained on"
        )
    parts = []
    device = next(mae.parameters()).device
    for ids in torch.split(torch.arange(len(data)), _ROWS):
        x = data.images(ids).to(device).float()
        mask = masks(masking, ids.to(device), grid, ratio, seed=seed)
        pixels = mask[:, :, None].expand(-1, -1, patch**2)
        hidden = unpatchify(pixels, patch, grid)
        with torch.no_grad():
            parts.append((x, hidden, mae.reconstruct(x, mask), interpolated(x, hidden)))
    x, hidden, predicted, guessed = (torch.cat(each).cpu() for each in zip(*parts, strict=True))
    return Reconstructions(x, hidden, predicted, guessed)


def interpolated(
    images: Float[Tensor, "n c h w"], hidden: Bool[Tensor, "n 1 h w"], power: float = _POWER
) -> Float[Tensor, "n c h w"]:
    """Return images whose hidden pixels are means of the visible ones, weighted by distance⁻⁴.

    Inverse-distance weighting (Shepard 1968). The two sums over all visible pixels are convolutions,
    and are taken by Fourier transforms in float64.

    Args:
        images: of them visible pixels alone are read.
        hidden: some pixel of each image is visible.
        power: of the distance; 2 is too little in the plane, where far pixels are too many.

    >>> x = torch.tensor([[[[0.0, 9.0, 1.0]]]])
    >>> interpolated(x, torch.tensor([[[[False, True, False]]]]))
    tensor([[[[0.0000, 0.5000, 1.0000]]]])
    """
    height, width = images.shape[2:]
    away = [torch.arange(1 - side, side, device=images.device).double() for side in (height, width)]
    square = away[0][:, None].square() + away[1].square()
    kernel = torch.where(square > 0, square.clamp(min=1) ** (-power / 2), 0.0)
    sides = (3 * height - 2, 3 * width - 2)  # of the whole convolution: nothing wraps around

    def spread(x: Tensor) -> Tensor:
        product = torch.fft.rfft2(x.double(), s=sides) * torch.fft.rfft2(kernel, s=sides)
        found: Tensor = torch.fft.irfft2(product, s=sides)
        return found[..., height - 1 : 2 * height - 1, width - 1 : 2 * width - 1]

    seen = (~hidden).double()
    # Where nothing is visible any value will do, and where something is, the least weight is larger.
    guess = spread(images * seen) / spread(seen).clamp(min=1e-30)
    return torch.where(hidden, guess.to(images.dtype).clamp(0, 1), images)
