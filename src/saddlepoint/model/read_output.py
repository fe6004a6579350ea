"""ReadOutput: one of several outputs of a network, so that it returns the logits alone."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.answers import described, parts_of
from saddlepoint.errors import InputError


class ReadOutput(nn.Module):
    """A network that returns several values, as one that returns its logits.

    Args:
        net: from images to a dict, a tuple, a named tuple, or an object with the outputs as its
            attributes, such as a `ModelOutput` of transformers.
        output: the logits' name, or their place in a tuple from 0; "0" is 0.

    Raises `InputError`, when it is called, where there is no such output.

    >>> class Pair(nn.Module):
    ...     def forward(self, x):
    ...         return {"logits": x, "features": x.flatten()}
    >>> from torch import zeros
    >>> ReadOutput(Pair(), "logits")(zeros(1, 2))
    tensor([[0., 0.]])
    """

    def __init__(self, net: nn.Module, output: str | int) -> None:
        super().__init__()
        if isinstance(output, bool) or not isinstance(output, str | int):
            raise InputError(f"output is {output!r}; give a name, or a place in a tuple from 0")
        self.net = net
        self.output = output

    def forward(self, images: Tensor) -> Float[Tensor, "n k"]:
        """Return the output that was asked for."""
        whole = self.net(images)
        parts = parts_of(whole)
        value = parts.get(str(self.output))
        if value is None and isinstance(whole, Sequence) and _is_place(self.output, len(whole)):
            value = whole[int(self.output)]  # of a named tuple, and from the end
        if isinstance(value, Tensor):
            return value
        if isinstance(whole, Tensor):
            raise InputError(
                f"the model returns one tensor {tuple(whole.shape)}, which has no output"
                f" {self.output!r}; leave output out"
            )
        raise InputError(
            f"the model returns {described(whole)}, of which {self.output!r} is no tensor; give"
            " output another name, or a place in a tuple"
        )


def _is_place(output: str | int, count: int) -> bool:
    return str(output).removeprefix("-").isdecimal() and -count <= int(output) < count


def reading(model: nn.Module, output: str | int | None) -> nn.Module:
    """Return the model that returns one of `model`'s outputs; None is the model itself.

    >>> reading(nn.Flatten(), None)
    Flatten(start_dim=1, end_dim=-1)
    """
    return model if output is None else ReadOutput(model, output)
