"""What makes images of noise: the interface, whatever its body."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.errors import InputError
from saddlepoint.model.wrapped import bare
from saddlepoint.option_values import Count, check_value
from saddlepoint.zoo.shapes import Size, check_counts, sides


class Generator(nn.Module):
    """A network from z, standard normal, to images in [0, 1]; `body` is the subclass's.

    The body ends without an activation: its outputs pass tanh, and then from (-1, 1) to (0, 1).

    Args:
        latent: the numbers of z.
        channels, size: of the images; `size` is a side or (H, W).
        name: of the network, for messages.

    >>> class Affine(Generator):
    ...     def __init__(self):
    ...         super().__init__(2, channels=1, size=3, name="affine")
    ...         self.body = nn.Linear(2, 9)
    >>> images = Affine()(torch.randn(5, 2))
    >>> images.shape, bool((images > 0).all() and (images < 1).all())
    (torch.Size([5, 1, 3, 3]), True)
    """

    body: nn.Module

    def __init__(self, latent: Count, *, channels: int, size: Size, name: str) -> None:
        super().__init__()
        check_counts(2, channels)
        check_value(f"{name}: latent", latent, Count)
        self.latent = latent
        self.shape = (channels, *sides(size))

    def forward(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n c h w"]:
        """Return the images of z."""
        if z.ndim != 2 or z.shape[1] != self.latent:
            raise InputError(
                f"z has shape {tuple(z.shape)} but the generator takes (n, {self.latent})"
            )
        made: Tensor = self.body(z).reshape(len(z), *self.shape)
        # (tanh + 1) / 2, which stays in [0, 1] also where it is rounded.
        return (made.tanh() + 1) / 2


def as_generator(model: nn.Module, shape: tuple[int, ...] | None = None) -> Generator:
    """Return the generator that a model is, under what wraps it.

    Raises `InputError` where it is none, or makes images of another shape than `shape` (C, H, W).

    >>> as_generator(nn.Linear(2, 9))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: Linear makes no images; give a generator, such as gan-mlp
    """
    found = bare(model)
    if not isinstance(found, Generator):
        raise InputError(
            f"{type(found).__name__} makes no images; give a generator, such as gan-mlp"
        )
    if shape is not None and found.shape != tuple(shape):
        raise InputError(
            f"the generator makes images of {found.shape} but those of the data have"
            f" {tuple(shape)}; build it for them"
        )
    return found


def check_latent(generator: Generator) -> None:
    """Raise `InputError` where a generator's images of a fixed z are no numbers.

    >>> from saddlepoint.zoo import MLPGenerator
    >>> net = MLPGenerator(size=4)
    >>> _ = net.body[0].weight.data.fill_(float("nan"))
    >>> check_latent(net)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: the generator makes NaN of a standard normal z; ...
    """
    device = next(generator.parameters()).device
    z = torch.linspace(-2, 2, 2 * generator.latent, device=device).reshape(2, -1)
    training = generator.training
    with torch.no_grad():
        made = generator.eval()(z)
    generator.train(training)
    if not bool(made.isfinite().all()):
        raise InputError(
            "the generator makes NaN of a standard normal z; its weights are spoilt: lower the"
            " learning rate, or give another file"
        )
