"""Projections on norm balls without regard for the range, in the precision of what is projected.

`ThreatModel.project` is exact on ball ∩ range, in float64, and costs more: a loop that clips after
every step, as FMN's does, wants these.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.threat import NormBall
from saddlepoint.threat.norms import expand


def project_ball(
    delta: Float[Tensor, "m ..."], radius: Float[Tensor, " m"], ball: NormBall
) -> Float[Tensor, "m ..."]:
    """Return the nearest change of norm `radius` at most, without regard for the range.

    >>> from saddlepoint.threat import L1
    >>> project_ball(torch.tensor([[0.9, -0.5]]), torch.tensor([1.0]), L1())
    tensor([[ 0.7000, -0.3000]])
    """
    limit = expand(radius, delta)
    if ball.p == 2:
        length = torch.linalg.vector_norm(delta.flatten(1), dim=1).clamp_min(
            torch.finfo(delta.dtype).tiny
        )
        return delta * expand((radius / length).clamp_max(1.0), delta)
    if ball.p == math.inf:
        return delta.clamp(-limit, limit)
    if ball.p == 1:
        return onto_l1_ball(delta, radius)
    return largest_changes(delta, radius, ball.group(delta))


def onto_l1_ball(
    delta: Float[Tensor, "m ..."], radius: Float[Tensor, " m"]
) -> Float[Tensor, "m ..."]:
    """Return the projection on the L1 ball, sign(δ)·max(|δ| − λ, 0).

    Σ max(|δ| − λ, 0) is convex in λ and falls piecewise linearly, so Newton's steps from 0 rise to
    the λ where it is the radius, in a few passes where a sort would cost more than the model.

    >>> onto_l1_ball(torch.tensor([[3.0, 1.0, 0.5]]), torch.tensor([2.5]))
    tensor([[2.2500, 0.2500, 0.0000]])
    """
    magnitude = delta.abs().flatten(1)
    excess = magnitude.sum(1) - radius
    threshold = torch.zeros_like(excess)
    slack = 8 * torch.finfo(delta.dtype).eps * radius
    above = torch.full_like(excess, float(magnitude.shape[1]))
    for _ in range(_NEWTON_STEPS):
        outside = excess > slack
        if not delta.is_cuda and not bool(outside.any()):
            break
        threshold = torch.where(outside, threshold + excess / above.clamp_min(1.0), threshold)
        left = (magnitude - threshold[:, None]).clamp_min_(0)
        excess = left.sum(1) - radius
        above = (left > 0).sum(1).to(excess.dtype)
    limit = expand(threshold, delta)
    return delta - delta.clamp(-limit, limit)


# Ten are usual; the steps are finitely many, and one more changes nothing.
_NEWTON_STEPS = 40


def largest_changes(
    delta: Float[Tensor, "m ..."], radius: Float[Tensor, " m"], channels: int
) -> Float[Tensor, "m ..."]:
    """Return the changes with the `radius` largest of each sample alone; of pixels over `channels`.

    >>> largest_changes(torch.tensor([[3.0, -1.0, 2.0]]), torch.tensor([2.0]), 1)
    tensor([[3., 0., 2.]])
    """
    square = delta.flatten(1).abs()
    if channels > 1:
        square = square.square_().reshape(len(delta), channels, -1).sum(1)
    most = square.shape[1]
    count = radius.long().clamp(1, most)
    # On CUDA a look at the counts would make the step wait.
    top = square.topk(most if delta.is_cuda else int(count.max()), dim=1).values
    least = top.gather(1, count[:, None] - 1)
    keep = (square >= least).repeat(1, channels).reshape(delta.shape)
    return torch.where(keep, delta, 0.0)
