"""Deep ensembles: networks trained from different seeds, whose predictions are averaged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.errors import InputError
from saddlepoint.model.randomness import log_mean_probability
from saddlepoint.option_values import check_value

Average = Literal["probabilities", "logits"]
"""Of several outputs: the logarithm of the mean softmax, or the mean of the logits."""


class DeepEnsemble(nn.Module):
    """Networks with one prediction: an attack differentiates through the average of all of them.

    Args:
        models: the members, from images in [0, 1] to logits (n, k); they keep their own
            normalisation, and may be random. Nothing is copied.
        average: "probabilities", the logarithm of the mean softmax (Lakshminarayanan, Pritzel and
            Blundell 2017, arXiv:1612.01474), or "logits", their unweighted mean.

    Raises `InputError` where there is no member, one is no module, or, when called, they disagree
    on the number of classes.

    >>> first, second = nn.Linear(2, 3), nn.Linear(2, 3)
    >>> images = torch.rand(4, 2)
    >>> logits = DeepEnsemble([first, second])(images)
    >>> mean = (first(images).softmax(1) + second(images).softmax(1)) / 2
    >>> torch.allclose(logits.exp(), mean)
    True
    """

    def __init__(self, models: Iterable[nn.Module], average: Average = "probabilities") -> None:
        super().__init__()
        if isinstance(models, nn.Module) and not isinstance(models, nn.ModuleList):
            raise InputError(f"models is one {type(models).__name__}; give a list of models")
        members = list(models)
        if not members:
            raise InputError("there are no models in the ensemble; give at least one")
        for member in members:
            if not isinstance(member, nn.Module):
                raise InputError(f"a member is a {type(member).__name__}; give torch.nn.Modules")
        self.members = nn.ModuleList(members)
        check_value("average", average, Average)
        self.average: Average = average

    def forward(self, images: Float[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        """Return the averaged logits."""
        return averaged([member(images) for member in self.members], self.average)


def averaged(outputs: Sequence[Float[Tensor, "n k"]], average: Average) -> Float[Tensor, "n k"]:
    """Return one prediction of several: see `Average`.

    Raises `InputError` where the numbers of classes differ.

    >>> averaged([torch.tensor([[1.0, 3.0]]), torch.tensor([[3.0, 3.0]])], "logits")
    tensor([[2., 3.]])
    """
    classes = [tuple(output.shape[1:]) for output in outputs]
    if len(set(classes)) > 1:
        seen = ", ".join(str(shape[0] if len(shape) == 1 else shape) for shape in classes)
        raise InputError(f"the models have {seen} classes; an ensemble's members agree on them")
    passes = torch.stack(list(outputs))
    return log_mean_probability(passes) if average == "probabilities" else passes.mean(0)
