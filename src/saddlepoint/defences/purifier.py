"""Purification: images are replaced by what a model of images makes of them, and then classified."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.answers import check_output
from saddlepoint.defences.ensemble import Average, averaged
from saddlepoint.errors import InputError, unknown
from saddlepoint.model import RandomLayer, with_gradient_of

Purify = Callable[[Tensor, bool], Tensor]
"""From images, and whether it is to be differentiated, to images of the same shape."""


class PurifierGradient(Protocol):
    """What an attack's gradient is that reaches a purifier.

    >>> found: PurifierGradient = Identity()
    >>> found(lambda x, through: x.round(), torch.tensor([0.7]))
    tensor([1.])
    """

    def __call__(self, purify: Purify, images: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return the purified images, with that gradient in `images`."""
        ...


class Unrolled:
    """The purifier's own gradient, through every step of what it does.

    >>> x = torch.tensor([3.0], requires_grad=True)
    >>> torch.autograd.grad(Unrolled()(lambda x, through: x * x, x), x)
    (tensor([6.]),)
    """

    def __call__(self, purify: Purify, images: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return the purified images; see `PurifierGradient`."""
        wanted = images.requires_grad and torch.is_grad_enabled()
        return purify(images, wanted)


class Identity:
    """The gradient of the identity: what purifies leaves an image near where it was (BPDA).

    Reference: Athalye, Carlini and Wagner 2018, arXiv:1802.00420.

    >>> x = torch.tensor([3.0], requires_grad=True)
    >>> torch.autograd.grad(Identity()(lambda x, through: x * x, x), x)
    (tensor([1.]),)
    """

    def __call__(self, purify: Purify, images: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return the purified images; see `PurifierGradient`."""
        with torch.no_grad():
            purified = purify(images.detach(), False)
        if images.requires_grad and torch.is_grad_enabled():
            return with_gradient_of(purified, images)
        return purified


GRADIENTS: Mapping[str, Callable[[], PurifierGradient]] = MappingProxyType(
    {"identity": Identity, "unrolled": Unrolled}
)
"""By the values of the option `gradient`."""


class Purifier(RandomLayer, ABC):
    """A random layer from images to purified images, which draws anew at every call.

    Args:
        gradient: a name of `GRADIENTS`.

    >>> issubclass(Purifier, RandomLayer)
    True
    """

    def __init__(self, gradient: str) -> None:
        super().__init__()
        if gradient not in GRADIENTS:
            raise unknown("gradient of a purifier", gradient, GRADIENTS)
        self._kind, self._gradient = gradient, GRADIENTS[gradient]()

    @abstractmethod
    def purify(self, images: Float[Tensor, "n ..."], through: bool) -> Float[Tensor, "n ..."]:
        """Return the purified images, differentiable in `images` where `through`."""

    @property
    @abstractmethod
    def passes(self) -> Mapping[str, int]:
        """What one call costs an image: the passes of each network, forward and backward, by name."""

    def forward(self, images: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return the purified images, with the gradient that was chosen."""
        return self._gradient(self.purify, images)

    def train(self, mode: bool = True) -> Purifier:
        """Stay in evaluation mode: what purifies is not what is trained."""
        super().train(False)
        return self

    def extra_repr(self) -> str:
        """Name the gradient where the model is printed."""
        return f"gradient={self._kind}"


class Purified(nn.Module):
    """A classifier `net` of images that `purifier` has purified, averaged over several draws.

    It declares itself random through the purifier. Its state is both networks', `net.` and
    `purifier.`.

    Args:
        net: the classifier.
        purifier: what purifies.
        draws: purified images of each image, whose predictions are averaged.
        average: "logits", their mean, or "probabilities", the logarithm of the mean softmax.

    Raises `InputError` for a classifier that is purified already.

    >>> class Noise(Purifier):
    ...     passes = {}
    ...     def purify(self, images, through):
    ...         return images + 0.1 * self.noise(images)
    >>> model = Purified(nn.Linear(2, 2), Noise("identity"), draws=3)
    >>> model(torch.rand(5, 2)).shape, model.averaged_passes
    (torch.Size([5, 2]), 3)
    """

    def __init__(
        self, net: nn.Module, purifier: Purifier, draws: int = 1, average: Average = "logits"
    ) -> None:
        super().__init__()
        if not isinstance(net, nn.Module):
            raise InputError(f"the model is a {type(net).__name__}; give a torch.nn.Module")
        if any(isinstance(each, Purified) for each in net.modules()):
            raise InputError("the model is purified already; leave one of the transforms out")
        self.net, self.purifier, self.draws, self.average = net, purifier, draws, average
        self.training = net.training
        place = next(net.parameters(), None)
        if place is not None:
            self.purifier.to(place.device)

    @property
    def averaged_passes(self) -> int:
        """The passes of `net` in one call."""
        return self.draws

    def forward(self, images: Float[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        """Return the averaged logits of the purified images."""
        outputs: list[Tensor] = [self.net(self.purifier(images)) for _ in range(self.draws)]
        if len(outputs) == 1:
            return outputs[0]
        for output in outputs:
            check_output(output, len(images))
        return averaged(outputs, self.average)
