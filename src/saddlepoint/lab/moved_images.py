"""Images as an attack leaves them, whether they fool or not."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from saddlepoint.attacks import Attack
from saddlepoint.lab.outputs import ROWS


def moved_by(
    attack: Attack,
    model: nn.Module,
    images: Float[Tensor, "n ..."],
    labels: Int64[Tensor, " n"],
    seed: int,
) -> Float[Tensor, "n ..."]:
    """Return the last iterates of an attack, also of images that were wrong before: an error is of
    all of them.

    >>> from saddlepoint.attacks import FGSM
    >>> from saddlepoint.threat import Linf
    >>> moved_by(FGSM(Linf(0.1)), nn.Flatten(), torch.tensor([[0.5, 0.4]]), torch.tensor([0]), 0)
    tensor([[0.4000, 0.5000]])
    """
    parts = torch.split(torch.arange(len(images), device=images.device), ROWS)
    found = [
        attack.candidates(model, images[ids], labels[ids], seed=seed, ids=ids) for ids in parts
    ]
    return torch.cat(found)
