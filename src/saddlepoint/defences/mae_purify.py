"""Purification by a masked autoencoder: hidden patches of an image are painted anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from saddlepoint.configuration import identified
from saddlepoint.counts import check_count
from saddlepoint.defences.ensemble import Average
from saddlepoint.defences.purifier import Purified, Purifier
from saddlepoint.errors import InputError
from saddlepoint.option_values import check_value
from saddlepoint.zoo.mae import MaskedAutoencoder
from saddlepoint.zoo.mae_weights import load_mae
from saddlepoint.zoo.masking import kept_count


@identified("saddlepoint.defences.mae_purify.mae_purify")
def mae_purify(
    model: nn.Module,
    mae: str = "",
    masks: int = 4,
    ratio: float = 0.75,
    average: Average = "logits",
    gradient: Literal["identity", "unrolled"] = "identity",
) -> Purified:
    """Return the model behind a masked autoencoder: of k random masks each hides patches, which are
    reconstructed from the others, and the k predictions are averaged.

    Masks are drawn at inference, so that it declares itself random; attack its expectation
    (`eot_samples`). What is visible stays as the adversary made it.

    Args:
        model: from images in [0, 1] to logits.
        mae: the folder of a training by mae, best on raw targets.
        masks: k.
        ratio: the share of patches that a mask hides.
        average: of the k predictions: "logits", or "probabilities".
        gradient: what an attack sees of it: "identity" (BPDA) or "unrolled", through the autoencoder.

    Raises `InputError` for a folder that holds no autoencoder, and options that make no sense.

    Reference: He et al. 2022, arXiv:2111.06377, for the autoencoder; the defence is ours to be broken.

    >>> mae_purify(nn.Flatten())
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: mae-purify has no autoencoder; give mae=FOLDER of a training by mae
    """
    check_count("masks", masks)
    check_value("average", average, Average)
    if not mae:
        raise InputError("mae-purify has no autoencoder; give mae=FOLDER of a training by mae")
    return Purified(model, MAEPurifier(load_mae(mae), ratio, gradient), masks, average)


class MAEPurifier(Purifier):
    """x ↦ x with a share of its patches, drawn anew at each call, reconstructed; see `mae_purify`.

    >>> from saddlepoint.zoo import ViT
    >>> from saddlepoint.zoo.mae import MAEDecoder
    >>> net = ViT(channels=1, size=8)
    >>> purifier = MAEPurifier(MaskedAutoencoder(net, MAEDecoder(net)), ratio=0.5)
    >>> int(purifier.hidden(torch.zeros(3, 1, 8, 8)).sum())
    6
    """

    def __init__(
        self, mae: MaskedAutoencoder, ratio: float = 0.75, gradient: str = "identity"
    ) -> None:
        super().__init__(gradient)
        height, width = mae.decoder.grid
        self.ratio, self._patches = ratio, height * width
        self._kept = kept_count(self._patches, ratio)
        self.mae = mae.eval().requires_grad_(False)

    @property
    def passes(self) -> Mapping[str, int]:
        """One of the autoencoder."""
        return {"autoencoder forward": 1}

    def hidden(self, images: Float[Tensor, "n ..."]) -> Bool[Tensor, "n l"]:
        """Return which patches are hidden, equally many of each image, any set as likely."""
        ranks = self.noise(images.new_empty(len(images), self._patches))
        chosen = ranks.argsort(1)[:, self._kept :]
        return torch.zeros_like(ranks, dtype=torch.bool).scatter_(1, chosen, True)

    def purify(self, images: Float[Tensor, "n ..."], through: bool) -> Float[Tensor, "n ..."]:
        """Return the images with their hidden patches reconstructed; see `Purifier`."""
        with torch.set_grad_enabled(through):
            return self.mae.reconstruct(images, self.hidden(images))

    def extra_repr(self) -> str:
        """Name the settings where the model is printed."""
        return f"ratio={self.ratio:g}, {super().extra_repr()}"
