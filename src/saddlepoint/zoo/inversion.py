"""The z whose image is nearest to a given one, by descent on the distance."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

_MEAN, _SQUARE, _EPSILON = 0.9, 0.999, 1e-8


def invert(
    generator: nn.Module,
    images: Float[Tensor, "n ..."],
    starts: Float[Tensor, "n r d"],
    *,
    steps: int,
    step_size: float,
    through: bool = False,
) -> Float[Tensor, "n d"]:
    """Return argmin_z ‖G(z) − x‖₂² over r descents of so many Adam steps, for each image.

    Every descent is of one image alone, so that the result does not depend on the batch. It costs
    r·(steps + 1) passes of G forward and r·steps backward. The projection of Defense-GAN (Samangouei
    et al. 2018, arXiv:1805.06605), whose descent is by momentum with a rate of 10.

    Args:
        generator: G, from z (n, d) to images.
        starts: the z that descents begin at.
        through: the result can be differentiated in the images, through every step.

    >>> matrix = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> x = torch.tensor([[1.0, 2.0, 3.0]])
    >>> z = invert(lambda z: z @ matrix.T, x, torch.zeros(1, 1, 2), steps=300, step_size=0.1)
    >>> bool((z - torch.tensor([[1.0, 2.0]])).abs().max() < 1e-3)
    True
    """
    n, restarts, latent = starts.shape
    with torch.inference_mode(False), torch.enable_grad():
        x = images if through else images.detach().clone()
        x = x.repeat_interleave(restarts, 0)
        z = starts.detach().clone().to(images.dtype).reshape(n * restarts, latent).requires_grad_()
        mean, square = torch.zeros_like(z), torch.zeros_like(z)
        for step in range(1, steps + 1):
            loss = _errors(generator, z, x).sum()
            (slope,) = torch.autograd.grad(loss, z, create_graph=through)
            mean = mean + (1 - _MEAN) * (slope - mean)
            square = square + (1 - _SQUARE) * (slope.square() - square)
            # ε within the root, whose slope at 0 would else be infinite.
            size = (square / (1 - _SQUARE**step) + _EPSILON**2).sqrt()
            z = z - step_size * (mean / (1 - _MEAN**step)) / size
            z = z if through else z.detach().requires_grad_()
        with torch.no_grad():
            errors = _errors(generator, z, x).reshape(n, restarts)
        # A descent that has ended in NaN is nobody's nearest.
        best = errors.nan_to_num(nan=torch.inf).argmin(1)
        found = z.reshape(n, restarts, latent)[torch.arange(n, device=z.device), best]
        return found if through else found.detach()


def _errors(generator: nn.Module, z: Tensor, x: Tensor) -> Float[Tensor, " m"]:
    made: Tensor = generator(z)
    return (made - x).square().flatten(1).sum(1)
