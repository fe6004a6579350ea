"""The inner maximisation of an objective: gradients in the input alone, and the steps along them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.errors import InputError
from saddlepoint.model import Guard
from saddlepoint.objectives.contract import TrainingBatch
from saddlepoint.objectives.passes import Mode, Statistics, forward
from saddlepoint.threat import Ascendable, Clippable, ThreatModel
from saddlepoint.threat.norms import expand

Gradient = Callable[[Tensor, Callable[[Tensor], Tensor]], Tensor]
"""From parameters and a loss, logits → one number per sample, to the gradient in the parameters."""


@contextlib.contextmanager
def climbing(
    model: nn.Module,
    batch: TrainingBatch,
    threat: ThreatModel,
    mode: Mode,
    statistics: Statistics = "descent",
) -> Iterator[Gradient]:
    """Give the passes of an inner maximisation: gradients in the input, none in the weights.

    Passes run in the guard, which puts the running statistics back; as `published` those in train
    mode move them, as every pass of the reference implementations does.

    Args:
        model: in train mode.
        batch: whose images are perturbed.
        threat: turns parameters into images.
        mode: the statistics that the passes see.
        statistics: which passes move the running ones.

    >>> from saddlepoint.threat import Linf
    >>> batch = TrainingBatch(torch.ones(1, 2), torch.zeros(1).long(), torch.zeros(1).long(), seed=0)
    >>> with climbing(nn.Linear(2, 2), batch, Linf(0.1), "eval") as gradient:
    ...     gradient(batch.images, lambda logits: logits[:, 0]).shape
    torch.Size([1, 2])
    """

    def render(parameters: Tensor) -> Tensor:
        return threat.render(batch.images, parameters)

    if mode == "train" and statistics == "published":

        def moving(parameters: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
            w = parameters.detach().requires_grad_()
            return torch.autograd.grad(loss(forward(model, batch, render(w))).sum(), w)[0]

        yield moving
        return

    with Guard(model, len(batch.images), mode=mode, seed=batch.seed) as guard:

        def guarded(parameters: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
            with batch.autocast():
                return guard.gradient(parameters, loss, None, batch.keys, render)[1]

        yield guarded


def check_moves(owner: str, mode: Mode, statistics: Statistics) -> None:
    """Raise `InputError` where the running statistics are to move by passes that do not see batches.

    >>> check_moves("N-FGSM", "eval", "published")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: N-FGSM's statistics "published" move by a pass in train mode; leave ...
    """
    if statistics == "published" and mode == "eval":
        raise InputError(
            f'{owner}\'s statistics "published" move by a pass in train mode; leave mode at "train"'
        )


def ascendable(threat: ThreatModel, owner: str) -> Ascendable:
    """Return a threat model that has a steepest direction; raises `InputError` for another.

    >>> from saddlepoint.threat import Linf
    >>> ascendable(Linf(0.1), "YOPO").radius(torch.zeros(1, 2))
    tensor([0.1000])
    """
    if not isinstance(threat, Ascendable):
        raise InputError(
            f"{owner} needs a threat model with a steepest direction, for instance Linf(8/255); it got"
            f" {threat!r:.60}"
        )
    return threat


def step(
    threat: Ascendable,
    images: Float[Tensor, "n ..."],
    parameters: Float[Tensor, "n ..."],
    gradient: Float[Tensor, "n ..."],
    step_size: float | None,
    relative: float,
) -> Float[Tensor, "n ..."]:
    """Return Π(w + α·d), d the steepest direction of the gradient.

    Args:
        threat: the ball that is projected on.
        images: its centres.
        parameters: w; see `ThreatModel.parametrise`.
        gradient: in w.
        step_size: α, in the units of the budget; None is `relative` times the budget.

    >>> from saddlepoint.threat import Linf
    >>> x = torch.tensor([[0.5]])
    >>> step(Linf(0.25), x, x, torch.tensor([[3.0]]), None, 0.5)
    tensor([[0.6250]])
    """
    return Ascent(threat, images, step_size, relative)(parameters, gradient)


class Ascent:
    """The steps w ← Π(w + α·d) on the images of a batch; where Π clips, its bounds are found once.

    Args:
        threat, images, step_size, relative: as for `step`.

    >>> from saddlepoint.threat import Linf
    >>> x = torch.tensor([[0.5]])
    >>> climb = Ascent(Linf(0.25), x, None, 0.75)
    >>> climb(climb(x, torch.ones(1, 1)), torch.ones(1, 1))
    tensor([[0.7500]])
    """

    def __init__(
        self,
        threat: Ascendable,
        images: Float[Tensor, "n ..."],
        step_size: float | None,
        relative: float,
    ) -> None:
        self.threat, self.images = threat, images
        radius = threat.radius(images)
        self._alpha: float | Tensor = (
            expand(relative * radius, images) if step_size is None else step_size
        )
        self._bounds = threat.clip_bounds(images) if isinstance(threat, Clippable) else None

    def __call__(
        self, parameters: Float[Tensor, "n ..."], gradient: Float[Tensor, "n ..."]
    ) -> Float[Tensor, "n ..."]:
        """Return Π(w + α·d)."""
        moved = parameters + self._alpha * self.threat.steepest_direction(gradient)
        if self._bounds is None:
            return self.threat.project(self.images, moved)
        return moved.clamp(*self._bounds)


def log_odds(batch: TrainingBatch) -> Callable[[Tensor], Tensor]:
    """Return log Σ_{j≠y} e^{Z_j} − Z_y of each sample as a function of the logits: it rises as the
    cross-entropy does, and its gradient does not vanish where softmax saturates.

    >>> batch = TrainingBatch(torch.ones(1, 2), torch.zeros(1).long(), torch.zeros(1).long(), seed=0)
    >>> log_odds(batch)(torch.tensor([[3.0, 1.0]]))
    tensor([-2.])
    """

    def value(logits: Tensor) -> Tensor:
        own = logits.gather(1, batch.labels[:, None])
        others = logits.scatter(1, batch.labels[:, None], -torch.inf)
        return others.logsumexp(1) - own[:, 0]

    return value


def cross_entropy(batch: TrainingBatch) -> Callable[[Tensor], Tensor]:
    """Return the cross-entropy of each sample as a function of the logits, through its log-odds,
    which rounding does not make 0 before e⁻⁸⁷.

    In train mode BatchNorm couples the images of a batch, and the gradient in one is a sum over the
    losses of all: only this one is the published sum, where log-odds alone would weigh all alike.

    >>> batch = TrainingBatch(torch.ones(1, 2), torch.zeros(1).long(), torch.zeros(1).long(), seed=0)
    >>> cross_entropy(batch)(torch.tensor([[30.0, 0.0]]))
    tensor([9.3576e-14])
    """
    odds = log_odds(batch)
    return lambda logits: -functional.logsigmoid(-odds(logits))
