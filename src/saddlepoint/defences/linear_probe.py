"""The linear probe: what can be told from frozen features by one linear layer."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from torch import nn

from saddlepoint.errors import InputError
from saddlepoint.model import Normalised
from saddlepoint.model.wrapped import bare


class FrozenBelowHead(nn.Module):
    """A network whose head alone is trained; what is below stays in evaluation mode.

    The new head normalises features by BatchNorm without scale and shift, and is one linear layer.

    Args:
        net: with a `head`.

    Raises `InputError` for a network without one.

    >>> from saddlepoint.zoo import ViT
    >>> probe = FrozenBelowHead(ViT())
    >>> [name for name, each in probe.named_parameters() if each.requires_grad]
    ['net.head.linear.weight', 'net.head.linear.bias']
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        head = getattr(net, "head", None)
        layers = [] if head is None else [m for m in head.modules() if isinstance(m, nn.Linear)]
        if not layers:
            raise InputError(
                f"a linear probe takes the place of a head, and {type(net).__name__} has none; give a"
                " ViT or a Swin"
            )
        net.requires_grad_(False)
        width, classes = layers[0].in_features, layers[-1].out_features
        self.net: Any = net
        self.net.head = nn.Sequential(
            OrderedDict[str, nn.Module](
                norm=nn.BatchNorm1d(width, affine=False), linear=nn.Linear(width, classes)
            )
        ).to(layers[0].weight)

    def forward(self, images: Any) -> Any:
        """Return the logits."""
        return self.net(images)

    def train(self, mode: bool = True) -> FrozenBelowHead:
        """Put the head alone into training mode."""
        super().train(False)
        self.training = mode
        self.net.head.train(mode)
        return self


def linear_probe(model: nn.Module) -> nn.Module:
    """Return a classifier whose head is replaced by BatchNorm without scale and shift and a linear
    layer, which alone are trained; a normalisation of the images stays outside.

    He et al., Masked Autoencoders Are Scalable Vision Learners, 2022, arXiv:2111.06377, appendix A.1.
    Raises `InputError` for a model without a head.

    >>> from saddlepoint.zoo import ViT
    >>> type(linear_probe(ViT())).__name__
    'FrozenBelowHead'
    """
    inner = bare(model)
    if not isinstance(inner, Normalised):
        return FrozenBelowHead(inner)
    inner.net = FrozenBelowHead(bare(inner.net))
    return inner
