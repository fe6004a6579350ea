"""The divergence of TRADES and what is built on it: its small start, and its loss."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.objectives.contract import TrainingBatch
from saddlepoint.objectives.passes import Statistics, evaluating, forward, label_loss
from saddlepoint.threat import Ascendable

SIGMA = 1e-3
"""The standard deviation of the start: at the image itself the divergence has gradient 0."""


def gaussian_start(threat: Ascendable, batch: TrainingBatch) -> Float[Tensor, "n ..."]:
    """Return the parameters of x + N(0, 0.001²), not projected.

    >>> from saddlepoint.threat import Linf
    >>> batch = TrainingBatch(torch.ones(1, 2), torch.zeros(1).long(), torch.zeros(1).long(), seed=0)
    >>> bool((gaussian_start(Linf(0.1), batch) != 1).all())
    True
    """
    clean = threat.parametrise(batch.images)
    return clean + SIGMA * batch.keys.normal(clean.shape[1:]).to(clean.dtype)


def clean_probabilities(model: nn.Module, batch: TrainingBatch) -> Float[Tensor, "n k"]:
    """Return log F(x) of the clean images in evaluation mode, without a graph.

    >>> batch = TrainingBatch(torch.ones(1, 2), torch.zeros(1).long(), torch.zeros(1).long(), seed=0)
    >>> clean_probabilities(nn.Linear(2, 2), batch).exp().sum().round()
    tensor(1.)
    """
    with evaluating(model), torch.no_grad():
        return forward(model, batch, batch.images).log_softmax(1)


def divergence_from(clean: Float[Tensor, "n k"]) -> Callable[[Tensor], Tensor]:
    """Return KL(F(x) ‖ F(x')) of each sample as a function of the logits of x'.

    Args:
        clean: log F(x).

    >>> clean = torch.tensor([[0.0, 0.0]]).log_softmax(1)
    >>> divergence_from(clean)(torch.zeros(1, 2))
    tensor([0.])
    """

    def value(logits: Tensor) -> Tensor:
        terms = functional.kl_div(logits.log_softmax(1), clean, log_target=True, reduction="none")
        return terms.sum(1)

    return value


def trades_loss(
    model: nn.Module,
    batch: TrainingBatch,
    adversarials: Float[Tensor, "n ..."],
    beta: float,
    statistics: Statistics,
) -> tuple[Float[Tensor, ""], Float[Tensor, "n k"]]:
    """Return J(Z(x), y) + β·KL(F(x) ‖ F(x')) and the logits of x'; as `published` F(x) is of a
    pass of its own.

    >>> batch = TrainingBatch(torch.ones(1, 2), torch.zeros(1).long(), torch.zeros(1).long(), seed=0)
    >>> net = nn.Linear(2, 2)
    >>> loss, logits = trades_loss(net, batch, batch.images, 6.0, "descent")
    >>> bool(torch.isclose(loss, functional.cross_entropy(logits, batch.labels)))
    True
    """
    logits = forward(model, batch, batch.images)
    moved = forward(model, batch, adversarials)
    again = forward(model, batch, batch.images) if statistics == "published" else logits
    natural = label_loss(batch, logits)
    robust = divergence_from(again.log_softmax(1))(moved).mean()
    return natural + beta * robust, moved
