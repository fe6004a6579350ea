"""The maxout network on which Goodfellow et al. found adversarial training to regularise."""

from __future__ import annotations

from collections import OrderedDict

from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.errors import InputError
from saddlepoint.option_values import BelowOne, Count, NonNegative, check_value
from saddlepoint.zoo.shapes import Size, check_counts, sides


class MaxoutLayer(nn.Module):
    """Units that each are the largest of some affine functions of the input: `linear` has them all.

    >>> import torch
    >>> layer = MaxoutLayer(2, units=1, pieces=2)
    >>> _ = layer.linear.weight.data.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    >>> _ = layer.linear.bias.data.zero_()
    >>> layer(torch.tensor([[-3.0, 5.0]]))  # |x₀|
    tensor([[3.]], grad_fn=...)
    """

    def __init__(self, inputs: int, units: int, pieces: int) -> None:
        super().__init__()
        self.units, self.pieces = units, pieces
        # Piece after piece, so that the maximum is taken over whole rows of units.
        self.linear = nn.Linear(inputs, pieces * units)

    def forward(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n u"]:
        """Return the largest piece of each unit."""
        pieces: Tensor = self.linear(x)
        return pieces.reshape(len(x), self.pieces, self.units).max(1).values


class Maxout(nn.Module):
    """Two hidden layers of maxout units, then the logits: all in `layers`, with dropout before each.

    The order of the pixels does not matter. `size` is a side or (H, W). Weights begin uniform within
    ±`reach`, biases at zero. In training what dropout leaves is scaled up, of the input too, which
    the authors' code did not scale; their bound on the norms of the weights is left out.

    Args:
        units: of each hidden layer.
        pieces: affine functions per unit.
        dropout: the shares of inputs and of hidden units that are dropped in training.
        reach: of the first weights; the authors' 0.005 takes some hundreds of steps to leave.

    Reference: Goodfellow, Warde-Farley, Mirza, Courville and Bengio 2013, arXiv:1302.4389.

    >>> import torch
    >>> Maxout()(torch.rand(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    >>> sum(each.numel() for each in Maxout(units=1600).parameters())
    19104010
    """

    def __init__(
        self,
        units: Count = 240,
        pieces: Count = 5,
        dropout: tuple[BelowOne, BelowOne] = (0.2, 0.5),
        reach: NonNegative = 0.005,
        *,
        classes: int = 10,
        channels: int = 1,
        size: Size = 28,
    ) -> None:
        super().__init__()
        check_counts(classes, channels)
        for name, value, kind in (
            ("units", units, Count),
            ("pieces", pieces, Count),
            ("dropout", dropout, tuple[BelowOne, BelowOne]),
            ("reach", reach, NonNegative),
        ):
            check_value(f"maxout: {name}", value, kind)
        height, width = sides(size)
        self.shape = (channels, height, width)
        visible, hidden = dropout
        self.layers = nn.Sequential(
            OrderedDict[str, nn.Module](
                flatten=nn.Flatten(),
                dropout0=nn.Dropout(visible),
                maxout1=MaxoutLayer(channels * height * width, units, pieces),
                dropout1=nn.Dropout(hidden),
                maxout2=MaxoutLayer(units, units, pieces),
                dropout2=nn.Dropout(hidden),
                logits=nn.Linear(units, classes),
            )
        )
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.uniform_(parameter, -reach, reach)
            else:
                nn.init.zeros_(parameter)

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Return the logits of images of the size the network was built for."""
        if tuple(images.shape[1:]) != self.shape:
            raise InputError(
                f"images have shape {tuple(images.shape[1:])} but the network was built for "
                f"{self.shape}"
            )
        logits: Tensor = self.layers(images)
        return logits
